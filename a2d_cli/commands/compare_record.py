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
from a2d_cli.files import fingerprint, write_json
from a2d_cli.json_files import read_json
from a2d_cli.project.project import Project

FORMAT = 1
ANEW = "delete it, and repeat the comparison"


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
    kept = read_json(path, "comparison", KeptComparison, FORMAT, ANEW)
    for table in kept.tables:
        if any(len(row) != len(table.columns) for row in table.rows):
            problem = f"a row of '{table.title}' has not {len(table.columns)} cells"
            raise A2DError(f"{path}: not a comparison of a2d: {problem}", ANEW)
    return kept
