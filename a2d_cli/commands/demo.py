"""`a2d demo`: the whole way on the embedded corpus, in a few minutes on a laptop's CPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from a2d_cli.commands.distill import distill
from a2d_cli.commands.export import export
from a2d_cli.commands.opened_model import open_translator
from a2d_cli.commands.prepare import prepare
from a2d_cli.commands.score import ScoreTable, score_project
from a2d_cli.commands.table import Table
from a2d_cli.commands.train_teacher import train_teacher
from a2d_cli.config.loader import load_recipe, read_project_recipe
from a2d_cli.errors import A2DError, ConfigError
from a2d_cli.project.exported import exports_named
from a2d_cli.project.project import Project
from a2d_cli.project.run import list_runs
from a2d_cli.reporting import Reporter

SAMPLES = 4  # sentences shown at the end
APART = ["", ""]  # an empty row between them


@dataclass(frozen=True)
class DemoResult:
    score_table: ScoreTable
    samples: Table

    @property
    def scores(self) -> Table:
        return self.score_table.tables()[0]

    def to_json(self) -> dict[str, Any]:
        return {"scores": self.score_table.to_json(), "samples": [row for row in self.samples.rows if row != APART]}


def demo(project: Project, overrides: list[str], command: str, reporter: Reporter) -> DemoResult:
    """Prepare, train a teacher, a plain student and a distilled student, score them; goes on where it was stopped.

    Args:
        command: as typed: what goes on with the demo after an interruption.

    Raises:
        ConfigError: the folder holds another project.
    """
    state = project.state()
    if state.get("recipe", "demo") != "demo" or (
        not state and project.folder.exists() and any(project.folder.iterdir())
    ):
        raise ConfigError(f"{project.folder} is not the demo's folder", "name a new folder: 'a2d demo FOLDER'")
    reporter.info("1/6 prepare: German-English sentences from a grammar")
    prepare(project, load_recipe("demo", overrides), mirror=None, reporter=reporter, command=command)
    recipe = read_project_recipe(project.recipe_path, overrides)
    reporter.info(f"2/6 {project.command('train-teacher')}")
    train_teacher(project, recipe, "teacher", command, reporter)
    for step, method in ((3, "ce"), (4, "a2d")):
        reporter.info(f"{step}/6 {project.command(f'distill --method {method}')}")
        student = read_project_recipe(project.recipe_path, [*overrides, f"distillation.method={method}"])
        distilled = distill(project, student, None, command, reporter)
    reporter.info(f"5/6 {project.command('export')}")
    _export(project, distilled.name, reporter)
    reporter.info(f"6/6 {project.command('score')}")
    scores = score_project(project, reporter=reporter)
    return DemoResult(scores, _samples(project))


def _export(project: Project, name: str, reporter: Reporter) -> None:
    if exports_named(project, name):
        return
    try:
        export(project, name, reporter=reporter)
    except A2DError as refusal:  # by the gate: what the table has to show does not depend on it
        reporter.warn(f"{refusal.message}; the table goes without it")


def _samples(project: Project) -> Table:
    """A few test sentences, evenly over the set, with each model's translation."""
    recipe = read_project_recipe(project.recipe_path)
    sources, references = (project.read_text("test", lang) for lang in (recipe.src_lang, recipe.tgt_lang))
    chosen = [(2 * i + 1) * len(sources) // (2 * SAMPLES) for i in range(SAMPLES)]
    translations = {
        run.name: open_translator(project, run.name, {}, "auto", Reporter(), engine="torch").translate(
            [sources[i] for i in chosen]
        )
        for run in list_runs(project)
    }
    rows: list[list[str]] = []
    for position, i in enumerate(chosen):
        rows += [APART] * bool(rows) + [["source", sources[i]], ["reference", references[i]]]
        rows += [[name, found[position][0].text] for name, found in translations.items()]
    return Table("translations", ["", "sentence"], rows)
