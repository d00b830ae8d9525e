"""`a2d distill`: which student learns what, and which teachers cannot teach it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from conftest import QUICK, Launcher, edit, own_files, settings, write_language
from safetensors.torch import load_file, save_file

from a2d_cli.commands.distill import _refuse_shares
from a2d_cli.commands.report_runs import NO_TERMS
from a2d_cli.config.schema import Distillation
from a2d_cli.distillation.methods import parse_method, settings_that_count
from a2d_cli.errors import ConfigError


def read(path: Path) -> dict[str, object]:
    return json.loads(path.read_text(encoding="utf-8"))


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
        ["--method", "ce+a2d-masked+a2d-diagonal", "--student", "d_model=10,num_heads=5,encoder_layers=2"],
    ):
        a2d.well(folder, "distill", *options, *QUICK)
    return folder


AT = ("encoder_self", "decoder_self", "cross")
BOTH = [f"{profile}_{kind}" for profile in ("masked", "diagonal") for kind in AT]


@pytest.mark.parametrize(
    ("name", "terms", "helpers"),
    [
        ("ce", [], []),
        ("word-seed3", ["word"], []),
        ("a2d-diagonal", ["word", *(f"attn_{kind}" for kind in AT)], ["aligner.diagonal"]),
        ("a2d-masked", ["word", *(f"attn_{kind}" for kind in AT)], ["aligner.masked"]),
        ("a2d-release", ["word", *(f"attn_{kind}" for kind in AT)], ["aligner.release"]),
        ("ce+a2d-masked+a2d-diagonal", BOTH, ["aligner.diagonal", "aligner.masked"]),
    ],
)
def test_a_student_is_named_by_its_method_and_shows_each_term(
    methods: Path, name: str, terms: list[str], helpers: list[str]
):
    run = methods / "runs" / name
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    for row in rows:
        if row["event"] == "train":
            assert row.keys() - NO_TERMS == {"loss", "nll", *terms}
    assert sorted(path.stem for path in run.glob("*.safetensors")) == helpers
    for weights in (run / "best/model.safetensors", run / "last/model.safetensors"):
        assert not any("align" in key or "teacher" in key for key in load_file(weights))


def test_initial_weights_depend_on_the_seed_and_the_shape_alone(methods: Path):
    initial = {run.name: read(run / "run.json")["initial_weights"] for run in (methods / "runs").iterdir()}
    same = {initial[name] for name in ("ce", "a2d-diagonal", "a2d-masked", "a2d-release")}
    assert len(same) == 1
    assert len({*same, initial["word-seed3"], initial["ce+a2d-masked+a2d-diagonal"], initial["teacher"]}) == 4


def test_a_student_has_the_shape_that_was_asked_for(methods: Path):
    shape = read(methods / "runs/ce+a2d-masked+a2d-diagonal/best/config.json")["shape"]
    assert (shape["d_model"], shape["num_heads"], shape["encoder_layers"], shape["ffn_dim"]) == (10, 5, 2, 40)


def test_the_student_of_the_best_validation_translates_and_says_why(a2d: Launcher, methods: Path, tmp_path: Path):
    project = Path(shutil.copytree(methods, tmp_path / "project"))
    edit(project / "runs/word-seed3/run.json", lambda info: info["best"].update(bleu=77.0))
    edit(project / "runs/ce/run.json", lambda info: info.update(best=info["best"] | {"bleu": 88.0}, finished=False))
    named = a2d.well(project, "translate", "-v", "--model", "word-seed3", "--format", "tsv", stdin=b"dose labi\n")
    found = a2d.well(project, "translate", "-v", "--format", "tsv", stdin=b"dose labi\n")
    why = "of the finished students, 'word-seed3' has the best validation BLEU\n"
    assert found.out == named.out and found.err == why + named.err


def test_a_run_that_fades_attention_cannot_be_stretched(a2d: Launcher, methods: Path):
    longer = ["--set", "training.max_updates=4"]
    assert "training.max_updates: 3 -> 4" in a2d.error(methods, "distill", *QUICK, *longer, code=2)
    a2d.well(methods, "distill", "--method", "ce", *QUICK, *longer)
    assert read(methods / "runs/ce/run.json")["updates"] == 4


def test_a_student_does_not_change_its_teacher(a2d: Launcher, methods: Path, tmp_path: Path):
    other = Path(shutil.copytree(methods / "runs" / "teacher", tmp_path / "other"))
    weights = load_file(other / "best/model.safetensors")
    save_file({key: value + 1e-3 for key, value in weights.items()}, other / "best/model.safetensors")
    said = a2d.error(methods, "distill", "--teacher", str(other), *QUICK, code=2)
    assert "error: run 'a2d-diagonal' exists with other settings: teacher: " in said
    said = a2d.error(methods, "distill", "--method", "word", "--name", "a2d-diagonal", *QUICK, code=2)
    assert "exists with other settings: method: a2d-diagonal -> word; " in said
    assert "train 'a2d-diagonal' anew; it was begun by: a2d distill" in said


def test_without_a_teacher_the_command_is_told(a2d: Launcher, prepared: Path, project: Path):
    said = a2d.error(prepared, "distill", code=2)
    assert said.startswith(
        "error: teacher: no run or folder 'teacher'\nhint: run 'a2d train-teacher' first, or --teacher RUN|FOLDER"
    )
    a2d.well(project, "distill", "--method", "ce", *QUICK)  # needs none


@pytest.fixture
def teacher(taught: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(taught / "runs" / "teacher", tmp_path / "teacher"))


def test_a_teacher_of_another_vocabulary_is_refused(a2d: Launcher, teacher: Path, tmp_path: Path):
    write_language(tmp_path, {"train": 97, "valid": 7, "test": 5}, seed=12)
    project = tmp_path / "other project"
    a2d.well(
        tmp_path,
        "-C",
        str(project),
        "prepare",
        *own_files(tmp_path),
        "--pair",
        "de-en",
        "--set",
        "tokenizer.vocab_size=72",
    )
    said = a2d.error(project, "distill", "--teacher", str(teacher), code=2)
    assert f"error: teacher {teacher} has another vocabulary (fingerprint " in said
    assert "hint: words and attention can only be matched on the same pieces: train a teacher in this project" in said


def test_a_teacher_of_another_pair_is_refused(a2d: Launcher, taught: Path, teacher: Path):
    edit(teacher / "best/config.json", lambda config: config.update(pair="en-de"))
    said = a2d.error(taught, "distill", "--teacher", str(teacher), code=2)
    assert (
        f"error: teacher {teacher} translates en-de, this project de-en\nhint: choose a teacher of the same direction"
        in said
    )


def test_a_teacher_that_reads_less_than_the_student_is_refused(a2d: Launcher, taught: Path, teacher: Path):
    edit(teacher / "best/config.json", lambda config: config["shape"].update(max_positions=13))
    said = a2d.error(taught, "distill", "--teacher", str(teacher), code=2)
    told = (
        f"error: teacher {teacher} reads 13 tokens, the student is trained on up to 200\n"
        "hint: add --set training.max_length=13"
    )
    assert told in said


def test_a_teacher_cut_short_is_refused(a2d: Launcher, taught: Path, teacher: Path):
    weights = teacher / "best/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-7])
    assert "best/model.safetensors: cut short or not written by a2d" in a2d.error(
        taught, "distill", "--teacher", str(teacher), code=1
    )


def test_a_teacher_in_training_teaches_with_a_warning(a2d: Launcher, taught_project: Path):
    edit(taught_project / "runs/teacher/run.json", lambda info: info.update(finished=False))
    ended = a2d.well(taught_project, "distill", "--method", "word", *QUICK)
    assert (
        f"warning: the training of {taught_project / 'runs/teacher'} has not ended; what it has so far will teach"
        in ended.err
    )


def test_a_student_as_large_as_its_teacher_is_warned_of(a2d: Launcher, taught_project: Path):
    shape = "d_model=48,num_heads=4,ffn_dim=96"
    said = a2d.well(taught_project, "distill", "--method", "word", "--student", shape, *QUICK).err
    assert re.search(
        r"warning: the student has 0\.\d M parameters, its teacher 0\.\d M: nothing is made smaller; take a smaller",
        said,
    )
    assert "made smaller" not in a2d.well(taught_project, "distill", "--method", "word", "--name", "small", *QUICK).err


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


# --- what a student starts from, and several teachers --------------------------------------------------------------

TEACHERS_SHAPE = ["--student", "d_model=32,num_heads=2,ffn_dim=48,dropout=0.3"]  # with one decoder layer of two


@pytest.fixture(scope="module")
def copied(a2d: Launcher, taught: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with students that began with layers of their teacher, and one that did not."""
    folder = Path(shutil.copytree(taught, tmp_path_factory.mktemp("copied") / "project"))
    for method in ("ce", "ce+copy-layers", "a2d+copy-layers"):
        ended = a2d.well(folder, "distill", "--method", method, *TEACHERS_SHAPE, *QUICK)
        does = {"ce": "training student", "ce+copy-layers": "begins with layers of", "a2d+copy-layers": "taught by"}[
            method
        ]
        assert does in ended.err
    return folder


def test_copied_layers_are_what_the_run_starts_from(a2d: Launcher, copied: Path):
    names = ("ce", "ce+copy-layers", "a2d-diagonal+copy-layers")
    plain, copying, other = (read(copied / "runs" / name / "run.json") for name in names)
    assert plain["initial_weights"] != copying["initial_weights"] == other["initial_weights"]
    assert copying["settings"]["distillation"] == {"method": "ce+copy-layers"}
    assert copying["settings"]["teacher"] == other["settings"]["teacher"] and "teacher" not in plain["settings"]
    losses = [
        next(
            row["loss"]
            for row in map(json.loads, (copied / "runs" / name / "metrics.jsonl").open())
            if row["event"] == "train"
        )
        for name in names[:2]
    ]
    assert losses[1] < losses[0]  # three updates are nothing: what it knows is its teacher's
    assert list((copied / "runs/ce+copy-layers").glob("*.safetensors")) == []


def test_a_resumed_run_does_not_copy_again(a2d: Launcher, copied: Path, tmp_path: Path):
    project = Path(shutil.copytree(copied, tmp_path / "project"))
    run = project / "runs/ce+copy-layers"
    before = read(run / "run.json")["initial_weights"]
    longer = ["--method", "ce+copy-layers", *TEACHERS_SHAPE, *QUICK, "--set", "training.max_updates=5"]
    assert "resuming ce+copy-layers at update 3" in a2d.well(project, "distill", *longer).err
    whole = a2d.well(project, "distill", *longer, "--name", "whole")
    assert whole.code == 0 and read(run / "run.json")["initial_weights"] == before
    resumed, uninterrupted = (
        load_file(project / f"runs/{name}/last/model.safetensors") for name in (run.name, "whole")
    )
    assert all((resumed[key] - uninterrupted[key]).abs().max() < 1e-6 for key in uninterrupted)


def test_what_depends_on_the_whole_batch_is_not_shared_out(a2d: Launcher, taught: Path, tmp_path: Path):
    said = a2d.error(taught, "distill", "--method", "a2d-paper", *QUICK, "--set", "training.accumulate=4", code=2)
    told = (
        "a2d-paper: an update in 4 pieces (student_training.accumulate) would give attention less weight: "
        "it is a sum over"
    )
    assert told in said and "hint: train it in one process with --set student_training.accumulate=1; a2d-masked" in said
    said = a2d.error(taught, "distill", "--method", "a2d-shuffled", *QUICK, "--set", "training.accumulate=4", code=2)
    told = (
        "a2d-shuffled: an update in 4 pieces (student_training.accumulate) would be another one: "
        "what a sentence teaches depends"
    )
    assert told in said and said.endswith("hint: train it in one process with --set student_training.accumulate=1\n")
    project = Path(shutil.copytree(taught, tmp_path / "project"))
    small_memory = """
import torch
from a2d_cli.distillation.released_objective import ReleaseObjective
def forward(self, batch, step):
    raise torch.OutOfMemoryError("CUDA out of memory.")
ReleaseObjective.forward = forward
"""
    said = a2d.error(project, "distill", "--method", "a2d-release", *QUICK, before=small_memory, code=1)
    assert "out of memory on cpu at update 1 (100 pairs in 1 piece); this method cannot cut them finer" in said
    assert "hint: train anew with a smaller training.max_tokens or a smaller model" in said


def test_out_of_memory_in_what_is_measured_of_an_update_is_not_cured_by_cutting(
    a2d: Launcher, taught: Path, tmp_path: Path
):
    project = Path(shutil.copytree(taught, tmp_path / "project"))
    small_memory = """
import torch
from a2d_cli.distillation.objective import DistillationObjective
def measure(self, batch):
    raise torch.OutOfMemoryError("CUDA out of memory.")
DistillationObjective.gradient_norms = measure
"""
    said = a2d.error(project, "distill", *QUICK, before=small_memory, code=1)
    assert "error: out of memory on cpu before update 1, at what this method measures of its first sentences\n" in said
    assert "hint: train anew with a smaller model " in said and said.endswith("--set distillation.gradient_share=0\n")
    assert "cut" not in said and "accumulate_after_out_of_memory" not in read(project / "runs/a2d-diagonal/run.json")
    a2d.well(
        project,
        "distill",
        "--name",
        "unmeasured",
        *QUICK,
        "--set",
        "distillation.gradient_share=0",
        before=small_memory,
    )


def test_several_processes_do_not_share_a_released_objective(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    method = parse_method(Distillation(method="a2d-release"))
    with pytest.raises(ConfigError, match="a2d-release: an update in 2 processes would give attention less weight"):
        _refuse_shares(method, 1)


def test_a_student_that_cannot_hold_its_teachers_layers_is_refused(a2d: Launcher, taught: Path):
    said = a2d.error(taught, "distill", "--method", "word+copy-layers", *QUICK, code=2)
    assert said.startswith("error: copy-layers: the student's d_model is 24, the teacher's 32, ")
    said = a2d.error(
        taught,
        "distill",
        "--method",
        "copy-layers",
        *TEACHERS_SHAPE[:1],
        TEACHERS_SHAPE[1] + ",encoder_layers=2",
        *QUICK,
        code=2,
    )
    assert said.startswith("error: copy-layers: the student's encoder_layers is 2, the teacher's 1\nhint: ")
    assert not (taught / "runs/ce+copy-layers").exists()


def test_layers_alone_may_come_from_a_teacher_of_other_pieces(a2d: Launcher, teacher: Path, tmp_path: Path):
    write_language(tmp_path, {"train": 97, "valid": 7, "test": 5}, seed=12)
    project = tmp_path / "other project"
    a2d.well(
        tmp_path,
        "-C",
        str(project),
        "prepare",
        *own_files(tmp_path),
        "--pair",
        "de-en",
        "--set",
        "tokenizer.vocab_size=72",
    )
    begin = [
        "distill",
        "--teacher",
        str(teacher),
        "--student",
        TEACHERS_SHAPE[1] + ",encoder_layers=1,decoder_layers=2,norm=post",
        *QUICK,
    ]
    a2d.well(project, *begin, "--method", "copy-layers")
    weights, own = load_file(teacher / "best/model.safetensors"), project / "runs/ce+copy-layers"
    assert load_file(own / "best/model.safetensors").keys() == weights.keys()
    assert "has another vocabulary" in a2d.error(project, *begin, "--method", "word+copy-layers", code=2)


@pytest.fixture(scope="module")
def two_teachers(a2d: Launcher, taught: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a second teacher, of another shape and hardly trained."""
    folder = Path(shutil.copytree(taught, tmp_path_factory.mktemp("two") / "project"))
    shape = settings({"teacher.num_heads": 4, "teacher.encoder_layers": 2})
    a2d.well(folder, "train-teacher", "--name", "second", *shape, *QUICK)
    return folder


def test_an_ensemble_teaches_live_and_cached_alike(a2d: Launcher, two_teachers: Path):
    both = ["distill", "--teacher", "teacher,second", *QUICK, "--set", "distillation.calibrate_at_update=1"]
    ended = a2d.well(two_teachers, *both)
    assert ended.err.count("taught by ") == 2
    ended = a2d.well(two_teachers, *both, "--cache-teacher", "--name", "cached")
    assert ended.err.count("teacher cache: float16 states and float16 maps") == 2
    assert len(list((two_teachers / "cache").iterdir())) == 2
    live, cached = (two_teachers / "runs" / name for name in ("a2d-diagonal", "cached"))
    digits = [read(two_teachers / f"runs/{name}/best/config.json")["tokenizer"] for name in ("teacher", "second")]
    assert digits[0] == digits[1]
    one, other = read(live / "run.json")["settings"]["teacher"].split(",")
    assert one != other and len(one) == len(other) == 16
    aligner = load_file(live / "aligner.diagonal.safetensors")
    assert aligner["encoder_self.scores"].shape == (2 * 1 + 4 * 2, 3) and aligner["cross.scores"].shape == (
        2 * 2 + 4 * 2,
        3,
    )
    rows = [
        [row for row in map(json.loads, (run / "metrics.jsonl").open()) if row["event"] == "train"]
        for run in (live, cached)
    ]
    for row, same in zip(*rows, strict=True):
        assert same["word"] == pytest.approx(row["word"], rel=3e-3) and same["attn_cross"] == pytest.approx(
            row["attn_cross"], rel=3e-3
        )
    # Another order or another member is another teacher.
    said = a2d.error(
        two_teachers,
        "distill",
        "--teacher",
        "second,teacher",
        *QUICK,
        "--set",
        "distillation.calibrate_at_update=1",
        code=2,
    )
    assert f"teacher: {one},{other} -> {other},{one}" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["distill", "--method", "hidden"],
            "distillation.teacher: 'teacher,second' are several teachers, hidden takes one",
        ),
        (["distill", "--method", "seq"], "distillation.teacher: 'teacher,second' are several teachers, seq takes one"),
        (
            ["distill", "--method", "copy-layers"],
            "distillation.teacher: 'teacher,second' are several teachers, copy-layers takes one",
        ),
        (["pseudo"], "distillation.teacher: 'teacher,second' are several teachers, and one is needed here"),
        (
            ["compare", "--methods", "ce,hidden"],
            "distillation.teacher: 'teacher,second' are several teachers, hidden takes one",
        ),
    ],
)
def test_what_an_ensemble_cannot_do(a2d: Launcher, two_teachers: Path, arguments: list[str], message: str):
    ensemble = ["--set", "distillation.teacher='teacher,second'"]
    assert message in a2d.error(two_teachers, *arguments, *ensemble, code=2)


def test_a_member_that_is_not_there_is_named(a2d: Launcher, taught: Path):
    said = a2d.error(taught, "distill", "--teacher", "teacher,nobody", code=2)
    assert said.startswith("error: teacher: no run or folder 'nobody'\nhint: run 'a2d train-teacher' first")


# --- settings ---------------------------------------------------------------------------------------------------


def test_map_forms_are_settings_of_methods_with_maps_alone(a2d: Launcher, methods: Path, tmp_path: Path):
    project = Path(shutil.copytree(methods, tmp_path / "project"))
    softened = settings({"distillation.map_form": "softened"})
    again = a2d.well(project, "distill", "--method", "word", "--seed", "3", *QUICK, *softened)
    assert "word-seed3 is finished" in again.err
    said = a2d.error(project, "distill", *QUICK, *softened, code=2)
    assert "distillation.map_form: plain -> softened" in said
    a2d.well(project, "distill", *QUICK, *softened, "--name", "soft")
    assert read(project / "runs/soft/run.json")["settings"]["distillation"]["map_temperature"] == 2.0
    said = a2d.error(
        project, "distill", *QUICK, *softened, "--set", "distillation.map_temperature=3", "--name", "soft", code=2
    )
    assert "distillation.map_temperature: 2.0 -> 3.0" in said


def test_a_setting_that_changes_nothing_is_told(a2d: Launcher, methods: Path, tmp_path: Path):
    project = Path(shutil.copytree(methods, tmp_path / "project"))
    told = "warning: --set distillation.beta changes nothing: a2d-diagonal does not use it; the weight follows from "
    assert told in a2d.well(project, "distill", *QUICK, *settings({"distillation.beta": "50"})).err
    idle = settings({"distillation.layer_map": "reverse", "distillation.alpha": "0.5"})
    said = a2d.well(project, "distill", "--method", "word", "--seed", "3", *QUICK, *idle).err
    assert "warning: --set distillation.layer_map changes nothing: word does not use it\n" in said
    assert "distillation.alpha" not in said


def test_a_run_that_goes_on_with_another_kind_of_answers_is_told(a2d: Launcher, methods: Path, tmp_path: Path):
    project = Path(shutil.copytree(methods, tmp_path / "project"))
    assert read(project / "runs/a2d-diagonal/run.json")["taught"] == "live"
    longer = settings({"student_training.max_updates": "7", "distillation.half_life": "0"})
    a2d.well(project, "distill", "--name", "x", *QUICK, *settings({"distillation.half_life": "0"}))
    said = a2d.well(project, "distill", "--name", "x", *QUICK, *longer, "--cache-teacher").err
    assert "the teacher's answers are cached from here on, and were live: by rounding alone the run will " in said
    assert read(project / "runs/x/run.json")["taught"] == "cached"


def test_settings_that_count_are_those_that_change_the_result():
    def counting(method: str, **changes: object) -> set[str]:
        return settings_that_count(Distillation(method=method, **changes)).keys() - {"method"}

    words = {"alpha", "temperature", "divergence"}
    assert counting("word") == counting("word+copy-layers") == counting("seq+word") == words
    assert counting("ce+copy-layers") == set()
    assert counting("word", cache="topk") == words | {"cache_top_k"}
    assert counting("word-selective") == words | {"selected_fraction", "selection_queue"}
    weight, kinds = {"half_life", "gradient_share", "calibrate_at_update"}, {"encoder_self", "decoder_self", "cross"}
    assert counting("hidden") == words | weight | {"layer_map"}
    assert counting("a2d-masked") == words | weight | kinds | {"map_form"}
    assert counting("a2d-cells-simplex") == counting("a2d-masked") | {"mixture_temperature"}
    assert counting("a2d-diagonal") == counting("a2d-simplex") == counting("a2d-cells-simplex") | {"row_floor"}
    assert counting("ce+a2d-diagonal") == counting("a2d-diagonal") - words
    assert counting("amad") == counting("a2d-rows-conv") == counting("a2d-masked") | {"row_floor"}
    assert counting("a2d-frozen") == counting("a2d-diagonal-frozen") == counting("amad")
    assert counting("attn-fixed") == counting("amad") | {"layer_map"}
    assert counting("a2d-proj") == counting("a2d-masked") | {"ridge", "gram_decay"}
    assert counting("a2d-paper") == kinds | {"alpha", "temperature", "beta", "decay"}
    assert counting("a2d-release") == counting("a2d-paper") | {"teacher_mix", "gradient_scale"}
    assert counting("hidden", gradient_share=0.0) == words | {"half_life", "gradient_share", "beta", "layer_map"}
    assert counting("a2d-diagonal", map_form="softened") == counting("a2d-diagonal") | {"map_temperature"}
    assert not {"teacher", "cache", "profile", "pseudo"} & counting("a2d-proj+hidden")


# --- warm-up


def test_a_warm_up_longer_than_the_training_is_warned_of_once(a2d: Launcher, taught_project: Path):
    for command, section in (("distill", "student_training"), ("train-teacher", "training")):
        said = a2d.well(taught_project, command, "--name", f"new-{section}", *QUICK).err
        assert said.count("warmup_updates is ") == 1
        told = (
            f"warning: {section}.warmup_updates is 50, and a run of 3 updates ends before its learning rate "
            "has reached its peak; "
        )
        assert f"{told}--set {section}.warmup_updates=1\n" in said
    said = a2d.well(taught_project, "distill", "--name", "long", *QUICK, "--set", "training.warmup_updates=3").err
    assert "warmup" not in said


# --- compiled

WITHOUT_INDUCTOR = """
import sys, torch
from a2d_cli.model.transformer import Transformer
in_place = torch.nn.Module.compile
def compile(self, **options):
    def keep(graph, inputs):
        print("graph of width", self.shape.d_model, file=sys.stderr)
        return graph.forward
    in_place(self, backend=keep, **options)
Transformer.compile = compile
"""


def test_a_live_teacher_is_compiled_with_its_student_and_says_the_same(a2d: Launcher, methods: Path, tmp_path: Path):
    folder = Path(shutil.copytree(methods, tmp_path / "project"))
    said = a2d.well(
        folder, "distill", "--name", "compiled", *QUICK, "--set", "training.compile=true", before=WITHOUT_INDUCTOR
    ).err
    assert "graph of width 32\n" in said and "graph of width 24\n" in said
    expected, found = (
        load_file(folder / "runs" / name / "last/model.safetensors") for name in ("a2d-diagonal", "compiled")
    )
    assert all(torch.equal(found[name], weights) for name, weights in expected.items())
