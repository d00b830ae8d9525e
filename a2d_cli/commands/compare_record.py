"""Comparisons that are kept: scores/comparisons/ of a project, a file each.

`a2d report` shows them without measuring anew.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from a2d_cli.commands.table import Table
from a2d_cli.errors import A2DError
from a2d_cli.files import check_format, fingerprint, read_json, write_json
from a2d_cli.project.project import Project

FORMAT = 1


@dataclass(frozen=True)
class Grid:
    """What makes two comparisons the same one, whatever the order of methods, seeds, lengths and test sets."""

    pair: str
    student: Mapping[str, Any]  # its shape
    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    updates: tuple[int, ...]
    test_sets: tuple[str, ...]
    baselines: tuple[str, ...]
    teachers: tuple[str, ...]  # first digits of their weights' SHA-256
    decoding: Mapping[str, Any]
    label: str = ""  # of runs with other settings

    @property
    def file_name(self) -> str:
        axes = [sorted(axis) for axis in (self.methods, self.seeds, self.updates, self.test_sets)]
        named = [self.label] if self.label else []
        facts = [self.pair, self.student, *axes, self.baselines, self.teachers, self.decoding, *named]
        return f"{fingerprint(facts)}.json"


@dataclass(frozen=True)
class KeptComparison:
    """What a comparison has found, and of what."""

    made_at: str  # UTC
    a2d: str  # version
    command: str  # that repeats it, without the leading `a2d`
    grid: Grid
    weights: Mapping[
        str, str
    ]  # SHA-256 of the best weights, by run of the project: students, and the teachers that are one
    texts: Mapping[str, tuple[str, str]]  # SHA-256 of source and reference, by test set
    tables: tuple[Table, ...]

    def covers(self, test_set: str, runs: Collection[str]) -> bool:
        return test_set in self.texts and set(runs) <= self.weights.keys()


def comparisons_dir(project: Project) -> Path:
    return project.scores_dir / "comparisons"


def keep(project: Project, comparison: KeptComparison) -> Path:
    """In the place of an earlier one that is the same."""
    path = comparisons_dir(project) / comparison.grid.file_name
    write_json(path, {"format": FORMAT, **asdict(comparison)})
    return path


def read_kept(path: Path) -> KeptComparison:
    """Raises A2DError: not one of ours, or of a newer a2d."""
    try:
        values = read_json(path, "comparison")
        check_format(path, values.get("format"), FORMAT)
        return _comparison(values)
    except (OSError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else error
        raise A2DError(f"{path}: not a comparison of a2d: {what}", "delete it, and repeat the comparison") from None


def _comparison(values: Mapping[str, Any]) -> KeptComparison:
    grid = values["grid"]
    return KeptComparison(
        made_at=str(values["made_at"]),
        a2d=str(values["a2d"]),
        command=str(values["command"]),
        grid=Grid(
            str(grid["pair"]),
            dict(grid["student"]),
            tuple(map(str, grid["methods"])),
            tuple(map(int, grid["seeds"])),
            tuple(map(int, grid["updates"])),
            tuple(map(str, grid["test_sets"])),
            tuple(map(str, grid["baselines"])),
            tuple(map(str, grid["teachers"])),
            dict(grid["decoding"]),
            str(grid["label"]),
        ),
        weights={run: str(digest) for run, digest in values["weights"].items()},
        texts={name: (str(src), str(tgt)) for name, (src, tgt) in values["texts"].items()},
        tables=tuple(map(_table, values["tables"])),
    )


def _table(values: Mapping[str, Any]) -> Table:
    columns, rows = list(map(str, values["columns"])), [list(map(str, row)) for row in values["rows"]]
    if any(len(row) != len(columns) for row in rows):
        raise ValueError(f"a row of '{values['title']}' has not {len(columns)} cells")
    return Table(str(values["title"]), columns, rows, str(values["note"]))
