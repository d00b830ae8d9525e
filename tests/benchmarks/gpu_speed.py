"""What a training step costs on GPUs: tokens per second, beside the device's own matrix products and a first attempt.

    python tests/benchmarks/gpu_speed.py
    python tests/benchmarks/gpu_speed.py --tokens 4096 65536 --precisions bf16 --compile
    torchrun --nproc-per-node 8 tests/benchmarks/gpu_speed.py
    python tests/benchmarks/gpu_speed.py --device cpu --small --tokens 200 400 --seconds 0.2

Steps, with models of random weights; the sizes of both are those of `training_speed.py`, whose yardsticks these are:

    teacher          the teacher's own training: cross-entropy
    plain            the student alone: cross-entropy
    live             A2D (a2d-simplex), the teacher asked in the step
    cached           the same, the teacher's answers read from its cache
    yardstick        the A2D step in straightforward torch, its teacher live (one process only)
    yardstick plain  cross-entropy in straightforward torch (one process only)

a2d's steps are updates of its trainer: batches are read, padded and copied in them, by several ranks under torchrun.
The yardstick's batch lies on the device, and it is never compiled. For each number of tokens, precision and
`--compile`, the steps take turns for `--rounds` rounds of `--seconds` each; the device is waited for at both ends of
a turn alone. Rates are medians over the rounds. FLOPs are those of the matrix products of one update; the share is
their rate, on each device, by that of a square product in the same precision. Peak memory is what a turn adds to the
models, gradients and moments of all steps.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import torch
from training_speed import (
    CLIP_NORM,
    LABEL_SMOOTHING,
    SMALL,
    Bench,
    Sizes,
    Step,
    SyntheticText,
    arithmetic_of,
)

from a2d_cli.config.schema import Training
from a2d_cli.data.batching import Batch, BatchPlan, BatchSettings
from a2d_cli.distillation.cache_filling import CacheRequest, cached_or_live
from a2d_cli.distillation.cached_teacher import CachedTeacher
from a2d_cli.distillation.teachers import Teacher
from a2d_cli.model.transformer import Transformer
from a2d_cli.project.run import Run
from a2d_cli.reporting import Reporter
from a2d_cli.training.distributed import World, choose_device, choose_precision, process_group
from a2d_cli.training.memory import keep_freed_memory
from a2d_cli.training.objective import Objective, RunContext, TranslationObjective
from a2d_cli.training.trainer import Trainer

WAYS = ("teacher", "plain", "live", "cached", "yardstick", "yardstick plain")
TOKENS = (4096, 8192, 16384, 32768, 65536)
BATCHES = 4  # an epoch
UNCALIBRATED = 1000  # an update behind those that measure gradient norms
WARM_UP = 3  # updates before the first turn: a compiler looks at the first two
SQUARE = {"cuda": 8192, "cpu": 1024}  # side of the matrices whose product is the device's own rate


@dataclass(frozen=True)
class Cell:
    """Where the steps are compared."""

    tokens: int  # of a batch on each device, padding included
    precision: str
    compile: bool


@dataclass(frozen=True)
class Turn:
    """Some updates, one after the other."""

    tokens_per_s: float  # real target tokens, over all ranks
    update_s: float


class Taken:
    """A step that can be taken, and what it counts."""

    def __init__(self, step: Step, tokens: float, flops: int):
        self.step, self.tokens, self.flops = step, tokens, flops  # target tokens over all ranks; FLOPs on this device
        self.turns: list[Turn] = []
        self.peak_bytes = 0

    def median(self, key: str) -> float:
        return statistics.median(getattr(turn, key) for turn in self.turns)


@dataclass(frozen=True)
class DeviceBench(Bench):
    """Makes the steps on a device, for one cell."""

    device: torch.device
    world: World
    cell: Cell

    @property
    def plan(self) -> BatchPlan:
        pairs = BATCHES * (self.sizes.tokens // self.sizes.length)  # so that every batch is full
        text = SyntheticText(replace(self.sizes, tokens=pairs * self.sizes.length))
        return BatchPlan(text, self.ids, BatchSettings(self.sizes.tokens), seed=1)

    def batch(self) -> Batch:
        with torch.device("cpu"):
            return super().batch().to(self.device)

    def taken(self, way: str) -> Taken:
        if way.startswith("yardstick"):
            step = self._on_device(way)
            return Taken(step, self.batch().num_tgt_tokens, arithmetic_of(step).flops)
        # A compiled graph is closed to the counter.
        flops = arithmetic_of(self._trainer(way, compiles=False).update).flops
        trainer = self._trainer(way, self.cell.compile)
        plan = trainer.plan
        tokens = statistics.fmean(plan.num_tgt_tokens(indices) for indices in plan.epoch(1))
        return Taken(trainer.update, tokens, flops)

    def _on_device(self, way: str) -> Step:
        dtype = choose_precision(self.cell.precision, self.device)
        with self.device:
            step = self.step(way)

        def run() -> None:
            with self.device, torch.autocast(self.device.type, dtype, enabled=dtype is not torch.float32):
                step()

        return run

    def _trainer(self, way: str, compiles: bool) -> Trainer:
        settings = Training(
            precision=self.cell.precision,
            compile=compiles,
            clip_norm=CLIP_NORM,
            label_smoothing=LABEL_SMOOTHING,
            max_tokens=self.sizes.tokens,
        )
        folder = self.caches_dir / "run"
        folder.mkdir(parents=True, exist_ok=True)
        # Updates need no validator, and of a tokenizer its special ids alone.
        context = RunContext(self.plan, self.device, self.world, Reporter(), "")
        trainer = Trainer(Run(folder), self._objective(way), context, None, self.ids, settings, "xx-yy")
        trainer.state.update = UNCALIBRATED
        return trainer

    def _objective(self, way: str) -> Objective:
        if way == "teacher":
            return TranslationObjective(self._model(self.sizes.teacher_layers), LABEL_SMOOTHING)
        return super()._objective(way)

    def _model(self, layers: int) -> Transformer:
        return super()._model(layers).to(self.device)

    def _cached(self, live: Teacher, mode: str) -> Teacher:
        request = CacheRequest(mode, 0, True, True, self.caches_dir, "random", "a teacher", "a text")
        context = RunContext(self.plan, self.device, self.world, Reporter(), "")
        teacher = cached_or_live(live, request, context)
        assert isinstance(teacher, CachedTeacher)
        return teacher


# --- measuring ----------------------------------------------------------------------------------------------


def wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def product_rate(device: torch.device, precision: str, seconds: float) -> float:
    """FLOPs per second of one big product."""
    side = SQUARE[device.type]
    left, right = torch.randn(2, side, side, device=device, dtype=choose_precision(precision, device))
    rates = []
    for _ in range(4):  # the first warms up
        wait_for(device)
        begun_s, count = time.perf_counter(), 0
        while count < 10 or (device.type == "cpu" and time.perf_counter() - begun_s < seconds):
            left @ right
            count += 1
        wait_for(device)
        rates.append(2 * side**3 * count / (time.perf_counter() - begun_s))
    return statistics.median(rates[1:])


def updates_in(taken: Taken, world: World, device: torch.device, seconds: float) -> int:
    """How many updates a turn takes: the same on every rank."""
    wait_for(device)
    begun_s = time.perf_counter()
    taken.step()
    wait_for(device)
    count = torch.tensor([seconds / (time.perf_counter() - begun_s)], device=device)
    return max(2, round(float(world.sum(count)) / world.size))


def take_turn(taken: Taken, updates: int, device: torch.device) -> None:
    before = 0
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
    wait_for(device)
    begun_s = time.perf_counter()
    for _ in range(updates):
        taken.step()
    wait_for(device)
    elapsed_s = time.perf_counter() - begun_s
    taken.turns.append(Turn(taken.tokens * updates / elapsed_s, elapsed_s / updates))
    if device.type == "cuda":
        taken.peak_bytes = max(taken.peak_bytes, torch.cuda.max_memory_allocated(device) - before)


def measure(bench: DeviceBench, ways: list[str], rounds: int, seconds: float) -> dict[str, Taken]:
    steps: dict[str, Taken] = {}
    counts: dict[str, int] = {}
    for way in ways:
        try:
            steps[way] = bench.taken(way)
            for _ in range(WARM_UP):
                steps[way].step()
            counts[way] = updates_in(steps[way], bench.world, bench.device, seconds)
        except torch.OutOfMemoryError:  # the yardstick's: a2d's trainer cuts its batch finer
            steps.pop(way, None)
    for _ in range(rounds):
        for way, taken in steps.items():
            take_turn(taken, counts[way], bench.device)
    return steps


# --- telling ------------------------------------------------------------------------------------------------


def rows(cell: Cell, steps: dict[str, Taken], ways: list[str], rate: float) -> Iterator[str]:
    for way in ways:
        first = f"| {cell.tokens:,} | {cell.precision} | {'yes' if cell.compile else 'no'} | {way} |"
        if way not in steps:
            yield f"{first} out of memory | | | | | |"
            continue
        taken, yardstick = (
            steps[way],
            steps.get("yardstick plain" if way in ("plain", "yardstick plain") else "yardstick"),
        )
        update_s, tokens_per_s = taken.median("update_s"), taken.median("tokens_per_s")
        flops_per_s = taken.flops / update_s
        ratio = (
            "" if yardstick is None or way == "teacher" else f"{tokens_per_s / yardstick.median('tokens_per_s'):.2f}"
        )
        peak = f"{taken.peak_bytes / 2**20:,.0f}" if taken.peak_bytes else ""
        yield (
            f"{first} {tokens_per_s:,.0f} | {1000 * update_s:,.1f} | {flops_per_s / 1e12:.3g} | "
            f"{flops_per_s / rate:.2f} | {ratio} | {peak} |"
        )


HEAD = (
    "| tokens a device | precision | compiled | step | target tokens/s | ms | TFLOP/s a device | share | to yardstick "
    "| peak MiB |\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)


@contextlib.contextmanager
def shared_folder(world: World) -> Iterator[Path]:
    """For caches, which one rank fills and all read."""
    folder = world.on_main(lambda: tempfile.mkdtemp(prefix="a2d-gpu-speed-"))
    try:
        yield Path(folder)
    finally:
        if world.is_main:
            shutil.rmtree(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--tokens", type=int, nargs="+", default=TOKENS, help="of a batch on each device")
    parser.add_argument("--precisions", nargs="+", default=("bf16", "fp32"), choices=("bf16", "fp16", "fp32"))
    parser.add_argument("--ways", nargs="+", default=WAYS, choices=WAYS)
    parser.add_argument("--compile", action="store_true", help="compiled as well")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of a turn")
    parser.add_argument("--small", action="store_true", help="small models, for a quick try")
    chosen_alone = [field for field in fields(Sizes) if field.name != "tokens"]
    for field in chosen_alone:
        parser.add_argument("--" + field.name.replace("_", "-"), type=int, help=f"default {field.default}")
    given = parser.parse_args()
    chosen = {field.name: getattr(given, field.name) for field in chosen_alone}
    sizes = Sizes(**{**asdict(SMALL if given.small else Sizes()), **{k: v for k, v in chosen.items() if v is not None}})
    device = choose_device(given.device)
    keep_freed_memory()
    cells = [
        Cell(tokens, precision, compiles)
        for precision in given.precisions
        for compiles in ([False, True] if given.compile else [False])
        for tokens in given.tokens
    ]
    with process_group(device) as world, shared_folder(world) as place:
        say = print if world.is_main else (lambda *_, **__: None)
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
        say(
            f"{sizes}\n{world.size} × {device.type} ({name}), torch {torch.__version__}, "
            f"load average {os.getloadavg()[0]:.1f}"
        )
        ways = [way for way in given.ways if world.size == 1 or not way.startswith("yardstick")]
        rates = {precision: product_rate(device, precision, given.seconds) for precision in given.precisions}
        say("a square product alone: " + ", ".join(f"{p} {rate / 1e12:.3g} TFLOP/s" for p, rate in rates.items()))
        say(f"\n{HEAD}", flush=True)
        for number, cell in enumerate(cells):
            # One update is shared by all ranks.
            whole = replace(sizes, tokens=cell.tokens * world.size)
            bench = DeviceBench(whole, place / str(number), device, world, cell)
            for row in rows(cell, measure(bench, ways, given.rounds, given.seconds), ways, rates[cell.precision]):
                say(row, flush=True)
            torch._dynamo.reset()


if __name__ == "__main__":
    main()
