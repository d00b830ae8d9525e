"""JSON files, read as the types that they must hold: what else stands in them is told by file, place and remedy."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from a2d_cli.errors import A2DError
from a2d_cli.files import check_format

T = TypeVar("T")

MAX_DIGITS = 300  # of a whole number: more are damage, and no float


def read_json(
    path: Path,
    what: str = "file",
    kind: type[T] = dict[str, Any],
    newest: int | None = None,
    remedy: str = "restore the file, or make it anew",
) -> T:
    """Parse the JSON object in `path`.

    Args:
        kind: as of `fit`: what the object must hold.
        newest: of the file's format numbers the newest that this version reads; None: it has none.
        remedy: for one that is damaged.

    Raises:
        A2DError: missing, no JSON object, of a newer format, or with other values (names the file and the place in it).
    """
    try:
        value, problem = parse_json(Path(path).read_text(encoding="utf-8")), "no JSON object"
    except FileNotFoundError:
        raise A2DError(f"{path}: no such {what}") from None
    except OSError as error:
        raise A2DError(f"{path}: not a {what} of a2d: {error.strerror}", remedy) from None
    except ValueError as error:
        value, problem = None, str(error)
    if not isinstance(value, dict):
        raise A2DError(f"{path}: not a {what} of a2d: {problem}", remedy)
    if newest is not None:
        check_format(path, value.get("format"), newest)
        value = {key: item for key, item in value.items() if key != "format" or not dataclasses.is_dataclass(kind)}
    try:
        return fit(value, kind)
    except ValueError as error:
        raise A2DError(f"{path}: not a {what} of a2d: {error}", remedy) from None


def parse_json(text: str | bytes) -> Any:
    """Raises ValueError: no JSON, no UTF-8, nested too deep, or a whole number beyond all that is counted here."""
    try:
        return json.loads(text, parse_int=_whole_number)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _whole_number(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number of {len(digits):,} digits")
    return int(digits)


def fit(value: Any, kind: type[T]) -> T:
    """A JSON value whose types are those of `kind`, made into one if that is a dataclass.

    A dict stays as it is, with keys, too, that its TypedDict does not know; a dataclass knows all of its own.

    Raises:
        ValueError: names the place, and what is expected there.
    """
    made = msgspec.convert(value, kind, str_keys=True)
    if not dataclasses.is_dataclass(kind):
        return value
    if strange := value.keys() - {field.name for field in dataclasses.fields(kind)}:
        raise ValueError(f"Object contains unknown field `{min(strange)}`")
    return made
