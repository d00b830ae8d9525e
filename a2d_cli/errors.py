"""The one exception that may be shown to a user."""

from __future__ import annotations


class A2DError(Exception):
    """A user's mistake or a machine's limit: says which value, where, and what to do.

    Args:
        message: what is wrong with which value, and where.
        hint: what to do about it.
    """

    exit_code = 1  # failed

    def __init__(self, message: str, hint: str | None = None):
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} | hint: {self.hint}" if self.hint else self.message


class ConfigError(A2DError):
    """A recipe, option or argument that cannot be right."""

    exit_code = 2  # usage or configuration


class Interrupted(Exception):
    """Ctrl-C, SIGTERM or SIGHUP arrived and the work so far is saved.

    Args:
        signal_number: 2, 15 or 1; the process exits with 128 + this.
        hint: the command that goes on.
    """

    def __init__(self, signal_number: int, hint: str):
        super().__init__(hint)
        self.signal_number = signal_number
        self.hint = hint
