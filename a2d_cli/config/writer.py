"""Recipes out: YAML of every key, with the schema's own comments."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import re
from typing import Any

from a2d_cli.config import schema
from a2d_cli.config.keys import choices_of, default_of, expected, types_of, unlike
from a2d_cli.config.schema import Recipe


def dump_recipe(recipe: Recipe) -> str:
    """YAML of every key with its unit, defaults included: `parse_recipe` of it gives the same recipe.

    Keys of `student_training` that equal those of `training` are left out, so that a change to `training`
    reaches both. Corpora and downloads say only what differs from the default.
    """
    lines = ["# A recipe of a2d as resolved, every key with its unit: edit it, run the same command again."]
    for field in dataclasses.fields(recipe):
        value = getattr(recipe, field.name)
        if dataclasses.is_dataclass(value):
            lines.append("")
            lines += [f"# {line}" for line in _about(type(value))]
        base = recipe.training if field.name == "student_training" else None
        lines += _entry(field.name, value, _comment(Recipe, field.name), base)
    return "\n".join(lines) + "\n"


def _entry(name: str, value: Any, comment: str = "", base: Any = None) -> list[str]:
    """The lines of one key and all below it, flush left; with `base`, only what differs from it."""
    head, tail = f"{_scalar(name)}:", f"  # {comment}" if comment else ""
    if dataclasses.is_dataclass(value):
        inner = _entries(value, base)
    elif isinstance(value, dict):
        inner = [line for key, item in value.items() for line in _brief_entry(key, item)]
    elif isinstance(value, tuple):
        inner = [line for item in value for line in _item(item)]
    else:
        return [f"{head} {_scalar(value)}{tail}"]
    if not inner:
        return [f"{head} {'[]' if isinstance(value, tuple) else '{}'}{tail}"]
    return [head + tail, *(f"  {line}" for line in inner)]


def _entries(value: Any, base: Any) -> list[str]:
    lines = []
    for name, item in unlike(value, base).items():
        lines += _entry(name, item, _comment(type(value), name))
    return lines


def _brief_entry(name: str, value: Any) -> list[str]:
    """An entry of a mapping of one's own names: a download, or a test set."""
    if dataclasses.is_dataclass(value):
        return [f"{_scalar(name)}:", *(f"  {line}" for line in _told(value))]
    return _entry(name, value)


def _item(value: Any) -> list[str]:
    """One `- ` item of a list."""
    first, *rest = _told(value) if dataclasses.is_dataclass(value) else [_scalar(value)]
    return [f"- {first}", *(f"  {line}" for line in rest)]


def _told(value: Any) -> list[str]:
    """`key: value` of what differs from the defaults."""
    told = []
    for field in dataclasses.fields(value):
        item = getattr(value, field.name)
        if item != default_of(field):
            told.append(f"{field.name}: {_scalar(item)}")
    return told


def _scalar(value: Any) -> str:
    import yaml

    # Double quotes, which can escape everything, for all but simple texts; PyYAML quotes `no` and `5` itself.
    quote = isinstance(value, str) and not re.fullmatch(r"[\w ./:+-]*", value)
    style = '"' if quote else None
    text = yaml.safe_dump(value, default_style=style, allow_unicode=True, width=math.inf)
    return text.rstrip("\n").removesuffix("...").rstrip("\n")


def _about(kind: type) -> list[str]:
    """The first line of a schema class's docstring; the one that `dataclass` makes up says nothing."""
    doc = kind.__doc__ or ""
    return [] if doc.startswith(f"{kind.__name__}(") else doc.splitlines()[:1]


def _comment(kind: type, name: str) -> str:
    """The choices of a key, and what the schema says beside it."""
    value_type = types_of(kind)[name]
    choices = expected(value_type) if choices_of(value_type) else None
    return "; ".join(part for part in (choices, _comments().get(f"{kind.__name__}.{name}")) if part)


@functools.cache
def _comments() -> dict[str, str]:
    """The schema's trailing comments by `Class.key`, so that units are written once."""
    try:
        source = inspect.getsource(schema)
    except OSError:  # installed without sources: a recipe without comments is still a recipe
        return {}
    comments, kind = {}, ""
    for line in source.splitlines():
        if opening := re.match(r"class (\w+)", line):
            kind = opening.group(1)
        elif found := re.match(r"    (\w+): .*?  # (.+)$", line):
            comments[f"{kind}.{found.group(1)}"] = found.group(2)
    return comments
