"""`a2d report`: one HTML file of all that a project knows of itself."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path

from a2d_cli import __version__
from a2d_cli.commands.report_comparisons import Comparisons, read_comparisons
from a2d_cli.commands.report_data import data_blocks, data_hashes, read_data
from a2d_cli.commands.report_html import (
    GENERATOR,
    Block,
    Code,
    Fact,
    Fold,
    Missing,
    Page,
    Paragraph,
    Pictures,
    Section,
    render,
)
from a2d_cli.commands.report_runs import (
    KnownRun,
    colours_of,
    curve_blocks,
    environment_blocks,
    model_blocks,
    model_hashes,
    read_runs,
)
from a2d_cli.commands.report_scores import (
    ScoredRun,
    Scores,
    best_student,
    comparison_blocks,
    decoding_of,
    read_scores,
    teacher_of,
    text_hashes,
    translation_blocks,
)
from a2d_cli.commands.status import project_status
from a2d_cli.commands.table import Table
from a2d_cli.data.report import Report
from a2d_cli.errors import A2DError, ConfigError
from a2d_cli.files import write_text
from a2d_cli.project.project import Project
from a2d_cli.project.run import choose_aligned
from a2d_cli.reporting import Reporter, count_text

FILE = "report.html"


def report(project: Project, output: Path | None, with_alignment: bool, reporter: Reporter) -> Path:
    """Write the page; nothing is trained or translated for it.

    Args:
        output: default report.html in the project.
        with_alignment: measure the alignment of the run that `choose_aligned` chooses (teacher-forced, on validation
            text).

    Raises:
        ConfigError: no project here; or `output` is a folder, or a file that is no report.
    """
    path = output or project.folder / FILE
    _refuse_other_file(path)
    runs = read_runs(project, reporter)
    if not project.state() and not runs:
        project.require_prepared()
    texts = text_hashes(project)
    scores, comparisons = read_scores(project, runs, texts), read_comparisons(project, runs, texts)
    alignment = tuple(_alignment(project, runs, with_alignment, reporter))
    made = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    write_text(path, render(make_page(project, runs, scores, comparisons, alignment, made)))
    return path


def _refuse_other_file(path: Path) -> None:
    if path.is_dir():
        raise ConfigError(f"-o {path}: a folder", f"name a file, for example {path / FILE}")
    if path.exists():
        with open(path, "rb") as stream:
            if f'content="{GENERATOR}"'.encode() not in stream.read(1000):
                raise ConfigError(
                    f"-o {path}: this file is no report of a2d, and is not overwritten", "choose another name"
                )


def make_page(
    project: Project,
    runs: Sequence[KnownRun],
    scores: Scores,
    comparisons: Comparisons,
    alignment: tuple[Block, ...],
    made: str,
) -> Page:
    """All that is known, as a page; `made` says when."""
    state, data, colours = project.state(), read_data(project), colours_of(runs)
    pair = (state.get("prepared") or {}).get("pair") or next(
        (each.info["pair"] for each in runs if "pair" in each.info), ""
    )
    name = project.folder.resolve().name
    sections = {
        "Data": data_blocks(project, data),
        "Models": model_blocks(project, runs),
        "Learning curves": curve_blocks(project, runs, colours),
        "Comparison": comparison_blocks(project, runs, comparisons, scores, colours),
        "Alignment": alignment,
        "Translations": translation_blocks(project, scores.alike),
        "Environment and hashes": _environment(runs, data),
        "Commands to repeat": _commands(project, runs, comparisons),
    }
    return Page(
        title=f"{name}: {pair.replace('-', ' → ')}" if pair else name,
        subtitle=f"Recipe {state.get('recipe', 'unknown')}. Report of {made}; {project_status(project).note}",
        facts=tuple(_facts(data, runs, scores.alike)),
        sections=tuple(Section(title, tuple(blocks)) for title, blocks in sections.items()),
        footer=f"Made by a2d {__version__} on {made}.",
    )


def _facts(
    data: Report | A2DError | None, runs: Sequence[KnownRun], scores: Mapping[str, list[ScoredRun]]
) -> Iterator[Fact]:
    """What one wants to know first."""
    if isinstance(data, Report):
        texts = data.sections.get("decontaminate", {}).get("texts", {})
        if "train" in texts:
            held_out = ", ".join(f"{name} {text['num_pairs']:,}" for name, text in texts.items() if name != "train")
            yield Fact("training pairs", f"{texts['train']['num_pairs']:,}", f"held out: {held_out}")
    num_teachers = sum(each.is_teacher for each in runs)
    yield Fact(
        "runs",
        str(len(runs)),
        f"{count_text(num_teachers, 'teacher')}, {count_text(len(runs) - num_teachers, 'student')}",
    )
    for test_set, scored in list(scores.items())[:1]:
        student = best_student(scored)
        teacher = teacher_of(scored, student)
        if teacher:
            yield Fact("BLEU of the teacher", f"{teacher.bleu:.1f}", _remark(teacher, test_set))
        if student:
            yield Fact("BLEU of the student best by validation", f"{student.bleu:.1f}", _remark(student, test_set))
        if teacher and student:
            smaller = teacher.result.parameters / student.result.parameters
            speeds = student.result.sentences_per_s, teacher.result.sentences_per_s
            alike = all(speeds) and student.result.machine == teacher.result.machine
            faster = f"{speeds[0] / speeds[1]:.1f}× as many sentences a second, as scored" if alike else ""
            yield Fact("student to teacher", f"{smaller:.1f}× smaller", faster)


def _remark(scored: ScoredRun, test_set: str) -> str:
    return f"{scored.name}, {scored.result.parameters / 1e6:.1f} M parameters; {test_set}, {decoding_of(scored)}"


def _alignment(project: Project, runs: Sequence[KnownRun], wanted: bool, reporter: Reporter) -> Iterator[Block]:
    """Of the run that `a2d inspect` takes, too, where none is named."""
    chosen = choose_aligned(each.run for each in runs)
    if chosen is None:
        yield Missing("No run has learned an alignment:", project.command("distill --method a2d"))
        return
    best, why = chosen
    if not wanted:
        yield Missing(
            f"What the alignment of '{best.name}' has learned (--no-alignment):",
            project.command(f"inspect {best.name}"),
        )
        return
    # Both load much that a report without alignment does not need.
    from a2d_cli.commands.inspect_figure import alignment_figures
    from a2d_cli.commands.inspect_run import inspect_run

    try:
        inspection = inspect_run(project, best.name, None, "auto", reporter)
        overview, *by_head = inspection.tables()
        yield Paragraph(f"{why[0].upper()}{why[1:]}. Another one: {project.command('inspect RUN')}")
        yield overview
        yield Fold("By teacher head, in numbers", tuple(by_head))
        yield Pictures(alignment_figures(inspection))
    except A2DError as error:
        yield Missing(f"Not all of the alignment of '{best.name}': {error}")


def _environment(runs: Sequence[KnownRun], data: Report | A2DError | None) -> Iterator[Block]:
    yield from environment_blocks(runs)
    here = [
        ["a2d", __version__],
        ["Python", platform.python_version()],
        ["system", platform.platform()],
        ["processor", platform.machine()],
    ]
    yield Table("This report", ["what", "made with"], here)
    if isinstance(data, Report):
        yield from data_hashes(data)
    yield from model_hashes(runs)


def _commands(project: Project, runs: Sequence[KnownRun], comparisons: Comparisons) -> Iterator[Block]:
    """As they were typed; what the report itself names is relative to where it was made."""
    recipe = project.recipe_path
    lines = ["a2d prepare    # in a new folder with the recipe below as a2d.yaml"]
    lines += dict.fromkeys(each.info["command"] for each in runs if "command" in each.info)
    lines += [project.command(each.command) for each in reversed(comparisons.shown)]
    yield Code("\n".join([*lines, "a2d score", "a2d report"]))
    if recipe.is_file():
        yield Fold(
            f"The recipe: {recipe.name}, every key", (Code(recipe.read_text(encoding="utf-8", errors="replace")),)
        )
