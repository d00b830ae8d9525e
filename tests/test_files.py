"""Files that are whole or not there, on a disk that fills up and in a folder that others use."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ENVIRONMENT, Launcher, settings

from a2d_cli.errors import A2DError
from a2d_cli.files import (
    atomic_folder,
    atomic_path,
    check_format,
    fingerprint,
    lock_folder,
    remove,
    remove_leftovers,
    write_json,
)
from a2d_cli.json_files import read_json

TRAIN = [
    "train-teacher",
    *settings({"training.max_updates": 4, "training.save_every_updates": 1, "training.decode_below_nll": 0}),
]
# The n-th write of weights, state or text finds no room.
FULL_DISK = """
import errno, io, os
from pathlib import Path
left = [{count}]
def limited(write):
    def attempt(self, *args, **options):
        left[0] -= 1
        if left[0] == 0:
            raise OSError({number}, os.strerror({number}))
        return write(self, *args, **options)
    return attempt
Path.write_bytes, Path.write_text = limited(Path.write_bytes), limited(Path.write_text)
"""


def test_a_file_is_the_old_one_until_it_is_the_new_one(tmp_path: Path):
    path = tmp_path / "new folder" / "file"
    for text in ("first", "second"):
        with atomic_path(path) as temporary:
            temporary.write_text(text)
            assert not path.exists() or path.read_text() == "first"
        assert path.read_text() == text
    with pytest.raises(ZeroDivisionError), atomic_path(path) as temporary:
        temporary.write_text("third")
        print(1 / 0)
    assert path.read_text() == "second"
    assert [each.name for each in path.parent.iterdir()] == ["file"]


def test_a_file_has_the_rights_that_the_person_gives(tmp_path: Path):
    before = os.umask(0o027)
    try:
        write_json(tmp_path / "file", {})
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (
            errno.ENOSPC,
            r"file: no space left on the disk \(\d+ MiB free\) .*free some space and run the same command again",
        ),
        (errno.EDQUOT, r"file: no space left on the disk"),
        (errno.EFBIG, r"file: larger than a file may be here .*ulimit -f"),
        (errno.EACCES, r"file: cannot be written: Permission denied .*-C DIR"),
        (errno.EROFS, r"file: cannot be written: Read-only file system"),
    ],
)
def test_what_a_disk_refuses_is_told_with_its_remedy(tmp_path: Path, number: int, message: str):
    with pytest.raises(A2DError, match=message), atomic_path(tmp_path / "file"):
        raise OSError(number, os.strerror(number))
    assert not list(tmp_path.iterdir())


def test_errors_that_are_not_about_the_disk_pass(tmp_path: Path):
    with pytest.raises(ConnectionResetError), atomic_path(tmp_path / "file"):
        raise ConnectionResetError(errno.ECONNRESET, "reset")


def test_leftovers_of_killed_processes_are_removed(tmp_path: Path):
    with atomic_path(tmp_path / "deep" / "file") as temporary:
        leftover = temporary.with_name(temporary.name.replace(".file.", ".other."))
        leftover.touch()
    (tmp_path / ".hidden").touch()
    (tmp_path / "deep" / ".folder.x.tmp").mkdir()
    (tmp_path / "deep" / ".folder.x.tmp" / ".inner.y.tmp").touch()
    (tmp_path / ".link.x.tmp").symlink_to(tmp_path / "deep")
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == [".hidden", "deep", "file"]


WRITE_FOLDER = """
import sys
from pathlib import Path
from a2d_cli.files import atomic_folder
with atomic_folder(Path({path!r})) as new:
    (new / "half").touch()
    print(new, flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_process_had_begun_of_a_folder_goes_and_what_a_living_one_writes_stays(tmp_path: Path):
    path = tmp_path / "a[b]"
    for name in (".a[b].2345678x.tmp", ".a[b].other.2345678x.tmp"):  # one of a killed process, one of another folder
        (tmp_path / name).mkdir()
        (tmp_path / name / "half").touch()
    (tmp_path / ".a[b].2345678y.tmp").symlink_to(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-c", WRITE_FOLDER.format(path=str(path))],
        env={**os.environ, **ENVIRONMENT},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    living = Path(process.stdout.readline().rstrip("\n"))
    others = {".a[b].other.2345678x.tmp", ".a[b].2345678y.tmp"}
    with atomic_folder(path) as new:
        (new / "whole").touch()
        assert {each.name for each in tmp_path.iterdir()} == {*others, living.name, new.name}
    process.terminate()
    process.communicate()
    assert (living / "half").exists()  # nothing is run at its end
    with atomic_folder(path):
        assert not living.exists()
    assert {each.name for each in tmp_path.iterdir()} == {*others, "a[b]"} and not list(path.iterdir())


def test_a_link_is_replaced_and_what_it_points_to_stays(tmp_path: Path):
    place, link = tmp_path / "place", tmp_path / "link"
    place.mkdir()
    (place / "old").touch()
    for target in (place, tmp_path / "nowhere"):
        remove(link)
        link.symlink_to(target)
        with atomic_folder(link) as new:
            (new / "new").touch()
        assert not link.is_symlink() and [each.name for each in link.iterdir()] == ["new"]
    assert [each.name for each in place.iterdir()] == ["old"]


def test_processes_that_replace_the_same_folder_do_not_trip_over_each_other(tmp_path: Path):
    path, told = tmp_path / "folder", []

    def replace(number: int) -> None:
        try:
            for _ in range(20):
                with atomic_folder(path) as new:
                    for name in "abc":
                        (new / name).write_text(str(number))
        except OSError as error:
            told.append(error)

    threads = [threading.Thread(target=replace, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not told
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]
    assert len({(path / name).read_text() for name in "abc"}) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such run file"),
        ("{", "not a run file of a2d: Expecting"),
        ("[]", "not a run file of a2d: no JSON object"),
    ],
)
def test_json_that_cannot_be_read(tmp_path: Path, text: str | None, message: str):
    if text is not None:
        (tmp_path / "x.json").write_text(text)
    with pytest.raises(A2DError, match=f"x.json: {message}"):
        read_json(tmp_path / "x.json", "run file")


def test_formats(tmp_path: Path):
    check_format(tmp_path, 3, newest=3)
    with pytest.raises(A2DError, match=r"format 4 is newer than this a2d reads \(up to 3\) .*pip install -U a2d-cli"):
        check_format(tmp_path, 4, newest=3)
    for found in (None, 0, "3"):
        with pytest.raises(A2DError, match="no format number: not written by a2d"):
            check_format(tmp_path, found, newest=3)


def test_equal_values_have_equal_fingerprints():
    assert fingerprint({"a": 1, "b": ["ü"]}) == fingerprint({"b": ["ü"], "a": 1}) != fingerprint({"a": 1, "b": []})


# Disk full, through commands


@pytest.mark.parametrize("count", [1, 4, 6, 9])
def test_a_full_disk_stops_training_and_the_same_command_goes_on(a2d: Launcher, project: Path, count: int):
    said = a2d.error(project, *TRAIN, before=FULL_DISK.format(count=count, number=errno.ENOSPC), code=1)
    assert "no space left on the disk" in said and str(project) in said
    assert "hint: free some space and run the same command again; what was finished is kept" in said
    a2d.well(project, *TRAIN)
    rows = (project / "runs/teacher/metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert sum(json.loads(row)["event"] == "valid" for row in rows) == 1


NO_STATE = """
from pathlib import Path
write_bytes = Path.write_bytes
Path.write_bytes = lambda self, data: 0 if "training_state" in self.name else write_bytes(self, data)
"""


def test_a_file_size_limit_is_told(a2d: Launcher, project: Path):
    """The kernel refuses here, not a test double: in weights (Rust), state (torch) and text."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))"
    hint = "larger than a file may be here\nhint: raise the limit (ulimit -f)"
    a2d.well(project, *TRAIN, "--name", "whole")
    size = (project / "runs/whole/last/model.safetensors").stat().st_size
    for name, before in (
        ("run.json", limit.format(size=1009)),
        ("training_state.pt", limit.format(size=size)),
    ):
        assert f"{name}: {hint}" in a2d.error(project, *TRAIN, before=before, code=1)
    a2d.well(project, *TRAIN)
    before = limit.format(size=size - 1) + NO_STATE
    assert f"last/model.safetensors: {hint}" in a2d.error(project, *TRAIN, "--overwrite", before=before, code=1)


def test_a_full_disk_stops_translation_to_a_file(a2d: Launcher, taught: Path, tmp_path: Path):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1009, 1009))"  # stderr is a file too
    said = a2d.error(taught, "translate", "-o", str(tmp_path / "out"), stdin=b"dose labi\n" * 307, before=limit, code=1)
    assert f"{tmp_path / 'out.part'}: larger than a file may be here" in said
    assert [path.name for path in tmp_path.iterdir()] == ["out.part"]


# Locks

HOLD = """
import sys
from pathlib import Path
from a2d_cli.files import lock_folder
with lock_folder(Path({folder!r}), {command!r}, {shared}):
    print(flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def held(folder: Path, command: str, shared: bool = False) -> Iterator[int]:
    """Another process, of this number, works in a folder, and is killed at the end."""
    code = HOLD.format(folder=str(folder), command=command, shared=shared)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, **ENVIRONMENT}, **pipes)
    assert process.stdout.readline()
    try:
        yield process.pid
    finally:
        process.kill()
        process.communicate()


def test_a_held_folder_is_refused_and_a_killed_holder_leaves_no_lock(tmp_path: Path):
    with held(tmp_path, "a2d prepare x") as number:
        message = rf"is in use by 'a2d prepare x' \(process {number}\) .*a killed process leaves no lock behind"
        for shared in (False, True):
            with pytest.raises(A2DError, match=message), lock_folder(tmp_path, "a2d score", shared):
                pass
    with lock_folder(tmp_path, "a2d score"):
        pass


def test_shared_holders_stand_beside_each_other_and_are_all_named(tmp_path: Path):
    with held(tmp_path, "a2d distill", shared=True) as first:
        with held(tmp_path, "a2d score", shared=True) as second:
            message = rf"'a2d distill' \(process {first}\) and 'a2d score' \(process {second}\)"
            with pytest.raises(A2DError, match=message), lock_folder(tmp_path, "a2d prepare"):
                pass
        # Who has ended is not named.
        with (
            pytest.raises(A2DError, match=r"in use by 'a2d distill' \(process \d+\) \|"),
            lock_folder(tmp_path, "a2d prepare"),
        ):
            pass


def test_commands_say_who_holds_the_project_or_the_run(a2d: Launcher, project: Path):
    with held(project, "a2d prepare"):
        assert f"error: {project} is in use by 'a2d prepare' (process " in a2d.error(project, *TRAIN, code=1)
    with held(project / "runs" / "teacher", "a2d train-teacher"):
        assert "runs/teacher is in use by 'a2d train-teacher' (process " in a2d.error(project, *TRAIN, code=1)
        a2d.well(project, *TRAIN, "--name", "other")
    with held(project, "a2d train-teacher --name x", shared=True):
        a2d.well(project, *TRAIN)
        said = a2d.error(project, "prepare", code=1)
        assert "is in use by 'a2d train-teacher --name x' (process " in said
