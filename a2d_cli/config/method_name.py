"""A method as it is written: terms joined by '+', then settings of its own, each after an '@': `word@divergence=js`.

So that one comparison can hold a method beside itself with another divergence, schedule or layer map.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from a2d_cli.errors import ConfigError

# Settings that a method never has of its own: what its name stands for, who teaches, and how the answers are kept.
NOT_OWN = ("method", "profile", "teacher", "cache", "cache_top_k")

BASELINES = ("ce", "word")  # what others are held against, where nothing else is asked


def terms_of(method: str) -> list[str]:
    """`seq+word@divergence=js` -> `seq`, `word`."""
    return without_settings(method).split("+")


def without_settings(method: str) -> str:
    """`word@divergence=js` -> `word`."""
    return method.partition("@")[0]


def own_settings(method: str) -> dict[str, str]:
    """`word@divergence=js@alpha=1` -> divergence: js, alpha: 1, as texts.

    Raises:
        ConfigError: a part without '=', a key that stands twice, or a term after a setting.
    """
    settings: dict[str, str] = {}
    for part in method.split("@")[1:]:
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not (key and equals):
            raise ConfigError(f"expected KEY=VALUE after '@', got '{part}'", "for example word@divergence=js")
        if key in settings:
            raise ConfigError(f"'{key}' stands twice", "name it once")
        if late := re.search(r"\+[a-z].*", value):  # 1e+3 is a number
            term, setting = late.group(), f"@{key}={value[: late.start()]}"
            raise ConfigError(
                f"'{term}' stands after '{setting}'", f"settings stand last: {without_settings(method)}{term}{setting}"
            )
        settings[key] = value
    return settings


def own_suffix(settings: Mapping[str, Any]) -> str:
    """The other way, canonical: `@alpha=1@divergence=js` of typed values, whatever their order."""
    return "".join(f"@{key}={_text(settings[key])}" for key in sorted(settings))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)  # a run is found by its name: no digit is lost
    return str(value)
