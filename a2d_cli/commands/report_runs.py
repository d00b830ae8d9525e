"""The runs of a project as `a2d report` shows them: models, learning curves, environment, hashes."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from a2d_cli.commands.report_chart import Line, LineChart, Point
from a2d_cli.commands.report_html import Block, Charts, Fold, Missing, Paragraph
from a2d_cli.commands.table import Table
from a2d_cli.errors import A2DError
from a2d_cli.files import holding_process, sha256_file
from a2d_cli.json_files import read_json
from a2d_cli.project.exported import Exported, broken_exports, list_exports
from a2d_cli.project.project import Project
from a2d_cli.project.run import CONFIG, WEIGHTS, CheckpointConfig, Run, RunInfo, broken_runs, list_runs, teacher_digits
from a2d_cli.reporting import Reporter, duration_text

WEIGHT = "weight"  # λ of the terms as it was applied, a mean over the updates of a line
FIRST_WEIGHT = "term_weight"  # λ at update 1
GRADIENTS = ("gradient_ratio", "gradient_cosine")  # that the first was set by
SELECTED = "selected"  # of all target tokens, the share that learns from the teacher's words
# What a line of metrics.jsonl holds besides terms of the loss.
NO_TERMS = frozenset(
    ("event", "update", "epoch", "gnorm", "wps", "ups", "lr", "elapsed_s", SELECTED, WEIGHT, FIRST_WEIGHT, *GRADIENTS)
)
WORD_TERMS = ("loss", "nll", "word")  # in nats about words; the others compare the insides of models
VALIDATION = {"loss": "validation NLL", "bleu": "validation BLEU", "chrf": "validation chrF2"}
FEW_RUNS = 4  # so many can be shown unfolded
MANY_RUNS = 20  # of more the table stands in everybody's way
FINISHED = "finished"
SETTLED = 0.2  # of a run: its first fall would leave no height for what methods differ in
MANY_RUNS = 12  # more than these stand in one fold


@dataclass(frozen=True)
class KnownRun:
    run: Run
    info: RunInfo
    weights_sha256: str  # of its best weights; empty while it has none
    file_bytes: int  # of these
    family: str  # its name without the seed, which runs that differ in the seed alone have in common

    @property
    def name(self) -> str:
        return self.run.name

    @property
    def is_teacher(self) -> bool:
        return self.info.get("kind") == "teacher"


def read_runs(project: Project, reporter: Reporter) -> list[KnownRun]:
    """All that can be read, the teacher first."""
    runs = list_runs(project)
    families = _families(runs)
    files = {run.name: run.best_dir / WEIGHTS for run in runs}
    known = []
    with reporter.progress("reading weights", sum(map(_file_bytes, files.values())), "B") as progress:
        for run in runs:
            digest, size = "", _file_bytes(files[run.name])
            with contextlib.suppress(FileNotFoundError):  # none yet, or just being replaced by better ones
                digest = sha256_file(files[run.name], progress.advance)
            known.append(KnownRun(run, run.info, digest, size, families[run.name]))
    return known


def _families(runs: Sequence[Run]) -> dict[str, str]:
    """By name. What `a2d distill` calls by its method alone is no further seed of a comparison's runs."""
    stems = {run.name: run.name.removesuffix(f"-seed{run.info.get('seed')}") for run in runs}
    seeded = {stem for name, stem in stems.items() if stem != name}
    return {name: f"{name} (by itself)" if name in seeded else stem for name, stem in stems.items()}


def _file_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def colours_of(runs: Sequence[KnownRun]) -> dict[str, int]:
    """By `KnownRun.family`: a colour a method, the same in every chart and at every length."""
    students = [each for each in runs if not each.is_teacher]
    numbers = {
        method: number for number, method in enumerate(dict.fromkeys(each.info.get("method") for each in students))
    }
    return {each.family: numbers[each.info.get("method")] for each in students}


# --- models


def model_blocks(project: Project, runs: Sequence[KnownRun]) -> Iterator[Block]:
    rows = [_model_row(each) for each in runs]
    if rows:
        columns = ["run", "layers · d · heads · ffn", "params", "MB", "updates", "time", "peak MB"]
        columns += ["valid NLL", "valid BLEU", "state", "kind"]
        note = "layers: encoder + decoder; d: width; MB: of the best weights; valid: of the weights chosen"
        silent = set()
        if all(name.startswith(kind) for name, *_, kind in rows):  # as `a2d compare` names them
            silent.add("kind")
        if all(state == FINISHED for *_, state, _ in rows):
            silent.add("state")
            note = f"all are finished; {note}"
        told = [place for place, column in enumerate(columns) if column not in silent]
        columns, *rows = ([row[place] for place in told] for row in (columns, *rows))
        if any("peak_memory_bytes" in each.info for each in runs):
            note += "; peak MB: the most that the training process held"
        table = Table("", columns, rows, note)
        yield table if len(rows) <= MANY_RUNS else Fold(f"All {len(rows)} runs", (table,))
    for run in broken_runs(project):
        yield Missing(f"Run '{run.name}' cannot be read: {run.problem}")
    if not any(each.is_teacher for each in runs):
        yield Missing("A teacher:", project.command("train-teacher"))
    elif all(each.is_teacher for each in runs):
        yield Missing("A student:", project.command("distill"))
    yield from _exports(project)


def _model_row(known: KnownRun) -> list[str]:
    info = known.info
    shape, best = _shape(known), info.get("best") or {}
    return [
        known.name,
        _sizes(shape) if shape else "–",
        f"{info['parameters'] / 1e6:.2f} M" if "parameters" in info else "–",
        f"{known.file_bytes / 1e6:.1f}" if known.file_bytes else "–",
        f"{info['updates']:,}" if "updates" in info else _saved_update(known),
        duration_text(info.get("elapsed_s")) or "–",
        f"{info['peak_memory_bytes'] / 1e6:,.0f}" if "peak_memory_bytes" in info else "–",
        _number(best.get("loss"), 3),
        _number(best.get("bleu"), 2),
        _state(known),
        "teacher" if known.is_teacher else str(info.get("method", "–")),
    ]


def _saved_update(known: KnownRun) -> str:
    try:
        return f"{known.run.saved_update:,}"
    except A2DError:  # a broken last/
        return "–"


def _shape(known: KnownRun) -> Mapping[str, Any]:
    """Of an imported teacher only its checkpoint tells it."""
    config = known.run.best_dir / CONFIG
    if "settings" not in known.info and config.is_file():
        return read_json(config, "checkpoint config", CheckpointConfig)["shape"]
    return known.info.get("settings", {}).get("shape", {})


def _sizes(shape: Mapping[str, Any]) -> str:
    """`2+2 · 128 · 4 · 256`."""
    enc, dec, *sizes = (
        str(shape.get(key, "?")) for key in ("encoder_layers", "decoder_layers", "d_model", "num_heads", "ffn_dim")
    )
    return " · ".join([f"{enc}+{dec}", *sizes])


def _state(known: KnownRun) -> str:
    if "imported_from" in known.info:
        return "imported"
    if holding_process(known.run.folder):
        return "in training when this was written"
    return FINISHED if known.run.is_finished else "stopped before its end"


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _exports(project: Project) -> Iterator[Block]:
    for problem in broken_exports(project):
        yield Missing(f"Not all exports: {problem.message}")
    rows = [
        [
            each.folder.name,
            each.manifest.name,
            each.manifest.to,
            each.manifest.quantization,
            f"{each.file_bytes / 1e6:.1f}",
            _gate(each),
        ]
        for each in list_exports(project)
    ]
    if rows:
        note = "MB: all that is needed to translate; checked: chrF2 on validation text before and after quantisation"
        yield Table("Exports", ["export", "of", "format", "weights", "MB", "checked"], rows, note)


def _gate(exported: Exported) -> str:
    gate = exported.manifest.checks.get("gate")
    return f"{gate['chrf_float']:.2f} → {gate['chrf_quantised']:.2f}" if gate else "–"


# --- learning curves


def curve_blocks(project: Project, runs: Sequence[KnownRun], colours: Mapping[str, int]) -> Iterator[Block]:
    """All students together, then every run by terms of its loss."""
    rows = {each.name: list(each.run.metrics()) for each in runs}
    if not any(rows.values()):
        taught = any(each.is_teacher for each in runs)  # by others: an import logs nothing
        yield Missing("No run has logged anything yet:", project.command("distill" if taught else "train-teacher"))
        return
    students = [each for each in runs if not each.is_teacher and rows[each.name]]
    together = [
        _learning(students, rows, colours),
        *(_validation(students, rows, colours, name) for name in VALIDATION),
    ]
    if len(students) > 1 and any(map(_is_curve, together)):
        yield Charts(tuple(filter(_is_curve, together)))
        yield Paragraph(
            "One colour a method. Training: a mean over the runs that differ in their seed alone, about the text that "
            "they learn from (of 'seq' the teacher's translations); validation: one line a run."
        )
    logged = [each for each in runs if rows[each.name]]
    curves = [_curves_of(each, rows[each.name], is_open=len(logged) <= FEW_RUNS) for each in logged]
    yield from (
        curves if len(curves) <= MANY_RUNS else [Fold(f"{len(curves)} runs by terms of their losses", tuple(curves))]
    )
    yield Paragraph(
        "Terms are means per target token over the updates since the last line of the log, as the student saw them in "
        "training (with dropout; 'loss' is what was minimised); validation is on held-out text, with NLL in nats per "
        "token and without label smoothing."
    )


def _learning(
    students: Sequence[KnownRun], rows: Mapping[str, list[dict[str, Any]]], colours: Mapping[str, int]
) -> LineChart:
    families: dict[str, list[KnownRun]] = {}
    for each in students:
        families.setdefault(each.family, []).append(each)
    lines = []
    for family, members in families.items():
        curves = [dict(_points(rows[each.name], "train", "nll")) for each in members]
        shared = sorted(set.intersection(*map(set, curves)))  # a run that is under way has but the first of them
        shown = [update for update in shared if update >= SETTLED * shared[-1]]
        means = [(update, math.fsum(curve[update] for curve in curves) / len(curves)) for update in shown]
        lines.append(Line(str(members[0].info.get("method")), means, colours[family]))
    return LineChart(f"Students: NLL in training, after the first {SETTLED:.0%} of each run", "updates", lines)


def _validation(
    students: Sequence[KnownRun], rows: Mapping[str, list[dict[str, Any]]], colours: Mapping[str, int], measure: str
) -> LineChart:
    lines = [
        Line(str(each.info.get("method")), _points(rows[each.name], "valid", measure), colours[each.family])
        for each in students
    ]
    return LineChart(f"Students: {VALIDATION[measure]}", "updates", lines)


def _curves_of(known: KnownRun, rows: Sequence[Mapping[str, Any]], is_open: bool) -> Fold:
    charts = tuple(filter(_is_curve, _charts_of(rows)))
    return Fold(f"{known.name}: {rows[-1]['update']:,} updates", (Charts(charts),), is_open)


def _charts_of(rows: Sequence[Mapping[str, Any]]) -> Iterator[LineChart]:
    train = [row for row in rows if row.get("event") == "train"]
    logged = list(dict.fromkeys(name for row in train for name, value in row.items() if isinstance(value, float)))
    terms = [name for name in logged if name not in (*NO_TERMS, *WORD_TERMS)]
    groups = {
        "Training: words": [name for name in WORD_TERMS if name in logged],
        "Training: share of tokens selected": [name for name in (SELECTED,) if name in logged],
        "Training: terms of maps and states": terms,
        "Weight of these terms, λ": [name for name in (WEIGHT,) if name in logged],
    }
    for title, names in groups.items():
        yield LineChart(
            title, "updates", [Line(name, _points(rows, "train", name), colour) for colour, name in enumerate(names)]
        )
    for measure, title in VALIDATION.items():
        yield LineChart(title[0].upper() + title[1:], "updates", [Line(title, _points(rows, "valid", measure), 0)])


def _is_curve(chart: LineChart) -> bool:
    """A single point is a number, and stands in a table."""
    return any(len(line.points) > 1 for line in chart.lines)


def _points(rows: Sequence[Mapping[str, Any]], event: str, name: str) -> list[Point]:
    return [(row["update"], row[name]) for row in rows if row.get("event") == event and row.get(name) is not None]


# --- environment, hashes


def environment_blocks(runs: Sequence[KnownRun]) -> Iterator[Block]:
    """What the runs were trained with, as far as they have recorded it."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for each in runs:
        training = each.info.get("settings", {}).get("training", {})
        facts = [each.info.get(key, "–") for key in ("a2d", "torch", "machine")]
        facts += [training.get(key, "–") for key in ("device", "precision")]
        alike.setdefault(tuple(map(str, facts)), []).append(each.name)
    if alike:
        rows = [[*facts, ", ".join(names)] for facts, names in alike.items()]
        yield Table("Training", ["a2d", "torch", "machine, last", "device asked", "precision asked", "runs"], rows)


def model_hashes(runs: Sequence[KnownRun]) -> Iterator[Block]:
    rows = [
        [each.name, str(each.info.get("seed", "–")), each.info.get("initial_weights", "–")]
        + [teacher_digits(each.info) or "–", each.weights_sha256 or "–"]
        for each in runs
    ]
    note = "taught by: the first digits of the teacher's SHA-256; runs of one seed and size begin with the same weights"
    table = Table("Weights", ["run", "seed", "initial weights", "taught by", "best weights (SHA-256)"], rows, note)
    if rows:
        yield table if len(rows) <= FEW_RUNS else Fold(f"Weights of {len(rows)} runs", (table,))
