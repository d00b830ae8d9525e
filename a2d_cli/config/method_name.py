"""A method as it is written: terms joined by '+', then settings of its own, each after an '@': `word@divergence=js`.

So that one comparison can hold a method beside itself with another divergence, schedule or layer map.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Settings that a method never has of its own: they change no result, or are what its name stands for.
NOT_OWN = ("method", "profile", "teacher", "cache", "cache_top_k")


def terms_of(method: str) -> list[str]:
    """`seq+word@divergence=js` -> `seq`, `word`."""
    return without_settings(method).split("+")


def without_settings(method: str) -> str:
    """`word@divergence=js` -> `word`."""
    return method.partition("@")[0]


def own_settings(method: str) -> dict[str, str]:
    """`word@divergence=js@alpha=1` -> divergence: js, alpha: 1, as texts.

    Raises:
        ValueError: a part without '=', or a key that stands twice.
    """
    settings: dict[str, str] = {}
    for part in method.split("@")[1:]:
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not (key and equals):
            raise ValueError(f"expected KEY=VALUE after '@', got '{part}'")
        if key in settings:
            raise ValueError(f"'{key}' stands twice")
        settings[key] = value
    return settings


def own_suffix(settings: Mapping[str, Any]) -> str:
    """The other way, canonical: `@alpha=1@divergence=js` of typed values, whatever their order."""
    return "".join(f"@{key}={_text(settings[key])}" for key in sorted(settings))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
