"""`a2d distill`: which student learns what, and which teachers cannot teach it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from conftest import Launcher, own_files, settings, write_language
from safetensors.torch import load_file, save_file

QUICK = settings(
    {
        "training.max_updates": 3,
        "training.log_every_updates": 1,
        "training.schedule": "inverse_sqrt",
        "training.decode_below_nll": 0,
        "training.average_last": 0,
    }
)


def read(path: Path) -> dict[str, object]:
    return json.loads(path.read_text(encoding="utf-8"))


def edit(path: Path, change) -> None:
    values = read(path)
    change(values)
    path.write_text(json.dumps(values), encoding="utf-8")


@pytest.fixture(scope="module")
def methods(a2d: Launcher, taught: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a student of each kind."""
    folder = Path(shutil.copytree(taught, tmp_path_factory.mktemp("methods") / "project"))
    for options in (
        ["--method", "ce"],
        ["--method", "word", "--seed", "3"],
        [],
        ["--profile", "masked"],
        ["--method", "a2d-release"],
        ["--method", "ce+a2d-masked+a2d-simplex", "--student", "d_model=10,num_heads=5,encoder_layers=2"],
    ):
        a2d.well(folder, "distill", *options, *QUICK)
    return folder


AT = ("encoder_self", "decoder_self", "cross")
BOTH = [f"{profile}_{kind}" for profile in ("masked", "simplex") for kind in AT]


@pytest.mark.parametrize(
    ("name", "terms", "helpers"),
    [
        ("ce", [], []),
        ("word-seed3", ["word"], []),
        ("a2d-simplex", ["word", *(f"attn_{kind}" for kind in AT)], ["aligner.simplex"]),
        ("a2d-masked", ["word", *(f"attn_{kind}" for kind in AT)], ["aligner.masked"]),
        ("a2d-release", ["word", *(f"attn_{kind}" for kind in AT)], ["aligner.release"]),
        ("ce+a2d-masked+a2d-simplex", BOTH, ["aligner.masked", "aligner.simplex"]),
    ],
)
def test_a_student_is_named_by_its_method_and_shows_each_term(methods: Path, name: str, terms: list[str], helpers: list[str]):
    run = methods / "runs" / name
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    for row in rows:
        if row["event"] == "train":
            about = {"event", "update", "epoch", "gnorm", "wps", "ups", "lr", "elapsed_s", "term_weight"}
            assert row.keys() - about == {"loss", "nll", *terms}
    assert sorted(path.stem for path in run.glob("*.safetensors")) == helpers
    for weights in (run / "best/model.safetensors", run / "last/model.safetensors"):
        assert not any("align" in key or "teacher" in key for key in load_file(weights))


def test_initial_weights_depend_on_the_seed_and_the_shape_alone(methods: Path):
    initial = {run.name: read(run / "run.json")["initial_weights"] for run in (methods / "runs").iterdir()}
    same = {initial[name] for name in ("ce", "a2d-simplex", "a2d-masked", "a2d-release")}
    assert len(same) == 1
    assert len({*same, initial["word-seed3"], initial["ce+a2d-masked+a2d-simplex"], initial["teacher"]}) == 4


def test_a_student_has_the_shape_that_was_asked_for(methods: Path):
    shape = read(methods / "runs/ce+a2d-masked+a2d-simplex/best/config.json")["shape"]
    assert (shape["d_model"], shape["num_heads"], shape["encoder_layers"], shape["ffn_dim"]) == (10, 5, 2, 40)


def test_the_newest_student_translates(a2d: Launcher, methods: Path):
    named = a2d.well(methods, "translate", "--model", "ce+a2d-masked+a2d-simplex", "--format", "tsv", stdin=b"dose labi\n")
    assert a2d.well(methods, "translate", "--format", "tsv", stdin=b"dose labi\n").out == named.out


def test_a_run_that_fades_attention_cannot_be_stretched(a2d: Launcher, methods: Path):
    longer = ["--set", "training.max_updates=4"]
    assert "training.max_updates: 3 -> 4" in a2d.error(methods, "distill", *QUICK, *longer, code=2)
    a2d.well(methods, "distill", "--method", "ce", *QUICK, *longer)
    assert read(methods / "runs/ce/run.json")["updates"] == 4


def test_a_run_of_an_older_a2d_knows_fewer_keys_and_goes_on(a2d: Launcher, methods: Path, tmp_path: Path):
    project = Path(shutil.copytree(methods, tmp_path / "project"))
    edit(project / "runs/ce/run.json", lambda info: info["settings"]["shape"].pop("output_bias"))
    edit(project / "runs/ce/best/config.json", lambda config: config["shape"].pop("output_bias"))
    a2d.well(project, "distill", "--method", "ce", *QUICK, "--set", "training.max_updates=7")
    assert read(project / "runs/ce/run.json")["updates"] == 7
    shape = ["--student", "output_bias=true"]
    said = a2d.error(project, "distill", "--method", "ce", *QUICK, *shape, "--set", "training.max_updates=7", code=2)
    assert "shape.output_bias: False -> True" in said


def test_a_student_does_not_change_its_teacher(a2d: Launcher, methods: Path, tmp_path: Path):
    other = Path(shutil.copytree(methods / "runs" / "teacher", tmp_path / "other"))
    weights = load_file(other / "best/model.safetensors")
    save_file({key: value + 1e-3 for key, value in weights.items()}, other / "best/model.safetensors")
    said = a2d.error(methods, "distill", "--teacher", str(other), *QUICK, code=2)
    assert "error: run 'a2d-simplex' exists with other settings: teacher: " in said


def test_without_a_teacher_the_command_is_told(a2d: Launcher, prepared: Path, project: Path):
    said = a2d.error(prepared, "distill", code=2)
    assert said.startswith("error: teacher: no run or folder 'teacher'\nhint: run 'a2d train-teacher' first, or --teacher RUN|FOLDER")
    a2d.well(project, "distill", "--method", "ce", *QUICK)  # needs none


@pytest.fixture
def teacher(taught: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(taught / "runs" / "teacher", tmp_path / "teacher"))


def test_a_teacher_of_another_vocabulary_is_refused(a2d: Launcher, teacher: Path, tmp_path: Path):
    write_language(tmp_path, {"train": 97, "valid": 7, "test": 5}, seed=12)
    project = tmp_path / "other project"
    a2d.well(tmp_path, "-C", str(project), "prepare", *own_files(tmp_path), "--pair", "de-en", "--set", "tokenizer.vocab_size=72")
    said = a2d.error(project, "distill", "--teacher", str(teacher), code=2)
    assert f"error: teacher {teacher} has another vocabulary (fingerprint " in said
    assert "hint: words and attention can only be matched on the same pieces: train a teacher in this project" in said


def test_a_teacher_of_another_pair_is_refused(a2d: Launcher, taught: Path, teacher: Path):
    edit(teacher / "best/config.json", lambda config: config.update(pair="en-de"))
    said = a2d.error(taught, "distill", "--teacher", str(teacher), code=2)
    assert f"error: teacher {teacher} translates en-de, this project de-en\nhint: choose a teacher of the same direction" in said


def test_a_teacher_that_reads_less_than_the_student_is_refused(a2d: Launcher, taught: Path, teacher: Path):
    edit(teacher / "best/config.json", lambda config: config["shape"].update(max_positions=13))
    said = a2d.error(taught, "distill", "--teacher", str(teacher), code=2)
    assert f"error: teacher {teacher} reads 13 tokens, the student is trained on up to 200\nhint: add --set training.max_length=13" in said


def test_a_teacher_cut_short_is_refused(a2d: Launcher, taught: Path, teacher: Path):
    weights = teacher / "best/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-7])
    assert "best/model.safetensors: cut short or not written by a2d" in a2d.error(taught, "distill", "--teacher", str(teacher), code=1)


def test_a_teacher_in_training_teaches_with_a_warning(a2d: Launcher, taught_project: Path):
    edit(taught_project / "runs/teacher/run.json", lambda info: info.update(finished=False))
    ended = a2d.well(taught_project, "distill", "--method", "word", *QUICK)
    assert f"warning: the training of {taught_project / 'runs/teacher'} has not ended; what it has so far will teach" in ended.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--method", "a2d-simplx"], "did you mean 'a2d-simplex'?"),
        (["--profile", "maskd"], "masked"),
        (["--student", "tinny"], "tiny"),
        (["--student", "d_model=17"], "d_model"),
        (["--set", "distillation.alpa=1"], "did you mean 'alpha'?"),
        (["--set", "training.lr=fast"], "expected"),
    ],
)
def test_options_that_cannot_be_right(a2d: Launcher, taught: Path, options: list[str], message: str):
    assert message in a2d.error(taught, "distill", *options, code=2)
