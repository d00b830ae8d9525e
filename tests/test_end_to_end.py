"""The main path on a language a tiny model learns in seconds: prepare, train-teacher, distill, translate, score."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from conftest import Launcher
from sacrebleu.metrics import CHRF
from safetensors.torch import load_file


@pytest.fixture(scope="module")
def done(a2d: Launcher, taught: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a teacher, a plain student and a distilled one, each by a command without flags but its method."""
    folder = Path(shutil.copytree(taught, tmp_path_factory.mktemp("done") / "project"))
    a2d.well(folder, "distill", "--method", "ce")
    assert a2d.well(folder, "distill").err.endswith("\nnext: a2d score\n")
    return folder


@pytest.fixture(scope="module")
def table(a2d: Launcher, done: Path) -> dict[str, dict[str, object]]:
    """`a2d score --json`, by model."""
    ended = a2d.well(done, "score", "--json")
    assert ended.err.endswith("next: a2d export\n")
    return {row["model"]: row for row in json.loads(ended.out)["rows"]}


def chrf(row: dict[str, object]) -> float:
    return next(score["score"] for score in row["scores"] if score["name"] == "chrF2")


def test_the_models_have_learned_the_language(table: dict[str, dict[str, object]]):
    assert list(table) == ["teacher", "ce", "a2d-diagonal"]
    assert chrf(table["teacher"]) > 60
    assert chrf(table["ce"]) > 25 and chrf(table["a2d-diagonal"]) > 25
    assert table["a2d-diagonal"]["parameters"] < table["teacher"]["parameters"]


def test_scores_are_those_of_the_translations(a2d: Launcher, done: Path, table: dict[str, dict[str, object]]):
    sources, references = ((done / f"data/text/test.{lang}").read_text(encoding="utf-8") for lang in ("de", "en"))
    hypotheses = a2d.well(done, "translate", stdin=sources.encode()).out
    score = CHRF().corpus_score(hypotheses.split("\n")[:-1], [references.split("\n")[:-1]])
    assert score.score == pytest.approx(chrf(table["a2d-diagonal"]))
    for name, text in (("hyp", hypotheses), ("ref", references)):
        (done / name).write_text(text, encoding="utf-8")
    (values,) = json.loads(a2d.well(done, "score", "hyp", "--reference", "ref", "-m", "chrf", "--json").out)
    assert values["score"] == pytest.approx(score.score) and "nc:6" in values["signature"]


def test_a_second_score_translates_nothing(a2d: Launcher, done: Path, table: dict[str, dict[str, object]]):
    no_translation = "from a2d_cli.decoding.translator import Translator\ndel Translator.translate"
    again = {
        row["model"]: row for row in json.loads(a2d.well(done, "score", "--json", before=no_translation).out)["rows"]
    }
    assert all(row["cached"] for row in again.values())
    assert {name: row["scores"] for name, row in again.items()} == {name: row["scores"] for name, row in table.items()}
    shown = a2d.well(done, "score", before=no_translation).out
    assert all(name in shown for name in table) and "chrF2" in shown


def test_the_student_is_a_plain_transformer_of_its_own(a2d: Launcher, done: Path, table, tmp_path: Path):
    run = done / "runs" / "a2d-diagonal"
    plain, distilled = (
        set(load_file(done / "runs" / name / "best/model.safetensors")) for name in ("ce", "a2d-diagonal")
    )
    assert plain == distilled
    assert (run / "aligner.diagonal.safetensors").exists()
    # Elsewhere, without its project and its teacher, it translates the same.
    here = a2d.well(done, "translate", "--format", "tsv", stdin=b"dose labi\n").out
    copy = shutil.copytree(run, tmp_path / "copy")
    assert a2d.well(tmp_path, "translate", "--model", str(copy), "--format", "tsv", stdin=b"dose labi\n").out == here


def test_everything_is_done(a2d: Launcher, done: Path, table):
    report = json.loads(a2d.well(done, "status", "--json").out)
    assert [line["what"] for line in report["lines"]] == [
        "data",
        "teacher",
        "student ce",
        "student a2d-diagonal",
        "scores",
    ]
    assert report["next"] == "a2d export"
    assert a2d.well(done, "prepare").out.endswith("next: a2d export\n")
    for command in (["prepare"], ["train-teacher"], ["distill"]):  # nothing is repeated
        before = {path: path.stat().st_mtime_ns for path in done.rglob("*.safetensors")}
        a2d.well(done, *command)
        assert {path: path.stat().st_mtime_ns for path in done.rglob("*.safetensors")} == before
