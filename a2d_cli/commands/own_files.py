"""A recipe for files of one's own, or the recipe that is asked for by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from a2d_cli.commands.option_lists import read_numbers
from a2d_cli.config.loader import load_recipe, parse_recipe, read_project_recipe
from a2d_cli.config.schema import Recipe
from a2d_cli.errors import ConfigError
from a2d_cli.files import user_path
from a2d_cli.project.project import Project

_COMPRESSED = re.compile(r"\.(gz|bz2|xz)$")
SETS = ("train", "valid", "test")
# How they are trained where nothing else is said: as the recipes that were run on a CPU (recipes/README.md).
SETTINGS = """
about: files of your own
teacher: {norm: pre, dropout: 0.2}
student: {norm: pre}
training: {lr: 0.002, schedule: inverse_sqrt_cooldown}
"""
TWO_FILES = "give two files, SRC TGT, or one that ends in .tsv or .tmx"


def choose_recipe(
    project: Project,
    name: str | None,
    files: Mapping[str, tuple[str, str]],
    pair: str | None,
    overrides: list[str],
    tokenizer_from: str | None = None,
    trim: bool = False,
    columns: str | None = None,
) -> Recipe:
    """What `a2d prepare` was asked to prepare: a recipe by name, one's own files, or this project once more.

    Args:
        files: (source, target) paths by set (`train`, `valid`, `test`); target '' where one TSV or TMX holds both.
        tokenizer_from: a run's name or a folder: its tokenizer, whatever vocabulary size the recipe wants.
        trim: that tokenizer cut to the training text.
        columns: `3,1`: of one's own TSV files, those of source and target, from 1.

    Raises:
        ConfigError: both or neither given, no pair or one without files, a file that is not there, or a folder in its
            place.
    """
    overrides = [*_tokenizer_overrides(project, tokenizer_from, trim), *overrides]
    for each, paths in files.items():
        for path in filter(None, paths):
            if user_path(path).is_dir():
                raise ConfigError(f"--{each}: {path} is a folder", TWO_FILES)
    for each, (src, tgt) in files.items():
        if tgt.startswith("-"):  # the next option stands where the second file belongs
            raise one_file_alone(f"--{each}", src)
    if name and files and file_format(name) != "plain":
        raise ConfigError(
            f"{name} is no recipe: files of your own are given with --train, --valid and --test",
            "one TSV or TMX file holds both sides of a text; several are to be joined into one",
        )
    if name and files:
        raise ConfigError(
            f"recipe '{name}' and files of your own were both given",
            "'a2d prepare RECIPE', or 'a2d prepare --train SRC TGT --pair de-en'",
        )
    stray = "--columns" if columns is not None else "--pair" if pair else ""
    if stray and not files:
        raise ConfigError(
            f"{stray} goes with files of your own, and none is named", "add --train SRC TGT, or leave it out"
        )
    if name:
        return load_recipe(name, overrides)
    if files:
        return _own_recipe(files, pair, overrides, columns)
    if project.recipe_path.exists():
        return read_project_recipe(project.recipe_path, overrides)
    raise ConfigError(
        "nothing to prepare", "name a recipe ('a2d recipes list') or your own files (--train SRC TGT --pair de-en)"
    )


def one_file_alone(option: str, path: str) -> ConfigError:
    """A plain text file whose other side was not named."""
    return ConfigError(f"{option} {path}: one file is no TSV or TMX file", TWO_FILES)


def _tokenizer_overrides(project: Project, source: str | None, trim: bool) -> list[str]:
    overrides = ["tokenizer.trim=true"] if trim else []
    if source is None:
        return overrides
    if "/" not in source and not (project.runs_dir / source).is_dir() and Path(source).is_dir():
        source = f"./{source}"  # a recipe tells folders from runs by the slash
    return ["tokenizer.vocab_size=auto", f"--tokenizer-from tokenizer.taken_from={source}", *overrides]


def _own_recipe(
    files: Mapping[str, tuple[str, str]], pair: str | None, overrides: list[str], columns: str | None
) -> Recipe:
    if "train" not in files:
        raise ConfigError("no training text is given", "--train SRC TGT (or one TSV or TMX file)")
    if not pair:
        raise ConfigError("the languages of your files are not given", "for example --pair de-en")
    for each, paths in files.items():
        _refuse_swapped(f"--{each}", *paths, pair)
    sources = {each: [_corpus_files(*files[each], option=f"--{each}")] for each in SETS if each in files}
    if columns is not None:
        _set_columns(sources, columns)
    data: dict[str, Any] = {"licence": "yours", **sources}
    if "test" in sources:
        data["tests"] = {"test": data.pop("test")}
    name = f"own-{pair.replace('-', '')}"
    text = yaml.safe_dump({"name": name, "data": data}, allow_unicode=True) + SETTINGS
    return parse_recipe(text, [f"--pair pair={pair}", *overrides], where=name)


def _refuse_swapped(option: str, src: str, tgt: str, pair: str) -> None:
    """Found here it costs a moment, in the translations days."""
    src_lang, _, tgt_lang = pair.partition("-")
    if tgt and (_language_of(src), _language_of(tgt)) == (tgt_lang, src_lang):
        raise ConfigError(
            f"{option} {src} {tgt}: by their names they are {tgt_lang} and {src_lang}, but --pair is {pair}",
            f"{option} {tgt} {src}, or --pair {tgt_lang}-{src_lang}",
        )


def _language_of(path: str) -> str:
    """What stands behind the last dot of a file's name, compressed or not."""
    return _COMPRESSED.sub("", Path(path).name).rpartition(".")[2]


def _set_columns(sources: Mapping[str, list[dict[str, Any]]], columns: str) -> None:
    numbers = read_numbers("--columns", columns, example="1,2")
    if len(numbers) != 2:
        raise ConfigError(f"--columns {columns}: expected the source's and the target's", "for example --columns 3,1")
    tables = [each for (each,) in sources.values() if each["format"] == "tsv"]
    if not tables:
        raise ConfigError(
            f"--columns {columns}: none of your files is a TSV file",
            "its name ends in .tsv, or .tsv.gz (.bz2, .xz)",
        )
    for each in tables:
        each["src_column"], each["tgt_column"] = numbers


def file_format(path: str) -> str:
    """tsv or tmx, perhaps compressed, where one file holds both sides; else plain."""
    stem = _COMPRESSED.sub("", path.lower())
    return next((kind for kind in ("tsv", "tmx") if stem.endswith(f".{kind}")), "plain")


def _corpus_files(src: str, tgt: str, option: str) -> dict[str, Any]:
    """As a recipe has them."""
    for path in (src, tgt):
        if not path or user_path(path).is_file():
            continue
        if user_path(path).exists():
            raise ConfigError(f"{option}: {path} can be read only once: not a plain file", "write its text to a file")
        raise ConfigError(f"{option}: no such file: {path}", f"the current folder is {Path.cwd()}")

    def absolute(path: str) -> str:
        found = user_path(path).absolute()
        return str(found.resolve() if ".." in found.parts else found)

    return {"src": absolute(src), **({"tgt": absolute(tgt)} if tgt else {}), "format": file_format(src)}
