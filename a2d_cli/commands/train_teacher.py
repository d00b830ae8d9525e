"""`a2d train-teacher`: the model that will teach."""

from __future__ import annotations

from a2d_cli.commands.training_run import RunRequest, train_run
from a2d_cli.config.schema import Recipe
from a2d_cli.project.project import Project
from a2d_cli.project.run import Run
from a2d_cli.reporting import Reporter
from a2d_cli.training.objective import TranslationObjective


def train_teacher(
    project: Project, recipe: Recipe, name: str, command: str, reporter: Reporter, overwrite: bool = False
) -> Run:
    """Train `recipe.teacher` by `recipe.training` into runs/NAME.

    Args:
        command: as typed, without the leading `a2d`: what resumes the run.
    """
    project.require_prepared()
    smoothing = recipe.training.label_smoothing
    request = RunRequest(name, "teacher", "ce", recipe.teacher, recipe.training, {}, command)
    return train_run(
        project,
        recipe,
        request,
        lambda model, context: TranslationObjective(model, smoothing),
        reporter,
        overwrite,
    )
