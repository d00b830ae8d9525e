"""One file from the web, whole and checked, or an error: mirrors, resumed transfers, SHA-256."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import TypedDict

from a2d_cli import __version__
from a2d_cli.config.schema import Download
from a2d_cli.errors import A2DError, ConfigError
from a2d_cli.files import disk_errors, sha256_file, user_path, write_json, write_text
from a2d_cli.json_files import read_json
from a2d_cli.reporting import Progress, Reporter

BLOCK_BYTES = 1 << 17
MAX_WAIT_S = 60.0  # between two tries, whatever the server asks for
_BUSY_STATUSES = (408, 425, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class Fetched:
    path: Path
    sha256: str
    from_mirror: bool  # of this call: False if the file was there already


@dataclass(frozen=True)
class _Patience:
    retries: int
    timeout_s: float
    backoff_s: float

    def wait_s(self, num_failures: int, asked_s: float) -> float:
        return min(max(self.backoff_s * 2 ** (num_failures - 1), asked_s), MAX_WAIT_S)


class NotToBeHad(A2DError):
    """A file that neither its own place nor a mirror gives now."""


class _Unavailable(Exception):
    """A source does not give the file; the text says why. Another source may."""


class _Broken(Exception):
    """A transfer that may go well when tried again."""

    def __init__(self, reason: str, answered: bool = True, wait_s: float = 0.0):
        super().__init__(reason)
        self.answered = answered  # whether the host said anything at all
        self.wait_s = wait_s  # asked for by the server


def fetch(
    download: Download,
    folder: Path,
    *,
    mirror: str | None,
    reporter: Reporter,
    retries: int = 5,
    timeout_s: float = 30,
    backoff_s: float = 1.0,
) -> Fetched:
    """Bring a file to `folder`/HOST/PATH; nothing is transferred if it is there with the right SHA-256.

    A broken transfer leaves NAME.part, and this or a later call goes on from there. Where the recipe knows no
    SHA-256, the first file's is written to NAME.sha256 and later files are held to it.

    Args:
        mirror: folder or http(s) URL under which HOST/PATH is tried first.
        retries: after broken transfers, time-outs and busy servers. A host that never answers gets one.
        timeout_s: without a byte.
        backoff_s: before the first retry, doubled for each further one.

    Raises:
        NotToBeHad: names the URL, the status and the mirror.
        A2DError: other SHA-256, disk full.
        ConfigError: a URL or SHA-256 that cannot be right, no such mirror folder.
    """
    relative = relative_path(download.url)
    path = Path(folder) / relative
    recorded = path.with_name(f"{path.name}.sha256")
    expected = _expected_sha256(download, recorded)
    if path.is_file():
        found = sha256_file(path)
        if expected in (None, found):
            if not expected:
                _record(recorded, found, path.name)
            return Fetched(path, found, from_mirror=False)
        reporter.warn(f"{path}: SHA-256 is {found}, expected {expected}: fetching it again")

    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    patience = _Patience(retries, timeout_s, backoff_s)
    mirrored = _mirrored(mirror, relative) if mirror else None
    from_mirror, missed = False, ""
    if mirrored:
        try:
            found = _take_checked(mirrored, path, expected, patience, reporter)
            from_mirror = True
        except _Unavailable as why:
            missed = f"; nor in the mirror: {mirrored}: {why}"
            reporter.info(f"not in the mirror: {mirrored} ({why}); trying {download.url}")
    if not from_mirror:
        try:
            found = _take_checked(download.url, path, expected, patience, reporter)
        except _Unavailable as why:
            raise NotToBeHad(
                f"{download.url}: {why}{missed}",
                f"check the connection and run the same command again, or put the file at MIRROR/{relative} "
                "and add --mirror MIRROR",
            ) from None
    if not expected:
        _record(recorded, found, path.name)
    return Fetched(path, found, from_mirror)


def relative_path(url: str) -> str:
    """HOST/PATH of a URL: where its file stands in a mirror and in data/raw. A query joins the name, escaped.

    Raises:
        ConfigError: not http, https or file, or no file's name in it.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https", "file"):
        raise ConfigError(f"{url}: scheme {parts.scheme!r} is not supported", "use http, https or file")
    host = parts.netloc.rpartition("@")[2] or ("localhost" if parts.scheme == "file" else "")
    segments = [segment for segment in urllib.parse.unquote(parts.path).split("/") if segment]
    if not host or not segments or parts.path.endswith("/"):
        raise ConfigError(f"{url}: names no file", "give the whole address, https://HOST/PATH")
    if any(segment in (".", "..") or re.search(r"[\x00-\x1f\\]", segment) for segment in (host, *segments)):
        raise ConfigError(f"{url}: its path cannot be a file's name here", "give the address without '..' and controls")
    if parts.query:
        query = urllib.parse.quote(parts.query, safe="=&")
        segments[-1] += "@" + (query if len(query) < 100 else hashlib.sha256(query.encode()).hexdigest()[:32])
    return "/".join([host, *segments])


def _expected_sha256(download: Download, recorded: Path) -> str | None:
    if download.sha256 is not None:
        text, where = download.sha256, f"sha256 of {download.url}"
    elif recorded.is_file():
        text, where = recorded.read_text(encoding="utf-8").partition(" ")[0], str(recorded)
    else:
        return None
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise ConfigError(f"{where}: expected 64 hexadecimal digits, got {text!r}", "see: sha256sum FILE")
    return text.lower()


def _record(recorded: Path, sha256: str, name: str) -> None:
    write_text(recorded, f"{sha256}  {name}\n")  # `sha256sum -c` reads it


def _mirrored(mirror: str, relative: str) -> str:
    """The mirror's URL or path of a file."""
    folder = _local_path(mirror)
    if folder is None:
        return f"{mirror.rstrip('/')}/{urllib.parse.quote(relative, safe='/:')}"
    if not folder.is_dir():
        raise ConfigError(f"mirror {mirror}: no such folder", "give a folder or an http(s) URL to --mirror")
    return str(folder / relative)


def _local_path(source: str) -> Path | None:
    """None for http and https."""
    if source.startswith("file:"):
        return Path(urllib.request.url2pathname(urllib.parse.urlsplit(source).path))
    return None if source.startswith(("http://", "https://")) else user_path(source)


def _take_checked(source: str, path: Path, expected: str | None, patience: _Patience, reporter: Reporter) -> str:
    """Transfer `source` to `path` by way of NAME.part; its SHA-256."""
    part = _Part(path.with_name(f"{path.name}.part"), source, expected is not None)
    _take(source, part, patience, reporter)
    found = sha256_file(part.path)
    if part.resumed and expected and found != expected:
        reporter.info(f"{source}: the part kept from an earlier try does not fit; starting again")
        part.discard()
        _take(source, part, patience, reporter)
        found = sha256_file(part.path)
    if expected and found != expected:
        bad = path.with_name(f"{path.name}.bad")
        os.replace(part.path, bad)
        part.discard()
        raise A2DError(
            f"{source}: SHA-256 is {found}, expected {expected}",
            f"the file is kept as {bad}: look whether it is an error page or a new version; if it is right, "
            f"correct the recipe's sha256 (or delete {path.name}.sha256 beside it)",
        )
    with disk_errors(path):
        os.replace(part.path, path)
    part.discard()
    return found


class _Notes(TypedDict, total=False):
    source: str
    validator: str | None


class _Part:
    """NAME.part, and beside it in NAME.part.json what tells whether the server still holds the same file."""

    def __init__(self, path: Path, source: str, will_be_checked: bool):
        self.path = path
        self._notes = path.with_name(f"{path.name}.json")
        self._source = source
        self._will_be_checked = will_be_checked  # against a known SHA-256
        self.resumed = False  # whether it was put together from more than one transfer

    def validator(self) -> str | None:
        """ETag or date for If-Range."""
        return self._read_notes().get("validator")

    def resumable_bytes(self) -> int:
        """How much of it can be kept: all, if it comes from the same source and a mix of versions would be noticed."""
        if not self.path.is_file():
            return 0
        notes = self._read_notes()
        if notes.get("source") != self._source or not (self._will_be_checked or notes.get("validator")):
            return 0
        return self.path.stat().st_size

    def begin(self, validator: str | None) -> None:
        with disk_errors(self.path):
            self.path.write_bytes(b"")
        write_json(self._notes, {"source": self._source, "validator": validator})

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self._notes.unlink(missing_ok=True)

    def _read_notes(self) -> _Notes:
        """Empty where there are none that can be read: then nothing is kept."""
        try:
            return read_json(self._notes, "note", _Notes)
        except A2DError:
            return {}


def _take(source: str, part: _Part, patience: _Patience, reporter: Reporter) -> None:
    """Fill `part` from a file or over HTTP, trying again where that may help."""
    with reporter.progress(part.path.stem, unit="B") as progress:
        if origin := _local_path(source):
            _copy(origin, part, progress)
            return
        shown = _Shown(progress)
        num_failures, answered = 0, False
        while True:
            before = shown.num_bytes
            try:
                _transfer(source, part, patience.timeout_s, shown)
                return
            except _Broken as broken:
                num_failures = 1 if shown.num_bytes > before else num_failures + 1  # in a row that brought nothing
                answered = answered or broken.answered
                allowed = patience.retries if answered else min(patience.retries, 1)
                if num_failures > allowed:
                    kept = f"; {shown.num_bytes:,} bytes are kept" if shown.num_bytes else ""
                    raise _Unavailable(f"{broken} (tried {num_failures} times{kept})") from None
                wait_s = patience.wait_s(num_failures, broken.wait_s)
                reporter.info(f"{source}: {broken}; trying again in {wait_s:g} s ({num_failures} of {allowed})")
                time.sleep(wait_s)


class _Shown:
    """What the progress bar shows, which may have to go back."""

    def __init__(self, progress: Progress):
        self._progress = progress
        self.num_bytes = 0

    def move_to(self, num_bytes: int) -> None:
        self._progress.advance(num_bytes - self.num_bytes)
        self.num_bytes = num_bytes

    def set_total(self, num_bytes: int | None) -> None:
        self._progress.set_total(num_bytes)


def _copy(origin: Path, part: _Part, progress: Progress) -> None:
    if not origin.is_file():
        raise _Unavailable("no such file")
    if not os.access(origin, os.R_OK):
        raise _Unavailable("permission denied")
    part.begin(None)
    with open(origin, "rb") as reading, disk_errors(part.path), open(part.path, "wb") as writing:
        progress.set_total(origin.stat().st_size)
        while block := reading.read(BLOCK_BYTES):
            writing.write(block)
            progress.advance(len(block))
        writing.flush()
        os.fsync(writing.fileno())


def _transfer(source: str, part: _Part, timeout_s: float, shown: _Shown) -> None:
    """One request; what arrives is in `part` even if the rest does not.

    Raises:
        _Broken: may go well another time.
        _Unavailable: will not.
    """
    start = part.resumable_bytes()
    part.resumed = start > 0
    headers = {"User-Agent": f"a2d/{__version__}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if validator := part.validator():
            headers["If-Range"] = validator
    try:
        response = _opener().open(urllib.request.Request(_escaped(source), headers=headers), timeout=timeout_s)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and start:
                if _content_range(error.headers).size != start:
                    part.discard()
                    _transfer(source, part, timeout_s, shown)
                else:
                    shown.move_to(start)  # nothing was missing
                return
            reason = f"HTTP {error.code} {error.reason}"
            if error.code in _BUSY_STATUSES:
                raise _Broken(reason, wait_s=_asked_wait_s(error.headers)) from None
            raise _Unavailable(reason) from None
    except (OSError, http.client.HTTPException) as error:  # URLError is an OSError
        raise _Broken(_reason(error), answered=isinstance(error, http.client.HTTPException)) from None
    with response:
        if response.status == 206 and not start:
            raise _Unavailable("HTTP 206: a range, though the whole was asked for")
        if response.status == 206 and _content_range(response.headers).start != start:
            part.discard()
            _transfer(source, part, timeout_s, shown)
            return
        if response.status != 206:
            part.begin(_validator(response.headers))
            start, part.resumed = 0, False
        length = response.headers.get("Content-Length", "")
        total = start + int(length) if length.isdigit() else None
        shown.set_total(total)
        shown.move_to(start)
        for num_bytes in _append(response, part.path):
            shown.move_to(shown.num_bytes + num_bytes)
    if total is not None and shown.num_bytes < total:
        raise _Broken(f"the connection broke after {shown.num_bytes:,} of {total:,} bytes")


def _append(response: http.client.HTTPResponse, path: Path) -> Iterator[int]:
    """Write what arrives to the end of `path`; the size of each block."""
    with disk_errors(path), open(path, "ab") as writing:
        while True:
            try:
                block = response.read1(BLOCK_BYTES)
            except (OSError, http.client.HTTPException) as error:
                raise _Broken(_reason(error)) from None
            if not block:
                break
            writing.write(block)
            yield len(block)
        writing.flush()
        os.fsync(writing.fileno())


def _opener() -> urllib.request.OpenerDirector:
    """http and https only, proxies and redirects included: a redirect cannot lead to ftp or a local file."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener


def _escaped(url: str) -> str:
    return urllib.parse.quote(url, safe="%/:=&?~#+!$,;'@()*[]")


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.URLError):
        error = error.reason if isinstance(error.reason, Exception) else error
    if isinstance(error, TimeoutError):
        return "timed out"
    return str(getattr(error, "strerror", None) or error) or type(error).__name__


def _validator(headers: Message) -> str | None:
    etag = headers.get("ETag", "")
    if etag and not etag.startswith("W/"):  # a weak tag may not stand in If-Range
        return etag
    return headers.get("Last-Modified")


@dataclass(frozen=True)
class _ContentRange:
    start: int | None = None
    size: int | None = None  # of the whole file


def _content_range(headers: Message) -> _ContentRange:
    match = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(?:(\d+)|\*)", headers.get("Content-Range", "").strip())
    if not match:
        return _ContentRange()
    return _ContentRange(int(match[1]) if match[1] else None, int(match[2]) if match[2] else None)


def _asked_wait_s(headers: Message) -> float:
    seconds = headers.get("Retry-After", "")
    return float(seconds) if seconds.isdigit() else 0.0
