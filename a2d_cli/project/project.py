"""The project folder: where things lie, what was done, and who works in it now (layout: README)."""

from __future__ import annotations

import contextlib
import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from a2d_cli.errors import A2DError, ConfigError
from a2d_cli.files import lock_folder, write_json
from a2d_cli.json_files import read_json

FORMAT = 1  # of project.json


class Asked(TypedDict, total=False):
    """What a recipe said of the data when they were prepared."""

    pair: str
    data: dict[str, Any]
    cleaning: dict[str, Any]
    tokenizer: dict[str, Any]


class Prepared(TypedDict):
    """What a preparation that has ended made."""

    pair: str
    tests: list[str]  # names of the test sets
    data_fingerprint: str
    tokenizer_fingerprint: str
    recipe: str
    steps: dict[str, str]  # the key of each
    asked: Asked


class ProjectState(TypedDict, total=False):
    """project.json."""

    format: int
    recipe: str
    recipe_text: str  # fingerprint of a2d.yaml as it was written
    prepared: Prepared
    replaced: Prepared  # what stood there before a preparation that has not ended
    preparing: str  # its command
    comparing: str  # command of a comparison that has not ended


@dataclass(frozen=True)
class Project:
    """A folder made by `a2d prepare`. Every path of the layout is a property here and nowhere else."""

    folder: Path

    @property
    def recipe_path(self) -> Path:
        return self.folder / "a2d.yaml"

    @property
    def state_path(self) -> Path:
        return self.folder / "project.json"

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    @property
    def raw_dir(self) -> Path:
        return self.data_dir / "raw"

    @property
    def text_dir(self) -> Path:
        return self.data_dir / "text"

    @property
    def report_path(self) -> Path:
        return self.data_dir / "report.json"

    @property
    def runs_dir(self) -> Path:
        return self.folder / "runs"

    @property
    def scores_dir(self) -> Path:
        return self.folder / "scores"

    @property
    def exports_dir(self) -> Path:
        return self.folder / "exports"

    @property
    def pseudo_dir(self) -> Path:
        """What teachers made of the training text, by teacher and beam."""
        return self.folder / "pseudo"

    @property
    def caches_dir(self) -> Path:
        """What can be computed again: may be deleted at any time."""
        return self.folder / "cache"

    def text_path(self, name: str, lang: str) -> Path:
        """Cleaned text of `train`, `valid` or a test set, one sentence a line."""
        return self.text_dir / f"{name}.{lang}"

    def read_text(self, name: str, lang: str) -> list[str]:
        """Its lines, which end with '\\n' and nothing else.

        Raises:
            A2DError: the file is not UTF-8.
        """
        path = self.text_path(name, lang)
        try:
            text = path.read_bytes().decode("utf-8")
        except UnicodeDecodeError as error:
            raise A2DError(
                f"{path}: not UTF-8 text: {error}", f"delete it and run '{self.command('prepare')}'"
            ) from None
        return text.removesuffix("\n").split("\n") if text else []

    def command(self, verb: str) -> str:
        """What to type in the current folder, for this project."""
        if self.folder.resolve() == Path.cwd():
            return f"a2d {verb}"
        return f"a2d -C {shlex.quote(os.path.relpath(self.folder))} {verb}"

    def state(self) -> ProjectState:
        """What was done; empty in a folder that is no project yet.

        Raises:
            A2DError: project.json is cut short, damaged or of a newer format.
        """
        remedy = "delete it and run 'a2d prepare' again: text that is prepared and runs stay as they are"
        return (
            read_json(self.state_path, "project file", ProjectState, FORMAT, remedy) if self.state_path.exists() else {}
        )

    def record(self, **changes: Any) -> None:
        """Set keys of project.json; a value of None removes the key."""
        state = {"format": FORMAT, **self.state(), **changes}
        write_json(self.state_path, {key: value for key, value in state.items() if value is not None})

    def require_prepared(self) -> Prepared:
        """What `a2d prepare` has recorded; refuse to go on where it has not ended.

        Raises:
            ConfigError: names the folder and the command.
        """
        state = self.state()
        if "prepared" not in state and state.get("preparing") and self.recipe_path.exists():
            raise ConfigError(
                f"{self.folder}: nothing is prepared here: '{state['preparing']}' has not ended",
                f"run it again, or '{self.command('prepare')}' for what {self.recipe_path.name} says",
            )
        if "prepared" not in state:
            raise ConfigError(
                f"{self.folder}: nothing is prepared here",
                "run 'a2d prepare RECIPE' ('a2d recipes list' names them), or 'a2d prepare --train SRC TGT --pair "
                "de-en', or name the project with -C DIR",
            )
        return state["prepared"]

    def lock(self, command: str, shared: bool = False) -> contextlib.AbstractContextManager[None]:
        """Hold the project: alone (`prepare`), or shared with others that only add runs and scores."""
        return lock_folder(self.folder, command, shared)
