"""data/report.json: what each step of the preparation did to the text, and whether it is still up to date."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, TypedDict

from a2d_cli.data.aligned_text import StampFacts
from a2d_cli.errors import A2DError
from a2d_cli.files import write_json
from a2d_cli.json_files import read_json

FORMAT = 1  # of report.json
STEPS = ("clean", "decontaminate", "tokenizer", "ids")  # each builds on the one before


class _Step(TypedDict):
    key: str  # fingerprint of all that decides the result
    files: dict[str, int]  # bytes of each that was written


class _Counts(TypedDict):
    read: int
    kept: int


class _Dropped(_Counts, total=False):
    dropped: dict[str, int]  # by rule, or by the text in which it stands
    samples: dict[str, list[list[str]]]


class _CleanedText(_Dropped):
    set: str  # train, valid or a test set


class _Cleaned(_CleanedText, total=False):  # of one source
    src: str | None
    tgt: str | None


class _Download(TypedDict):
    url: str
    sha256: str


class _Split(TypedDict):
    by: str
    seed: int
    num_valid: int  # pairs
    num_test: int


class _Lengths(TypedDict):
    mean: float
    median: float
    p95: float
    max: float


class Section(_Step, total=False):
    """What a step did; each has some of these."""

    duration_s: float
    sources: list[_Cleaned]
    left_out: list[dict[str, str | None]]
    downloads: dict[str, _Download]
    split: _Split | None
    leaks: dict[str, _Dropped]
    texts: dict[str, StampFacts]
    fingerprint: str
    vocab_size: list[int]
    lengths: dict[str, dict[str, _Lengths]]  # by text and language
    unknown: dict[str, dict[str, float]]
    fingerprints: dict[str, str]


class _Steps(TypedDict):
    steps: dict[str, Section]


class ReportValues(_Steps, total=False):
    """report.json."""

    format: int
    unfinished: list[str]
    replaced: list[str]  # files of earlier versions, which may go once all steps are done
    recipe: str
    data_fingerprint: str
    tokenizer_fingerprint: str


class Report:
    """The sections of steps. Each holds the `key` (fingerprint of all that decides the result), the sizes of the files
    it wrote, its duration, and what a person wants to know of it.

    `unfinished` names the steps that must be done again all the same: one that was begun and has not ended, whose files
    may be anything, and those behind one that was done anew.
    """

    def __init__(self, path: Path):
        self.path = path
        self._folder = path.parent
        self._values: ReportValues = {"format": FORMAT, "steps": {}}
        if path.exists():
            self._values = read_json(path, "report", ReportValues, FORMAT)

    @property
    def sections(self) -> dict[str, Section]:
        return self._values["steps"]

    def key(self, step: str) -> str | None:
        return self.sections.get(step, {}).get("key")

    def is_current(self, step: str, key: str) -> bool:
        """Whether the step was done with this key and its files are there.

        Raises:
            A2DError: a file is there but has another size than was written.
        """
        if self.key(step) != key or step in self.unfinished:
            return False
        for name, size in self.sections[step]["files"].items():
            path = self._folder / name
            if not path.exists():
                return False
            if path.stat().st_size != size:
                raise A2DError(
                    f"{path}: {path.stat().st_size:,} bytes where 'a2d prepare' wrote {size:,}: cut short or edited",
                    "delete it and run the same command again: it is made anew; to change the text, change its source",
                )
        return True

    def lost_files(self) -> list[Path]:
        """Files that are gone or of another size, and that training needs: what `clean` wrote may be deleted."""
        written = [self.sections.get(step, {}).get("files", {}) for step in STEPS[1:]]
        sizes = {self._folder / name: size for files in written for name, size in files.items()}
        return [path for path, size in sizes.items() if not path.exists() or path.stat().st_size != size]

    def begin(self, step: str) -> None:
        """From here on its files are not what the report says."""
        self._write(unfinished={*self.unfinished, step})

    def finish(self, step: str, key: str, files: Iterable[Path], duration_s: float, section: dict[str, Any]) -> None:
        """Record a step, and remove the files of its earlier version that have no successor."""
        sizes = {str(path.relative_to(self._folder)): path.stat().st_size for path in files}
        self._values.setdefault("replaced", []).extend(self.sections.get(step, {}).get("files", ()))
        self.sections[step] = {"key": key, "duration_s": round(duration_s, 2), "files": sizes, **section}
        if step == STEPS[-1]:
            current = {name for section in self.sections.values() for name in section["files"]}
            for name in set(self._values.pop("replaced", [])) - current:
                (self._folder / name).unlink(missing_ok=True)
        self._write(unfinished=(self.unfinished - {step}) | {*STEPS[STEPS.index(step) + 1 :]})

    def describe(self, **facts: Any) -> None:
        """Set top-level entries: recipe, licence, fingerprints."""
        self._values.update(facts)
        self._write()

    def as_dict(self) -> dict[str, Any]:
        return self._values

    @property
    def unfinished(self) -> set[str]:
        """Steps whose files are not, or not surely, what the report says."""
        return set(self._values.get("unfinished", ()))

    def _write(self, unfinished: Collection[str] | None = None) -> None:
        if unfinished is not None:
            self._values["unfinished"] = [step for step in STEPS if step in unfinished]
        write_json(self.path, self._values)
