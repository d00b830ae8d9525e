"""Options that take several values with commas between."""

from __future__ import annotations

from collections.abc import Sequence

from a2d_cli.errors import ConfigError


def read_numbers(option: str, text: str, example: str = "1,5") -> tuple[int, ...]:
    """`1,32` of an option.

    Raises:
        ConfigError: something else than whole numbers from 1.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and int(part) for part in parts):
        raise ConfigError(
            f"{option}: expected numbers from 1, with commas between, got '{text}'",
            f"for example {option} {example}",
        )
    return tuple(dict.fromkeys(map(int, parts)))


def read_names(option: str, text: str, known: Sequence[str]) -> tuple[str, ...]:
    """`torch,ct2` of an option.

    Raises:
        ConfigError: a name that is not known.
    """
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    for name in names:
        if name not in known:
            raise ConfigError(f"{option}: '{name}' is none of {', '.join(known)}")
    return names
