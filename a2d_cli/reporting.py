"""How code without a terminal speaks to the person at one: lines and progress, never results."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from a2d_cli.files import disk_errors


def duration_text(seconds: float | None) -> str:
    """'42 s', '3:05 min', '2:07 h'; empty while unknown."""
    if seconds is None:
        return ""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02} h"


def count_text(number: int, noun: str) -> str:
    """'1 pair', '28,993 pairs'."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def shortened(value: object, most: int = 40) -> str:
    """Its text, cut to so many characters."""
    text = str(value)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def some_names(names: Sequence[str]) -> str:
    """'a, b, c, d and 3 more'."""
    more = len(names) - 4
    return ", ".join(names[:4]) + (f" and {more} more" if more > 0 else "")


class Progress:
    """One running task. A context manager; the base class shows nothing."""

    def advance(self, amount: float = 1, note: str = "") -> None:
        """Move on by `amount` units; `note` is a short text shown beside the bar."""

    def set_total(self, total: float | None) -> None:
        """Tell the size once it is known."""

    def __enter__(self) -> Progress:  # noqa: PYI034  # typing.Self needs Python 3.11
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass


class Reporter:
    """Swallows everything: the base class, and what tests use."""

    def info(self, message: str) -> None:
        """A line of news."""

    def warn(self, message: str) -> None:
        """Something the person should know, though the work goes on."""

    def progress(self, title: str, total: float | None = None, unit: str = "") -> Progress:
        """A task of `total` units (`unit` 'B' means bytes); None if the size is unknown."""
        return Progress()


class PlainReporter(Reporter):
    """Plain lines on stderr, for pipes, logs and `NO_COLOR`: no bars, nothing rewritten."""

    def __init__(self, stream: TextIO | None = None):
        self._stream = stream or sys.stderr

    def info(self, message: str) -> None:
        print(message, file=self._stream, flush=True)

    def warn(self, message: str) -> None:
        print(f"warning: {message}", file=self._stream, flush=True)


class WarningReporter(PlainReporter):
    """Plain lines on stderr where something is wrong, else nothing."""

    def info(self, message: str) -> None:
        pass


class LoggedReporter(Reporter):
    """Speaks through another reporter and keeps every line in a file."""

    def __init__(self, inner: Reporter, path: Path):
        self._inner, self._path = inner, path

    def _keep(self, message: str) -> None:
        with disk_errors(self._path), open(self._path, "a", encoding="utf-8") as stream:
            stream.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {message}\n")

    def info(self, message: str) -> None:
        self._keep(message)
        self._inner.info(message)

    def warn(self, message: str) -> None:
        self._keep(f"warning: {message}")
        self._inner.warn(message)

    def progress(self, title: str, total: float | None = None, unit: str = "") -> Progress:
        return self._inner.progress(title, total, unit)
