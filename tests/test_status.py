"""`a2d status`: what is done, what comes next, where things are."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
from conftest import ENDED, Launcher, edit, prepared_as, settings

from a2d_cli.cli.options import project_recipe
from a2d_cli.commands.status import project_status
from a2d_cli.config.schema import Decoding
from a2d_cli.data.aligned_text import TextStamp
from a2d_cli.distillation.pseudo_corpus import PseudoIndex, PseudoOrigin, Shard
from a2d_cli.errors import A2DError
from a2d_cli.files import lock_folder, sha256_file, write_json
from a2d_cli.project.exported import MANIFEST
from a2d_cli.project.project import Project
from a2d_cli.project.run import find_model

CONFIG = {"pair": "de-en", "shape": {}, "vocabularies": {}, "tokenizer": "", "parameters": 7}


def status(folder: Path) -> tuple[dict[str, str], str]:
    """What -> state, and the next command."""
    report = project_status(Project(folder))
    return {what: state for what, state, _ in report.rows()}, report.next_command


def add_run(folder: Path, name: str, **facts: object) -> None:
    write_json(folder / "runs" / name / "run.json", {"format": 1, "name": name, **facts})
    if facts.get("finished"):
        (folder / "runs" / name / "best").mkdir(exist_ok=True)
        (folder / "runs" / name / "best/model.safetensors").touch()


@pytest.fixture
def here(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(project)
    return project


def test_each_step_leads_to_the_next(here: Path):
    assert status(here) == ({"data": "prepared: own-deen"}, "a2d train-teacher")
    done = {"finished": True, "stop_reason": "", "updates": 250, "elapsed_s": 72.4}
    add_run(here, "teacher", kind="teacher", **done, best={"loss": 2.0, "bleu": 31.44})
    states, following = status(here)
    assert states["teacher"] == "finished: 250 updates in 1:12 min, valid BLEU 31.4"
    assert following == "a2d distill"
    add_run(here, "a2d-diagonal", kind="student", **done)
    assert status(here)[1] == "a2d score"
    (here / "scores").mkdir()
    (here / "scores" / "results.jsonl").touch()
    states, following = status(here)
    assert states["scores"] == "cached" and following == "a2d export"
    write_json(here / "exports/x" / MANIFEST, {})
    assert status(here)[1] == "a2d translate < input.txt"


def test_what_teachers_have_translated_and_what_comparisons_found_is_told(here: Path):
    place = here / "pseudo/abc-beam5/pseudo.json"
    origin = PseudoOrigin("abc", TextStamp(3701, "digest"), "float32", Decoding()).facts()
    for lines, told in ((1200, "1,200 of 3,701 sentences translated"), (3701, "3,701 sentences translated")):
        index = PseudoIndex(origin, 1, 2000, {0: Shard(lines, lines, "sha256", {})})
        write_json(place, {"format": 1, **asdict(index)})
        assert status(here)[0]["teacher's words"] == told
    write_json(place, {"format": 1})
    assert status(here)[0]["teacher's words"] == (
        "broken: not a list of translations of a2d: Object missing required field `origin`"
    )
    assert "comparisons" not in status(here)[0]
    for name in ("a", "b"):
        write_json(here / f"scores/comparisons/{name}.json", {})
    assert status(here)[0]["comparisons"] == "2 kept, told by 'a2d report'"


def test_data_that_are_lost_come_first(here: Path):
    (here / "data/spm.model").unlink()
    (here / "data/train.de.ids").write_bytes(b"")
    states, following = status(here)
    assert states["data"] == "prepared: own-deen; gone or changed since: data/spm.model; data/train.de.ids"
    assert following == "a2d prepare"
    (here / "data/report.json").write_text("{")
    assert status(here)[0]["data"] == "prepared: own-deen; gone or changed since: data/report.json"


def test_a_recipe_that_was_edited_or_broken_since_is_told(here: Path, capsys: pytest.CaptureFixture[str]):
    edited = (here / "a2d.yaml").read_text()
    (here / "a2d.yaml").write_text(edited.replace("max_ratio: 3.0", "max_ratio: 1.7").replace("lr: 0", "lr: 1"))
    assert status(here)[0]["recipe"] == "changed since the data were prepared: cleaning.max_ratio: 3.0 -> 1.7"
    project_recipe(Project(here), ["tokenizer.model_type=bpe"])
    told = " ".join(capsys.readouterr().err.split())
    assert "prepared with other settings, and stay as they are: cleaning.max_ratio: 3.0 -> 1.7; tokenizer.model" in told
    assert "'a2d prepare' makes them anew" in told
    (here / "a2d.yaml").write_text("pair: de-en\nnonsense: 1\n")
    assert status(here)[0]["recipe"].startswith("broken: ")
    assert project_status(Project(here)).note == "next, when a2d.yaml is mended: a2d train-teacher"
    (here / "a2d.yaml").write_text(edited)
    project_recipe(Project(here), [])
    assert "recipe" not in status(here)[0] and not capsys.readouterr().err


def test_runs_that_belong_to_other_data_or_another_teacher_are_told(here: Path):
    prepared = Project(here).state()["prepared"]
    current = {"data": prepared["data_fingerprint"], "tokenizer": prepared["tokenizer_fingerprint"]}
    done = {**ENDED, "finished": True, "updates": 250, "elapsed_s": 72.4}
    add_run(here, "teacher", kind="teacher", **done, settings=current, command="a2d train-teacher")
    taught = {**current, "teacher": sha256_file(here / "runs/teacher/best/model.safetensors")[:16]}
    add_run(here, "word", kind="student", **done, settings=taught, command="a2d distill --method word")
    shutil.copy(here / "a2d.yaml", here / "runs/word/recipe.yaml")
    states, following = status(here)
    assert not any("; " in states[name] for name in ("teacher", "student word")) and following == "a2d score"

    (here / "runs/teacher/best/model.safetensors").write_bytes(b"trained anew")
    states, following = status(here)
    assert states["student word"].endswith("; taught by an earlier 'teacher', which was trained anew since")
    assert following == "a2d distill --method word --overwrite"
    edit(here / "runs/word/run.json", lambda values: values.update(command="a2d compare --methods ce,word"))
    note = project_status(Project(here)).note  # that command has no --overwrite, and refuses such a run
    assert note == "next, when the runs of that kind are moved out of runs/: a2d compare --methods ce,word"

    add_run(here, "teacher", kind="teacher", **done, settings=current | {"data": "0"}, command="a2d train-teacher")
    states, following = status(here)
    assert states["teacher"].endswith("; trained on other text than is prepared now")
    assert following == "a2d train-teacher --overwrite"


def test_weights_that_are_gone_are_told(here: Path):
    add_run(here, "teacher", kind="teacher", finished=True, stop_reason="", updates=250, elapsed_s=72.4)
    (here / "runs/teacher/best/model.safetensors").unlink()
    assert status(here)[0]["teacher"] == "finished, but its weights are gone: no best/model.safetensors"
    (here / "runs/teacher/best").rmdir()
    with pytest.raises(A2DError, match=r"'teacher' is finished, but its weights are gone: no .*best \| .*--overwrite"):
        find_model(Project(here), "teacher")


def test_a_comparison_that_was_interrupted_between_two_runs_goes_on(here: Path):
    for name in ("teacher", "ce-seed1"):
        kind = "teacher" if name == "teacher" else "student"
        add_run(here, name, kind=kind, finished=True, stop_reason="", updates=250, elapsed_s=72.4)
    assert status(here)[1] == "a2d score"
    Project(here).record(comparing="a2d compare --methods ce,word")
    assert status(here)[1] == "a2d compare --methods ce,word"


def test_an_unfinished_run_comes_first_with_its_own_command(here: Path):
    add_run(
        here,
        "teacher",
        kind="teacher",
        finished=False,
        command="a2d train-teacher --seed 3",
        best={"loss": 2.0, "bleu": None},
    )
    states, following = status(here)
    assert states["teacher"] == "unfinished, goes on at update 0"
    assert following == "a2d train-teacher --seed 3"
    write_json(here / "runs/teacher/last/config.json", {"format": 1, "update": 75, **CONFIG})
    assert status(here)[0]["teacher"] == "unfinished, goes on at update 75"


def test_a_run_that_is_being_trained_is_waited_for(here: Path):
    add_run(here, "teacher", kind="teacher", finished=False, command="a2d train-teacher")
    with lock_folder(here / "runs/teacher", "a2d train-teacher"):
        report = project_status(Project(here))
        assert report.rows()[1][1] == f"training now (process {os.getpid()}), saved at update 0"
        assert report.note == "next, when teacher is trained: a2d distill"
        assert (report.to_json()["next"], report.to_json()["waits_for"]) == ("a2d distill", "teacher is trained")
        # What was stopped can go on beside it.
        add_run(here, "ce", kind="student", finished=False, command="a2d distill --method ce")
        assert project_status(Project(here)).note == "next: a2d distill --method ce"
    assert project_status(Project(here)).note == "next: a2d train-teacher"


def test_a_project_that_is_being_prepared_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with Project(tmp_path).lock("a2d prepare"):
        report = project_status(Project(tmp_path))
        assert report.rows()[0][1] == f"being prepared now (process {os.getpid()})"
        assert report.note == "next, when it is prepared: a2d train-teacher"
    with Project(tmp_path).lock("a2d score", shared=True):
        assert status(tmp_path)[0] == {"data": "nothing prepared"}


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 99}'])
def test_a_broken_run_is_shown_and_hides_no_other(here: Path, text: str):
    add_run(here, "teacher", kind="teacher", finished=True, stop_reason="", updates=1, elapsed_s=3.2)
    (here / "runs/ce").mkdir()
    (here / "runs/ce/run.json").write_text(text, encoding="utf-8")
    (here / "exports/mine").mkdir(parents=True)
    (here / "exports/mine/a2d.json").write_text(text, encoding="utf-8")
    states, following = status(here)
    assert states["teacher"] == "finished: 1 update in 3 s" and following == "a2d distill"
    newer = "broken: format 99 is newer than this a2d reads (up to 1)"
    for what, kind in (("ce", "run file"), ("export mine", "manifest")):
        assert states[what].startswith((f"broken: not a {kind} of a2d: ", "broken: no format number", newer))
    with pytest.raises(A2DError, match="ce/run.json"):
        find_model(Project(here), "ce")
    (here / "runs/teacher/run.json").write_text(text, encoding="utf-8")
    assert project_status(Project(here)).note == "next, when teacher is mended: a2d train-teacher"


def test_a_broken_last_checkpoint_hides_no_other(here: Path):
    add_run(here, "teacher", kind="teacher", finished=True, stop_reason="", updates=1, elapsed_s=3.2)
    add_run(here, "ce", kind="student", finished=False, command="a2d distill --method ce")
    (here / "runs/ce/last").mkdir()
    (here / "runs/ce/last/config.json").write_text("{", encoding="utf-8")
    states, following = status(here)
    assert states["teacher"] == "finished: 1 update in 3 s" and following == "a2d distill --method ce"
    assert states["student ce"].startswith("broken: ") and "last/config.json" in states["student ce"]


def test_an_imported_teacher_comes_before_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    add_run(tmp_path, "opus", kind="teacher", finished=True, **ENDED, imported_from="/a/model")
    states, following = status(tmp_path)
    assert states == {"data": "nothing prepared", "teacher opus": "imported from /a/model"}
    assert following == "a2d prepare RECIPE --tokenizer-from opus"
    Project(tmp_path).record(recipe="demo")
    assert status(tmp_path)[1] == "a2d prepare demo --tokenizer-from opus"
    Project(tmp_path).record(prepared=prepared_as())
    assert status(tmp_path)[1] == "a2d distill --teacher opus"


def test_what_was_begun_goes_on_with_the_recipe_that_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Project(tmp_path).record(recipe="demo")
    assert status(tmp_path)[1] == "a2d prepare demo"
    Project(tmp_path).record(recipe="own-deen")  # of files of one's own, no name of a recipe
    assert status(tmp_path)[1] == "a2d prepare RECIPE"
    (tmp_path / "a2d.yaml").touch()
    assert status(tmp_path)[1] == "a2d prepare"
    Project(tmp_path).record(preparing="a2d prepare demo --set data.generated.seed=3")
    assert status(tmp_path)[1] == "a2d prepare demo --set data.generated.seed=3"


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
    stop = (
        "import os, signal; from a2d_cli.training.trainer import Trainer\n"
        "Trainer._validate = lambda self: os.kill(os.getpid(), signal.SIGKILL)"
    )
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
