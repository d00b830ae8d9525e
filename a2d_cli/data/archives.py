"""Members of archives as streams of bytes: nothing is ever unpacked onto the disk.

So no member's name, link or device can reach a path of this machine. What is left to refuse are bombs (bounds on
bytes, members and compression) and members that are not regular files.
"""

from __future__ import annotations

import bz2
import contextlib
import difflib
import gzip
import io
import lzma
import posixpath
import re
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from a2d_cli.errors import A2DError
from a2d_cli.files import disk_errors

BUFFER_BYTES = 1 << 18

# How packed files begin.
GZIP = re.compile(rb"\x1f\x8b\x08")
BZIP2 = re.compile(rb"BZh[1-9]1AY&SY")
XZ = re.compile(rb"\xfd7zXZ\x00")
ZIP = re.compile(rb"PK(\x03\x04|\x05\x06)")
_MAGIC_BYTES = 10  # of the longest mark above

_DAMAGE = (EOFError, zlib.error, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile, OSError)


@dataclass(frozen=True)
class Limits:
    """What an archive may ask of this machine. WMT14 takes 2 GB a corpus and packs text about 3 to 1."""

    max_bytes: int = 64 * 2**30  # unpacked, at any depth
    max_ratio: float = 200.0  # unpacked / packed, once more than `ratio_free_bytes` are unpacked
    ratio_free_bytes: int = 64 * 2**20
    max_members: int = 100_000  # of one archive


DEFAULT_LIMITS = Limits()


@contextlib.contextmanager
def open_member(archive: Path, member: str = "", limits: Limits = DEFAULT_LIMITS) -> Iterator[BinaryIO]:
    """The bytes of one member, read forwards only.

    Args:
        archive: a tar (plain or compressed), a zip, or any file if `member` is empty.
        member: its name; `INNER.tgz:NAME` for an archive in the archive. gzip, bzip2 and xz are undone at every
            level, by their marks rather than by file names.

    Raises:
        A2DError: no such file or member (names the nearest), damaged, not a regular file, over the limits.
            Also while the stream is read.
    """
    with ExitStack() as stack:
        try:
            packed = stack.enter_context(open(archive, "rb"))
        except FileNotFoundError:
            raise A2DError(f"{archive}: no such file") from None
        except OSError as error:
            raise A2DError(f"{archive}: cannot be read: {error.strerror}") from None
        packed_bytes = archive.stat().st_size
        max_bytes = min(limits.max_bytes, max(limits.ratio_free_bytes, int(packed_bytes * limits.max_ratio)))
        place = str(archive)
        stream = _decompressed(packed, place, max_bytes)
        for name in member.split(":") if member else ():
            _check_name(place, name)
            with _damage_named(place):
                found = stack.enter_context(_find(stream, place, name, limits.max_members))
            place = f"{place}:{name}"
            stream = _decompressed(_bounded(found, place, max_bytes), place, max_bytes)
        yield stream


def _check_name(place: str, name: str) -> None:
    if not name or name.startswith("/") or ".." in name.split("/"):
        raise A2DError(f"{place}: member {name!r} is not a name inside an archive", "give a relative name without '..'")


def _decompressed(stream: BinaryIO, place: str, max_bytes: int) -> BinaryIO:
    """`stream` itself, or what it holds if it begins with the mark of a compressed file."""
    if not hasattr(stream, "peek"):
        stream = io.BufferedReader(stream, BUFFER_BYTES)
    with _damage_named(place):
        head = stream.peek(_MAGIC_BYTES)
    if GZIP.match(head):
        return _bounded(gzip.GzipFile(fileobj=stream), place, max_bytes)
    if BZIP2.match(head):
        return _bounded(_Concatenated(stream, bz2.BZ2Decompressor), place, max_bytes)
    if XZ.match(head):
        return _bounded(_Concatenated(stream, lzma.LZMADecompressor), place, max_bytes)
    return stream


@contextlib.contextmanager
def _find(stream: BinaryIO, place: str, name: str, max_members: int) -> Iterator[BinaryIO]:
    if ZIP.match(stream.peek(_MAGIC_BYTES)):
        found = _find_in_zip(stream, place, name, max_members)
    else:
        found = _find_in_tar(stream, place, name, max_members)
    with found as member:
        yield member


@contextlib.contextmanager
def _find_in_tar(stream: BinaryIO, place: str, name: str, max_members: int) -> Iterator[BinaryIO]:
    """One pass, as far as the member: the index of a compressed tar would cost a second pass."""
    names = []
    with _open_tar(stream, place) as tar:
        for info in tar:
            names.append(info.name)
            if len(names) > max_members:
                raise _too_many(place, max_members)
            if _same(info.name, name):
                if not info.isreg():
                    raise _not_a_file(place, name)
                yield tar.extractfile(info)
                return
    raise _no_member(place, name, names)


def _open_tar(stream: BinaryIO, place: str) -> tarfile.TarFile:
    try:
        return tarfile.open(fileobj=stream, mode="r|")
    except tarfile.ReadError:
        raise A2DError(
            f"{place}: not a tar or zip archive (or damaged at its beginning)",
            "look at the file, and at the part of the recipe that names a member of it after ':'",
        ) from None


@contextlib.contextmanager
def _find_in_zip(stream: BinaryIO, place: str, name: str, max_members: int) -> Iterator[BinaryIO]:
    with ExitStack() as stack:
        if not stream.seekable():  # a zip's index stands at its end
            stream = stack.enter_context(_spooled(stream))
        archive = stack.enter_context(zipfile.ZipFile(stream))
        infos = archive.infolist()
        if len(infos) > max_members:
            raise _too_many(place, max_members)
        info = next((info for info in infos if _same(info.filename, name)), None)
        if info is None:
            raise _no_member(place, name, [info.filename for info in infos])
        kind = stat.S_IFMT(info.external_attr >> 16)  # 0 where the archive was made elsewhere than on Unix
        if info.is_dir() or kind not in (0, stat.S_IFREG):
            raise _not_a_file(place, name)
        if info.flag_bits & 1:
            raise A2DError(
                f"{place}: member {name!r} is encrypted", "unpack it by hand and name the file in the recipe"
            )
        try:
            member = archive.open(info)
        except NotImplementedError as error:
            raise A2DError(f"{place}: member {name!r} cannot be unpacked: {error}", "pack the archive again") from None
        yield stack.enter_context(member)


@contextlib.contextmanager
def _spooled(stream: BinaryIO) -> Iterator[BinaryIO]:
    with tempfile.TemporaryFile() as spool:
        with disk_errors(Path(tempfile.gettempdir())):
            shutil.copyfileobj(stream, spool, BUFFER_BYTES)
        spool.seek(0)
        yield spool


def _same(stored: str, asked: str) -> bool:
    return posixpath.normpath(stored) == posixpath.normpath(asked)  # './a' is 'a'


def _no_member(place: str, name: str, names: list[str]) -> A2DError:
    base_names = {posixpath.basename(known): known for known in names}
    near = difflib.get_close_matches(name, names, n=5, cutoff=0.5)
    near += [
        base_names[base] for base in difflib.get_close_matches(posixpath.basename(name), base_names, n=5, cutoff=0.6)
    ]
    shown = list(dict.fromkeys(near))[:5] or names[:5]
    return A2DError(
        f"{place}: no member {name!r} among {len(names)}",
        f"the nearest are: {', '.join(shown)}" if shown else "the archive is empty",
    )


def _not_a_file(place: str, name: str) -> A2DError:
    return A2DError(
        f"{place}: member {name!r} is a link, a folder or a device, not a file",
        "name the file that it points to",
    )


def _too_many(place: str, max_members: int) -> A2DError:
    return A2DError(f"{place}: more than {max_members:,} members: not a corpus", "unpack what you need by hand")


@contextlib.contextmanager
def _damage_named(place: str) -> Iterator[None]:
    """Turn what the decompressors raise at broken bytes into an error that names the file."""
    try:
        yield
    except _DAMAGE as error:
        raise A2DError(
            f"{place}: damaged or cut short: {error}",
            "a download (in data/raw): delete it, and the same command fetches it anew; a file of yours: get it whole",
        ) from error


class _Concatenated:
    """What one compressed stream after another holds, as parallel compressors write them.

    `bz2.BZ2File` and `lzma.LZMAFile` take a stream whose first bytes are damaged for the end of the file.
    """

    def __init__(self, stream: BinaryIO, make: Callable[[], bz2.BZ2Decompressor | lzma.LZMADecompressor]):
        self._stream, self._make, self._decompressor = stream, make, make()

    def read(self, size: int) -> bytes:
        """At most `size` bytes; none at the end."""
        while True:
            if self._decompressor.eof:
                # Zeros may pad a stream, and nothing else may follow but another one.
                rest = self._decompressor.unused_data.lstrip(b"\0")
                while not rest and (block := self._stream.read(BUFFER_BYTES)):
                    rest = block.lstrip(b"\0")
                if not rest:
                    return b""
                self._decompressor = self._make()
            elif not self._decompressor.needs_input:
                rest = b""
            elif not (rest := self._stream.read(BUFFER_BYTES)):
                raise EOFError("its end is missing")
            if data := self._decompressor.decompress(rest, size):
                return data


class _Bounded(io.RawIOBase):
    """Counts the bytes that come out of `inner` and stops at `max_bytes`."""

    def __init__(self, inner: BinaryIO, place: str, max_bytes: int):
        self._inner = inner
        self._place = place
        self._max_bytes = max_bytes
        self._num_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        with _damage_named(self._place):
            data = self._inner.read(len(buffer))
        self._num_bytes += len(data)
        if self._num_bytes > self._max_bytes:
            raise A2DError(
                f"{self._place}: unpacks to more than {self._max_bytes:,} bytes, too much for an archive of its size",
                "if you trust it, unpack it by hand and name the file in the recipe",
            )
        buffer[: len(data)] = data
        return len(data)


def _bounded(inner: BinaryIO, place: str, max_bytes: int) -> BinaryIO:
    return io.BufferedReader(_Bounded(inner, place, max_bytes), BUFFER_BYTES)
