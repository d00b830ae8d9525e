"""Results already made: a file of JSON lines that only grows, in which a result is found by its key."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from a2d_cli.files import disk_errors
from a2d_cli.json_files import fit, parse_json


class KeyedResult(Protocol):
    """A frozen dataclass of JSON values."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def key(self) -> str: ...  # fingerprint of all that the result depends on

    @property
    def format(self) -> int: ...  # with the newest one as its default


R = TypeVar("R", bound=KeyedResult)


class ResultLog(Generic[R]):
    """The last result of each key."""

    def __init__(self, path: Path, kind: type[R]):
        self._path = path
        self.results: dict[str, R] = {}
        for line in path.read_bytes().split(b"\n") if path.exists() else ():
            try:
                result = fit(parse_json(line), kind)
            except ValueError:  # cut short by a crash, damaged, or of another format: made again
                continue
            if result.format == kind.format:
                self.results[result.key] = result

    def find(self, key: str) -> R | None:
        return self.results.get(key)

    def add(self, result: R) -> None:
        line = json.dumps(asdict(result), ensure_ascii=False).encode()
        with disk_errors(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with open(self._path, "ab") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX)  # other processes add, too; closing lets go
                if stream.seek(0, os.SEEK_END):
                    stream.write(b"\n")  # before, not after: stands apart even from a line that a crash cut short
                stream.write(line)
        self.results[result.key] = result
