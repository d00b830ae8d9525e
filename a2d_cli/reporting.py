"""How code without a terminal speaks to the person at one: lines and progress, never results."""

from __future__ import annotations

import sys
from typing import TextIO


class Progress:
    """One running task. A context manager; the base class shows nothing."""

    def advance(self, amount: float = 1, note: str = "") -> None:
        """Move on by `amount` units; `note` is a short text shown beside the bar."""

    def set_total(self, total: float | None) -> None:
        """Tell the size once it is known."""

    def __enter__(self) -> Progress:
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
