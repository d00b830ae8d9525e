"""What is wrong with a recipe, gathered so that a person can mend it all at once."""

from __future__ import annotations

from dataclasses import dataclass

from a2d_cli.errors import ConfigError


class Problems:
    """A list of them, raised as one error with a line for each."""

    def __init__(self) -> None:
        self._found: list[ConfigError] = []

    def add(self, message: str, hint: str | None = None) -> None:
        self._found.append(ConfigError(message, hint))

    def raise_any(self) -> None:
        if len(self._found) == 1:
            raise self._found[0]
        if self._found:
            raise ConfigError("\n".join(str(problem) for problem in self._found))


@dataclass(frozen=True)
class Place:
    """The name of a file, or of `--set`, with the list that its problems go to."""

    where: str
    problems: Problems

    def complain(self, key: str, message: str, hint: str | None = None) -> None:
        self.problems.add(": ".join(part for part in (self.where, key, message) if part), hint)
