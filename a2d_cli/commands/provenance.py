"""Whether finished runs were trained on what their project holds now."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from a2d_cli.config.loader import read_project_recipe
from a2d_cli.errors import A2DError
from a2d_cli.files import sha256_file
from a2d_cli.project.project import Project
from a2d_cli.project.run import WEIGHTS, Run, teacher_digits


def what_changed_since(project: Project, runs: Sequence[Run]) -> dict[str, str]:
    """By name, why a run would be another if it were trained now; of the others nothing of that kind is known.

    An imported model depends on nothing here, and a teacher from elsewhere is not looked for.
    """
    prepared = project.state().get("prepared", {})
    infos = {run.name: run.info for run in runs}
    teachers = [name for name, info in infos.items() if info.get("kind") == "teacher"]
    newest = max((infos[name].get("created", "") for name in teachers), default="")

    @functools.cache
    def weights_of(name: str) -> str:
        """Hash of a run's best weights; empty: no such run, or it has none."""
        path = Run(project.runs_dir / name).best_dir / WEIGHTS
        return sha256_file(path) if "/" not in name and path.is_file() else ""

    def change(run: Run) -> str:
        info = infos[run.name]
        settings, digits = info.get("settings", {}), [each for each in teacher_digits(info).split(",") if each]
        if not info.get("finished") or "imported_from" in info:
            return ""
        for key, fact, other in (
            ("data", "data_fingerprint", "on other text"),
            ("tokenizer", "tokenizer_fingerprint", "with another tokenizer"),
        ):
            if key in settings and fact in prepared and settings[key] != prepared[fact]:
                return f"trained {other} than is prepared now"
        # The usual case, told without its recipe, of which a comparison has a hundred: older teachers, which are here.
        are_here = all(any(weights_of(name).startswith(wanted) for name in teachers) for wanted in digits)
        if not digits or (are_here and newest <= info.get("created", "")):
            return ""
        try:
            names = read_project_recipe(run.recipe_path).distillation.teachers
        except A2DError:
            return ""
        for name, wanted in zip(names, digits, strict=False):
            if (found := weights_of(name)) and not found.startswith(wanted):
                return f"taught by an earlier '{name}', which was trained anew since"
        return ""

    return {run.name: what for run in runs if (what := change(run))}
