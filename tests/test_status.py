"""`a2d status`: what is done, what comes next, where things are."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest
from conftest import Launcher, settings

from a2d_cli.commands.status import project_status
from a2d_cli.files import write_json
from a2d_cli.project.project import Project


def status(folder: Path) -> tuple[dict[str, str], str]:
    """What -> state, and the next command."""
    report = project_status(Project(folder))
    return {what: state for what, state, _ in report.rows()}, report.next_command


def add_run(folder: Path, name: str, **facts: object) -> None:
    write_json(folder / "runs" / name / "run.json", {"format": 1, "name": name, **facts})


@pytest.fixture
def here(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(project)
    return project


def test_each_step_leads_to_the_next(here: Path):
    assert status(here) == ({"data": "prepared: own-deen"}, "a2d train-teacher")
    done = {"finished": True, "updates": 250, "elapsed_s": 72.4}
    add_run(here, "teacher", kind="teacher", **done, best={"bleu": 31.44})
    states, following = status(here)
    assert states["teacher"] == "finished: 250 updates in 1.2 min, valid BLEU 31.4"
    assert following == "a2d distill"
    add_run(here, "a2d-simplex", kind="student", **done)
    assert status(here)[1] == "a2d score"
    (here / "scores").mkdir()
    (here / "scores" / "results.jsonl").touch()
    states, following = status(here)
    assert states["scores"] == "cached" and following == "a2d translate < input.txt"


def test_an_unfinished_run_comes_first_with_its_own_command(here: Path):
    add_run(here, "teacher", kind="teacher", finished=False, command="a2d train-teacher --seed 3", best={"bleu": None})
    (here / "runs/teacher/metrics.jsonl").write_text('{"event": "train", "update": 75}\n{"event": "tra')
    states, following = status(here)
    assert states["teacher"] == "unfinished, at about update 75: a2d train-teacher --seed 3"
    assert following == "a2d train-teacher --seed 3"


def test_a_folder_that_is_no_project_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert status(tmp_path) == ({"data": "nothing prepared"}, "a2d prepare RECIPE")
    assert status(tmp_path / "a new one") == ({"data": "nothing prepared"}, "a2d -C 'a new one' prepare RECIPE")
    Project(tmp_path).record(recipe="demo")
    assert status(tmp_path)[0] == {"data": "begun, not ended"}


def test_the_command_before_and_after_an_interrupted_training(a2d: Launcher, project: Path):
    def shown() -> dict[str, object]:
        return json.loads(a2d.well(project, "status", "--json").out)

    assert shown()["next"] == "a2d train-teacher"
    command = ["train-teacher", *settings({"training.max_updates": 2, "training.decode_below_nll": 0})]
    stop = "import os, signal; from a2d_cli.training.trainer import Trainer\nTrainer._validate = lambda self: os.kill(os.getpid(), signal.SIGKILL)"
    assert a2d(project, *command, before=stop).code == -9
    assert shown()["next"] == shlex.join(["a2d", *command])
    a2d.well(project, *shlex.split(shown()["next"])[1:])
    report = shown()
    assert report["next"] == "a2d distill" and report["folder"] == str(project)
    assert [line["where"] for line in report["lines"]] == ["data/report.json", "runs/teacher"]
    out = a2d.well(project.parent, "-C", project.name, "status").out
    assert out.startswith(f"project {project}\n") and out.endswith("next: a2d -C project distill\n")


def test_a_copied_project_has_the_same_status(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    add_run(here, "teacher", kind="teacher", finished=True, updates=7, elapsed_s=1)
    before = status(here)
    monkeypatch.chdir(shutil.copytree(here, tmp_path / "copy"))
    assert status(tmp_path / "copy") == before
