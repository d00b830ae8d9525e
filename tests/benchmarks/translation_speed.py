"""How fast the torch engine translates, beside Hugging Face's `generate` and CTranslate2 with the same weights.

    OMP_WAIT_POLICY=PASSIVE python tests/benchmarks/translation_speed.py --rounds 5 --threads 1
    python tests/benchmarks/translation_speed.py --models tiny --rounds 3
    python tests/benchmarks/translation_speed.py --trained PROJECT RUN --rounds 3

Three ways to search take turns in one process, ids in, ids out, in float32:

    hf     `generate` of the model that `a2d export --to hf` writes, with its cache: MarianMT (pre-norm: PEGASUS)
    a2d    TorchEngine.search
    ct2    CTranslate2Engine.search, for orientation

First both torch models must give the same log-probabilities. The weights are random, as are the sources of 20 tokens;
every output has exactly 22 tokens, so that all do the same number of steps whatever the weights (`--trained`: a run's
own outputs, of natural lengths, to the first lines of its test set; batches are sorted by length, as a2d sorts them).
Sentences per second of CPU time and of wall time; ratios to `hf` are medians over the rounds.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
import torch
import transformers

from a2d_cli.config.schema import PRESETS, Decoding, ModelShape
from a2d_cli.data.batching import SpecialIds, pad_batch
from a2d_cli.data.tokenizer import Tokenizer
from a2d_cli.decoding.ctranslate2_engine import CTranslate2Engine
from a2d_cli.decoding.engine import Engine, SearchBatch
from a2d_cli.decoding.torch_engine import TorchEngine
from a2d_cli.export.ctranslate2 import write_ctranslate2
from a2d_cli.export.huggingface import write_huggingface
from a2d_cli.model.transformer import Transformer, Vocabularies
from a2d_cli.project.checkpoint import load_checkpoint
from a2d_cli.project.project import Project

SHAPES = {
    "6+6": replace(PRESETS["paper"], encoder_layers=6, decoder_layers=6),
    "3+3": PRESETS["paper"],
    "tiny": PRESETS["tiny"],
}
VOCAB_SIZE = 10_000  # pad included
SRC_TOKENS, TGT_TOKENS = 20, 22  # the second with the end mark
SENTENCES_ONE_BY_ONE, TRAINED_SENTENCES = 4, 64  # of a sample
CLOSE = 1e-4  # nats
TARGET = 1.3  # times the speed of `hf`

Outputs = list[tuple[int, ...]]
Way = Callable[[Sequence[SearchBatch], Decoding], Outputs]


@dataclass(frozen=True)
class Cell:
    beam: int
    batch_size: int


CELLS = [Cell(beam, size) for size in (1, 32) for beam in (1, 5)]


# --- models -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Subject:
    """A model in evaluation mode, and what it shall translate."""

    name: str
    model: Transformer
    tokenizer: Tokenizer
    sources: list[list[int]]
    exact_length: bool

    @property
    def ids(self) -> SpecialIds:
        return SpecialIds.of(self.tokenizer)


def random_subject(name: str, shape: ModelShape, threads: int) -> Subject:
    torch.manual_seed(1)
    model = Transformer(shape, Vocabularies(VOCAB_SIZE, VOCAB_SIZE)).eval()
    count = 32 * threads  # a batch for each thread, as CTranslate2 gives each of its workers one
    sources = np.random.default_rng(1).integers(2, VOCAB_SIZE - 1, (count, SRC_TOKENS)).tolist()
    return Subject(name, model, numbered_tokenizer(), sources, exact_length=True)


def numbered_tokenizer() -> Tokenizer:
    """Over a list of as many invented pieces as the models have."""
    spm = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["one two three"]), model_writer=spm, vocab_size=12, minloglevel=2
    )
    return Tokenizer(spm.getvalue(), pieces=[["</s>", "<unk>", *(f"▁{i}" for i in range(2, VOCAB_SIZE - 1))]])


def trained_subject(project: Project, run: str) -> Subject:
    found = load_checkpoint(project.runs_dir / run)
    lines = project.read_text("test", found.pair.split("-")[0])
    sources = sorted(found.tokenizer.encode_src(lines[:TRAINED_SENTENCES]), key=len, reverse=True)
    return Subject(run, found.model.eval(), found.tokenizer, [each for each in sources if each], exact_length=False)


# --- ways ---------------------------------------------------------------------------------------------------


def ways(subject: Subject, folder: Path, threads: int) -> dict[str, Way]:
    write_huggingface(subject.model, subject.tokenizer, "de-en", folder / "hf", Decoding())
    theirs = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder / "hf", local_files_only=True).eval()
    require_same(theirs, subject)
    write_ctranslate2(subject.model, subject.tokenizer, folder / "ct2", "float32")
    longest = subject.model.shape.max_positions
    ct2 = CTranslate2Engine(folder / "ct2", subject.tokenizer, longest, threads=threads, device="cpu")
    torch_engine = TorchEngine(subject.model, subject.ids)
    return {
        "hf": lambda batches, settings: generate(theirs, subject, batches, settings),
        "a2d": lambda batches, settings: search(torch_engine, subject, batches, settings),
        "ct2": lambda batches, settings: search(ct2, subject, batches, settings),
    }


@torch.inference_mode()
def require_same(theirs: Any, subject: Subject) -> None:
    sources = subject.sources[:4]
    batch = pad_batch(sources, sources, subject.ids)
    ours = subject.model.logits(subject.model(batch.src, batch.tgt_in).states).log_softmax(-1)
    mask = (batch.src != subject.ids.src_pad).long()
    found = theirs(input_ids=batch.src, attention_mask=mask, decoder_input_ids=batch.tgt_in).logits.log_softmax(-1)
    worst = (found[..., : ours.shape[-1]] - ours)[batch.tgt_mask].abs().max().item()
    assert worst < CLOSE, f"{subject.name}: log-probabilities of Hugging Face's model differ by {worst:.1e}"


def search(engine: Engine, subject: Subject, batches: Sequence[SearchBatch], settings: Decoding) -> Outputs:
    found = engine.search(batches, settings, exact_length=subject.exact_length)
    return [hypotheses[0].tokens for each in found for hypotheses in each]


def generate(theirs: Any, subject: Subject, batches: Sequence[SearchBatch], settings: Decoding) -> Outputs:
    ids, outputs = subject.ids, []
    for batch in batches:
        src = pad_batch(batch.sources, batch.sources, ids).src
        longest = max(batch.limits)
        found = theirs.generate(
            input_ids=src,
            attention_mask=(src != ids.src_pad).long(),
            num_beams=settings.beam,
            length_penalty=settings.length_penalty,
            early_stopping=settings.beam > 1,
            do_sample=False,
            use_cache=True,
            max_new_tokens=longest,
            min_new_tokens=longest if subject.exact_length else None,
        )
        special = (ids.eos, ids.tgt_pad)
        outputs += [tuple(i for i in row if i not in special) for row in found.tolist()]
    return outputs


# --- measuring ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Speed:
    """Sentences per second."""

    cpu: float
    wall: float


def timed(way: Way, batches: Sequence[SearchBatch], settings: Decoding) -> Speed:
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    sentences = len(way(batches, settings))
    return Speed(sentences / (time.process_time() - cpu_s), sentences / (time.perf_counter() - wall_s))


def batches_of(subject: Subject, cell: Cell) -> list[SearchBatch]:
    sources = (
        subject.sources if cell.batch_size > 1 else subject.sources[:: len(subject.sources) // SENTENCES_ONE_BY_ONE]
    )
    chunks = [sources[first : first + cell.batch_size] for first in range(0, len(sources), cell.batch_size)]
    limit = Decoding().max_length_ratio, Decoding().max_length_extra
    return [
        SearchBatch(each, [TGT_TOKENS if subject.exact_length else int(len(s) * limit[0] + limit[1]) for s in each])
        for each in chunks
    ]


def measure(subject: Subject, folder: Path, rounds: int, threads: int) -> Iterator[str]:
    """Rows of the table."""
    found = ways(subject, folder, threads)
    for cell in CELLS:
        batches, settings = batches_of(subject, cell), Decoding(beam=cell.beam)
        outputs = {name: way(batches[:1], settings) for name, way in found.items()}  # which warms them up, too
        same = sum(map(tuple.__eq__, outputs["hf"], outputs["a2d"])), len(outputs["a2d"])
        speeds: dict[str, list[Speed]] = {name: [] for name in found}
        for _ in range(rounds):
            for name, way in found.items():
                speeds[name].append(timed(way, batches, settings))
        yield row(subject.name, cell, speeds, same)


def row(name: str, cell: Cell, speeds: dict[str, list[Speed]], same: tuple[int, int]) -> str:
    def median(way: str, key: str) -> float:
        return statistics.median(getattr(each, key) for each in speeds[way])

    def ratio(way: str, key: str) -> float:
        return statistics.median(
            getattr(a, key) / getattr(b, key) for a, b in zip(speeds[way], speeds["hf"], strict=True)
        )

    columns = [name, cell.batch_size, cell.beam]
    columns += [f"{median(way, 'cpu'):.1f} / {median(way, 'wall'):.1f}" for way in speeds]
    columns += [f"{ratio(way, 'cpu'):.2f} / {ratio(way, 'wall'):.2f}" for way in ("a2d", "ct2")]
    columns += [f"{same[0]} of {same[1]}", "holds" if ratio("a2d", "cpu") >= TARGET else "missed"]
    return "| " + " | ".join(map(str, columns)) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--models", nargs="*", choices=SHAPES, default=["6+6", "3+3"])
    parser.add_argument("--trained", nargs=2, metavar=("PROJECT", "RUN"), help="instead of random models")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    if given.trained:
        project, run = given.trained
        subjects = [trained_subject(Project(Path(project)), run)]
    else:
        subjects = [random_subject(name, SHAPES[name], given.threads) for name in given.models]
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}"
    print(f"{given.rounds} rounds, {given.threads} threads of {os.cpu_count()} cores, {versions}")
    print(f"load average {os.getloadavg()[0]:.1f} before; sentences per second, CPU / wall time\n")
    heads = ["model", "batch", "beam", "hf", "a2d", "ct2", "a2d to hf", "ct2 to hf", "same outputs", f"{TARGET} × hf"]
    print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
    with tempfile.TemporaryDirectory(prefix="a2d-translation-speed-") as place:
        for i, subject in enumerate(subjects):
            for line in measure(subject, Path(place) / str(i), given.rounds, given.threads):
                print(line, flush=True)
    print(f"\nload average {os.getloadavg()[0]:.1f} after")


if __name__ == "__main__":
    main()
