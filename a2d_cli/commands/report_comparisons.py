"""Comparisons kept by `a2d compare`, as `a2d report` shows them: those of the runs and texts the project has now."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from a2d_cli.commands.compare_record import KeptComparison, comparisons_dir, read_kept
from a2d_cli.commands.report_html import Block, Code, Fold, Missing, Paragraph
from a2d_cli.commands.report_runs import KnownRun
from a2d_cli.errors import A2DError
from a2d_cli.project.project import Project
from a2d_cli.project.run import is_taught_by, teacher_digits
from a2d_cli.reporting import some_names


@dataclass(frozen=True)
class Comparisons:
    shown: tuple[KeptComparison, ...]  # newest first
    left_out: tuple[Missing, ...]

    def cover(self, test_set: str, runs: Collection[str]) -> bool:
        """Whether one of those shown compares all these runs."""
        return any(each.covers(test_set, runs) for each in self.shown)


def read_comparisons(project: Project, runs: Sequence[KnownRun], texts: Mapping[str, tuple[str, str]]) -> Comparisons:
    """All that can be read.

    Args:
        texts: SHA-256 of source and reference, by test set, as they are now.
    """
    weights = {each.name: each.weights_sha256 for each in runs}
    shown, left_out = [], []
    for path in sorted(comparisons_dir(project).glob("*.json")):
        try:
            kept = read_kept(path)
        except A2DError as error:
            left_out.append(Missing(f"A kept comparison is skipped: {error}"))
            continue
        changes = _changes(kept, weights, texts)
        if changes:
            what = (
                f"The comparison of {_methods(kept)} of {_day(kept)} ({path.name}) is left out, "
                f"for the project has changed since ({changes})"
            )
            strays = _strays(kept, runs, weights, (project.state().get("prepared") or {}).get("data_fingerprint"))
            move = f"first move {', '.join(strays)} out of {project.runs_dir}; then:"
            remedy = f". If their settings have changed, too, {move}" if strays else ":"
            left_out.append(Missing(what + remedy, project.command(kept.command)))
        else:
            shown.append(kept)
    return Comparisons(tuple(sorted(shown, key=lambda kept: kept.made_at, reverse=True)), tuple(left_out))


def _changes(kept: KeptComparison, weights: Mapping[str, str], texts: Mapping[str, tuple[str, str]]) -> str:
    """How the project differs from the one that was compared; empty: not at all."""
    found = {
        "gone": [run for run in kept.weights if run not in weights],
        "other weights": [run for run, digest in kept.weights.items() if weights.get(run, digest) != digest],
        "other text": [name for name, digests in kept.texts.items() if texts.get(name) != digests],
    }
    return "; ".join(f"{change}: {some_names(names)}" for change, names in found.items() if names)


def _strays(kept: KeptComparison, runs: Sequence[KnownRun], weights: Mapping[str, str], data: str | None) -> list[str]:
    """Its students that a repetition may refuse: trained anew since, taught by changed weights, or on other text.

    Args:
        data: fingerprint of the training text as it is now.
    """
    changed = [digest for run, digest in kept.weights.items() if weights.get(run) != digest]
    strays = []
    for each in runs:
        settings = each.info.get("settings", {})
        taught_otherwise = (
            any(is_taught_by(teacher_digits(each.info), digest) for digest in changed)
            or settings.get("data", data) != data
        )
        if (
            each.name in kept.weights
            and not each.is_teacher
            and (kept.weights[each.name] in changed or taught_otherwise)
        ):
            strays.append(each.name)
    return strays


def comparison_tables(project: Project, comparisons: Comparisons) -> Iterator[Block]:
    """The newest unfolded, the older ones below it, and what is left out."""
    for number, kept in enumerate(comparisons.shown):
        blocks = (
            Paragraph(
                f"Compared on {_day(kept)} with a2d {kept.a2d}, under equal conditions: {_methods(kept)}. "
                "The same again:"
            ),
            Code(project.command(kept.command)),
            *kept.tables,
        )
        if number:
            yield Fold(f"{_day(kept)}: {_methods(kept)}", blocks)
        else:
            yield from blocks
    yield from comparisons.left_out


def _methods(kept: KeptComparison) -> str:
    """`LABEL: ce, word (to ce; seeds 1, 2; 1,000 updates; flores)`"""
    grid = kept.grid
    seeds = f"seed{'s' * (len(grid.seeds) != 1)} {', '.join(map(str, grid.seeds))}"
    lengths = " and ".join(f"{updates:,}" for updates in grid.updates)
    to = f"to {' and '.join(grid.baselines)}; " if grid.baselines else ""
    label = f"{grid.label}: " if grid.label else ""
    return f"{label}{', '.join(grid.methods)} ({to}{seeds}; {lengths} updates; {', '.join(grid.test_sets)})"


def _day(kept: KeptComparison) -> str:
    return kept.made_at[:10]
