"""A run folder: one training from its first update to its best weights, complete and movable."""

from __future__ import annotations

import contextlib
import difflib
import json
import math
import os
import re
import shlex
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import msgspec

from a2d_cli.config.keys import first_of
from a2d_cli.errors import A2DError, ConfigError
from a2d_cli.files import LOCK, atomic_path, disk_errors, finite, remove, sha256_file, user_path, write_json, write_text
from a2d_cli.json_files import fit, parse_json, read_json
from a2d_cli.project.exported import exports_named
from a2d_cli.project.project import Project
from a2d_cli.reporting import Reporter

FORMAT = 1  # of run.json
MAX_NAME_CHARACTERS = 120  # files that a name begins need some more
_NAME = re.compile(r"[\w+][\w.+@=-]*")
WEIGHTS, CONFIG = "model.safetensors", "config.json"  # a checkpoint folder


class _Model(TypedDict):
    pair: str
    shape: dict[str, Any]  # a `ModelShape`
    vocabularies: dict[str, Any]
    tokenizer: str  # fingerprint
    parameters: int


class CheckpointConfig(_Model, total=False):
    """config.json of a checkpoint folder."""

    format: int
    a2d: str  # version
    update: int  # of last/
    updates: list[int]  # of best/; several: a mean of their weights
    validation: dict[str, float | None]


class RunSettings(TypedDict, total=False):
    """What a run was asked for, but for its method."""

    shape: dict[str, Any]  # of the model
    training: dict[str, Any]
    decoding: dict[str, Any]  # of validations
    data: str  # fingerprint
    tokenizer: str  # fingerprint
    # Of students, as far as their method has use for it.
    teacher: str  # see `teacher_digits`
    pseudo: Any  # the text that stands in for the references
    distillation: dict[str, Any]


class _Validated(TypedDict):
    loss: float


class BestWeights(_Validated, total=False):
    """What the validation said of best/."""

    updates: list[int]  # several: a mean of their weights
    bleu: float | None
    chrf: float | None


class AlignmentHead(TypedDict):
    """The cross-attention head that aligns words, as it was once chosen."""

    layer: int  # from 1
    head: int  # from 1
    agreement: float
    reference: str  # whose links it was held against
    weights_sha256: str  # it is theirs


class RunInfo(TypedDict, total=False):
    """run.json, which grows with the run."""

    format: int
    name: str
    kind: Literal["teacher", "student"]
    method: str
    seed: int
    pair: str  # e.g. de-en
    created: str  # UTC
    a2d: str  # version
    torch: str  # version
    command: str  # that goes on with it
    finished: bool
    settings: RunSettings  # of an import there are none
    imported_from: str
    # From here on what training adds: first at its beginning, ...
    parameters: int
    initial_weights: str  # hash
    text: str  # fingerprint of the training text
    taught: str  # how the teacher's answers come: live or cached
    # ... while it goes on, ...
    best: BestWeights
    rewinds: int
    lr_factor: float
    accumulate_after_out_of_memory: int
    # ... at its end (see END), ...
    stop_reason: str
    updates: int
    epochs: int
    target_tokens: int
    elapsed_s: Annotated[float, msgspec.Meta(ge=0, le=1e12)]  # nor a NaN
    # ... and behind it: not there if the process was killed in between.
    machine: str
    precision: str
    peak_memory_bytes: int  # of the training process
    peak_gpu_memory_bytes: int
    alignment_head: AlignmentHead


END = {"stop_reason", "updates", "elapsed_s"}  # keys that every finished run has


class MetricsRow(TypedDict):
    """What each line of metrics.jsonl has; its other values are numbers, null where they were not finite, and flags."""

    event: Literal["train", "valid"]
    update: int


@dataclass(frozen=True)
class Run:
    """`runs/NAME` of a project, or the same folder elsewhere."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def info_path(self) -> Path:
        return self.folder / "run.json"

    @property
    def recipe_path(self) -> Path:
        return self.folder / "recipe.yaml"

    @property
    def best_dir(self) -> Path:
        return self.folder / "best"

    @property
    def last_dir(self) -> Path:
        return self.folder / "last"

    @property
    def snapshots_dir(self) -> Path:
        return self.folder / "snapshots"

    @property
    def state_path(self) -> Path:
        return self.folder / "training_state.pt"

    @property
    def healthy_state_path(self) -> Path:
        """The last state before the loss began to climb, as long as it does."""
        return self.folder / "training_state.healthy.pt"

    @property
    def metrics_path(self) -> Path:
        return self.folder / "metrics.jsonl"

    @property
    def log_path(self) -> Path:
        return self.folder / "train.log"

    @property
    def is_of_comparison(self) -> bool:
        """Trained by `a2d compare`, by whose command it goes on."""
        return "compare" in self.info.get("command", "").split()

    @property
    def has_aligners(self) -> bool:
        return any(self.folder.glob("aligner.*.safetensors"))

    @property
    def info(self) -> RunInfo:
        """run.json; empty before the run begins.

        Raises:
            A2DError: it is cut short, damaged or of a newer format.
        """
        if not self.info_path.exists():
            return {}
        info = read_json(self.info_path, "run file", RunInfo, FORMAT)
        if info.get("finished") and (lost := END - info.keys()):
            raise A2DError(
                f"{self.info_path}: not the file of a finished run: no {', '.join(sorted(lost))}",
                "restore the file, or train anew with --overwrite",
            )
        return info

    @property
    def problem(self) -> A2DError | None:
        """What keeps run.json from being read."""
        try:
            self.info  # noqa: B018  # reads the file
        except A2DError as error:
            return error
        return None

    @property
    def saved_update(self) -> int:
        """Where training goes on; 0: from the start."""
        path = self.last_dir / CONFIG
        return read_json(path, "checkpoint config", CheckpointConfig).get("update", 0) if path.is_file() else 0

    def record(self, **changes: Any) -> None:
        """Set keys of run.json."""
        write_json(self.info_path, {"format": FORMAT, **self.info, **changes})

    @property
    def is_finished(self) -> bool:
        return bool(self.info.get("finished"))

    def append_metrics(self, row: dict[str, Any]) -> None:
        """One JSON object a line: `event` is train or valid, `update` says when; null is what is no finite number."""
        with disk_errors(self.metrics_path), open(self.metrics_path, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(finite(row)) + "\n")

    def metrics(self) -> Iterator[MetricsRow]:
        """All lines but those that a crash cut short, or that are damaged."""
        for line in self.metrics_path.read_bytes().split(b"\n") if self.metrics_path.exists() else ():
            with contextlib.suppress(ValueError):
                row = fit(parse_json(line), MetricsRow)
                fit({key: value for key, value in row.items() if key != "event"}, dict[str, float | bool | None])
                yield row

    def keep_healthy_state(self) -> None:
        """Before the training state becomes one whose loss has climbed."""
        if not self.healthy_state_path.exists():
            with atomic_path(self.healthy_state_path) as temporary:
                shutil.copyfile(self.state_path, temporary)

    def restore_healthy_state(self) -> None:
        """Let it take the place of what was saved since."""
        if self.healthy_state_path.exists():
            os.replace(self.healthy_state_path, self.state_path)

    def drop_healthy_state(self) -> None:
        self.healthy_state_path.unlink(missing_ok=True)

    def drop_metrics_after(self, update: int, validated_update: int) -> None:
        """Forget what was logged behind the state that a run goes on from."""
        last = {"train": update, "valid": validated_update}
        kept = [row for row in self.metrics() if row["update"] <= last[row["event"]]]
        write_text(self.metrics_path, "".join(json.dumps(row) + "\n" for row in kept))

    def clear(self) -> None:
        """Delete everything but the lock and what is just being written, in an order that makes no half of two runs.

        Without its state a run begins anew; as long as run.json stands, nobody else's run begins here.
        """
        self.state_path.unlink(missing_ok=True)
        for path in list(self.folder.iterdir()):
            if path not in (self.folder / LOCK, self.info_path) and path.suffix != ".tmp":
                remove(path)
        self.info_path.unlink(missing_ok=True)


def place_for(project: Project, name: str, kind: str, overwrite: bool = False) -> Run:
    """Where a run of that name and kind (teacher, student) may be made or go on.

    Raises:
        ConfigError: no name for a folder, or a run of another kind has it, which is never replaced.
        A2DError: what stands there cannot be read, and is not to be overwritten.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"--name '{name}': no name of a run",
            "a name is made of letters, digits, '_', '.', '+', '@', '=' and '-', and begins with neither '.' nor '-'",
        )
    if len(name.encode()) > MAX_NAME_CHARACTERS:
        raise ConfigError(f"--name '{name}': longer than {MAX_NAME_CHARACTERS} bytes", "choose a shorter --name")
    run = Run(project.runs_dir / name)
    if run.problem:
        if not overwrite:
            raise run.problem
    elif run.info.get("kind", kind) != kind:
        raise ConfigError(f"run '{name}' is a {run.info['kind']}: no {kind} takes its place", "choose another --name")
    return run


def list_runs(project: Project, reporter: Reporter | None = None) -> list[Run]:
    """Runs of a project that can be read, the teacher first, then by age; `reporter` is warned of the others."""
    for run in broken_runs(project) if reporter else ():
        reporter.warn(f"run '{run.name}' is left out: {run.problem}")
    runs = [Run(path.parent) for path in project.runs_dir.glob("*/run.json")]
    whole = [run for run in runs if not run.problem]
    return sorted(whole, key=lambda run: (run.info.get("kind") != "teacher", run.info.get("created", ""), run.name))


def broken_runs(project: Project) -> list[Run]:
    """Those that `list_runs` leaves out, by name."""
    runs = [Run(path.parent) for path in sorted(project.runs_dir.glob("*/run.json"))]
    return [run for run in runs if run.problem]


def choose_aligned(runs: Iterable[Run]) -> tuple[Run, str] | None:
    """The run whose alignment is looked at where none is named, and what distinguishes it.

    None: no run has learned one.
    """
    aligned = [run for run in runs if run.has_aligners]
    return best_by_validation(aligned, "runs with an alignment") if aligned else None


def best_by_validation(runs: Sequence[Run], noun: str) -> tuple[Run, str]:
    """Of the finished ones, if there are any, that of the best validation BLEU, or of the lowest loss where none has a
    BLEU; of equals the newest. And why."""
    finished = [run for run in runs if run.is_finished]

    def scores(run: Run) -> tuple[float, float]:
        best = run.info.get("best") or {}
        bleu, loss = best.get("bleu"), best.get("loss")
        return -math.inf if bleu is None else bleu, -math.inf if loss is None else -loss

    chosen = max(finished or runs, key=lambda run: (*scores(run), run.info.get("created", "")))
    bleu, loss = scores(chosen)
    if bleu > -math.inf:
        why = "the best validation BLEU"
    else:
        why = "the lowest validation loss (none has a BLEU)" if loss > -math.inf else "no validation"
    return chosen, f"of the {'finished' if finished else 'unfinished'} {noun}, '{chosen.name}' has {why}"


def find_teachers_of(project: Project, student: Run) -> list[Run]:
    """The project's runs with the weights a distilled student learned from: one, or an ensemble's members in order.

    Empty: it learned from none, or not all of them are here any more.
    """
    found = [find_weights(project, each) for each in teacher_digits(student.info).split(",") if each]
    return [run for run in found if run] if all(found) else []


def teacher_digits(info: RunInfo) -> str:
    """First digits of the SHA-256 of the weights that taught a run, an ensemble's with commas between.

    Empty: nobody has taught it.
    """
    return info.get("settings", {}).get("teacher", "")


def is_taught_by(digits: str, weights_sha256: str) -> bool:
    """Whether these weights are the teacher's, or a member's of the ensemble.

    Args:
        digits: as of `teacher_digits`.
    """
    return weights_sha256.startswith(tuple(filter(None, digits.split(","))))


def find_weights(project: Project, digits: str) -> Run | None:
    """The project's run whose best weights have a hash that begins like this."""
    for run in list_runs(project):
        if (run.best_dir / WEIGHTS).is_file() and sha256_file(run.best_dir / WEIGHTS).startswith(digits):
            return run
    return None


def find_model(project: Project, name: str | None, reporter: Reporter | None = None) -> Path:
    """A run's name, its folder or a checkpoint's -> the folder; None: the best student by validation, else teacher.

    Args:
        reporter: is told, where one has to be chosen, why this one, and of runs that cannot be read.

    Raises:
        ConfigError: nothing of that name (tells the nearest), or nothing trained yet (tells the command).
        A2DError: the run of that name cannot be read.
    """
    everything = list_runs(project, None if name else reporter)
    runs = [run for run in everything if run.best_dir.exists()]
    if name is None:
        if not runs:
            project.require_prepared()
            raise ConfigError(
                f"{project.folder}: no model is trained yet", "run 'a2d train-teacher', then 'a2d distill'"
            )
        students = [run for run in runs if run.info.get("kind") == "student"]
        chosen, why = best_by_validation(students or runs, "students" if students else "teachers")
        if reporter and (len(students or runs) > 1 or not chosen.is_finished):
            reporter.info(why)
        return chosen.folder
    if "/" not in name and any(run.name == name for run in runs):
        return project.runs_dir / name
    path = user_path(name)
    if path.is_dir():
        return path
    for run in broken_runs(project):
        if run.name == name:
            raise run.problem
    for run in everything:
        if run.name == name and run.is_finished:
            raise _weights_are_gone(run)
        if run.name == name:
            raise ConfigError(
                f"run '{name}' has no weights yet: it is before its first validation", run.info.get("command")
            )
    known = [run.name for run in runs]
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean '{near[0]}'?" if near else f"the project has: {first_of(known) or 'no trained model yet'}"
    for left in exports_named(project, name):
        hint = f"what was exported of it is still there: --model {shlex.quote(os.path.relpath(left.folder))}"
    if path.exists():
        raise A2DError(f"model '{name}' is a file, not a run or checkpoint folder", hint)
    raise ConfigError(f"no run or folder '{name}'", hint)


def model_name(checkpoint: Path) -> str:
    """What a checkpoint folder is called: RUN for its best weights, else RUN/last; without a run, as the folder."""
    checkpoint = checkpoint.absolute()  # '.' has no name
    if not Run(checkpoint.parent).info_path.is_file():
        return checkpoint.name
    return checkpoint.parent.name + ("" if checkpoint.name == "best" else f"/{checkpoint.name}")


def export_name(checkpoint: Path) -> str:
    """What its exports are called, whose folders cannot hold a slash."""
    return model_name(checkpoint).replace("/", "-")


def _weights_are_gone(run: Run) -> A2DError:
    return A2DError(
        f"run '{run.name}' is finished, but its weights are gone: no {run.best_dir}",
        f"its last ones, if you want them: {run.last_dir}; or train it anew with --overwrite",
    )


def find_checkpoint(path: Path) -> Path:
    """A checkpoint folder: `path` itself, or the best of the run folder `path`; the last of one still in training.

    Raises:
        A2DError: there is none, or one without weights.
    """
    folder = next((place for place in (path, path / "best", path / "last") if (place / CONFIG).is_file()), path)
    if folder == path / "last" and Run(path).is_finished:
        raise _weights_are_gone(Run(path))
    if not (folder / WEIGHTS).is_file():
        raise A2DError(f"{folder}: no checkpoint here", f"expected {CONFIG} and {WEIGHTS}, as in runs/NAME/best")
    return folder
