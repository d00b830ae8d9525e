"""How much of raw CTranslate2's speed is left behind our engine and translator: at least 0.95 is wanted.

    python tests/benchmarks/ctranslate2_overhead.py PROJECT MODEL --threads 1 2 --rounds 9

MODEL is a run of the project (or a run or checkpoint folder); the smaller it is, the more the Python around it
weighs. Four ways to translate the project's first test set take turns in one process, on the same batches with the
same limits:

    raw          ctranslate2.Translator.translate_batch, all batches handed in at once: pieces in, pieces out
    raw + text   the same, between SentencePiece's encoding and decoding
    engine       CTranslate2Engine.search: ids in, ids out
    translator   Translator.translate: text in, text out

Sentences per second of wall time, and per CPU second; ratios to `raw` are medians over the rounds. A few translations
may differ from raw's, which has one length limit for a whole batch.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import ctranslate2

from a2d_cli.config.loader import read_project_recipe
from a2d_cli.config.schema import Decoding
from a2d_cli.data.tokenizer import Tokenizer
from a2d_cli.decoding.ctranslate2_engine import CTranslate2Engine
from a2d_cli.decoding.engine import SearchBatch
from a2d_cli.decoding.translator import Translator
from a2d_cli.export.ctranslate2 import write_ctranslate2
from a2d_cli.project.checkpoint import load_checkpoint
from a2d_cli.project.project import Project
from a2d_cli.project.run import find_model


class Recorder:
    """An engine that keeps the batches that go through it."""

    def __init__(self, engine: CTranslate2Engine):
        self._engine = engine
        self.name, self.machine, self.max_tokens = engine.name, engine.machine, engine.max_tokens
        self.batches: list[SearchBatch] = []

    def search(self, batches, settings: Decoding, **options: bool) -> Iterator:
        self.batches = list(batches)
        return self._engine.search(self.batches, settings, **options)


@dataclass(frozen=True)
class Raw:
    """What a program of CTranslate2 alone would do."""

    translator: ctranslate2.Translator
    tokenizer: Tokenizer
    settings: Decoding

    def pieces(self, batches: list[SearchBatch]) -> list[list[list[str]]]:
        pieces = self.tokenizer.src_pieces
        return [[[pieces[i] for i in source] for source in batch.sources] for batch in batches]

    def translate(self, batches: list[list[list[str]]], longest: list[int]) -> list[list[str]]:
        begun = [
            self.translator.translate_batch(
                batch,
                asynchronous=True,
                beam_size=self.settings.beam,
                length_penalty=self.settings.length_penalty,
                max_input_length=0,
                max_decoding_length=limit,
                min_decoding_length=0,
                return_scores=True,
            )
            for batch, limit in zip(batches, longest, strict=True)
        ]
        return [each.result().hypotheses[0] for batch in begun for each in batch]

    def translate_text(self, lines: list[str], batch_lines: list[list[int]], longest: list[int]) -> list[str]:
        """Args: batch_lines: indices into `lines`."""
        pieces = self.tokenizer.src_pieces
        sources = [[pieces[i] for i in ids] for ids in self.tokenizer.encode_src(lines)]
        outputs = self.translate([[sources[i] for i in batch] for batch in batch_lines], longest)
        number = {piece: i for i, piece in enumerate(self.tokenizer.tgt_pieces)}
        return self.tokenizer.decode_tgt([[number[piece] for piece in output] for output in outputs])


@dataclass(frozen=True)
class Time:
    wall_s: float
    cpu_s: float


def take_turns(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[Time]]:
    times: dict[str, list[Time]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            wall_s, cpu_s = time.perf_counter(), time.process_time()
            way()
            if number:  # the first warms up
                times[name].append(Time(time.perf_counter() - wall_s, time.process_time() - cpu_s))
    return times


@dataclass(frozen=True)
class Subject:
    """A model as CTranslate2 loads it, and the text that it translates."""

    folder: Path
    tokenizer: Tokenizer
    max_tokens: int
    lines: list[str]


def compare(subject: Subject, settings: Decoding, threads: int, rounds: int) -> None:
    tokenizer, lines = subject.tokenizer, subject.lines
    engine = CTranslate2Engine(subject.folder, tokenizer, subject.max_tokens, threads=threads)
    translator = Translator(engine, tokenizer, settings)
    recorder = Recorder(engine)
    texts = [found[0].text for found in Translator(recorder, tokenizer, settings).translate(lines)]
    batches = recorder.batches
    raw = Raw(
        ctranslate2.Translator(str(subject.folder), inter_threads=threads, intra_threads=1),
        tokenizer,
        settings,
    )
    pieces, longest = raw.pieces(batches), [max(batch.limits) - 1 for batch in batches]
    lengths = [len(ids) for ids in tokenizer.encode_src(lines)]
    order = sorted(range(len(lines)), key=lambda i: -lengths[i])  # as in the batches
    size = settings.batch_sentences
    batch_lines = [order[first : first + size] for first in range(0, len(order), size)]
    same = sum(a == texts[i] for a, i in zip(raw.translate_text(lines, batch_lines, longest), order, strict=True))
    times = take_turns(
        {
            "raw": lambda: raw.translate(pieces, longest),
            "raw + text": lambda: raw.translate_text(lines, batch_lines, longest),
            "engine": lambda: list(engine.search(batches, settings)),
            "translator": lambda: translator.translate(lines),
        },
        rounds,
    )
    print(
        f"\n{threads} threads, beam {settings.beam}, batches of {size}; "
        f"{same} of {len(lines)} translations are those of raw"
    )
    print(f"{'way':12}{'sent/s':>9}{'to raw':>8}{'sent/CPU s':>12}{'to raw':>8}")
    for name, found in times.items():
        wall_s, cpu_s = (statistics.median(getattr(each, key) for each in found) for key in ("wall_s", "cpu_s"))
        ratios = [
            statistics.median(getattr(a, key) / getattr(b, key) for a, b in zip(times["raw"], found, strict=True))
            for key in ("wall_s", "cpu_s")
        ]
        print(f"{name:12}{len(lines) / wall_s:9.0f}{ratios[0]:8.3f}{len(lines) / cpu_s:12.0f}{ratios[1]:8.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path)
    parser.add_argument("model")
    parser.add_argument("--quantization", default="int8")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--beam", type=int, nargs="+", default=[1, 5])
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    project = Project(given.project)
    recipe = read_project_recipe(project.recipe_path)
    checkpoint = load_checkpoint(find_model(project, given.model))
    name = next(iter(recipe.data.tests), "test")
    lines = [line for line in project.text_path(name, recipe.src_lang).read_text("utf-8").split("\n") if line.strip()]
    print(
        f"{given.model}, {checkpoint.model.num_parameters / 1e6:.2f} M parameters, {given.quantization}: "
        f"{len(lines)} sentences of {name}"
    )
    with tempfile.TemporaryDirectory() as place:
        write_ctranslate2(checkpoint.model, checkpoint.tokenizer, Path(place), given.quantization)
        subject = Subject(Path(place), checkpoint.tokenizer, checkpoint.model.shape.max_positions, lines)
        for threads in given.threads:
            for beam in given.beam:
                settings = replace(recipe.decoding, nbest=1, beam=beam, batch_sentences=given.batch_size)
                compare(subject, settings, threads, given.rounds)
    print(f"\nload average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores, ctranslate2 {ctranslate2.__version__}")


if __name__ == "__main__":
    main()
