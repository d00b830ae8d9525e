"""Downloads against a server of our own that can break, refuse, redirect and lie."""

import hashlib
import http.server
import os
import threading
from dataclasses import dataclass, field

import pytest

from a2d_cli.config.schema import Download
from a2d_cli.data import download as download_module
from a2d_cli.data.download import fetch, relative_path
from a2d_cli.errors import A2DError, ConfigError
from a2d_cli.reporting import Progress, Reporter

DATA = bytes(range(256)) * 997
SHA256 = hashlib.sha256(DATA).hexdigest()
OTHER = hashlib.sha256(b"other").hexdigest()


@dataclass
class Site:
    """What the server does, and what it was asked for."""

    url: str = ""
    files: dict = field(default_factory=lambda: {"/data/a.gz": DATA})
    headers: dict = field(default_factory=lambda: {"ETag": '"v1"'})
    ranges: bool = True
    cut_after: list = field(default_factory=list)  # bytes sent before the connection breaks, one request each
    stall: bool = False  # say nothing more instead of breaking
    go_on: threading.Event = field(default_factory=threading.Event)
    statuses: list = field(default_factory=list)  # answers before the real one, one request each
    redirects: dict = field(default_factory=dict)
    requests: list = field(default_factory=list)  # (path, range or None)
    num_sent: int = 0


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def answer(self, status, data=b"", claimed=None, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data) if claimed is None else claimed))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        site = self.server.site
        wanted = self.headers.get("Range")
        site.requests.append((self.path, wanted))
        if site.statuses:
            self.answer(site.statuses.pop(0))
            return
        if self.path in site.redirects:
            self.answer(302, Location=site.redirects[self.path])
            return
        if self.path not in site.files:
            self.answer(404)
            return
        data = site.files[self.path]
        status, headers, start = 200, dict(site.headers), 0
        if_range = self.headers.get("If-Range")
        if wanted and site.ranges and if_range in (None, *site.headers.values()):
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(data):
                self.answer(416, **{"Content-Range": f"bytes */{len(data)}"})
                return
            status = 206
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        body = data[start:]
        sent = body[: site.cut_after.pop(0)] if site.cut_after else body
        site.num_sent += len(sent)
        self.answer(status, sent, len(body), **headers)
        if site.stall and len(sent) < len(body):
            site.go_on.wait(5)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def site():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.site = Site(url=f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.site
        server.site.go_on.set()
        server.shutdown()
        thread.join()


class Heard(Reporter, Progress):
    """Keeps what is said, and where the bar stands."""

    def __init__(self):
        self.messages, self.title, self.total, self.moved = [], None, None, 0

    def info(self, message):
        self.messages.append(message)

    warn = info

    def progress(self, title, total=None, unit=""):
        assert unit == "B"
        self.title, self.total, self.moved = title, total, 0
        return self

    def set_total(self, total):
        self.total = total

    def advance(self, amount=1, note=""):
        self.moved += amount


def get(url, folder, sha256=SHA256, mirror=None, reporter=None, retries=3, timeout_s=5):
    return fetch(
        Download(url, sha256),
        folder,
        mirror=mirror,
        reporter=reporter or Reporter(),
        retries=retries,
        timeout_s=timeout_s,
        backoff_s=0.001,
    )


def files_below(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_file_lands_at_host_and_path(site, tmp_path):
    heard = Heard()
    fetched = get(f"{site.url}/data/a.gz", tmp_path, reporter=heard)
    assert fetched.path == tmp_path / site.url.removeprefix("http://") / "data" / "a.gz"
    assert fetched.path.read_bytes() == DATA
    assert (fetched.sha256, fetched.from_mirror) == (SHA256, False)
    assert files_below(tmp_path) == ["a.gz"]
    assert (heard.title, heard.total, heard.moved) == ("a.gz", len(DATA), len(DATA))


def test_a_file_that_is_there_is_not_transferred(site, tmp_path):
    get(f"{site.url}/data/a.gz", tmp_path)
    get(f"{site.url}/data/a.gz", tmp_path, sha256=SHA256.upper())
    assert len(site.requests) == 1


def test_a_damaged_file_is_fetched_again(site, tmp_path):
    path = get(f"{site.url}/data/a.gz", tmp_path).path
    path.write_bytes(b"damaged")
    heard = Heard()
    get(f"{site.url}/data/a.gz", tmp_path, reporter=heard)
    assert path.read_bytes() == DATA
    assert "fetching it again" in heard.messages[0]


@pytest.mark.parametrize(
    "headers", [{"ETag": '"v1"'}, {"Last-Modified": "Sat, 22 Nov 2025 09:00:00 GMT"}, {"ETag": 'W/"v1"'}, {}]
)
def test_a_broken_transfer_goes_on_where_it_broke(site, tmp_path, headers):
    site.headers, site.cut_after = headers, [100_003, 50_021]
    heard = Heard()
    fetched = get(f"{site.url}/data/a.gz", tmp_path, reporter=heard)
    assert fetched.path.read_bytes() == DATA
    assert [wanted for _, wanted in site.requests] == [None, "bytes=100003-", "bytes=150024-"]
    assert site.num_sent == len(DATA)  # no byte twice
    assert heard.moved == len(DATA)
    assert "the connection broke after 100,003 of 255,232 bytes; trying again in 0.001 s (1 of 3)" in heard.messages[0]


def test_a_server_that_breaks_off_often_is_asked_as_long_as_it_sends(site, tmp_path):
    site.headers, site.cut_after = {"ETag": '"v1"'}, [20_000] * 9
    assert get(f"{site.url}/data/a.gz", tmp_path).path.read_bytes() == DATA
    assert len(site.requests) == 10  # with three retries of what brings nothing


def test_a_silent_server_is_left_and_asked_for_the_rest(site, tmp_path):
    site.stall, site.cut_after = True, [100_003]
    heard = Heard()
    fetched = get(f"{site.url}/data/a.gz", tmp_path, reporter=heard, timeout_s=0.2)
    assert fetched.path.read_bytes() == DATA
    assert site.num_sent == len(DATA)
    assert "timed out; trying again" in heard.messages[0]


def test_a_later_call_goes_on_too(site, tmp_path):
    site.cut_after = [100_003]
    with pytest.raises(A2DError, match=r"the connection broke .*\(tried 1 times; 100,003 bytes are kept\).*hint"):
        get(f"{site.url}/data/a.gz", tmp_path, retries=0)
    assert files_below(tmp_path) == ["a.gz.part", "a.gz.part.json"]
    get(f"{site.url}/data/a.gz", tmp_path)
    assert site.num_sent == len(DATA)
    assert files_below(tmp_path) == ["a.gz"]


def test_a_server_without_ranges_starts_again(site, tmp_path):
    site.ranges, site.cut_after = False, [100_003]
    heard = Heard()
    assert get(f"{site.url}/data/a.gz", tmp_path, reporter=heard).path.read_bytes() == DATA
    assert site.num_sent == 100_003 + len(DATA)
    assert heard.moved == len(DATA)


def test_a_file_that_changed_meanwhile_starts_again(site, tmp_path):
    site.cut_after = [100_003]
    with pytest.raises(A2DError):
        get(f"{site.url}/data/a.gz", tmp_path, sha256=None, retries=0)
    site.headers, site.files["/data/a.gz"] = {"ETag": '"v2"'}, DATA[::-1]
    assert get(f"{site.url}/data/a.gz", tmp_path, sha256=None).path.read_bytes() == DATA[::-1]


def test_a_part_of_unknown_version_is_not_trusted_without_a_sha256(site, tmp_path):
    site.headers, site.cut_after = {}, [100_003]
    get(f"{site.url}/data/a.gz", tmp_path, sha256=None)
    assert [wanted for _, wanted in site.requests] == [None, None]


@pytest.mark.parametrize("part", [DATA[:70_001][::-1], DATA + b"more", DATA[::-1]])
def test_a_part_that_does_not_fit_is_thrown_away(site, tmp_path, part):
    site.headers, site.cut_after = {}, [0]
    with pytest.raises(A2DError):
        get(f"{site.url}/data/a.gz", tmp_path, retries=0)
    next(tmp_path.rglob("a.gz.part")).write_bytes(part)
    assert get(f"{site.url}/data/a.gz", tmp_path, retries=0).path.read_bytes() == DATA


def test_a_part_that_is_whole_needs_nothing_more(site, tmp_path):
    site.cut_after = [0]
    with pytest.raises(A2DError):
        get(f"{site.url}/data/a.gz", tmp_path, retries=0)
    next(tmp_path.rglob("a.gz.part")).write_bytes(DATA)
    assert get(f"{site.url}/data/a.gz", tmp_path, retries=0).path.read_bytes() == DATA
    assert site.num_sent == 0


def test_a_wrong_sha256_keeps_the_file_aside(site, tmp_path):
    path = get(f"{site.url}/data/a.gz", tmp_path).path
    site.files["/data/a.gz"] = b"an error page"
    found = hashlib.sha256(b"an error page").hexdigest()
    with pytest.raises(A2DError, match=f"a.gz: SHA-256 is {found}, expected {OTHER} .*a.gz.bad"):
        get(f"{site.url}/data/a.gz", tmp_path, sha256=OTHER)
    assert path.read_bytes() == DATA  # what was there before is still there
    assert path.with_name("a.gz.bad").read_bytes() == b"an error page"
    assert files_below(tmp_path) == ["a.gz", "a.gz.bad"]


def test_without_a_sha256_the_first_file_is_trusted_and_held_to(site, tmp_path):
    url = f"{site.url}/data/a.gz"
    path = get(url, tmp_path, sha256=None).path
    recorded = path.with_name("a.gz.sha256")
    assert recorded.read_text() == f"{SHA256}  a.gz\n"
    path.unlink()
    site.files["/data/a.gz"] = b"new version"
    with pytest.raises(A2DError, match=f"expected {SHA256} .*delete a.gz.sha256"):
        get(url, tmp_path, sha256=None)
    recorded.unlink()
    assert get(url, tmp_path, sha256=None).path.read_bytes() == b"new version"
    recorded.write_text("nonsense")
    with pytest.raises(ConfigError, match="a.gz.sha256: expected 64 hexadecimal digits, got 'nonsense'"):
        get(url, tmp_path, sha256=None)


def test_a_file_put_there_by_hand_is_trusted(tmp_path):
    path = tmp_path / "example.org" / "a.gz"
    path.parent.mkdir()
    path.write_bytes(DATA)
    assert get("https://example.org/a.gz", tmp_path, sha256=None).sha256 == SHA256
    assert files_below(tmp_path) == ["a.gz", "a.gz.sha256"]


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_is_not_tried_again(site, tmp_path, status):
    site.statuses = [status] * 9
    with pytest.raises(A2DError, match=rf"{site.url}/data/a.gz: HTTP {status} .*hint: .*--mirror MIRROR"):
        get(f"{site.url}/data/a.gz", tmp_path)
    assert len(site.requests) == 1


def test_a_busy_server_is_tried_again(site, tmp_path):
    site.statuses = [503, 500, 429]
    assert get(f"{site.url}/data/a.gz", tmp_path).path.read_bytes() == DATA
    site.statuses = [503] * 9
    with pytest.raises(A2DError, match=r"HTTP 503 Service Unavailable \(tried 4 times\)"):
        get(f"{site.url}/data/b.gz", tmp_path)


def test_waits_double_up_to_a_bound_and_heed_the_server():
    patience = download_module._Patience(retries=9, timeout_s=1, backoff_s=1.0)
    assert [patience.wait_s(n, 0) for n in (1, 2, 3, 9)] == [1, 2, 4, 60]
    assert (patience.wait_s(1, 7), patience.wait_s(1, 3600)) == (7, 60)


def test_nobody_there(tmp_path):
    heard = Heard()
    with pytest.raises(A2DError, match=r"http://127.0.0.1:9/a.gz: Connection refused \(tried 2 times\)"):
        get("http://127.0.0.1:9/a.gz", tmp_path, reporter=heard)
    assert len(heard.messages) == 1


def test_redirects_are_followed_but_not_out_of_the_web(site, tmp_path):
    site.redirects = {"/old.gz": f"{site.url}/data/a.gz", "/evil": "file:///etc/passwd", "/loop": "/loop"}
    site.cut_after = [100_003]
    fetched = get(f"{site.url}/old.gz", tmp_path)
    assert fetched.path.name == "old.gz" and fetched.path.read_bytes() == DATA
    assert site.num_sent == len(DATA)  # a resumed transfer is redirected with its range
    for name in ("evil", "loop"):
        with pytest.raises(A2DError, match=f"{name}: HTTP 302"):
            get(f"{site.url}/{name}", tmp_path)


def test_a_mirror_folder_comes_first(tmp_path):
    place = tmp_path / "mirror" / "example.org" / "data" / "a.gz"
    place.parent.mkdir(parents=True)
    place.write_bytes(DATA)
    heard = Heard()
    fetched = get("https://example.org/data/a.gz", tmp_path / "raw", mirror=str(tmp_path / "mirror"), reporter=heard)
    assert fetched.from_mirror and fetched.path.read_bytes() == DATA
    assert (heard.total, heard.moved) == (len(DATA), len(DATA))
    place.write_bytes(b"broken")
    with pytest.raises(A2DError, match=f"{place}: SHA-256 is .*expected {SHA256}"):
        get("https://example.org/data/a.gz", tmp_path / "raw2", mirror=str(tmp_path / "mirror"))


def test_a_mirror_url_comes_first(site, tmp_path):
    site.files = {"/below/example.org/my%20data/a.gz%40v%3D1%26x%3D%252F": DATA}
    fetched = get("https://example.org/my%20data/a.gz?v=1&x=/", tmp_path, mirror=f"{site.url}/below/")
    assert fetched.from_mirror and fetched.path == tmp_path / "example.org" / "my data" / "a.gz@v=1&x=%2F"


def test_what_the_mirror_lacks_comes_from_the_web(site, tmp_path):
    (tmp_path / "mirror").mkdir()
    heard = Heard()
    for mirror in (str(tmp_path / "mirror"), f"{site.url}/mirror"):
        fetched = get(f"{site.url}/data/a.gz", tmp_path / "raw", mirror=mirror, reporter=heard)
        assert not fetched.from_mirror
        fetched.path.unlink()
    assert "not in the mirror" in heard.messages[0] and "(no such file); trying http" in heard.messages[0]
    assert "HTTP 404" in heard.messages[1]
    with pytest.raises(
        A2DError, match=r"b.gz: HTTP 404 Not Found; nor in the mirror: .*mirror/127.*b.gz: no such file"
    ):
        get(f"{site.url}/b.gz", tmp_path / "raw", mirror=str(tmp_path / "mirror"))
    with pytest.raises(ConfigError, match="mirror .*gone: no such folder"):
        get(f"{site.url}/b.gz", tmp_path / "raw", mirror=str(tmp_path / "gone"))


def test_a_file_url(tmp_path):
    (tmp_path / "a b.txt").write_bytes(DATA)
    fetched = get((tmp_path / "a b.txt").as_uri(), tmp_path / "raw")
    assert fetched.path.read_bytes() == DATA and fetched.path.name == "a b.txt"


@pytest.mark.parametrize(
    "url, message",
    [
        ("ftp://example.org/a", "scheme 'ftp' is not supported"),
        ("a.gz", "scheme '' is not supported"),
        ("https://example.org", "names no file"),
        ("https://example.org/folder/", "names no file"),
        ("https:///a", "names no file"),
        ("https://example.org/a/../b", "cannot be a file's name"),
        ("https://example.org/a/%2e%2e/%2e%2e/b", "cannot be a file's name"),
        ("https://example.org/a%00", "cannot be a file's name"),
        ("https://../a", "cannot be a file's name"),
    ],
)
def test_urls_that_cannot_be_right(tmp_path, url, message):
    with pytest.raises(ConfigError, match=message):
        get(url, tmp_path)


def test_a_sha256_that_cannot_be_right(tmp_path):
    with pytest.raises(ConfigError, match="sha256 of https://example.org/a: expected 64 hexadecimal digits, got '12'"):
        get("https://example.org/a", tmp_path, sha256="12")


def test_different_queries_are_different_files():
    names = {relative_path(f"https://u:p@example.org/a?{query}") for query in ("", "x=1", "x/1", "x_1", "y" * 999)}
    assert len(names) == 5
    assert all(name.startswith("example.org/a") and len(name) < 120 for name in names)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_disk(site, tmp_path):
    part = tmp_path / site.url.removeprefix("http://") / "data" / "a.gz.part"
    part.parent.mkdir(parents=True)
    part.symlink_to("/dev/full")
    with pytest.raises(A2DError, match="a.gz.part: no space left on the disk .*free some space"):
        get(f"{site.url}/data/a.gz", tmp_path)
    assert len(site.requests) == 1
