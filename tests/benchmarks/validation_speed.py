"""What a validation costs, beside what no validation could do without.

    OMP_WAIT_POLICY=PASSIVE python tests/benchmarks/validation_speed.py --rounds 5 --threads 1
    python tests/benchmarks/validation_speed.py --small

A model of the student's size and of random weights judges a synthetic validation text, as training has it done every
so many updates. Timed are, by turns in one process:

    loss            all pairs teacher-forced: batches read and padded, states, the loss of every target token
    products        the matrix products of that, alone, at their shapes and strides
    validation      loss, translations (greedy, or beam 5) and scores
    search          ids in, ids out: the engine's search of the same batches
    scores          sacrebleu's BLEU and chrF of the translations

Random weights end no sentence where a trained model would: in either way of decoding, outputs are at most as long as
sources. Words are their ids in digits: what text costs is told by `ctranslate2_overhead.py`. CPU seconds are those of
all threads; shares are medians over the rounds, of CPU seconds.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from training_speed import EOS, SMALL, Sizes, Time, arithmetic_of, timed

from a2d_cli.config.schema import Decoding, Training
from a2d_cli.data.batching import SpecialIds
from a2d_cli.decoding.engine import SearchBatch
from a2d_cli.decoding.torch_engine import TorchEngine
from a2d_cli.decoding.translator import Translator
from a2d_cli.model.transformer import Transformer, Vocabularies
from a2d_cli.scoring import score
from a2d_cli.training.memory import keep_freed_memory
from a2d_cli.training.validation import Validator

CPU = torch.device("cpu")


class SyntheticText:
    """Pairs of lengths as of news: log-normal, the sides alike."""

    def __init__(self, num_pairs: int, vocab_size: int):
        rng = np.random.default_rng(1)
        self.tgt_lengths = np.clip(rng.lognormal(np.log(15), 0.4, num_pairs), 3, 60).astype(int)
        self.src_lengths = np.clip(self.tgt_lengths * rng.lognormal(0, 0.15, num_pairs), 3, 60).astype(int)
        self._src, self._tgt = (
            [rng.integers(EOS + 1, vocab_size - 1, length) for length in lengths]
            for lengths in (self.src_lengths, self.tgt_lengths)
        )

    def __len__(self) -> int:
        return len(self.tgt_lengths)

    def src(self, i: int) -> np.ndarray:
        return self._src[i]

    def tgt(self, i: int) -> np.ndarray:
        return self._tgt[i]

    def lines(self, side: str) -> list[str]:
        return [NumberTokenizer.text_of(getattr(self, f"_{side}")[i].tolist()) for i in range(len(self))]


@dataclass(frozen=True)
class NumberTokenizer:
    """Words are their ids."""

    src_pad: int
    tgt_pad: int
    eos: int = EOS

    def encode_src(self, lines: list[str]) -> list[list[int]]:
        return [[int(word[1:]) for word in line.split()] for line in lines]

    def decode_tgt(self, rows: list[list[int]]) -> list[str]:
        return [self.text_of(row) for row in rows]

    @staticmethod
    def text_of(ids: list[int]) -> str:
        return " ".join(f"w{i}" for i in ids)


class RecordingEngine(TorchEngine):
    """Remembers what it was last asked."""

    batches: list[SearchBatch]

    def search(self, batches: Iterable[SearchBatch], settings: Decoding, **options: bool) -> Iterator[Any]:
        self.batches = list(batches)
        return super().search(self.batches, settings, **options)


def parts_of(sizes: Sizes, num_pairs: int, num_translated: int, decoding: Decoding) -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    vocab_size = sizes.vocab_size
    tokenizer, text = NumberTokenizer(vocab_size - 1, vocab_size - 1), SyntheticText(num_pairs, vocab_size)
    torch.manual_seed(1)
    shape = sizes.shape(sizes.student_layers)
    model = Transformer(shape, Vocabularies(vocab_size, vocab_size)).eval()

    def validator(decode_below_nll: float) -> Validator:
        settings = Training(
            decode_below_nll=decode_below_nll, valid_sentences=num_translated, samples=2, max_tokens=sizes.tokens
        )
        lines = text.lines("src"), text.lines("tgt")
        return Validator(text, *lines, tokenizer, decoding, settings, shape.max_positions)

    with_translations, without = validator(math.inf), validator(-math.inf)
    engine = RecordingEngine(model, SpecialIds.of(tokenizer))
    found = Translator(engine, tokenizer, decoding).translate(with_translations.sources)
    translations = [best[0].text for best in found]
    counts = arithmetic_of(lambda: without(model, CPU)).products
    products = [(product.ready(), count) for product, count in counts.items()]
    return {
        "loss": lambda: without(model, CPU),
        "products": lambda: [call() for call, count in products for _ in range(count)],
        "validation": lambda: with_translations(model, CPU),
        "search": lambda: list(engine.search(engine.batches, decoding)),
        "scores": lambda: score(translations, [with_translations.references]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=300, help="of the validation text")
    parser.add_argument("--sentences", type=int, default=64, help="of them translated")
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="a small model, for a quick try")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    keep_freed_memory()
    sizes = SMALL if given.small else Sizes()
    decoding = Decoding(beam=given.beam, max_length_ratio=1.0, max_length_extra=0)
    parts = parts_of(sizes, given.pairs, given.sentences, decoding)
    for work in parts.values():
        work()
    load_before = os.getloadavg()[0]
    times: dict[str, list[Time]] = {name: [] for name in parts}
    for _ in range(given.rounds):
        for name, work in parts.items():
            times[name].append(timed(work))
    print(f"{sizes}\n{given.pairs} pairs, {given.sentences} translated, beam {given.beam}; torch {torch.__version__}")
    print(f"{given.rounds} rounds, {given.threads} threads of {os.cpu_count()} cores")
    print(f"load average {load_before:.1f} before, {os.getloadavg()[0]:.1f} after\n")
    print("| part | wall s | CPU s |\n|---|---|---|")
    for name, measured in times.items():
        wall_s, cpu_s = (statistics.median(getattr(each, key) for each in measured) for key in ("wall_s", "cpu_s"))
        print(f"| {name} | {wall_s:.3f} | {cpu_s:.3f} |")
    cpu = {name: np.array([each.cpu_s for each in measured]) for name, measured in times.items()}
    needed = cpu["products"] + cpu["search"] + cpu["scores"]
    print(f"\nshare of the loss that is products: {np.median(cpu['products'] / cpu['loss']):.2f}")
    print(f"share of the validation that is products, search and scores: {np.median(needed / cpu['validation']):.2f}")


if __name__ == "__main__":
    main()
