"""What a second process brings to training, and what waiting without spinning saves where other programs work.

    python tests/benchmarks/parallel_speed.py processes --rounds 3
    python tests/benchmarks/parallel_speed.py waiting --rounds 3
    python tests/benchmarks/parallel_speed.py processes --small --rounds 1

Real commands on a synthetic text: `a2d train-teacher` of a model of the student's size, in processes of its own, whose
speed is read from the run's metrics, behind its first updates. The ways take turns; medians over the updates of a
training, and over the rounds. CPU seconds, of all processes together, are what a training takes more than one that ends
after its first updates.

`processes`: target tokens per wall second, each process with one thread.

    alone      one process, `--tokens` target tokens an update
    ranks      two processes of one torchrun: the same updates, half of each in either process
    big ranks  the same with updates of twice the tokens: as many in either process as `alone` has
    apart      two processes that know nothing of each other, as `alone`: what the machine has to give

`waiting`: updates per wall second of one process with two threads, on a machine of its own and beside two processes
that compute without end. A training ends with the update that half a minute is over in.

    a2d        as a2d starts: threads that wait sleep (OMP_WAIT_POLICY=PASSIVE, unless it is set)
    unset      torch is loaded before a2d can say so: threads spin for a while before they sleep
    active     OMP_WAIT_POLICY=ACTIVE: threads spin
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
WARM_UP_UPDATES = 2  # in the first, DistributedDataParallel learns in what order gradients come
A2D = "from a2d_cli.cli import main; main()"
# By part, which ways the others are compared with.
BASES = {"processes": ("alone", "apart"), "waiting": ("a2d, own machine", "a2d, 2 busy beside")}
BUSY = "while True: sum(i * i for i in range(100_000))"


@dataclass(frozen=True)
class Sizes:
    shape: dict[str, int]
    vocab_size: int
    tokens: int  # target tokens of an update


PAPER = Sizes({"d_model": 512, "ffn_dim": 1024, "num_heads": 4, "encoder_layers": 3, "decoder_layers": 3}, 10_000, 2000)
SMALL = Sizes({"d_model": 64, "ffn_dim": 128, "num_heads": 4, "encoder_layers": 1, "decoder_layers": 1}, 1000, 500)


@dataclass(frozen=True)
class Way:
    """How an update is computed."""

    name: str
    tokens: int  # target tokens of an update
    threads: int = 1  # of a process
    ranks: int = 1
    copies: int = 1  # trainings at the same time
    policy: str | None = None  # OMP_WAIT_POLICY; None: what a2d makes of it
    torch_first: bool = False  # loaded before a2d can set anything
    busy: int = 0  # processes beside it
    limit_s: int = 0  # of training; 0 = none

    def command(self, arguments: list[str]) -> list[str]:
        if self.ranks == 1:
            return [sys.executable, "-c", ("import torch; " if self.torch_first else "") + A2D, *arguments]
        launcher = ["-m", "torch.distributed.run", "--nproc-per-node", str(self.ranks)]
        address = ["--master-addr", "127.0.0.1", "--master-port", str(free_port())]
        return [sys.executable, *launcher, *address, "-m", "a2d_cli", *arguments]

    def environment(self) -> dict[str, str]:
        environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
        environment |= {"OMP_NUM_THREADS": str(self.threads), "PYTHONPATH": str(ROOT)}
        return environment | ({"OMP_WAIT_POLICY": self.policy} if self.policy else {})


def ways_of(part: str, tokens: int) -> list[Way]:
    if part == "processes":
        return [
            Way("alone", tokens),
            Way("ranks", tokens, ranks=2),
            Way("big ranks", 2 * tokens, ranks=2),
            Way("apart", tokens, copies=2),
        ]
    waiting = Way("", tokens, threads=2, limit_s=30)
    return [
        replace(way, name=f"{way.name}, {where}", busy=busy)
        for busy, where in ((0, "own machine"), (2, "2 busy beside"))
        for way in (
            replace(waiting, name="a2d"),
            replace(waiting, name="unset", torch_first=True),
            replace(waiting, name="active", policy="ACTIVE"),
        )
    ]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# --- a project ----------------------------------------------------------------------------------------------


def write_text(folder: Path, sizes: Sizes) -> list[str]:
    """Sentences of invented words, each likely a piece of its own; returns the options of `a2d prepare`."""
    rng = np.random.default_rng(1)
    syllables = [consonant + vowel for consonant in "bdfgklmnprst" for vowel in "aeiou"]
    words = np.array(["".join(each) for each in itertools.product(syllables, repeat=3)])
    words = rng.permutation(words)[: sizes.vocab_size * 9 // 10]
    frequency = 1 / np.arange(10, 10 + len(words))
    options = []
    for name, num_pairs in (("train", 12_000), ("valid", 20), ("test", 20)):
        tgt_lengths = np.clip(rng.lognormal(np.log(20), 0.4, num_pairs), 3, 100).astype(int)
        src_lengths = np.clip(tgt_lengths * rng.lognormal(0, 0.15, num_pairs), 3, 100).astype(int)
        options.append(f"--{name}")
        for side, lengths in (("src", src_lengths), ("tgt", tgt_lengths)):
            path = folder / f"{name}.{side}"
            lines = (" ".join(rng.choice(words, size, p=frequency / frequency.sum())) for size in lengths)
            path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
            options.append(str(path))
    return options


def settings(values: dict[str, object]) -> list[str]:
    return [text for key, value in values.items() for text in ("--set", f"{key}={value}")]


def prepare(folder: Path, sizes: Sizes) -> Path:
    project = folder / "project"
    recipe = {"tokenizer.vocab_size": sizes.vocab_size, "tokenizer.model_type": "bpe"}
    recipe |= {f"teacher.{key}": value for key, value in sizes.shape.items()}
    recipe |= {
        "training.device": "cpu",
        "training.log_every_updates": 1,
        "training.save_every_updates": 1_000_000,
        "training.decode_below_nll": 0,
        "training.average_last": 0,
    }
    arguments = ["prepare", *write_text(folder, sizes), "--pair", "de-en", *settings(recipe)]
    way = Way("", sizes.tokens)
    run_together([way.command(["-C", str(project), *arguments])], way.environment())
    return project


def run_together(commands: list[list[str]], environment: dict[str, str]) -> None:
    """To the end of the last; none outlives this."""
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, env=environment, **streams) for command in commands]
    try:
        for process in processes:
            _, said = process.communicate()
            if process.returncode:
                sys.exit(f"{' '.join(process.args)}: {said}")
    finally:
        for process in processes:
            process.terminate()


# --- measuring ----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def busy_processes(count: int) -> Iterator[None]:
    processes = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def cpu_seconds() -> float:
    """Of all that was started here and has ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@dataclass(frozen=True)
class Trained:
    rows: list[list[dict[str, float]]]  # of each copy's metrics, an update each
    cpu_s: float  # of all processes

    def speed(self, key: str) -> float:
        """Of all copies together; medians over updates: what another program takes of one is not in them."""
        steady = (copy[min(WARM_UP_UPDATES, len(copy) - 1) :] for copy in self.rows)
        return sum(statistics.median(row[key] for row in copy) for copy in steady)

    @property
    def num_tokens(self) -> float:
        return sum(row["wps"] / row["ups"] for copy in self.rows for row in copy)


@dataclass(frozen=True)
class Measured:
    speed: float  # tokens or updates of a wall second
    cpu_s: float | None  # of all processes, for 1,000 target tokens


def train(project: Path, way: Way, updates: int) -> Trained:
    runs = [f"run{copy}" for copy in range(way.copies)]
    limits = {
        "training.max_tokens": way.tokens,
        "training.max_updates": updates,
        "training.max_hours": way.limit_s / 3600,
    }
    with busy_processes(way.busy):
        before_s = cpu_seconds()
        training = ["-C", str(project), "train-teacher", *settings(limits)]
        run_together([way.command([*training, "--name", run]) for run in runs], way.environment())
        cpu_s = cpu_seconds() - before_s
    metrics = [(project / "runs" / run / "metrics.jsonl").read_text(encoding="utf-8") for run in runs]
    for run in runs:
        shutil.rmtree(project / "runs" / run)
    rows = [[row for row in map(json.loads, text.splitlines()) if row["event"] == "train"] for text in metrics]
    return Trained(rows, cpu_s)


def measure(project: Path, way: Way, updates: int) -> Measured:
    long = train(project, way, WARM_UP_UPDATES + updates)
    if way.limit_s:
        return Measured(long.speed("ups"), None)
    short = train(project, way, WARM_UP_UPDATES)
    return Measured(long.speed("wps"), 1000 * (long.cpu_s - short.cpu_s) / (long.num_tokens - short.num_tokens))


def report(part: str, found: dict[str, list[Measured]]) -> None:
    unit = "target tokens/s" if part == "processes" else "updates/s"
    bases = [base for base in BASES[part] if base in found]
    print(f"| way | {unit} | rounds |" + "".join(f" of `{base}` |" for base in bases) + " CPU s for 1,000 tokens |")
    print("|---|---|---|" + "---|" * len(bases) + "---|")
    speeds = {name: [each.speed for each in measured] for name, measured in found.items()}
    for name, measured in speeds.items():
        ratios = (statistics.median(a / b for a, b in zip(measured, speeds[base], strict=True)) for base in bases)
        cpu_s = [each.cpu_s for each in found[name] if each.cpu_s is not None]
        cells = [f"{statistics.median(measured):.3g}", ", ".join(f"{each:.3g}" for each in measured)]
        cells += [*(f"{ratio:.2f}" for ratio in ratios), f"{statistics.median(cpu_s):.2f}" if cpu_s else "–"]
        print(f"| {' | '.join([name, *cells])} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("processes", "waiting"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--updates", type=int, default=6, help="measured in each training, behind the warm-up")
    parser.add_argument("--tokens", type=int, help="target tokens of an update")
    parser.add_argument("--ways", nargs="*", help="only these")
    parser.add_argument("--small", action="store_true", help="a small model, for a quick try")
    given = parser.parse_args()
    sizes = SMALL if given.small else PAPER
    ways = [
        way for way in ways_of(given.part, given.tokens or sizes.tokens) if not given.ways or way.name in given.ways
    ]
    found: dict[str, list[Measured]] = {way.name: [] for way in ways}
    with tempfile.TemporaryDirectory(prefix="a2d-parallel-speed-") as place:
        project = prepare(Path(place), sizes)
        load_before = os.getloadavg()[0]
        for _ in range(given.rounds):
            for way in ways:
                found[way.name].append(measure(project, way, given.updates))
                print(f"{way.name}: {found[way.name][-1]}, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    print(f"{sizes}\n{given.rounds} rounds of {given.updates} updates, {os.cpu_count()} cores")
    print(f"load average {load_before:.1f} before, {os.getloadavg()[0]:.1f} after\n")
    report(given.part, found)


if __name__ == "__main__":
    main()
