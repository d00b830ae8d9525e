"""The recipes that come with a2d, and how a name or a path becomes a recipe file."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

from a2d_cli.errors import ConfigError
from a2d_cli.files import user_path

SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class RecipeSummary:
    """A shipped recipe at a glance; `about` is the first paragraph of its opening comment."""

    name: str
    pair: str
    about: str
    path: Path


def recipes_folder() -> Path:
    """`a2d_cli/recipes` of an installed wheel, or `recipes/` of a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "recipes"
    return installed if installed.is_dir() else package.parent / "recipes"


def list_recipes() -> list[RecipeSummary]:
    """Every shipped recipe, by name."""
    return [_summary(path) for path in sorted(recipes_folder().glob("*.yaml"))]


def find_recipe(name_or_path: str | Path, folder: Path | None = None) -> Path:
    """The file of a shipped recipe's name, or of a path (whatever holds a `/` or ends in `.yaml`).

    Args:
        folder: what a relative path is relative to; the current folder if None.

    Raises:
        ConfigError: no such file, or no recipe of that name (says the nearest).
    """
    text = str(name_or_path)
    if "/" in text or text.endswith(SUFFIXES):
        path = (folder or Path()) / user_path(text)
        if path.is_file():
            return path
        raise ConfigError(f"{path}: no such recipe file", "'a2d recipes list' names those that come with a2d")
    paths = {path.stem: path for path in recipes_folder().glob("*.yaml")}
    if text in paths:
        return paths[text]
    nearest = sorted(name for name in paths if name.startswith(text)) or difflib.get_close_matches(
        text, paths, n=1, cutoff=0.5
    )
    suggestion = f"did you mean {' or '.join(map(repr, nearest))}? " if nearest else ""
    raise ConfigError(
        f"no recipe is called '{text}'",
        f"{suggestion}'a2d recipes list' names them; a file of your own ends in .yaml",
    )


def recipe_text(name_or_path: str | Path) -> str:
    """A recipe as written, comments included.

    Raises:
        ConfigError: unknown, unreadable, or not UTF-8.
    """
    return read_recipe_file(find_recipe(name_or_path))


def read_recipe_file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text: byte {error.start}", "save the recipe as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


def _summary(path: Path) -> RecipeSummary:
    # Read without YAML: `a2d recipes` stays instant, and one broken recipe does not hide the others.
    text = read_recipe_file(path)
    opening = re.match(r"(?:#.*\S.*\n)*", text).group()
    about = " ".join(line.lstrip("# ").rstrip() for line in opening.splitlines() if line.strip("# "))
    pair = re.search(r"^pair:\s*([\w-]+)", text, re.MULTILINE)
    return RecipeSummary(path.stem, pair.group(1) if pair else "", about, path)
