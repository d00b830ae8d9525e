"""A reporter that remembers what was said."""

from __future__ import annotations

from a2d_cli.reporting import Reporter


class Listener(Reporter):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, message: str) -> None:
        self.lines.append(message)

    def warn(self, message: str) -> None:
        self.lines.append(f"warning: {message}")
