"""What there is to say of a recipe's keys: their names, types, defaults and choices, and which of them may change."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Sequence
from typing import Any, Literal

from a2d_cli.config.schema import Recipe
from a2d_cli.reporting import shortened

# Keys that a run may be resumed with at other values: they move its end or its machine, not its path.
SOFT_KEYS = frozenset(
    (
        "training.max_updates",
        "training.max_epochs",
        "training.max_hours",
        "training.patience",
        "training.max_rewinds",
        "training.save_every_updates",
        "training.log_every_updates",
        "training.samples",
        "training.accumulate",
        "training.device",
        "training.compile",
        "decoding.batch_sentences",
    )
)

# Of these, what moves a run's end makes runs unequal. In the others, which change a result by the dropout drawn at
# most, compared runs may differ.
END_KEYS = ("training.max_updates", "training.max_epochs", "training.max_hours", "training.patience")
FREE_KEYS = SOFT_KEYS - set(END_KEYS) | {"training.seed", "decoding.nbest"}

MAX_SHOWN = 6  # differences in a message


def recipe_keys(kind: type = Recipe, prefix: str = "") -> list[str]:
    """Every key that `--set` reaches, with its sections: `training.lr`, `data.split.by`, ..."""
    keys = []
    for name, key_type in types_of(kind).items():
        keys.append(prefix + name)
        sections = [arm for arm in arms_of(key_type) if dataclasses.is_dataclass(arm)]
        for section in sections:
            keys += recipe_keys(section, f"{prefix}{name}.")
    return keys


@functools.cache
def types_of(kind: type) -> dict[str, Any]:
    """The types of a section's keys, in the schema's order."""
    return typing.get_type_hints(kind)


def arms_of(kind: Any) -> tuple[Any, ...]:
    """The alternatives of a union, as written; None, if there, is not the first in the schema."""
    return typing.get_args(kind) if typing.get_origin(kind) in (typing.Union, types.UnionType) else (kind,)


def default_of(field: dataclasses.Field[Any]) -> Any:
    """`dataclasses.MISSING` where the schema has none."""
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default


def section_of(setting: str) -> str:
    """`decoding.beam=4`, as `--set` takes it, -> `decoding`."""
    return setting.partition("=")[0].strip().partition(".")[0]


def unlike(value: Any, base: Any) -> dict[str, Any]:
    """The keys in which two of a kind differ, with the first one's values; all keys if `base` is None."""
    values = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return {name: item for name, item in values.items() if base is None or item != getattr(base, name)}


def differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """`section.key`: `old -> new`, cut to fit in a message, for each value that differs."""
    changes = {}
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            changes |= differences(before, after, f"{prefix}{key}.")
        elif _are_alike(before, after):
            numbered = (dict(enumerate(each, start=1)) for each in (before, after))
            changes |= differences(*numbered, f"{prefix}{key}.")
        elif before != after:
            changes[f"{prefix}{key}"] = f"{shortened(before)} -> {shortened(after)}"
    return changes


def _are_alike(before: Any, after: Any) -> bool:
    """Whether both are lists of as many sections: then what differs is in some of them."""
    both = [before, after]
    if not all(isinstance(each, (list, tuple)) and each for each in both) or len(before) != len(after):
        return False
    return all(isinstance(item, dict) for each in both for item in each)


def first_of(texts: Sequence[str]) -> str:
    """The first of many, and how many more there are."""
    more = [f"and {len(texts) - MAX_SHOWN} more"] if len(texts) > MAX_SHOWN else []
    return "; ".join([*texts[:MAX_SHOWN], *more])


def choices_of(kind: Any) -> list[str]:
    """The texts that a value may be, where the schema lists them."""
    literals = [arm for arm in arms_of(kind) if typing.get_origin(arm) is Literal]
    return [choice for literal in literals for choice in typing.get_args(literal)]


def expected(kind: Any) -> str:
    """How a message tells a type: `a whole number or 'auto'`, `one of loss, bleu, chrf`, `a list`."""
    names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", type(None): "null"}
    words = []
    for arm in arms_of(kind):
        choices = typing.get_args(arm)
        if typing.get_origin(arm) is Literal:
            words.append(f"one of {', '.join(choices)}" if len(choices) > 1 else f"'{choices[0]}'")
        elif typing.get_origin(arm) is tuple:
            words.append("a list")
        else:
            words.append(names.get(arm, "a mapping"))
    return " or ".join(words)
