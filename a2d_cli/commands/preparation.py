"""Whether a project's data are still what its recipe asks for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from a2d_cli.config.keys import differences, first_of
from a2d_cli.config.loader import read_project_recipe
from a2d_cli.config.schema import Recipe
from a2d_cli.errors import ConfigError
from a2d_cli.project.project import Project
from a2d_cli.reporting import Reporter

SECTIONS = ("pair", "data", "cleaning", "tokenizer")  # of a recipe: what `a2d prepare` reads
ASKED = "asked"  # in project.json, under `prepared`


def asked_of(recipe: Recipe) -> dict[str, Any]:
    """What a recipe says of the data, as JSON has it."""
    values = asdict(recipe)
    return json.loads(json.dumps({section: values[section] for section in SECTIONS}))


def changes_since(project: Project, recipe: Recipe) -> list[str]:
    """`tokenizer.vocab_size: auto -> 8000` for each key that was another when the data were prepared."""
    found = project.state().get("prepared", {}).get(ASKED)
    if found is None:
        return []
    return [f"{key}: {values}" for key, values in differences(found, asked_of(recipe)).items()]


def prepared_recipe(project: Project, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in a2d.yaml, whose languages are those of the data.

    Raises:
        A2DError: there is none.
        ConfigError: nothing is prepared, the recipe is wrong, or the data are of another pair.
    """
    prepared = project.require_prepared()
    recipe = read_project_recipe(project.recipe_path, overrides)
    pair = prepared.get(ASKED, {}).get("pair", recipe.pair)
    if recipe.pair != pair:
        raise ConfigError(
            f"{project.recipe_path}: pair: {recipe.pair}, but the data were prepared as {pair}",
            f"write {pair} there again, or prepare the other pair: {project.command('prepare')}",
        )
    return recipe


def warn_of_changes(project: Project, recipe: Recipe, reporter: Reporter) -> None:
    """Before data are used that were prepared with other settings than `recipe` has."""
    if changes := changes_since(project, recipe):
        reporter.warn(
            f"the data were prepared with other settings, and stay as they are: {first_of(changes)}; "
            f"'{project.command('prepare')}' makes them anew"
        )
