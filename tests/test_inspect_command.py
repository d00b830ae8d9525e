"""`a2d inspect`: tables, JSON and pictures of real runs, and what is said where there is nothing to see."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ET
from dataclasses import replace
from html import escape
from pathlib import Path

import pytest
import torch
from conftest import QUICK, Launcher, edit, settings
from safetensors.torch import load_file, save_file
from small_tokenizers import small_tokenizer

from a2d_cli.commands.inspect_figure import alignment_figures, write_figures
from a2d_cli.commands.inspect_report import Inspection
from a2d_cli.commands.inspect_run import inspect_run, wanted_heads
from a2d_cli.commands.report import report
from a2d_cli.distillation.inspection import Alignment, GradientShare, Head, StandIn
from a2d_cli.errors import ConfigError
from a2d_cli.project.project import Project
from a2d_cli.project.run import choose_aligned, list_runs
from a2d_cli.reporting import Reporter

TWO = {"distillation.cross": "false", "distillation.map_form": "softened"}
KINDS = ("encoder_self", "decoder_self", "cross")
NO_MATPLOTLIB = "import sys; sys.modules['matplotlib'] = None"
SENTENCE = "babe bebi bobu"


@pytest.fixture(scope="module")
def aligned(a2d: Launcher, taught: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with students of several methods. Read it; a test that changes it takes `copied`."""
    folder = Path(shutil.copytree(taught, tmp_path_factory.mktemp("aligned") / "project"))
    for options in (
        ["--method", "word"],
        ["--method", "a2d-release", "--set", "distillation.teacher_mix=random"],
        ["--method", "ce+a2d-masked+a2d-uniform", "--name", "two", *settings(TWO)],
        ["--method", "a2d-simplex", "--name", "simplex"],
    ):
        a2d.well(folder, "distill", *options, *QUICK)
    return folder


@pytest.fixture
def copied(aligned: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(aligned, tmp_path / "project"))


def inspected(a2d: Launcher, folder: Path, *arguments: str) -> dict:
    return json.loads(a2d.well(folder, "inspect", "--json", *arguments, before=NO_MATPLOTLIB).out)


# --- tables and JSON


def test_tables_name_the_student_heads_of_each_teacher_head_and_fit_a_terminal(a2d: Launcher, aligned: Path):
    ended = a2d.well(aligned, "inspect", "simplex", before=NO_MATPLOTLIB)
    lines = ended.out.splitlines()
    assert lines[0] == "simplex (a2d-simplex, de-en), taught by teacher: means"
    assert " ".join(lines[1].split()) == "attention aligner heads in use moved KL closest uniform"
    assert [line.split()[0] for line in lines[3:6]] == ["encoder", "decoder", "cross-attention"]
    assert "3 for 2" in lines[3] and "3 for 4" in lines[4]
    assert "cross-attention, simplex: shares of a mixture" in lines
    heads = lines[lines.index("cross-attention, simplex: shares of a mixture") + 3 :][:4]
    assert [line.split()[0] for line in heads] == ["1.1", "1.2", "2.1", "2.2"]
    assert all(line.count("%") == 4 for line in heads)  # three shares, and how much has moved
    assert max(map(len, lines)) <= 80
    assert "means over the rows of 29 validation pairs" in ended.out
    assert "gradient at update 3, λ " in ended.out
    assert "no pictures: pictures need matplotlib, which is not installed (pip install 'a2d-cli[plot]')" in ended.err


def test_json_tells_everything(a2d: Launcher, aligned: Path):
    found = inspected(a2d, aligned, "simplex", "--sentence", SENTENCE)
    assert (found["run"], found["method"], found["teacher"], found["update"]) == (
        "simplex",
        "a2d-simplex",
        "teacher",
        3,
    )
    assert [each["kind"] for each in found["alignments"]] == list(KINDS)
    for each in found["alignments"]:
        assert each["is_mixture"] and each["student_heads"] == ["1.1", "1.2", "1.3"]
        for one in each["stand_ins"]:
            assert sum(one["shares"]) == pytest.approx(1.0, abs=1e-5)
            assert 1.0 <= one["effective_heads"] <= 3.0001
            assert min(one["residual"], one["single_residual"], one["uniform_residual"]) > 0
    assert found["gradient"]["share"] > 0
    assert found["gradient"]["weight"] > 0
    assert found["pictures"] == []
    maps = found["sentence"]["maps"]
    assert [each["kind"] for each in maps] == list(KINDS)
    cross = maps[2]
    assert cross["keys"][-1] == cross["queries"][-1] == "</s>"
    assert maps[1]["keys"] == ["<s>", *cross["queries"][:-1]]
    for head in cross["heads"]:
        assert len(head["teacher_rows"]) == len(cross["queries"])
        assert len(head["teacher_rows"][0]) == len(cross["keys"])
        assert len(head["students"]) == 3


def test_the_students_own_translation_is_looked_at_where_no_target_is_given(a2d: Launcher, aligned: Path):
    own = a2d.well(aligned, "translate", "--model", "simplex", "--engine", "torch", stdin=SENTENCE.encode()).out.strip()
    sentence = inspected(a2d, aligned, "simplex", "--sentence", SENTENCE)["sentence"]
    assert (sentence["tgt"], sentence["is_translated"]) == (own, True)
    given = inspected(a2d, aligned, "simplex", "--sentence", SENTENCE, "--target", "UBOB IBEB")["sentence"]
    assert (given["tgt"], given["is_translated"]) == ("UBOB IBEB", False)
    assert "".join(given["maps"][2]["queries"]).replace("▁", " ").strip() == "UBOB IBEB</s>"


def test_kinds_and_heads_can_be_chosen(a2d: Launcher, aligned: Path):
    options = ["--kind", "cross", "--head", "2.1", "--head", "worst"]
    found = inspected(a2d, aligned, "simplex", "--sentence", SENTENCE, *options)
    (maps,) = found["sentence"]["maps"]
    worst = max(found["alignments"][2]["stand_ins"], key=lambda one: one["residual"])["teacher"]
    assert [head["teacher"] for head in maps["heads"]] == list(dict.fromkeys(["2.1", worst]))


def test_the_run_of_the_report_is_inspected_where_none_is_named(a2d: Launcher, copied: Path):
    for number, name in enumerate(("simplex", "two", "a2d-release"), start=1):
        edit(copied / f"runs/{name}/run.json", lambda info, number=number: info["best"].update(bleu=None, loss=number))
    why = "of the finished runs with an alignment, 'simplex' has the lowest validation loss (none has a BLEU)"
    assert (
        f"inspecting {copied / 'runs/simplex'} after update 3: {why}\n"
        in a2d.well(copied, "inspect", before=NO_MATPLOTLIB).err
    )
    chosen, why = choose_aligned(list_runs(Project(copied)))
    html = report(Project(copied), None, True, Reporter()).read_text(encoding="utf-8")
    assert chosen.name == "simplex" and escape(f"O{why[1:]}. Another one: ") in html


def test_several_terms_are_several_alignments_and_a_control_is_called_one(a2d: Launcher, aligned: Path):
    found = inspected(a2d, aligned, "two")
    names = [(each["term"], each["kind"]) for each in found["alignments"]]
    assert names == [(term, kind) for term in ("masked", "uniform") for kind in KINDS[:2]]
    assert found["notes"] == [
        "maps are softened-2.0, as the run has learned them",
        "a2d-uniform is a control: its aligners learned uniform maps, not the teacher's",
    ]
    assert min(found["alignments"][0]["stand_ins"][0]["shares"]) < 0


def test_the_released_objective_can_be_inspected(a2d: Launcher, aligned: Path):
    found = inspected(a2d, aligned, "a2d-release")
    assert found["alignments"][0]["term"] == "release"
    assert found["gradient"] is None
    assert found["notes"] == [
        "teacher_mix random: the aligners learned random sums of teacher heads, not the heads",
        "no share of the gradient is told: in this objective it grows with the sentences of a batch",
    ]


def test_the_weights_that_belong_to_the_aligners_are_looked_at(a2d: Launcher, copied: Path):
    edit(copied / "runs/simplex/run.json", lambda info: info["best"].update(updates=[1, 2]))
    (note,) = inspected(a2d, copied, "simplex")["notes"]
    assert note == "best/ is of update 1, 2, the aligners of update 3: these weights are shown"


def test_a_run_that_has_logged_nothing_is_inspected_without_its_gradient(a2d: Launcher, copied: Path):
    (copied / "runs/simplex/metrics.jsonl").unlink()
    told = "note: no share of the gradient is told: the run has logged no weight of its terms"
    assert told in a2d.well(copied, "inspect", "simplex", before=NO_MATPLOTLIB).out
    assert inspected(a2d, copied, "runs/simplex")["gradient"] is None


def test_it_is_told_how_far_the_shares_have_moved(a2d: Launcher, copied: Path):
    moved = [each["moved"] for each in inspected(a2d, copied, "simplex")["alignments"][0]["stand_ins"]]
    assert all(0 < each < 0.2 for each in moved)  # three updates
    for path in (copied / "runs/simplex").glob("aligner.*.safetensors"):
        save_file({name: torch.zeros_like(values) for name, values in load_file(path).items()}, path)
    stand_ins = inspected(a2d, copied, "simplex")["alignments"][0]["stand_ins"]
    assert all(each["shares"] == pytest.approx([1 / 3] * 3) and each["moved"] > 0 for each in stand_ins)


def test_a_renamed_teacher_is_found_by_its_weights(a2d: Launcher, copied: Path):
    (copied / "runs/teacher").rename(copied / "runs/wise")
    assert inspected(a2d, copied, "simplex")["teacher"] == "wise"


# --- pictures


def test_pictures_stand_in_the_run_folder(a2d: Launcher, aligned: Path):
    pytest.importorskip("matplotlib")
    ended = a2d.well(aligned, "inspect", "simplex", "--sentence", SENTENCE, "--kind", "cross")
    paths = [Path(line) for line in ended.out.partition("\npictures:\n")[2].splitlines()]
    assert [path.name for path in paths] == [*(f"simplex-{kind}.svg" for kind in KINDS), "simplex-cross-sentence.svg"]
    for path in paths:
        assert path.parent == aligned / "runs/simplex/inspection"
        text = "".join(ET.parse(path).getroot().itertext())
        assert "simplex (simplex), update 3, taught by teacher" in text


def test_pictures_stand_where_asked(tmp_path: Path):
    pytest.importorskip("matplotlib")
    (path,) = write_figures(synthetic(5, 3), tmp_path / "new" / "folder", "png")
    assert path == tmp_path / "new" / "folder" / "simplex-cross.png"
    assert path.read_bytes().startswith(b"\x89PNG")


def synthetic(num_teacher: int, num_student: int, member: int = 0) -> Inspection:
    student = tuple(Head(1, number + 1) for number in range(num_student))
    even = (1 / num_student,) * num_student
    ones = tuple(
        StandIn(Head(1, number + 1, member), even, float(num_student), 0.5, student[0], 0.6, 0.7)
        for number in range(num_teacher)
    )
    alignment = Alignment("simplex", "cross", True, student, ones)
    return Inspection("a run", "/nowhere", "a2d-simplex", "de-en", "teacher", 3, 29, (alignment,), None)


def test_equal_inspections_give_equal_pictures():
    pytest.importorskip("matplotlib")
    pictures = alignment_figures(synthetic(5, 3))
    assert list(pictures) == ["simplex-cross"]
    assert pictures == alignment_figures(synthetic(5, 3))


def test_layers_are_named_for_models_of_any_number_of_heads_and_for_ensembles():
    pytest.importorskip("matplotlib")
    for count, member, label in (
        (1, 0, ">L1<"),
        (5, 0, ">layer 1<"),
        (5, 2, ">teacher 2, layer 1<"),
        (2, 2, ">2: L1<"),
    ):
        assert label in alignment_figures(synthetic(count, 1, member))["simplex-cross"].decode()


# --- what is refused


def test_a_head_that_does_not_exist_is_refused_before_the_text_is_read(a2d: Launcher, aligned: Path):
    before = "from a2d_cli.commands import inspect_run\ndef fail(*_): 1 / 0\ninspect_run.measure_alignments = fail"
    said = a2d.error(
        aligned,
        "inspect",
        "simplex",
        "--sentence",
        "a",
        "--kind",
        "cross",
        "--head",
        "best",
        "--head",
        "3.1",
        before=before,
        code=2,
    )
    assert said.startswith("error: --head 3.1: the teacher's cross-attention has heads 1.1 to 2.2 (LAYER.HEAD)")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (
            ["word"],
            2,
            "run 'word' is a student of method word, which aligns no heads: there is no alignment to inspect",
        ),
        (["word"], 2, "hint: inspect a2d-release, two, simplex"),
        (["teacher"], 2, "run 'teacher' is a teacher: there is no alignment to inspect"),
        (["simples"], 2, "no run or folder 'simples'\nhint: did you mean 'simplex'?"),
        (["data"], 2, "data is no run folder: alignments stand beside a run's weights"),
        (["--head", "1.1"], 2, "--target, --kind and --head go with --sentence"),
        (["--format", "gif"], 2, "--format: 'gif' is none of svg, png"),
        (["--sentence", " "], 2, "--sentence is empty"),
        (
            ["simplex", "--sentence", "a", "--kind", "self"],
            2,
            "--kind self: no kind of attention\nhint: one of encoder_self, decoder_self, cross",
        ),
        (["two", "--sentence", "a", "--kind", "cross"], 2, "--kind cross: this run does not align it"),
        (["--sentence", "a " * 1100], 2, "tokens, the models read 1023"),
        (["--sentence", "a", "--target", "A " * 1100], 2, "--target: "),
        (
            ["simplex", "--sentence", "a", "--head", "2.1"],
            2,
            (
                "--head 2.1: the teacher's encoder self-attention has heads 1.1 to 1.2 (LAYER.HEAD)\n"
                "hint: or best, worst: of"
            ),
        ),
        (["-o", "here"], 1, "pictures need matplotlib, which is not installed\nhint: pip install 'a2d-cli[plot]'"),
    ],
)
def test_what_cannot_be_inspected_is_said_before_anything_is_measured(
    a2d: Launcher, aligned: Path, arguments: list[str], code: int, said: str
):
    told = a2d.error(aligned, "inspect", *arguments, before=NO_MATPLOTLIB, code=code)
    assert said in told and "inspecting" not in told


def test_a_project_without_alignments_tells_how_to_get_one(a2d: Launcher, taught: Path, tmp_path: Path):
    told = a2d.error(taught, "inspect", code=2)
    assert "no student here has learned an alignment" in told
    assert "hint: a2d distill --method a2d" in told
    assert "nothing is prepared here" in a2d.error(tmp_path, "inspect", code=2)


def test_a_teacher_that_is_gone_or_has_changed_is_named(a2d: Launcher, copied: Path):
    teacher, student = copied / "runs/teacher", copied / "runs/simplex"
    shutil.copy(student / "last/model.safetensors", teacher / "best/model.safetensors")
    told = a2d.error(copied, "inspect", "simplex", code=1)
    assert f"teacher {teacher} has other weights (" in told
    assert "put the teacher's run folder back as it was" in told
    shutil.rmtree(teacher)
    told = a2d.error(copied, "inspect", "simplex", code=1)
    assert "run 'simplex' was taught by weights " in told
    assert f"put the run folder of its teacher 'teacher' back into {copied / 'runs'}" in told


def test_a_run_without_its_files_is_named(a2d: Launcher, copied: Path):
    (copied / "runs/simplex/aligner.simplex.safetensors").unlink()
    told = a2d.error(copied, "inspect", "simplex", code=1)
    assert (
        "aligner.*.safetensors: missing, though run 'simplex' has learned by a2d-simplex\nhint: copy the whole" in told
    )
    (copied / "runs/two/aligner.uniform.safetensors").unlink()
    assert "aligner.uniform.safetensors: missing, though run 'two' has" in a2d.error(copied, "inspect", "two", code=1)


def test_a_run_of_another_vocabulary_is_refused(copied: Path):
    small_tokenizer("joint").save(copied / "data")
    with pytest.raises(ConfigError, match="run 'simplex' has another vocabulary than .*-C DIR"):
        inspect_run(Project(copied), "simplex", None, "cpu", Reporter())


def test_the_best_and_the_worst_head_are_shown_unless_others_are_named():
    inspection = synthetic(3, 2)
    alignment = inspection.alignments[0]
    first, *others = alignment.stand_ins
    alignment = replace(alignment, stand_ins=(replace(first, residual=0.9), *others))
    assert wanted_heads((), alignment) == [Head(1, 2), Head(1, 1)]
    assert wanted_heads(("1.3", "1.3", "best"), alignment) == [Head(1, 3), Head(1, 2)]


def test_a_weight_that_has_faded_is_told():
    faded = replace(synthetic(2, 2), gradient=GradientShare(0.0, 0.0, 0.1, 16), update=4000)
    assert "at update 4,000 the terms have no weight any more" in faded.tables()[0].note
    one = replace(faded, gradient=GradientShare(2.0, 0.031, -0.25, 1))
    assert "λ 2: the terms' is 3.1% of the rest's,\ncosine between them -0.25 (1 batch of" in one.tables()[0].note
