"""What is wrong with a recipe, gathered so that a person can mend it all at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from a2d_cli.errors import ConfigError

SET = "--set"  # the option that reaches every key


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
    """The name of a file or an option, with the list that its problems go to.

    Args:
        options: those that gave a key its value, by key: they are to blame, not the file. One of a single key, such as
            `--method`, says enough without it.
    """

    where: str
    problems: Problems
    options: Mapping[str, str] = field(default_factory=dict)

    def complain(self, key: str, message: str, hint: str | None = None) -> None:
        option = next(
            (
                option
                for given, option in self.options.items()
                if key == given or key.startswith((f"{given}.", f"{given}["))
            ),
            "",
        )
        shown = "" if option and option != SET else key
        self.problems.add(": ".join(part for part in (option or self.where, shown, message) if part), hint)
