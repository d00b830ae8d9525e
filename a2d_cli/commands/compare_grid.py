"""The runs of a comparison: every method with every seed at every length.

Each is an `a2d distill` process of its own, and then an `a2d score` process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from a2d_cli.errors import A2DError, Interrupted
from a2d_cli.files import DISK_FULL, IN_USE
from a2d_cli.project.project import Project
from a2d_cli.project.run import Run
from a2d_cli.project.score_cache import ScoredModel
from a2d_cli.reporting import Reporter, count_text, duration_text
from a2d_cli.training.interruption import ENDS_WITH_PARENT, Interruption

POLL_S = 0.1
LOCKED_PAUSE_S = 15.0  # before a run is tried again whose folder or teacher cache another process holds


@dataclass(frozen=True)
class Cell:
    """One run of the grid."""

    method: str  # canonical name
    updates: int
    seed: int
    run: Run


@dataclass(frozen=True)
class Launch:
    """How runs are trained and scored."""

    options: tuple[str, ...]  # of `a2d distill`, the same for all
    jobs: int  # at a time
    threads: int  # of each
    resume_command: str
    score_options: tuple[str, ...] = ()  # of `a2d score`; empty: nothing is scored here


def make_cells(
    project: Project, methods: Sequence[str], lengths: Sequence[int], seeds: Sequence[int], label: str = ""
) -> list[Cell]:
    """In the order of training: a seed's methods side by side, short runs first.

    Args:
        label: begins the names of the runs.
    """
    stem = f"{label}-" if label else ""
    return [
        Cell(method, updates, seed, _run_of(project, f"{stem}{method}", updates, seed, several=len(lengths) > 1))
        for updates in sorted(lengths)
        for seed in seeds
        for method in methods
    ]


def _run_of(project: Project, stem: str, updates: int, seed: int, several: bool) -> Run:
    """`STEM-seedN`, or with the length in its name where there are several lengths.

    A run that is there is found by either.
    """
    plain = Run(project.runs_dir / f"{stem}-seed{seed}")
    with_length = Run(project.runs_dir / f"{stem}-{updates}u-seed{seed}")
    if plain.info:
        is_this = plain.info.get("settings", {}).get("training", {}).get("max_updates") == updates
        return plain if is_this else with_length
    return with_length if several or with_length.info else plain


@dataclass(frozen=True)
class _Task:
    """What a process is for: it trains a run, or it scores a model."""

    name: str  # of the run or model
    arguments: tuple[str, ...]  # of `a2d`
    run: Run | None = None  # that is trained; None: it scores


def _training(cell: Cell, launch: Launch) -> _Task:
    settings = ["--set", f"student_training.max_updates={cell.updates}"]
    options = ["--method", cell.method, "--seed", str(cell.seed), "--name", cell.run.name, *launch.options, *settings]
    options += ["--resume-with", launch.resume_command]
    return _Task(cell.run.name, ("distill", *options), cell.run)


def _scoring(name: str, folder: Path, launch: Launch) -> _Task:
    return _Task(name, ("score", "--model", str(folder.absolute()), *launch.score_options))


@dataclass(frozen=True, eq=False)
class _Child:
    task: _Task
    process: subprocess.Popen[bytes]
    stderr: IO[bytes]
    began_s: float

    def close(self) -> None:
        self.stderr.close()
        self.process.stdin.close()

    def _said(self) -> list[str]:
        self.stderr.seek(0)
        return [line for line in self.stderr.read().decode(errors="replace").splitlines() if line.strip()]

    def warnings(self) -> list[str]:
        """Of a scoring: a training has a log."""
        return (
            []
            if self.task.run
            else [line.removeprefix("warning: ") for line in self._said() if line.startswith("warning: ")]
        )

    def problem(self) -> str:
        """Why it failed, in its own words; empty: it did not."""
        if self.process.returncode == 0:
            return ""
        lines = self._said()
        for number in reversed(range(len(lines))):
            if lines[number].startswith("error: "):
                hints = [line for line in lines[number + 1 :] if line.startswith("hint: ")]
                return " | ".join([lines[number].removeprefix("error: "), *hints[:1]])
        code = self.process.returncode
        last = f": {lines[-1]}" if lines else ""
        return (f"killed by signal {-code}" if code < 0 else f"ended with code {code}") + last


def train_grid(
    project: Project, cells: Sequence[Cell], unscored: Sequence[ScoredModel], launch: Launch, reporter: Reporter
) -> None:
    """Train what is not finished, and score that and `unscored`. Ctrl-C, SIGTERM, a closed
    terminal and the end of this process reach every process once: a training saves, and the same command goes on.

    Args:
        unscored: models that need no training.

    Raises:
        Interrupted: a signal came, and all have ended.
        A2DError: runs have failed in training (names each and its error), after all others have finished. What was
            not scored is only warned of.
    """
    untrained = [cell for cell in cells if not cell.run.is_finished]
    waiting = deque(_training(cell, launch) for cell in untrained)
    waiting.extend(_scoring(model.name, model.folder, launch) for model in unscored)
    if not waiting:
        return
    reporter.info(
        f"{len(cells) - len(untrained)} of {len(cells)} runs are finished"
        + (f", {count_text(len(unscored), 'model')} to be scored" if unscored else "")
        + (
            f"; {launch.jobs} at a time with {count_text(launch.threads, 'thread')} each; "
            f"follow one in {project.runs_dir}/NAME/train.log"
        )
    )
    grid = _Grid(launch, waiting, reporter)
    steps_a_run = 2 if launch.score_options else 1
    children: list[_Child] = []
    interruption = Interruption()
    with (
        interruption.noted(),
        reporter.progress("comparison", steps_a_run * len(untrained) + len(unscored), "steps") as bar,
    ):
        try:
            while (grid.waiting or children) and not interruption.number:
                if len(children) < launch.jobs and grid.may_start():
                    children.append(_start(project, grid.waiting.popleft(), launch.threads))
                    continue
                time.sleep(POLL_S)
                for child in [child for child in children if child.process.poll() is not None]:
                    children.remove(child)
                    bar.advance(grid.settle(child, is_last=not children), child.task.name)
        finally:
            _end(children)
    if interruption.number:
        raise Interrupted(interruption.number, launch.resume_command)
    if grid.failures:
        raise A2DError(
            f"{len(grid.failures)} of {len(cells)} runs failed: "
            + "; ".join(f"{name}: {problem}" for name, problem in grid.failures.items()),
            "what is finished is kept; the same command tries the others again, --methods and --seeds leave some out",
        )


@dataclass
class _Grid:
    """What is still to be done, and what went wrong."""

    launch: Launch
    waiting: deque[_Task]
    reporter: Reporter
    failures: dict[str, str] = field(default_factory=dict)  # of training, by the run's name
    not_before_s: float = 0.0  # a run that was locked out is not tried again at once

    def may_start(self) -> bool:
        return bool(self.waiting) and time.monotonic() >= self.not_before_s

    def settle(self, child: _Child, is_last: bool) -> int:
        """Tell how a process has ended, and what follows from it; returns the steps of the grid that are done.

        Args:
            is_last: no other process runs.
        """
        task, problem, warnings = child.task, child.problem(), child.warnings()
        child.close()
        if IN_USE in problem and not is_last:  # perhaps by one of ours, which fills the teacher's cache
            self.waiting.append(task)
            self.not_before_s = time.monotonic() + LOCKED_PAUSE_S
            return 0
        if DISK_FULL in problem:  # the others would fail alike
            if any(each.run for each in self.waiting):  # so that also a scoring has kept runs from being trained
                self.failures[task.name] = problem
            self.waiting.clear()
        for warning in warnings:
            self.reporter.warn(f"{task.name}: {warning}")
        if not problem:
            self.reporter.info(_news(child))
            if task.run and self.launch.score_options:
                self.waiting.append(_scoring(task.name, task.run.folder, self.launch))
            return 1
        if not task.run:
            self.reporter.warn(f"{task.name} is scored after the others, because its own process failed: {problem}")
            return 1
        self.failures[task.name] = problem
        self.reporter.warn(f"{task.name} failed: {problem}")
        return 2 if self.launch.score_options else 1


def _start(project: Project, task: _Task, threads: int) -> _Child:
    command = [sys.executable, "-m", "a2d_cli", "-C", str(project.folder), *task.arguments]
    stderr = tempfile.TemporaryFile()  # noqa: SIM115  # closed when the process has ended
    # A session of its own: the terminal's Ctrl-C reaches this process alone, which passes it on once.
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,  # closed when this process ends, however it ends
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        env={**_environment(threads), ENDS_WITH_PARENT: "1"},
        start_new_session=True,
    )
    return _Child(task, process, stderr, time.monotonic())


def _environment(threads: int) -> dict[str, str]:
    # Of `python -m` the current folder would come first, in which a file may be called as a module is
    # (Python 3.10 ignores it).
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONSAFEPATH": "1"}
    root = str(Path(__file__).resolve().parents[2])
    if root != sysconfig.get_path("purelib"):  # a checkout that is not installed
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), root]))
    return environment


def _news(child: _Child) -> str:
    elapsed = duration_text(time.monotonic() - child.began_s)
    if not child.task.run:
        return f"{child.task.name} scored in {elapsed}"
    best = child.task.run.info.get("best", {})
    scores = [
        f"{name} {best[key]:.2f}" for name, key in (("loss", "loss"), ("BLEU", "bleu")) if best.get(key) is not None
    ]
    return f"{child.task.name} finished in {elapsed}" + (f": valid {', '.join(scores)}" if scores else "")


def _end(children: Sequence[_Child]) -> None:
    """Each finishes its update, saves and goes; at a second signal to us it goes at once."""
    try:
        for child in children:
            child.process.terminate()
        for child in children:
            child.process.wait()
    except KeyboardInterrupt:
        pass
    finally:
        for child in children:
            child.process.kill()
            child.process.wait()
            child.close()
