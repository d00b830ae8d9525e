"""Files that are either whole or not there: write to a temporary name, fsync, rename."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from a2d_cli.errors import A2DError, ConfigError

LOCK = ".lock"  # in a folder that one process holds against others
DISK_FULL, IN_USE = "no space left on the disk", "is in use by"  # in errors: `compare` reads them of its processes


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn 'disk full', 'file too large' and 'permission denied' into errors that name the path and the remedy."""
    try:
        yield
    except OSError as error:
        explained = explain_disk_error(error, path)
        if explained is None:
            raise
        raise explained from error


def explain_disk_error(error: OSError, path: Path) -> A2DError | None:
    """What the operating system's error means for `path`, and what to do; None: it is not about the disk."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free_mib = free_bytes(path) // 2**20
        return A2DError(
            f"{path}: {DISK_FULL} ({free_mib} MiB free)",
            "free some space and run the same command again; what was finished is kept",
        )
    if error.errno == errno.EFBIG:
        return A2DError(
            f"{path}: larger than a file may be here",
            "raise the limit (ulimit -f) or choose another disk with -C DIR, and run the same command again",
        )
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return A2DError(f"{path}: cannot be written: {error.strerror}", "choose a folder of your own with -C DIR")
    return None


def free_bytes(path: Path) -> int:
    """Of the disk that `path` is on, or will be."""
    path = Path(path).absolute()
    return shutil.disk_usage(next(place for place in (path, *path.parents) if place.exists())).free


def check_target(option: str, path: Path) -> None:
    """Refuse before long work what could not be written after it.

    Raises:
        ConfigError: it is a folder or a device, or its own folder is not there or not ours to write in.
    """
    if path.exists() and not path.is_file():
        what, hint = ("a folder", "name a file in it") if path.is_dir() else ("no plain file", "name another")
        raise ConfigError(f"{option} {path}: {what}", hint)
    if not path.parent.is_dir():
        raise ConfigError(f"{option} {path}: no folder {path.parent}", "make it first, or name another")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise ConfigError(
            f"{option} {path}: nothing can be written in {path.parent.absolute()}", "name a file in another folder"
        )


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`; renamed onto it if the block ends well, else removed."""
    path = Path(path)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with open(temporary, "rb+") as stream:
                os.fsync(stream.fileno())
            temporary.chmod(0o666 & ~_umask())
            os.replace(temporary, path)
            _fsync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A new folder beside `path`; takes its place if the block ends well, else removed.

    What a killed process had begun of the same folder goes first; what a living one writes beside it stays.
    """
    path = Path(path)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        for begun in path.parent.glob(f".{glob.escape(path.name)}.????????.tmp"):  # as mkdtemp names it
            with _hold(begun) as is_ours:
                if is_ours:
                    shutil.rmtree(begun, ignore_errors=True)
        with _new_beside(path) as temporary:
            temporary.chmod(0o777 & ~_umask())
            yield temporary
            _put_in_place(temporary, path)
            _fsync_folder(path.parent)


@contextlib.contextmanager
def _new_beside(path: Path) -> Iterator[Path]:
    """A held folder of a temporary name; what is there of it after the block goes."""
    with contextlib.ExitStack() as held:
        while True:
            folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
            if held.enter_context(_hold(folder)) and folder.exists():
                break  # before another process took it for one that nobody holds
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _put_in_place(new: Path, path: Path) -> None:
    """Rename a folder to what may be one already, whose place is free for a moment only; a file is never replaced."""
    while True:
        with _new_beside(path) as aside:
            with contextlib.suppress(FileNotFoundError):  # there is none, or another process was faster
                if path.is_symlink() or path.is_dir():
                    os.replace(path, aside / path.name)
            try:
                os.replace(new, path)
                return
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # another process has put its own there
                    raise


@contextlib.contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """A folder that is gone after the block, where the system keeps such (TMPDIR)."""
    with tempfile.TemporaryDirectory(prefix=prefix) as name, disk_errors(Path(name)):
        yield Path(name)


def user_path(text: str | Path) -> Path:
    """A path as typed, `~` understood.

    Raises:
        ConfigError: nobody of that name has a home.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ConfigError(f"{text}: no home folder is known for that", "write the whole path") from None


@contextlib.contextmanager
def _hold(folder: Path) -> Iterator[bool]:
    """Hold a folder without a file in it until the block or the process ends.

    False: it is no folder, or another process does.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        yield False
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        yield False
    else:
        yield True
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Delete a file, a link (never what it points to) or a folder with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Delete what killed processes were writing here; call it where no other process writes."""
    for path in list(Path(folder).rglob(".*.tmp")):
        remove(path)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def finite(value: Any) -> Any:
    """A value as strict JSON can say it: null where it holds a NaN or an infinity."""
    return json.loads(json.dumps(value), parse_constant=lambda _: None)


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def check_format(path: Path, found: Any, newest: int) -> None:
    """Refuse a file that a later version of a2d wrote.

    Args:
        found: the file's format number.
        newest: the newest that this version reads.
    """
    if not isinstance(found, int) or found < 1:
        raise A2DError(f"{path}: no format number: not written by a2d")
    if found > newest:
        raise A2DError(
            f"{path}: format {found} is newer than this a2d reads (up to {newest})", "upgrade: pip install -U a2d-cli"
        )


def sha256_file(path: Path, on_bytes: Callable[[int], None] | None = None) -> str:
    """Hex SHA-256 of a file's bytes; `on_bytes` is told the size of each block read."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
            if on_bytes:
                on_bytes(len(block))
    return digest.hexdigest()


def fingerprint(value: Any) -> str:
    """Sixteen hex digits of a JSON value, the same for equal values."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@contextlib.contextmanager
def lock_folder(folder: Path, command: str, shared: bool = False) -> Iterator[None]:
    """Hold a folder against other processes; the kernel lets go when the process ends, however it ends.

    Args:
        command: what the holder does, told to whoever finds the door shut.
        shared: beside other shared holders.

    Raises:
        A2DError: another process works there (names its command and process number).
    """
    path = folder / LOCK
    with disk_errors(path):
        folder.mkdir(parents=True, exist_ok=True)
        stream = path.open("a+", encoding="utf-8", errors="replace")
    with stream:
        stream.seek(0)
        holders = [line for line in stream.read().splitlines() if _is_alive(line)]
        try:
            fcntl.flock(stream, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise A2DError(
                f"{folder} {IN_USE} {' and '.join(holders) or 'another process'}",
                "wait until it ends, or stop it; a killed process leaves no lock behind",
            ) from None
        with disk_errors(path):
            stream.truncate(0)
            stream.writelines(
                f"{line}\n" for line in [*(holders if shared else []), f"'{command}' (process {os.getpid()})"]
            )
            stream.flush()
        yield


def holding_process(folder: Path) -> int | None:
    """The number of the process that holds a folder against all others; None: nobody does."""
    try:
        stream = (folder / LOCK).open(encoding="utf-8", errors="replace")
    except OSError:
        return None
    with stream:
        holders = [line for line in stream.read().splitlines() if _is_alive(line)]
        if not holders:  # so that nobody who begins now finds the folder held by this very question
            return None
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _process_of(holders[0])
    return None


def _process_of(holder: str) -> int:
    return int(holder.rpartition(" ")[2].rstrip(")"))


def _is_alive(holder: str) -> bool:
    """Whether the process of a line in a lock file still runs."""
    try:
        os.kill(_process_of(holder), 0)
    except (ValueError, OverflowError, ProcessLookupError):
        return False
    except PermissionError:  # another user's
        pass
    return True
