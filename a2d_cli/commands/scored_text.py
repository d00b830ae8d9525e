"""The test sets of a project, and its validation text where that is asked for like one."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from a2d_cli.commands.score_files import read_lines
from a2d_cli.config.keys import first_of
from a2d_cli.config.schema import Recipe
from a2d_cli.errors import A2DError, ConfigError
from a2d_cli.files import sha256_file
from a2d_cli.project.project import Project

VALID = "valid"  # the validation text, where it is asked for like a test set


@dataclass(frozen=True)
class ScoredText:
    """A test set."""

    name: str
    src: list[str]
    tgt: list[str]
    src_sha256: str
    tgt_sha256: str


def find_texts(project: Project, recipe: Recipe, names: Sequence[str] | None) -> list[ScoredText]:
    """All test sets, the recipe's first; or those named, of which `valid` may be one, to choose settings by.

    Raises:
        ConfigError: there is none, or none of that name.
        A2DError: a file of one is gone, or cut short.
    """
    known = sorted(project.state()["prepared"]["tests"], key=lambda name: (name not in recipe.data.tests, name))
    if not known and not names:
        hint = "add data.tests to the recipe and run 'a2d prepare' again"
        if any(files.optional for test in recipe.data.tests.values() for files in test):  # which could not be had
            hint = f"'{project.command('prepare --overwrite')}' looks again for those that were left out"
        raise ConfigError(f"{project.text_dir}: no test set", hint)
    for name in names or ():
        if name not in (*known, VALID):
            near = difflib.get_close_matches(name, known, 1)
            there = f"the project has: {first_of(known) or 'none'}; and {VALID}, to choose settings by"
            hint = f"did you mean '{near[0]}'?" if near else there
            raise ConfigError(f"no test set '{name}'", hint)
    return [_read_text(project, recipe, name) for name in dict.fromkeys(names or known)]


def _read_text(project: Project, recipe: Recipe, name: str) -> ScoredText:
    paths = [project.text_path(name, lang) for lang in (recipe.src_lang, recipe.tgt_lang)]
    anew = f"'{project.command('prepare')}' makes it anew"
    for path in paths:
        if not path.is_file():
            raise A2DError(f"{path}: no such file", anew)
    src, tgt = (read_lines(path) for path in paths)
    if len(src) != len(tgt):
        raise A2DError(f"{paths[0]} has {len(src)} lines, {paths[1].name} has {len(tgt)}", f"delete both: {anew}")
    return ScoredText(name, src, tgt, sha256_file(paths[0]), sha256_file(paths[1]))
