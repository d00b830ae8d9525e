"""Names of runs, and runs that cannot be read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from conftest import ENDED
from hypothesis import given
from hypothesis import strategies as st
from listener import Listener

from a2d_cli.errors import A2DError, ConfigError
from a2d_cli.files import sha256_file, write_json
from a2d_cli.project.project import Project
from a2d_cli.project.run import (
    WEIGHTS,
    Run,
    choose_aligned,
    find_model,
    find_teachers_of,
    is_taught_by,
    list_runs,
    place_for,
)


@given(st.text() | st.text("ab./\\-+_ \n", max_size=5))
def test_a_run_is_a_folder_of_the_runs_folder_whatever_its_name(name: str):
    project = Project(Path("/p"))
    try:
        folder = place_for(project, name, "student").folder
    except ConfigError:
        return
    assert Path(os.path.normpath(folder)).parent == project.runs_dir and folder.name == name
    assert not name.startswith((".", "-")) and name.split() == [name]


@pytest.mark.parametrize("name", ["../data", "a/b", "-q", ".hidden", "..", "two words", "a\n", "", "/tmp/x"])
def test_what_is_no_name_of_a_run(name: str, tmp_path: Path):
    with pytest.raises(ConfigError) as caught:
        place_for(Project(tmp_path), name, "teacher", overwrite=True)
    assert caught.value.message == f"--name '{name}': no name of a run"


@pytest.mark.parametrize("name", ["teacher", "a2d-diagonal-seed3", "ce+a2d-masked", "schüler_2", "v1.5"])
def test_names_of_runs(name: str, tmp_path: Path):
    assert place_for(Project(tmp_path), name, "teacher").name == name


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A teacher, and a student whose run.json was cut short."""
    project = Project(tmp_path)
    for name, kind in (("teacher", "teacher"), ("ce", "student")):
        write_json(project.runs_dir / name / "run.json", {"format": 1, "kind": kind, "finished": True, **ENDED})
        (project.runs_dir / name / "best").mkdir()
    (project.runs_dir / "ce/run.json").write_text('{"format": 1, "ki', encoding="utf-8")
    return project


def test_a_broken_run_is_left_out_with_a_warning(project: Project):
    listener = Listener()
    assert [run.name for run in list_runs(project)] == ["teacher"]
    assert find_model(project, None, listener).name == "teacher"
    (warning,) = listener.lines
    assert warning.startswith(f"warning: run 'ce' is left out: {project.runs_dir}/ce/run.json: not a run file of a2d: ")
    assert warning.endswith(" | hint: restore the file, or make it anew")
    assert find_model(project, "teacher", listener).name == "teacher" and len(listener.lines) == 1


def test_a_broken_run_that_is_asked_for_is_named_and_may_be_overwritten(project: Project):
    for ask in (lambda: find_model(project, "ce"), lambda: place_for(project, "ce", "student")):
        with pytest.raises(A2DError, match="ce/run.json: not a run file of a2d"):
            ask()
    assert place_for(project, "ce", "student", overwrite=True).name == "ce"


@pytest.mark.parametrize(
    ("bests", "said"),
    [
        # name: (validation BLEU, validation loss, finished)
        (
            {"a": (31.0, 2.0, True), "b": (37.0, 3.0, True), "c": (41.0, 1.0, False)},
            "finished runs with an alignment, 'b' has the best validation BLEU",
        ),
        (
            {"a": (None, 2.0, True), "b": (None, 1.5, True)},
            "finished runs with an alignment, 'b' has the lowest validation loss (none has a BLEU)",
        ),
        (
            {"a": (None, 1.0, True), "b": (0.0, 3.0, True)},
            "finished runs with an alignment, 'b' has the best validation BLEU",
        ),
        (
            {"a": (None, 1.0, False), "b": None},
            "unfinished runs with an alignment, 'a' has the lowest validation loss (none has a BLEU)",
        ),
        ({"b": None}, "unfinished runs with an alignment, 'b' has no validation"),
    ],
)
def test_of_several_alignments_that_of_the_best_run_is_chosen(bests: dict, said: str, tmp_path: Path):
    project = Project(tmp_path)
    assert choose_aligned([]) is None
    for name, best in {"plain": (50.0, 0.1, True), **bests}.items():
        run = Run(project.runs_dir / name)
        run.record(
            kind="student",
            **({"best": {"bleu": best[0], "loss": best[1]}, "finished": best[2]} if best else {}),
            **ENDED,
        )
        if name != "plain":
            (run.folder / "aligner.x.safetensors").touch()
    runs = list_runs(project)
    for order in (runs, runs[::-1]):
        chosen, why = choose_aligned(order)
        assert why == f"of the {said}" and f"'{chosen.name}'" in said


@pytest.mark.parametrize(
    ("students", "said"),
    [
        # name: (validation BLEU, finished)
        (
            {"a": (31.0, True), "b": (37.0, True), "c": (41.0, False)},
            "of the finished students, 'b' has the best validation BLEU",
        ),
        ({"a": (31.0, True), "b": (31.0, True)}, "of the finished students, 'b' has the best validation BLEU"),
        ({"a": (31.0, False), "b": (30.0, False)}, "of the unfinished students, 'a' has the best validation BLEU"),
        ({"b": (1.0, False)}, "of the unfinished students, 'b' has the best validation BLEU"),
        ({"b": (1.0, True)}, ""),
        ({}, ""),
    ],
)
def test_where_no_model_is_named_it_is_the_best_finished_student_else_the_teacher(
    students: dict, said: str, tmp_path: Path
):
    project = Project(tmp_path)
    for age, (name, (bleu, finished)) in enumerate({"teacher": (99.0, True), **students}.items()):
        run = Run(project.runs_dir / name)
        run.record(
            kind="teacher" if name == "teacher" else "student",
            best={"bleu": bleu, "loss": 1.0},
            finished=finished,
            **ENDED,
            created=str(age),
        )
        run.best_dir.mkdir()

    listener = Listener()
    chosen = find_model(project, None, listener).name
    assert listener.lines == ([said] if said else [])
    assert chosen in said if said else chosen == max(students, default="teacher")


def test_the_teachers_of_a_student_are_all_members_of_its_ensemble_or_none(tmp_path: Path):
    project, digits = Project(tmp_path), {}
    for name in ("one", "two", "three"):
        run = Run(project.runs_dir / name)
        run.record(kind="teacher")
        run.best_dir.mkdir()
        (run.best_dir / WEIGHTS).write_text(name)
        digits[name] = sha256_file(run.best_dir / WEIGHTS)[:16]
    student = Run(project.runs_dir / "student")

    def found(*names: str) -> list[str]:
        student.record(settings={"teacher": ",".join(digits.get(name, name) for name in names)})
        return [run.name for run in find_teachers_of(project, student)]

    assert found("two") == ["two"]
    assert found("three", "one") == ["three", "one"]
    assert found() == found("0" * 16) == found("two", "0" * 16) == []
    student.record(settings={})
    assert find_teachers_of(project, student) == []


def test_a_run_whose_folders_are_links_is_cleared_and_what_they_point_to_stays(tmp_path: Path):
    run, elsewhere = Run(tmp_path / "run"), tmp_path / "other disk"
    elsewhere.mkdir()
    (elsewhere / WEIGHTS).touch()
    run.record(kind="student")
    run.best_dir.symlink_to(elsewhere)
    run.last_dir.mkdir()
    (run.last_dir / WEIGHTS).touch()
    run.clear()
    assert not list(run.folder.iterdir()) and (elsewhere / WEIGHTS).exists()


def test_nobody_has_taught_a_run_without_a_teachers_digits():
    assert not is_taught_by("", "ab12") and not is_taught_by("cd,", "ab12")
    assert is_taught_by("ab", "ab12") and is_taught_by("cd,ab", "ab12") and not is_taught_by("b1", "ab12")
