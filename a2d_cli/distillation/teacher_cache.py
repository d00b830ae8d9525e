"""A folder of numbers about every training pair, as many a pair as its lengths demand: a memory-mapped file a part.

Pairs stand in order of length, so that the pass which fills the files only appends. `cache.json` tells of which
teacher and text they are and how many pairs each file holds. It is written after their data: a killed process loses
what came since.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, TypedDict

import numpy as np

from a2d_cli.errors import A2DError
from a2d_cli.files import disk_errors, fingerprint, lock_folder, remove_leftovers, write_json
from a2d_cli.json_files import read_json

FORMAT = 1  # of cache.json and all beside it
INFO = "cache.json"
MARK_EVERY_S = 5.0  # of filling: as much is lost at most


@dataclass(frozen=True)
class CacheOrigin:
    """Of which teacher and text a cache is, and where these lie: an older one from the same places is out of date."""

    teacher: str  # hash of its weights
    text: str  # fingerprint of the corpus
    longest: int  # tokens of the longest side among the pairs in use
    teacher_place: str
    text_place: str

    @property
    def folder_name(self) -> str:
        return f"teacher-{fingerprint([FORMAT, self.teacher, self.text, self.longest])}"


class CacheInfo(TypedDict, total=False):
    """cache.json: the origin, and what each part holds."""

    format: int
    teacher: str
    text: str
    longest: int
    teacher_place: str
    text_place: str
    pairs: dict[str, int]  # by file name


@dataclass(frozen=True, eq=False)
class Part:
    """One kind of number."""

    name: str
    dtype: str  # float16, float32, uint16, uint32; little-endian on disk
    sizes: np.ndarray  # (pairs of the corpus,) int64, how many of them each pair takes

    @property
    def file_name(self) -> str:
        return f"{self.name}.{self.dtype}"

    @property
    def number(self) -> np.dtype:
        return np.dtype(self.dtype).newbyteorder("<")

    def num_bytes(self, pairs: np.ndarray) -> int:
        return int(self.sizes[pairs].sum()) * self.number.itemsize


class RaggedArray:
    """A full part, mapped: some numbers of each pair."""

    def __init__(self, path: Path, part: Part, order: np.ndarray):
        self._sizes = part.sizes
        self._starts = np.zeros(len(part.sizes), dtype=np.int64)
        self._starts[order] = np.cumsum(part.sizes[order]) - part.sizes[order]
        # A plain view: slices of a memmap object cost more than the numbers in them.
        self._numbers = np.asarray(np.memmap(path, part.number, mode="r", shape=(int(part.sizes[order].sum()),)))

    def __getitem__(self, pairs: np.ndarray) -> np.ndarray:
        """The numbers of some pairs, one after the other: a copy, 1-D."""
        places = zip(self._starts[pairs].tolist(), self._sizes[pairs].tolist(), strict=True)
        return np.concatenate([self._numbers[start : start + size] for start, size in places])


class TeacherCache:
    """The parts that a method needs, in a folder that may hold others.

    Args:
        order: the pairs of the corpus that are held, shortest first.
    """

    def __init__(self, folder: Path, origin: CacheOrigin, order: np.ndarray, parts: Sequence[Part]):
        self.folder, self.origin, self.order, self.parts = folder, origin, order, tuple(parts)

    @property
    def num_bytes(self) -> int:
        """Of all parts, once they are full."""
        return sum(part.num_bytes(self.order) for part in self.parts)

    @property
    def num_bytes_missing(self) -> int:
        return sum(part.num_bytes(self.order[filled:]) for part, filled in self._filled().items())

    @contextlib.contextmanager
    def appending(self, command: str) -> Iterator[CacheWriter]:
        """Go on where the emptiest part ends; what is written is marked at the latest when the block is left.

        Args:
            command: what fills the cache, told to other processes that would.

        Raises:
            A2DError: another process fills it, or the disk is full.
        """
        with lock_folder(self.folder, command), disk_errors(self.folder), contextlib.ExitStack() as files:
            remove_leftovers(self.folder)
            filled = self._filled()
            todo = [part for part in self.parts if filled[part] < len(self.order)]
            begin = min((filled[part] for part in todo), default=len(self.order))
            self._record(todo, begin)  # before data behind it are cut off
            streams = {part: files.enter_context(self._open_behind(part, begin)) for part in todo}
            writer = CacheWriter(streams, begin, lambda pairs: self._record(todo, pairs))
            try:
                yield writer
            finally:
                writer.mark()

    def open(self) -> dict[str, RaggedArray]:
        """The parts by name; they are full."""
        return {part.name: RaggedArray(self._path(part), part, self.order) for part in self.parts}

    def empty(self, command: str) -> None:
        """Forget what the parts hold. Processes that read them keep what they have mapped.

        Args:
            command: as of `appending`.

        Raises:
            A2DError: another process fills it.
        """
        with lock_folder(self.folder, command), disk_errors(self.folder):
            self._record(self.parts, 0)
            for part in self.parts:
                self._path(part).unlink(missing_ok=True)

    def _path(self, part: Part) -> Path:
        return self.folder / part.file_name

    def _filled(self) -> dict[Part, int]:
        """How many pairs each part holds: those that are marked, if the file has them."""
        marked = _read_info(self.folder).get("pairs", {})

        def holds(part: Part) -> int:
            pairs, path = min(marked.get(part.file_name, 0), len(self.order)), self._path(part)
            size = path.stat().st_size if path.exists() else 0
            return pairs if size >= part.num_bytes(self.order[:pairs]) else 0

        return {part: holds(part) for part in self.parts}

    def _record(self, parts: Sequence[Part], pairs: int) -> None:
        marked = _read_info(self.folder).get("pairs", {}) | {part.file_name: pairs for part in parts}
        write_json(self.folder / INFO, {"format": FORMAT, **asdict(self.origin), "pairs": marked})

    @contextlib.contextmanager
    def _open_behind(self, part: Part, pairs: int) -> Iterator[BinaryIO]:
        with open(self._path(part), "ab") as stream:
            stream.truncate(part.num_bytes(self.order[:pairs]))
            yield stream


class CacheWriter:
    """Appends to the parts that are not full; `num_pairs` says how many pairs they hold."""

    def __init__(self, streams: Mapping[Part, BinaryIO], num_pairs: int, record: Callable[[int], None]):
        self._streams, self.num_pairs, self._record = streams, num_pairs, record
        self._marked_s = time.monotonic()

    def append(self, numbers: Mapping[str, np.ndarray], num_pairs: int) -> None:
        """The numbers of the next pairs by part; parts that are full already take none."""
        for part, stream in self._streams.items():
            stream.write(numbers[part.name].astype(part.number, copy=False).tobytes())
        self.num_pairs += num_pairs
        if time.monotonic() - self._marked_s >= MARK_EVERY_S:
            self.mark()

    def mark(self) -> None:
        """From now on what was appended survives a crash."""
        for stream in self._streams.values():
            stream.flush()
            os.fsync(stream.fileno())
        self._record(self.num_pairs)
        self._marked_s = time.monotonic()


def outdated_caches(caches_dir: Path, origin: CacheOrigin) -> list[Path]:
    """Folders of caches that nothing can use any more: their teacher or text has been replaced by another."""
    places = ("teacher_place", "text_place")
    contents = ("format", "teacher", "text")
    current = {"format": FORMAT, **asdict(origin)}
    outdated = []
    for path in sorted(caches_dir.glob(f"*/{INFO}")):
        info = _read_info(path.parent)
        if all(info.get(key) == current[key] for key in places) and any(
            info.get(key) != current[key] for key in contents
        ):
            outdated.append(path.parent)
    return outdated


def remove_cache(folder: Path, command: str) -> int:
    """Delete a cache folder, what tells of it last; returns the bytes that become free.

    Raises:
        A2DError: a process is filling it.
    """
    with lock_folder(folder, command):
        paths = [path for path in folder.iterdir() if path.name != INFO]
        size = sum(path.stat().st_size for path in paths)
        for path in paths:
            path.unlink()
        shutil.rmtree(folder)
    return size


def _read_info(folder: Path) -> CacheInfo:
    """cache.json; empty where there is none that can be read: then nothing is held."""
    try:
        return read_json(folder / INFO, "cache", CacheInfo)
    except A2DError:
        return {}
