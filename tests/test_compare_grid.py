"""The processes of a comparison: their environment, and what reaches them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import deque
from pathlib import Path

import pytest

from a2d_cli.cli import training as command_line
from a2d_cli.commands import compare as compare_command
from a2d_cli.commands import compare_grid
from a2d_cli.commands.compare_grid import Launch, _environment, _Grid, _Task
from a2d_cli.errors import A2DError
from a2d_cli.files import DISK_FULL
from a2d_cli.project.run import Run
from a2d_cli.reporting import Reporter
from a2d_cli.training.interruption import Interruption


def test_a_run_finds_the_a2d_that_started_it_and_nothing_of_the_users_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    root = str(Path(compare_grid.__file__).parents[2])
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setattr(compare_grid.sysconfig, "get_path", lambda _: root)
    assert "PYTHONPATH" not in _environment(3)  # it is installed
    monkeypatch.setattr(compare_grid.sysconfig, "get_path", lambda _: "/elsewhere")
    environment = _environment(3)
    assert (environment["OMP_NUM_THREADS"], environment["PYTHONPATH"]) == ("3", root)
    monkeypatch.setenv("PYTHONPATH", "/mine")
    assert _environment(3)["PYTHONPATH"].split(os.pathsep) == ["/mine", root]
    (tmp_path / "typer.py").write_text("raise SystemExit('of the folder')")
    code = [sys.executable, "-m", "a2d_cli", "--version"]
    done = subprocess.run(code, check=False, cwd=tmp_path, env=environment, capture_output=True, text=True)
    if sys.version_info >= (3, 11):
        assert (done.returncode, done.stderr) == (0, "")


def test_threads_are_the_cores_of_this_process_shared_by_the_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked = []

    def noted(_, request: compare_command.Request, *__: object) -> None:
        asked.append(request.threads)
        raise A2DError("enough")

    monkeypatch.setattr(compare_command, "compare", noted)
    monkeypatch.setattr(command_line, "num_cores", lambda: 7)
    monkeypatch.setattr(os, "cpu_count", lambda: 128)

    class Context:
        obj = None

    for jobs, threads in ((1, 7), (2, 3), (9, 1)):
        with pytest.raises(A2DError, match="enough"):
            command_line.compare(
                Context(), jobs=jobs, threads=None, updates=None, teacher=None, student=None, beam=None
            )
        assert asked[-1] == threads


@pytest.mark.parametrize("ignored", [False, True])
def test_a_closed_terminal_is_an_interruption_unless_it_is_ignored(ignored: bool):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
    try:
        interruption = Interruption()
        with interruption.noted():
            os.kill(os.getpid(), signal.SIGHUP)
            assert interruption.number == (0 if ignored else signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is (signal.SIG_IGN if ignored else signal.SIG_DFL)
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("of_training", [True, False])
def test_where_a_full_disk_keeps_runs_from_being_trained_the_grid_has_failed(tmp_path: Path, of_training: bool):
    class Ended:
        task = _Task("a", (), Run(tmp_path / "a") if of_training else None)

        def problem(self) -> str:
            return f"a2d: {DISK_FULL} (0 MiB free)"

        def warnings(self) -> list[str]:
            return []

        def close(self) -> None:
            pass

    waiting = deque([_Task("b", (), Run(tmp_path / "b")), _Task("c", ())])
    grid = _Grid(Launch((), 1, 1, "a2d compare", ("--no-speed",)), waiting, Reporter())
    grid.settle(Ended(), is_last=False)
    assert not grid.waiting
    assert grid.failures.keys() == {"a"} and DISK_FULL in grid.failures["a"]
