"""An export folder: a model in another program's format; `a2d.json` says what it is and how it was checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypedDict

from a2d_cli.config.schema import Decoding, ModelShape
from a2d_cli.errors import A2DError
from a2d_cli.files import sha256_file, write_json
from a2d_cli.json_files import fit, read_json
from a2d_cli.project.project import Project

FORMAT = 1  # of a2d.json
ANEW = "run 'a2d export' again"
MANIFEST = "a2d.json"
MODEL_FILE = "model.bin"  # of a CTranslate2 export


class Limits(TypedDict):
    """What of a manifest's shape is read again, and has no default there."""

    max_positions: int


class GateScores(TypedDict):
    chrf_float: float
    chrf_quantised: float


class Checks(TypedDict, total=False):
    """What of a manifest's checks is read again."""

    gate: GateScores


@dataclass(frozen=True)
class Manifest:
    """What stands in a2d.json."""

    to: Literal["ct2", "hf"]
    quantization: str  # of the stored weights: float32, int8, …
    created: str  # UTC
    a2d: str  # version
    pair: str
    name: str  # of the run
    kind: str  # teacher or student; empty for a checkpoint without its run
    method: str
    seed: int | None
    parameters: int
    weights_sha256: str  # of the exported model.safetensors
    tokenizer: str  # fingerprint
    shape: dict[str, Any]
    decoding: dict[str, Any]
    data: dict[str, Any]  # recipe, licence, training pairs, data fingerprint
    teacher: dict[str, Any] | None  # of a distilled student: name, weights_sha256
    checks: dict[str, Any]  # how the folder was proved: differences, agreement, and the gate's scores under `gate`
    files: dict[str, str]  # SHA-256 by name
    alignment_head: dict[str, Any] | None = None  # layer, head (both from 1) and how well it agrees with the teacher
    versions: dict[str, str] = field(default_factory=dict)  # of the packages that took part


@dataclass(frozen=True)
class Exported:
    """An export folder and its manifest."""

    folder: Path
    manifest: Manifest

    @property
    def decoding(self) -> Decoding:
        return fit(self.manifest.decoding, Decoding)

    @property
    def file_bytes(self) -> int:
        """Of everything that is needed to translate."""
        return sum((self.folder / name).stat().st_size for name in self.manifest.files)


def is_export(folder: Path) -> bool:
    return (folder / MANIFEST).is_file()


def read_export(folder: Path) -> Exported:
    """Raises A2DError: no export, of a newer format, or a file of it is missing."""
    return _with_files(_read(folder))


def _read(folder: Path) -> Exported:
    """Its manifest alone."""
    path = folder / MANIFEST
    manifest = read_json(path, "manifest", Manifest, FORMAT, ANEW)
    try:
        fit(manifest.shape, ModelShape)
        fit(manifest.shape, Limits)
        fit(manifest.decoding, Decoding)
        fit(manifest.checks, Checks)
    except ValueError as error:
        raise A2DError(f"{path}: not a manifest of a2d: {error}", ANEW) from None
    return Exported(folder, manifest)


def _with_files(exported: Exported) -> Exported:
    for name in exported.manifest.files:
        if not (exported.folder / name).is_file():
            raise A2DError(
                f"{exported.folder}: '{name}' is missing", "copy the whole folder, or run 'a2d export' again"
            )
    return exported


def check_files(exported: Exported) -> None:
    """Before they are used: a damaged model translates, and wrongly.

    Raises:
        A2DError: a file is not as it was written (names it).
    """
    for name, digest in exported.manifest.files.items():
        if sha256_file(exported.folder / name) != digest:
            raise A2DError(
                f"{exported.folder}: '{name}' is not as it was exported: damaged, or edited",
                "copy the whole folder again, or run 'a2d export' again",
            )


def write_manifest(folder: Path, manifest: Manifest) -> None:
    write_json(folder / MANIFEST, {"format": FORMAT, **asdict(manifest)})


def list_exports(project: Project) -> list[Exported]:
    """Exports of the project that are whole, by name."""
    return [each for each in _all(project, read_export) if isinstance(each, Exported)]


def broken_exports(project: Project) -> list[A2DError]:
    """What is wrong with the others."""
    return [each for each in _all(project, read_export) if isinstance(each, A2DError)]


def exports_named(project: Project, name: str) -> list[Exported]:
    """Those of a run of that name, whatever its weights are now, and whether or not all their files are there."""
    return [each for each in _readable(project) if each.manifest.name == name]


def ct2_exports_of(project: Project, weights_sha256: str) -> list[Exported]:
    """CTranslate2 exports of exactly these weights: int8 first, then by name.

    Raises:
        A2DError: one of them lacks a file.
    """
    found = [
        _with_files(each)
        for each in _readable(project)
        if (each.manifest.weights_sha256, each.manifest.to) == (weights_sha256, "ct2")
    ]
    return sorted(found, key=lambda each: not each.manifest.quantization.startswith("int8"))


def manifests(project: Project) -> list[Path]:
    """Where they lie. One that is being written has a hidden name."""
    return sorted(project.exports_dir.glob(f"[!.]*/{MANIFEST}"))


def _readable(project: Project) -> list[Exported]:
    """What a broken manifest was made of is not known: it is in nobody's way."""
    return [each for each in _all(project, _read) if isinstance(each, Exported)]


def _all(project: Project, read: Callable[[Path], Exported]) -> Iterator[Exported | A2DError]:
    """Each export as it is read, or why it cannot be."""
    for path in manifests(project):
        try:
            yield read(path.parent)
        except A2DError as error:
            yield error
