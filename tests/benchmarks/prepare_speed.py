"""What `a2d prepare` costs beside what nobody can save: reading the files, training SentencePiece, encoding the text.

    python tests/benchmarks/prepare_speed.py --pairs 250000 500000 1000000 2000000 --sample 100000
    python tests/benchmarks/prepare_speed.py --pairs 4500000 --folder /scratch --keep

For each size a corpus is made up: two gzip-compressed files of inflected words by Zipf's law, with numbers, names and
commas; sentences of log-normal length, as many words as WMT14's English-German text has in the mean (25.8 and 24.4);
one pair in twenty repeats an earlier one or breaks a rule of cleaning; validation and test sets of 3,000 pairs each, of
which some stand in the training text. Then, each in a process of its own:

    prepare    `a2d prepare --train a.gz b.gz --valid … --test …`: every step
    gzip       both files decompressed by Python's gzip, alone
    encoder    both sides of the training text encoded by SentencePiece on all cores, from lists of lines, alone
    trainer    SentencePiece trained on the sample that `prepare` takes, alone

Peak memory is the largest sum of resident memory over the process and its descendants, looked at 20 times a second
(Linux), and beside it the kernel's figure for the process. A share is the time of the parts alone by that of `prepare`:
with the trainer in both, and with the trainer's time taken out of both.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import sentencepiece

from a2d_cli.config.loader import read_project_recipe
from a2d_cli.data.tokenizer import Tokenizer, train_tokenizer

PAIR = "de-en"
LANGUAGES = PAIR.split("-")
HELD_OUT_PAIRS = 3000
BLOCK_PAIRS = 20_000
BLOCK_BYTES = 1 << 18
SAMPLING_S = 0.05
MIB = 2**20


@dataclass(frozen=True)
class Cost:
    wall_s: float
    cpu_s: float


# --- A corpus made up ---------------------------------------------------------------------------------------

NUM_TYPES = {"de": 600_000, "en": 300_000}
ZIPF_EXPONENT, ZIPF_SHIFT = 1.18, 2.7  # the hundred most frequent types are half of the text
ONSETS = [*"bdfghjklmnprstvwzbdglnrst", "sch", "st", "tr", "gr"]
NUCLEI = {"de": [*"aaeeeeiiouäöü", "ei", "au", "ie"], "en": [*"aaeeiioou", "ea"]}
CODAS = ["", "", "", *"nnrlst", "nd"]
ENDINGS = {
    "de": ["", "e", "en", "er", "es", "em", "te", "t", "ung", "ungen", "heit", "lich"],
    "en": ["", "s", "ed", "ing", "er", "ly", "ness", "al"],
}


def make_words(lang: str) -> list[str]:
    """Types by falling frequency: the first ones short, later ones longer and inflected."""
    choose = random.Random(lang).choice
    words: dict[str, None] = {}
    while len(words) < NUM_TYPES[lang]:
        rank = len(words)
        num_syllables = 1 if rank < 200 else choose((1, 1, 2) if rank < 5000 else (1, 2, 3))
        stem = "".join(choose(ONSETS) + choose(NUCLEI[lang]) + choose(CODAS) for _ in range(num_syllables))
        if choose("aab") == "b":
            stem = stem.title()
        words.update(dict.fromkeys([stem] if rank < 200 else [stem + choose(ENDINGS[lang]) for _ in range(5)]))
    return list(words)[: NUM_TYPES[lang]]


class Sentences:
    """Lines of one language."""

    def __init__(self, lang: str):
        self._words = np.array(make_words(lang), dtype=object)
        frequencies = (np.arange(len(self._words)) + 1 + ZIPF_SHIFT) ** -ZIPF_EXPONENT
        self._cumulative = np.cumsum(frequencies / frequencies.sum())

    def make(self, lengths: np.ndarray, rng: np.random.Generator) -> list[str]:
        """`lengths` in words."""
        words = self._words[np.searchsorted(self._cumulative, rng.random(lengths.sum()))]
        rare = np.flatnonzero(rng.random(len(words)) < 0.01)
        words[rare] = [str(number) for number in rng.integers(1, 10**6, len(rare))]
        commas = np.flatnonzero(rng.random(len(words)) < 0.05)
        words[commas] = [f"{word}," for word in words[commas]]
        ends = np.cumsum(lengths)
        listed = words.tolist()
        return [
            " ".join(listed[end - length : end]) + "."
            for length, end in zip(lengths.tolist(), ends.tolist(), strict=True)
        ]


@dataclass(frozen=True)
class Corpus:
    """Files of one size."""

    folder: Path
    num_pairs: int

    def files(self, name: str) -> tuple[Path, Path]:
        suffix = ".gz" if name == "train" else ""
        return tuple(self.folder / f"{name}.{lang}{suffix}" for lang in LANGUAGES)

    def make(self) -> None:
        self.folder.mkdir(parents=True)
        rng = np.random.default_rng(self.num_pairs)
        sentences = [Sentences(lang) for lang in LANGUAGES]
        held_out = make_pairs(sentences, 2 * HELD_OUT_PAIRS, rng)
        for name, lines in (("valid", held_out[:HELD_OUT_PAIRS]), ("test", held_out[HELD_OUT_PAIRS:])):
            for side, path in enumerate(self.files(name)):
                path.write_text("".join(pair[side] + "\n" for pair in lines), encoding="utf-8")
        src_path, tgt_path = self.files("train")
        with gzip.open(src_path, "wb", 6) as src_file, gzip.open(tgt_path, "wb", 6) as tgt_file:
            for start in range(0, self.num_pairs, BLOCK_PAIRS):
                pairs = make_pairs(sentences, min(BLOCK_PAIRS, self.num_pairs - start), rng)
                spoil(pairs, held_out, rng)
                src_file.write("".join(f"{src}\n" for src, _ in pairs).encode())
                tgt_file.write("".join(f"{tgt}\n" for _, tgt in pairs).encode())


def make_pairs(sentences: list[Sentences], num_pairs: int, rng: np.random.Generator) -> list[tuple[str, str]]:
    lengths = np.clip(np.rint(rng.lognormal(np.log(20.6), 0.58, num_pairs)), 1, 240).astype(int)
    others = np.clip(np.rint(lengths * rng.normal(1.06, 0.12, num_pairs)), 1, 240).astype(int)
    return list(zip(sentences[0].make(lengths, rng), sentences[1].make(others, rng), strict=True))


def spoil(pairs: list[tuple[str, str]], held_out: list[tuple[str, str]], rng: np.random.Generator) -> None:
    """Put in place of some pairs what real files hold."""
    for i in np.flatnonzero(rng.random(len(pairs)) < 0.1).tolist():
        src, tgt = pairs[i]
        pairs[i] = {
            0: (src, ""),
            1: (src, src),
            2: (src, tgt[: len(src) // 5]),
            3: (f"\ufeff{src}", tgt.replace(" ", "\u00a0", 1)),
            4: (src.replace(" ", "  ", 1), tgt.replace("a", "a\u0308", 1)),
            5: held_out[i % len(held_out)] if i % 50 == 0 else (src, tgt),
            6: (f"{src}\u200b", f"{tgt} \r"),
        }.get(int(rng.integers(10)), pairs[i // 2])


# --- The parts alone ----------------------------------------------------------------------------------------


class Stopwatch:
    """Adds up what runs under it."""

    def __init__(self) -> None:
        self.wall_s = self.cpu_s = 0.0

    def __enter__(self) -> None:
        self._began = time.perf_counter(), time.process_time()

    def __exit__(self, *exc_info: object) -> None:
        self.wall_s += time.perf_counter() - self._began[0]
        self.cpu_s += time.process_time() - self._began[1]

    def cost(self) -> Cost:
        return Cost(self.wall_s, self.cpu_s)


def decompress(corpus: Corpus, project: Path) -> Cost:
    watch = Stopwatch()
    with watch:
        for path in corpus.files("train"):
            with gzip.open(path, "rb") as stream:
                while stream.read(BLOCK_BYTES):
                    pass
    return watch.cost()


def encode(corpus: Corpus, project: Path) -> Cost:
    watch = Stopwatch()
    processor = sentencepiece.SentencePieceProcessor(model_file=str(project / "data" / "spm.model"))
    for lang in LANGUAGES:
        lines = training_lines(project, lang)
        while block := [line for line, _ in zip(lines, range(BLOCK_PAIRS), strict=False)]:
            with watch:
                processor.encode(block, num_threads=-1)
    return watch.cost()


def train(corpus: Corpus, project: Path) -> Cost:
    watch = Stopwatch()
    settings = read_project_recipe(project / "a2d.yaml").tokenizer
    num_pairs = json.loads((project / "data" / "train.ids.json").read_text(encoding="utf-8"))["num_pairs"]
    wanted = min(num_pairs, settings.max_training_sentences // 2)
    pairs = zip(*(training_lines(project, lang) for lang in LANGUAGES), strict=True)
    sample = [pair for i, pair in enumerate(pairs, 1) if i * wanted // num_pairs > (i - 1) * wanted // num_pairs]
    settings = replace(settings, vocab_size=Tokenizer.load(project / "data").src_vocab_size)
    with watch:
        train_tokenizer(sample, len(sample), settings)
    return watch.cost()


def training_lines(project: Path, lang: str) -> Iterator[str]:
    with open(project / "data" / "text" / f"train.{lang}", encoding="utf-8", newline="\n") as stream:
        for line in stream:
            yield line.removesuffix("\n")


def in_own_process(part: Callable[[Corpus, Path], Cost], corpus: Corpus, project: Path) -> Cost:
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        return process.submit(part, corpus, project).result()


# --- prepare ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Prepared:
    cost: Cost
    peak_tree_bytes: int
    peak_bytes: int  # of the largest process


def prepare(corpus: Corpus, project: Path, sample: int | None) -> Prepared:
    command = [sys.executable, "-m", "a2d_cli", "-C", str(project), "prepare", "--pair", PAIR]
    for name in ("train", "valid", "test"):
        command += [f"--{name}", *map(str, corpus.files(name))]
    if sample:
        command += ["--set", f"tokenizer.max_training_sentences={sample}"]
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peak_tree = 0
    while True:
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        if ended:
            break
        peak_tree = max(peak_tree, tree_bytes(process.pid))
        time.sleep(SAMPLING_S)
    wall_s = time.perf_counter() - started
    if status:
        sys.exit(f"prepare ended with {os.waitstatus_to_exitcode(status)}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Prepared(Cost(wall_s, usage.ru_utime + usage.ru_stime), peak_tree, usage.ru_maxrss * unit)


def tree_bytes(pid: int) -> int:
    """Resident memory of a process and its descendants; 0 where there is no /proc."""
    try:
        resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        tasks = Path(f"/proc/{pid}/task").iterdir()
        children = chain.from_iterable((task / "children").read_text().split() for task in tasks)
        return resident + sum(tree_bytes(int(child)) for child in children)
    except OSError:  # it has just ended
        return 0


# --- The table ----------------------------------------------------------------------------------------------


def measure(corpus: Corpus, sample: int | None) -> str:
    """One row."""
    project = corpus.folder / "project"
    prepared = prepare(corpus, project, sample)
    parts = [in_own_process(part, corpus, project) for part in (decompress, encode, train)]
    costs = [prepared.cost, *parts]
    cells = [f"{corpus.num_pairs:,}", *(f"{cost.wall_s:.1f} / {cost.cpu_s:.1f}" for cost in costs)]
    cells.append(f"{corpus.num_pairs / prepared.cost.wall_s:,.0f}")
    cells.append(f"{(prepared.cost.wall_s - parts[-1].wall_s) / corpus.num_pairs * 1e6:.1f}")
    cells.append(f"{prepared.peak_tree_bytes / MIB:,.0f} / {prepared.peak_bytes / MIB:,.0f}")
    for share_of in (lambda cost: cost.wall_s, lambda cost: cost.cpu_s):
        whole, decompressing, encoding, training = map(share_of, costs)
        cells.append(f"{(decompressing + encoding + training) / whole:.2f}")
        cells.append(f"{(decompressing + encoding) / (whole - training):.2f}")
    return f"| {' | '.join(cells)} |"


COLUMNS = [
    "pairs", "prepare, s", "gzip", "encoder", "trainer", "pairs per s", "µs a pair without trainer",
    "peak MiB, all / largest", "share, wall", "without trainer", "share, CPU", "without trainer",
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, nargs="+", default=[20_000])
    parser.add_argument("--sample", type=int, help="sentences that the tokenizer is trained on (default: a2d's)")
    parser.add_argument("--folder", type=Path, help="where corpora and projects are made (default: a temporary folder)")
    parser.add_argument("--keep", action="store_true", help="leave the corpora there, and take those that are there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="a2d-prepare-", dir=options.folder) as temporary:
        print(f"times: wall / CPU seconds; {os.cpu_count()} CPUs; load {os.getloadavg()[0]:.1f} at the beginning\n")
        print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}", flush=True)
        for num_pairs in options.pairs:
            corpus = Corpus((options.folder if options.keep else Path(temporary)) / f"{num_pairs}-pairs", num_pairs)
            if not corpus.folder.exists():
                corpus.make()
            shutil.rmtree(corpus.folder / "project", ignore_errors=True)
            print(measure(corpus, options.sample), flush=True)
        print(f"\nload {os.getloadavg()[0]:.1f} at the end")


if __name__ == "__main__":
    main()
