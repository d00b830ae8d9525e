"""A parallel text on disk: two files, one sentence a line, line i of each the translation of the other's."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TypedDict

from a2d_cli.errors import A2DError
from a2d_cli.files import atomic_path

Pair = tuple[str, str]  # a sentence and its translation

_BLOCK_PAIRS = 1000  # read, written and hashed at a time


@dataclass(frozen=True)
class TextStamp:
    """What a step wrote, and what the next step must find."""

    num_pairs: int
    digest: str  # rolling SHA-256 of the pairs in their order, 16 hex digits


class StampFacts(TypedDict):
    """A `TextStamp` as JSON has it."""

    num_pairs: int
    digest: str


class _StampWriter:
    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self.num_pairs = 0

    def add(self, lines: bytes, num_pairs: int) -> None:
        """Each source line before its target line."""
        self._digest.update(lines)
        self.num_pairs += num_pairs

    def stamp(self) -> TextStamp:
        return TextStamp(self.num_pairs, self._digest.hexdigest()[:16])


@dataclass(frozen=True)
class AlignedText:
    src: Path
    tgt: Path

    @property
    def paths(self) -> tuple[Path, Path]:
        return self.src, self.tgt

    def write(self, pairs: Iterable[Pair]) -> TextStamp:
        """Stream `pairs` into both files; neither appears before all are written."""
        stamp = _StampWriter()
        pairs = iter(pairs)
        with (
            atomic_path(self.src) as src_path,
            atomic_path(self.tgt) as tgt_path,
            open(src_path, "w", encoding="utf-8", newline="\n") as src_file,
            open(tgt_path, "w", encoding="utf-8", newline="\n") as tgt_file,
        ):
            while block := list(islice(pairs, _BLOCK_PAIRS)):
                src_file.write(_lines([src for src, _ in block]))
                tgt_file.write(_lines([tgt for _, tgt in block]))
                stamp.add(_lines(chain.from_iterable(block)).encode(), len(block))
        return stamp.stamp()

    def read(self, expected: TextStamp) -> Iterator[Pair]:
        """Stream the pairs, and check at the end that they are those which were written.

        Raises:
            A2DError: a file is missing or is not what the step before wrote.
        """
        stamp = _StampWriter()
        try:
            with (
                open(self.src, "rb") as src_file,
                open(self.tgt, "rb") as tgt_file,
            ):
                while any(block := [list(islice(file, _BLOCK_PAIRS)) for file in (src_file, tgt_file)]):
                    stamp.add(b"".join(chain.from_iterable(zip(*block, strict=True))), len(block[0]))
                    yield from zip(*map(_decoded, block), strict=True)
        except FileNotFoundError as error:
            raise A2DError(f"{error.filename}: no such file", "run 'a2d prepare' again: it is made anew") from None
        except ValueError as error:  # sides of different length, or bytes that are no UTF-8
            raise self._changed(str(error)) from None
        if stamp.stamp() != expected:
            raise self._changed(f"{stamp.num_pairs} pairs where {expected.num_pairs} were written, or other text")

    def _changed(self, reason: str) -> A2DError:
        return A2DError(
            f"{self.src} and {self.tgt.name} are not as 'a2d prepare' wrote them ({reason})",
            "delete both and run 'a2d prepare' again: they are made anew",
        )


def _lines(texts: Iterable[str]) -> str:
    """At least one, each with its end."""
    return "\n".join(texts) + "\n"


def _decoded(lines: list[bytes]) -> list[str]:
    """UTF-8 text without the ends of its lines; all at once, for that is fast."""
    return b"".join(lines).decode().removesuffix("\n").split("\n")
