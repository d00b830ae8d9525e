"""`a2d recipes`: the recipes that come with a2d, to look at and to start from."""

from __future__ import annotations

from pathlib import Path

from a2d_cli.config import catalog
from a2d_cli.errors import A2DError
from a2d_cli.files import write_text


def list_recipes() -> list[catalog.RecipeSummary]:
    """Rows of `a2d recipes list`: name, pair, what it is, where it lies."""
    return catalog.list_recipes()


def show_recipe(name_or_path: str) -> str:
    """The recipe's text with its comments."""
    return catalog.recipe_text(name_or_path)


def copy_recipe(name: str, destination: Path | None = None, overwrite: bool = False) -> Path:
    """Write a shipped recipe to a file of one's own, to edit and to prepare from.

    Args:
        destination: a file, or a folder that gets NAME.yaml; the current folder if None.

    Returns:
        the file written.

    Raises:
        ConfigError: no such recipe.
        A2DError: the file exists and `overwrite` is False.
    """
    source = catalog.find_recipe(name)
    target = destination or Path()
    if target.is_dir():
        target = target / source.name
    if target.exists() and not overwrite:
        raise A2DError(f"{target} exists", "choose another name, or add --overwrite")
    write_text(target, catalog.read_recipe_file(source))
    return target
