"""Whether a finished run was trained on what its project holds now."""

from __future__ import annotations

from a2d_cli.config.loader import read_project_recipe
from a2d_cli.errors import A2DError
from a2d_cli.files import sha256_file
from a2d_cli.project.project import Project
from a2d_cli.project.run import WEIGHTS, Run


def what_changed_since(project: Project, run: Run) -> str:
    """Why a run would be another if it were trained now; empty: nothing of that kind is known.

    An imported model depends on nothing here, and a teacher from elsewhere is not looked for.
    """
    settings, prepared = run.info.get("settings", {}), project.state().get("prepared", {})
    if not run.is_finished or "imported_from" in run.info:
        return ""
    if "data" in settings and settings["data"] != prepared.get("data_fingerprint"):
        return "trained on other text than is prepared now"
    if "tokenizer" in settings and settings["tokenizer"] != prepared.get("tokenizer_fingerprint"):
        return "trained with another tokenizer than is prepared now"
    digits = [each for each in settings.get("teacher", "").split(",") if each]
    if not digits or not run.recipe_path.is_file():
        return ""
    try:
        names = read_project_recipe(run.recipe_path).distillation.teacher.split(",")
    except A2DError:
        return ""
    for name, wanted in zip(names, digits, strict=False):
        weights = Run(project.runs_dir / name.strip()).best_dir / WEIGHTS
        if "/" not in name and weights.is_file() and not sha256_file(weights).startswith(wanted):
            return f"taught by an earlier '{name.strip()}', which was trained anew since"
    return ""
