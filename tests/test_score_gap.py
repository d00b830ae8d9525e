"""`a2d score --gap`: real, untrained models, translated in every way of the table."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Launcher
from random_project import DECODING, TEXTS, add_random_run, random_project
from sacrebleu.metrics import BLEU, CHRF
from scored_texts import paired

from a2d_cli.commands import model_on_texts
from a2d_cli.commands import score_gap as command
from a2d_cli.commands.score_gap import Gap, score_gap
from a2d_cli.errors import A2DError, ConfigError
from a2d_cli.files import sha256_file, write_json
from a2d_cli.project.project import Project
from a2d_cli.project.run import Run
from a2d_cli.reporting import Reporter

STEPS = [
    "teacher, beam 3",
    "teacher, greedy",
    "student, beam 3",
    "student, greedy",
    "int8 student, greedy",
    "int8 student, beam 3",
]


AGAINST = [
    "",
    "teacher, beam 3",
    "teacher, beam 3",
    "student, beam 3",
    "student, greedy",
    "student, beam 3",
]  # of each step: another model, another search, or another precision


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Read it, or add to it."""
    return random_project(tmp_path_factory.mktemp("random"))


@pytest.fixture(scope="module")
def gaps(project: Project) -> list[Gap]:
    return score_gap(project, reporter=Reporter())


def hypotheses(project: Project, gap: Gap) -> list[list[str]]:
    paths = [project.scores_dir / step.row.result.hypotheses for step in gap.steps]
    return [path.read_text(encoding="utf-8").split("\n")[:-1] for path in paths]


def test_every_test_set_goes_from_the_teacher_to_the_student_in_int8(gaps: list[Gap]):
    assert [gap.test_set for gap in gaps] == ["news", "talks"]
    for gap in gaps:
        assert [step.name for step in gap.steps] == STEPS
        assert [step.row.result.decoding["beam"] for step in gap.steps] == [3, 1, 3, 1, 1, 3]
        assert [step.row.model.name for step in gap.steps] == ["teacher"] * 2 + ["student"] * 2 + ["student int8"] * 2
        assert [step.row.result.engine.split()[0] for step in gap.steps] == ["torch"] * 4 + ["ctranslate2"] * 2


def test_scores_are_those_of_the_translations_and_differences_those_of_one_change(project: Project, gaps: list[Gap]):
    for gap in gaps:
        references = [tgt for _, tgt in TEXTS[gap.test_set]]
        texts = hypotheses(project, gap)
        assert len({tuple(lines) for lines in texts[:3]}) == 3
        for lines, step in zip(texts, gap.steps, strict=True):
            expected = [metric.corpus_score(lines, [references]).score for metric in (BLEU(), CHRF())]
            assert [score.value for score in step.row.scores] == pytest.approx(expected)
        lines_of = dict(zip(STEPS, texts, strict=True))
        for step, against in zip(gap.steps, AGAINST, strict=True):
            assert step.against == against
            if against:
                both = lines_of[against], lines_of[step.name]
                expected = [paired(*both, [references], metric) for metric in ("bleu", "chrf")]
                assert list(step.differences) == expected
        assert list(gap.in_all) == [paired(texts[0], texts[-1], [references], metric) for metric in ("bleu", "chrf")]


def test_distillation_and_int8_add_up(gaps: list[Gap]):
    for gap in gaps:
        by_beam = [step for step in gap.steps if step.against.endswith("beam 3") and step.name.endswith("beam 3")]
        assert len(by_beam) == 2
        for i, whole in enumerate(gap.in_all):
            assert sum(step.differences[i].delta for step in by_beam) == pytest.approx(whole.delta)


def test_a_second_time_nothing_is_translated(project: Project, gaps: list[Gap], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(model_on_texts, "load_model", lambda *_: pytest.fail("translated again"))
    again = score_gap(project, reporter=Reporter())
    assert [gap.table().rows for gap in again] == [gap.table().rows for gap in gaps]


def test_what_is_quantised_for_the_table_is_gone_afterwards(project: Project):
    with ExitStack() as stack:
        folder = command._find_int8(
            project, command._find_student(project, None, "de-en", Reporter()), DECODING, stack
        ).folder
        assert (folder / "model.bin").is_file()
    assert not folder.exists() and not project.exports_dir.exists()


def test_an_int8_export_is_measured_itself(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    project = random_project(tmp_path)
    folder = project.exports_dir / "student-ct2-int8"
    folder.mkdir(parents=True)
    student = command._find_student(project, None, "de-en", Reporter())
    command._quantise(student, DECODING, folder)
    monkeypatch.setattr(command, "_quantise", lambda *_: pytest.fail("quantised again"))
    (gap,) = score_gap(project, test_sets=["talks"], reporter=Reporter())
    assert [step.row.model.folder == folder for step in gap.steps] == [False] * 4 + [True] * 2


def test_a_greedy_recipe_has_three_steps(project: Project):
    (gap,) = score_gap(project, test_sets=["talks"], decoding=replace(DECODING, beam=1), reporter=Reporter())
    assert [step.name for step in gap.steps] == ["teacher, greedy", "student, greedy", "int8 student, greedy"]


def test_the_table_has_a_line_a_step_and_says_how_it_was_scored(gaps: list[Gap]):
    table = gaps[0].table()
    assert table.title == "news: de-en, 13 sentences"
    assert table.columns == ["step", "against", "BLEU", "Δ BLEU", "chrF2", "Δ chrF2"]
    assert [row[0] for row in table.rows] == [*STEPS, "in all"]
    assert [row[1] for row in table.rows] == [*AGAINST, STEPS[0]]
    assert table.rows[0][3] == table.rows[0][5] == "–"
    assert "BLEU|nrefs:1|bs:1000|seed:12345" in table.note and "chrF2|nrefs:1|bs:1000" in table.note


def test_the_teacher_is_the_one_that_the_student_learned_from(tmp_path: Path):
    project = random_project(tmp_path)
    add_random_run(project, "another", "teacher", seed=1)  # older, so the first of the list

    def found() -> str:
        student = command._find_student(project, "student", "de-en", Reporter())
        return command._find_teacher(project, student, "de-en").name

    assert found() == "teacher"
    digits = sha256_file(project.runs_dir / "teacher/best/model.safetensors")[:16]
    of_two = {"teacher": f"{'0' * 16},{digits}"}  # together, the one that is here
    Run(project.runs_dir / "student").record(settings=of_two)
    assert found() == "teacher"
    Run(project.runs_dir / "student").record(settings={})
    assert found() == "another"


def test_a_teacher_of_another_language_pair_is_none(tmp_path: Path):
    project = random_project(tmp_path)
    other = add_random_run(project, "another", "teacher", seed=1)
    config = other.best_dir / "config.json"
    config.write_text(config.read_text().replace("de-en", "fr-de"))
    Run(project.runs_dir / "student").record(settings={})
    student = command._find_student(project, "student", "de-en", Reporter())
    assert command._find_teacher(project, student, "de-en").name == "teacher"


def test_where_other_work_runs_no_speed_is_kept(tmp_path: Path):
    project = random_project(tmp_path)
    (gap,) = score_gap(project, test_sets=["talks"], reporter=Reporter(), with_speed=False)
    assert {step.row.result.sentences_per_s for step in gap.steps} == {None}


def test_wrong_models_are_told(project: Project, tmp_path: Path):
    with pytest.raises(
        ConfigError, match="'teacher' is a teacher; the gap is a student's.*name a student with --model"
    ):
        score_gap(project, model="teacher", reporter=Reporter())
    with pytest.raises(ConfigError, match="no run or folder 'studnet'.*did you mean 'student'"):
        score_gap(project, model="studnet", reporter=Reporter())
    with pytest.raises(A2DError, match="'student' translates de-en, the project's test sets are de-fr"):
        command._find_student(project, "student", "de-fr", Reporter())
    write_json(tmp_path / "a2d.json", {})
    with pytest.raises(ConfigError, match="is an export.*name the run that it was made from"):
        score_gap(project, model=str(tmp_path), reporter=Reporter())


def test_a_project_without_student_or_teacher_is_told(tmp_path: Path):
    project = random_project(tmp_path)
    (project.runs_dir / "student").rename(tmp_path / "student")
    with pytest.raises(ConfigError, match=r"no student is trained yet.*a2d .*distill"):
        score_gap(project, reporter=Reporter())
    (tmp_path / "student").rename(project.runs_dir / "student")
    (project.runs_dir / "teacher").rename(tmp_path / "teacher")
    with pytest.raises(ConfigError, match=r"no teacher to compare with.*a2d .*train-teacher"):
        score_gap(project, reporter=Reporter())


def test_the_command_prints_the_table_or_json(a2d: Launcher, project: Project, gaps: list[Gap]):
    shown = a2d.well(project.folder, "score", "--gap", "--test-set", "talks").out
    assert shown.startswith("talks: de-en, 7 sentences") and "int8 student, beam 3" in shown
    (value,) = json.loads(a2d.well(project.folder, "score", "--gap", "--test-set", "talks", "--json").out)
    assert value == json.loads(json.dumps(gaps[1].to_json()))
    message = a2d.error(project.folder, "score", "--gap", "--model", "student", "--model", "teacher", code=2)
    assert "--gap: one student at a time, not 2" in message
    message = a2d.error(project.folder, "score", "--gap", "--stress", code=2)
    assert "--gap and --stress stand alone" in message
