"""Updates and validations are what they say.

Where the machine or the settings do not suffice, training goes on and says how, or stops and says why.
"""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import STOP_AT, Ended, Launcher, own_files, settings, write_language
from safetensors.torch import load_file
from test_gpu import CPU, LATE, trainer_of
from tiny import SHAPE, ListCorpus, special_ids, tiny_model

from a2d_cli.config.keys import differences
from a2d_cli.config.schema import Decoding, Training
from a2d_cli.data.tokenizer import Tokenizer
from a2d_cli.errors import A2DError
from a2d_cli.project.run import Run
from a2d_cli.training import trainer as trainer_module
from a2d_cli.training import validation
from a2d_cli.training.distributed import World, choose_precision
from a2d_cli.training.event_files import EventFiles
from a2d_cli.training.optimizer import learning_rate
from a2d_cli.training.trainer import Trainer
from a2d_cli.training.update_sums import LogWindow, UpdateSums
from a2d_cli.training.validation import ValidationResult, Validator

SHORT = {
    "training.max_updates": 20,
    "training.max_sentences": 13,
    "training.schedule": "inverse_sqrt",
    "training.warmup_updates": 5,
    "training.save_every_updates": 6,
    "training.validate_every_updates": 10,
    "training.log_every_updates": 1,
    "training.decode_below_nll": 0,
    "training.average_last": 0,
}

# A machine whose memory holds a batch of few sentences.
SMALL_MEMORY = """
import torch
from a2d_cli.training.objective import TranslationObjective
forward = TranslationObjective.forward
def limited(self, batch, step):
    if len(batch.src) > {sentences}:
        raise {error}
    return forward(self, batch, step)
TranslationObjective.forward = limited
"""
CUDA_ERROR = 'torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")'
CPU_ERROR = (
    """RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried")"""
)
KNOWN_TRAINER = """
from a2d_cli.training.trainer import Trainer
trainers, train = [], Trainer.train
def known(self):
    trainers.append(self)
    return train(self)
Trainer.train = known
"""
# A loss that is no number at one update, as long as the learning rate is what the recipe says.
DIVERGE_AT = (
    KNOWN_TRAINER
    + """
import math
from dataclasses import replace
from a2d_cli.training.loss_watch import LossWatch
see = LossWatch.see
def diverging(self, sums, **given):
    too_fast = sums.update == {update} and trainers[0].state.lr_factor > {factor}
    see(self, replace(sums, terms=dict.fromkeys(sums.terms, math.nan)) if too_fast else sums, **given)
LossWatch.see = diverging
"""
)
# A loss that climbs by 0.28 smoothed nats an update, as long as the learning rate is what the recipe says.
CLIMB_FROM = (
    KNOWN_TRAINER
    + """
from dataclasses import replace
from a2d_cli.training.loss_watch import SMOOTHING_UPDATES, LossWatch
see = LossWatch.see
def climbing(self, sums, **given):
    if sums.update >= {update} and trainers[0].state.lr_factor == 1:
        nll = (self.smoothed + 0.28 * SMOOTHING_UPDATES) * sums.num_tokens
        sums = replace(sums, terms=dict(sums.terms, nll=nll))
    see(self, sums, **given)
LossWatch.see = climbing
"""
)
# A gradient that is no number, though the loss is one.
SPOIL_AT = """
import math
from dataclasses import replace
from a2d_cli.training.objective import TranslationObjective
forward, spoiled = TranslationObjective.forward, []
def spoiling(self, batch, step):
    terms = forward(self, batch, step)
    if step.update == {update} and not spoiled:
        spoiled.append(step)
        terms = replace(terms, total=terms.total * math.nan)
    return terms
TranslationObjective.forward = spoiling
"""
# As on a GPU: what an update did is read while the next one runs.
ONE_BEHIND = "from a2d_cli.training import trainer; trainer.UPDATES_BEHIND['cpu'] = 1\n"


def train(a2d: Launcher, folder: Path, before: str = "", **changes: object) -> Ended:
    return a2d(
        folder, "train-teacher", *settings({**SHORT, **{f"training.{k}": v for k, v in changes.items()}}), before=before
    )


def info(project: Path, name: str = "teacher") -> dict[str, object]:
    return json.loads((project / "runs" / name / "run.json").read_text(encoding="utf-8"))


def losses(project: Path) -> dict[int, float]:
    """Training loss by update; each update has one line."""
    text = (project / "runs" / "teacher" / "metrics.jsonl").read_text(encoding="utf-8")
    rows = [row for row in map(json.loads, text.splitlines()) if row["event"] == "train"]
    assert [row["update"] for row in rows] == list(range(1, len(rows) + 1))
    return {row["update"]: row["loss"] for row in rows}


@pytest.fixture(scope="module")
def plain(a2d: Launcher, prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which nothing went wrong."""
    folder = Path(shutil.copytree(prepared, tmp_path_factory.mktemp("plain") / "project"))
    assert train(a2d, folder).code == 0
    return folder


@pytest.mark.parametrize("error", [CUDA_ERROR, CPU_ERROR, "MemoryError()"])
def test_out_of_memory_cuts_updates_finer_with_the_same_result(a2d: Launcher, plain: Path, project: Path, error: str):
    ended = train(a2d, project, before=SMALL_MEMORY.format(sentences=4, error=error))
    assert ended.code == 0, ended.err
    told = "out of memory: batches are now cut into 4 pieces (same result but for the dropout drawn); recorded in run"
    assert f"warning: {told}.json" in ended.err
    assert info(project)["accumulate_after_out_of_memory"] == 4
    assert losses(project) == pytest.approx(losses(plain), rel=1e-4)  # nothing is counted twice
    ours, theirs = (load_file(each / "runs/teacher/last/model.safetensors") for each in (project, plain))
    loose = [name for name in ours if not name.endswith("k_proj.bias")]  # has no gradient but rounding errors
    assert len(loose) > 20
    for name in loose:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-3, atol=1e-3)


def test_out_of_memory_at_the_smallest_piece_stops_and_the_same_command_goes_on(
    a2d: Launcher, plain: Path, project: Path
):
    command = ["train-teacher", *settings(SHORT)]
    said = a2d.error(project, *command, before=SMALL_MEMORY.format(sentences=0, error=CUDA_ERROR), code=1)
    assert said.startswith("error: out of memory on cpu at update 1 (13 pairs in 8 pieces)\nhint: cut updates finer (")
    assert "the same command then goes on from the last save" in said
    a2d.well(project, *command, "--set", "training.accumulate=13")
    assert losses(project) == pytest.approx(losses(plain), rel=1e-4)


def test_an_update_is_cut_as_asked_now_or_finer_where_memory_did_not_suffice(a2d: Launcher, project: Path):
    pieces = """
from a2d_cli.training.trainer import Trainer
step = Trainer._step
def telling(self, *given):
    print(self.state.update + 1, self._pieces)
    return step(self, *given)
Trainer._step = telling
"""
    told = []
    for accumulate, updates in ((4, 5), (2, 7), (1, 9)):
        before = pieces + (SMALL_MEMORY.format(sentences=9, error=CUDA_ERROR) if accumulate == 1 else "")
        told += train(a2d, project, before=before, accumulate=accumulate, max_updates=updates).out.split("\n")[:-1]
    told += train(a2d, project, before=pieces, max_updates=10).out.split("\n")[:-1]
    expected = [4] * 5 + [2] * 2 + [2] * 2 + [2]
    assert told == [f"{update} {each}" for update, each in enumerate(expected, start=1)]


def test_out_of_memory_in_a_validation_stops_and_smaller_batches_go_on(a2d: Launcher, project: Path):
    command = ["train-teacher", *settings({**SHORT, "training.decode_below_nll": 99, "training.valid_sentences": 7})]
    before = """
import torch
from a2d_cli.model.incremental_decoder import IncrementalDecoder
start = IncrementalDecoder.start
def limited(self, src, beam):
    if len(src) > 2:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    return start(self, src, beam)
IncrementalDecoder.start = limited
"""
    said = a2d.error(project, *command, before=before, code=1)
    told = (
        "out of memory: CUDA out of memory. Tried to allocate 2.00 GiB\n"
        "hint: smaller batches: --set decoding.batch_sentences=N"
    )
    assert told in said
    ended = a2d.well(project, *command, "--set", "decoding.batch_sentences=2", before=before)
    assert "resuming teacher at update 10" in ended.err and info(project)["updates"] == 20


def test_divergence_rewinds_to_the_last_save_at_half_the_rate(a2d: Launcher, plain: Path, project: Path):
    ended = train(a2d, project, before=DIVERGE_AT.format(update=15, factor=0.6))
    assert ended.code == 0, ended.err
    assert "warning: diverged at update 15 (loss nan, gradient norm " in ended.err
    assert "back to update 12 at 0.5 of the learning rate" in ended.err
    assert (info(project)["rewinds"], info(project)["lr_factor"]) == (1, 0.5)
    ours, theirs = losses(project), losses(plain)
    assert all(ours[update] == theirs[update] for update in range(1, 13))
    assert len(ours) == 20 and ours[20] != theirs[20]


def test_what_was_saved_while_the_loss_climbed_is_nothing_to_return_to(a2d: Launcher, plain: Path, project: Path):
    """It takes a divergence some updates to show; the save of update 15 and the validation of 20 fall among them."""
    ended = train(a2d, project, before=CLIMB_FROM.format(update=14), save_every_updates=5, max_updates=30)
    assert ended.code == 0, ended.err
    assert "diverged at update 21 (loss " in ended.err and "back to update 10 at 0.5 of the learning rate" in ended.err
    ours, theirs = losses(project), losses(plain)
    assert all(ours[update] == theirs[update] for update in range(1, 11)) and len(ours) == 30
    run = project / "runs/teacher"
    assert not list(run.glob("*healthy*")) and info(project)["updates"] == 30
    # A kill among them changes nothing.
    killed = project.parent / "killed"
    shutil.copytree(project, killed, ignore=shutil.ignore_patterns("runs"))
    both = CLIMB_FROM.format(update=14) + STOP_AT.format(update=17)
    assert train(a2d, killed, before=both, save_every_updates=5, max_updates=30).code == 143
    assert list((killed / "runs/teacher").glob("*healthy*"))
    ended = train(a2d, killed, before=CLIMB_FROM.format(update=14), save_every_updates=5, max_updates=30)
    assert "back to update 10 at 0.5 of" in ended.err
    assert losses(killed) == losses(project)


def test_a_rewind_does_not_forget_which_weights_are_the_best(a2d: Launcher, project: Path):
    """They may have been judged while the loss was doubtful, after the state that it goes back to."""
    judged = """
from a2d_cli.training.validation import ValidationResult
ranks = iter([1.0, 3.0, 2.0, 2.0])  # at 10, 20, and, once it is back at 10, at 20 and 30
ValidationResult.rank = lambda self, metric: (0.0, next(ranks))
"""
    before = CLIMB_FROM.format(update=14) + judged
    ended = train(a2d, project, before=before, save_every_updates=5, max_updates=30)
    assert ended.code == 0 and "back to update 10 at 0.5 of" in ended.err, ended.err
    lines = [line for line in ended.err.splitlines() if line.startswith("valid  update")]
    assert [line.endswith("(best)") for line in lines] == [True, True, False, False]


@pytest.mark.parametrize("before", ["", ONE_BEHIND])
@pytest.mark.parametrize(("update", "saved"), [(12, 10), (15, 12)])  # a save is due at 12
def test_a_gradient_that_is_no_number_is_found_before_its_step_is_saved(
    a2d: Launcher, project: Path, before: str, update: int, saved: int
):
    ended = train(a2d, project, before=before + SPOIL_AT.format(update=update), log_every_updates=7)
    assert ended.code == 0, ended.err
    assert f"diverged at update {update} (loss " in ended.err and ", gradient norm nan): " in ended.err
    assert f"back to update {saved} at 0.5 of the learning rate" in ended.err
    weights = load_file(project / "runs/teacher/last/model.safetensors")
    assert info(project)["updates"] == 20 and all(each.isfinite().all() for each in weights.values())


def test_what_is_read_one_update_late_is_the_same(a2d: Launcher, project: Path, tmp_path: Path):
    late = Path(shutil.copytree(project, tmp_path / "late"))
    often = {"log_every_updates": 3, "save_every_updates": 8, "max_updates": 23}
    diverge = DIVERGE_AT.format(update=15, factor=0.6)
    for folder, before in ((project, diverge), (late, ONE_BEHIND + diverge)):
        ended = train(a2d, folder, before=before, **often)
        assert "diverged at update 15 (loss nan" in ended.err and "back to update 10 at 0.5 of" in ended.err
    rows = [
        [
            {key: value for key, value in row.items() if key not in ("elapsed_s", "wps", "ups")}
            for row in map(json.loads, text.splitlines())
        ]
        for text in ((each / "runs/teacher/metrics.jsonl").read_text(encoding="utf-8") for each in (project, late))
    ]
    assert rows[0] == rows[1] and len(rows[0]) == 23 // 3 + 3
    ours, theirs = ((each / "runs/teacher/last/model.safetensors").read_bytes() for each in (project, late))
    assert ours == theirs


def test_a_signal_that_is_read_one_update_late_stops_before_the_next(a2d: Launcher, project: Path):
    ended = train(a2d, project, before=ONE_BEHIND + STOP_AT.format(update=7), log_every_updates=5)
    assert ended.code == 143
    assert "teacher is saved at update 8\nstopped; " in ended.err


def test_divergence_again_and_again_stops(a2d: Launcher, project: Path):
    ended = train(a2d, project, before=DIVERGE_AT.format(update=3, factor=0), max_rewinds=2)
    assert ended.code == 1
    assert "error: training diverged at update 3 (loss nan, gradient norm" in ended.err
    assert ") after 2 rewinds\nhint: train anew (--overwrite, or another --name) with a lower training.lr" in ended.err
    # A huge rate leads there by itself.
    ended = a2d(
        project,
        *("train-teacher", "--name", "fast", *settings({**SHORT, "training.lr": 1e6, "training.clip_norm": 0})),
    )
    assert ended.code == 1 and ") after 3 rewinds" in ended.err, ended.err
    assert info(project, "fast")["rewinds"] == 3


def test_a_second_signal_does_not_wait(a2d: Launcher, project: Path):
    """Ctrl-C in a validation that takes long is noted; once more ends it at once."""
    slow = """
import os, signal, time
from a2d_cli.training.validation import Validator
def slow(self, model, device):
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)
Validator.__call__ = slow
"""
    ended = train(a2d, project, before=slow)
    assert ended.code == 130
    assert "teacher is saved at update 10\nstopped; what is saved goes on with: a2d train-teacher" in ended.err


def test_a_time_budget_ends_with_a_validation(a2d: Launcher, project: Path):
    ended = train(a2d, project, max_hours=1e-7)
    assert ended.code == 0, ended.err
    assert info(project)["stop_reason"] == "reached max_hours = 1e-07"
    assert info(project)["updates"] == 1 and info(project)["best"]["updates"] == [1]
    assert "had cooled down" not in ended.err  # no schedule that does


def test_a_run_that_ends_before_its_cool_down_is_told(a2d: Launcher, project: Path):
    cooling = {"schedule": "inverse_sqrt_cooldown", "warmup_updates": 1, "max_updates": 20}
    ended = train(a2d, project, max_hours=1e-7, **cooling)
    told = "warning: teacher ended before its learning rate had cooled down (100% of the peak were left), which costs "
    assert told in ended.err and "--overwrite --set training.max_updates=1 ends as early, cooled down" in ended.err
    assert "had cooled down" not in train(a2d, project, **cooling).err  # to its end


def test_a_run_that_ends_in_its_warm_up_is_told(a2d: Launcher, project: Path):
    warming = {"schedule": "inverse_sqrt_cooldown", "warmup_updates": 15, "max_updates": 20}
    ended = train(a2d, project, max_hours=1e-7, **warming)
    assert "warning: teacher ended in its warm-up, at update 1 of 15: it has hardly been trained; give it" in ended.err
    assert "--overwrite --set training.max_updates=1 --set training.warmup_updates=1\n" in ended.err
    assert "cooled down" not in ended.err


def test_patience_ends_and_more_of_it_goes_on(a2d: Launcher, project: Path):
    worse = """
from a2d_cli.training.validation import ValidationResult, Validator
Validator.__call__ = lambda self, model, device: ValidationResult(1.0, None, None)
"""
    ended = train(a2d, project, before=worse, validate_every_updates=2, patience=3, max_updates=15)
    assert info(project)["stop_reason"] == "no better bleu in 3 validations" and info(project)["updates"] == 8
    ended = train(a2d, project, before=worse, validate_every_updates=2, patience=3, max_updates=15)
    told = (
        "teacher is finished (no better bleu in 3 validations; best at update 2); "
        "raise that limit with --set to train on, or train anew"
    )
    assert told in ended.err
    ended = train(a2d, project, before=worse, validate_every_updates=2, patience=0, max_updates=15)
    assert ended.code == 0 and info(project)["updates"] == 15


def test_a_finished_run_is_trained_on_and_its_best_is_never_lost(a2d: Launcher, project: Path):
    """The average of the last weights may be best; later weights must beat it, not only each other."""
    judged = """
from a2d_cli.training.validation import ValidationResult, Validator
verdicts = iter({losses})
Validator.__call__ = lambda self, model, device: ValidationResult(next(verdicts), None, None)
"""
    train(a2d, project, before=judged.format(losses=[3.0, 2.0, 1.0]), average_last=2)
    assert info(project)["best"] == {"updates": [10, 20], "loss": 1.0, "bleu": None, "chrf": None}
    best = (project / "runs/teacher/best/model.safetensors").read_bytes()
    # The last weights stay what they were: the run goes on with them.
    run = project / "runs/teacher"
    names = ("snapshots/10", "snapshots/20", "best/model", "last/model")
    tenth, twentieth, average, last = (load_file(run / f"{name}.safetensors") for name in names)
    trained = torch.load(run / "training_state.pt", weights_only=True)["objective"]
    assert last.keys() == twentieth.keys()
    for name, weight in last.items():
        assert torch.equal(weight, twentieth[name]) and torch.equal(weight, trained[f"model.{name}"])
        torch.testing.assert_close(average[name], (tenth[name] + twentieth[name]) / 2)
    train(a2d, project, before=judged.format(losses=[1.5, 1.25]), average_last=2, max_updates=30)
    assert info(project)["updates"] == 30 and info(project)["best"]["updates"] == [10, 20]
    assert (project / "runs/teacher/best/model.safetensors").read_bytes() == best


def test_other_settings_are_not_mixed_into_a_run(a2d: Launcher, plain: Path, project: Path):
    shutil.copytree(plain / "runs", project / "runs")
    ended = train(a2d, project, lr=0.01, seed=2)
    assert ended.code == 2
    assert (
        "error: run 'teacher' exists with other settings: training.lr: 0.006 -> 0.01; training.seed: 1 -> 2\n"
        in ended.err
    )
    assert "hint: choose another --name, or --overwrite to train 'teacher' anew" in ended.err
    wall = [
        "lr=0.01",
        "seed=2",
        "adam_beta1=0.7",
        "adam_beta2=0.8",
        "weight_decay=0.1",
        "clip_norm=3",
        "warmup_updates=7",
        "max_length=20",
    ]
    ended = train(a2d, project, **dict(each.split("=") for each in wall))
    assert ended.code == 2 and ended.err.count(" -> ") == 6 and "; and 2 more\nhint: choose another --name" in ended.err


def test_a_long_setting_is_cut_in_a_message():
    assert differences({"a": {"b": "x" * 50, "c": 1}}, {"a": {"b": 2, "c": 1}}) == {"a.b": "x" * 39 + "… -> 2"}


@pytest.mark.parametrize("flags", [[], ["--overwrite"]])
def test_no_student_takes_the_place_of_a_teacher_nor_the_other_way_round(
    a2d: Launcher, plain: Path, project: Path, flags: list[str]
):
    shutil.copytree(plain / "runs", project / "runs")
    before = sorted(project.rglob("*"))
    # Even of the same shape, and even if it needs no teacher.
    shape = "d_model=32,num_heads=2,ffn_dim=48,encoder_layers=1,decoder_layers=2"
    student = ["distill", "--method", "ce", "--student", shape, *settings(SHORT)]
    said = a2d.error(project, *student, "--name", "teacher", *flags, code=2)
    assert said == "error: run 'teacher' is a teacher: no student takes its place\nhint: choose another --name\n"
    shutil.copytree(project / "runs/teacher", project / "runs/second")
    path = project / "runs/second/run.json"
    path.write_text(json.dumps({**info(project, "second"), "kind": "student"}), encoding="utf-8")
    said = a2d.error(project, "train-teacher", "--name", "second", *flags, code=2)
    assert said == "error: run 'second' is a student: no teacher takes its place\nhint: choose another --name\n"
    said = a2d.error(project, "distill", "--teacher", "second", "--name", "second", "--method", "word", *flags, code=2)
    assert (
        said == "error: run 'second' is the teacher itself: no student takes its place\nhint: choose another --name\n"
    )
    shutil.rmtree(project / "runs/second")
    assert sorted(project.rglob("*")) == before


@pytest.mark.parametrize("command", [["train-teacher"], ["distill", "--method", "ce"], ["import", "nowhere"]])
def test_what_is_no_name_is_refused_before_anything_is_removed(a2d: Launcher, project: Path, command: list[str]):
    before = sorted(project.rglob("*"))
    said = a2d.error(project, *command, "--name=../data", "--overwrite", code=2)
    assert said.startswith("error: --name '../data': no name of a run\nhint: a name is made of letters, digits, ")
    assert sorted(project.rglob("*")) == before


def test_a_schedule_that_cools_down_cannot_be_stretched(a2d: Launcher, project: Path):
    cool = {"schedule": "inverse_sqrt_cooldown"}
    assert train(a2d, project, max_updates=2, **cool).code == 0
    ended = train(a2d, project, max_updates=4, **cool)
    assert ended.code == 2 and "other settings: training.max_updates: 2 -> 4" in ended.err
    ended = train(a2d, project, max_updates=2, **cool)
    assert (
        "(reached max_updates = 2; best at update 2); train anew with --overwrite, or under another --name\n"
        in ended.err
    )
    assert "raise that limit" not in ended.err


def test_what_is_trained_and_how_long_it_took_is_told_in_plain_words(a2d: Launcher, project: Path):
    ended = train(a2d, project, max_updates=1)
    assert (
        "\ntraining teacher: 0.0 M parameters, 2,5" in f"\n{ended.err}"
        and " (0 over 200 tokens left out), on cpu\n" in ended.err
    )
    assert "teacher finished: reached max_updates = 1; 1 update in " in ended.err
    assert re.search(r"; 1 update in \d+ s; best weights in ", ended.err)
    assert ended.err.endswith("next: a2d distill\n") and ended.out == ""


def test_another_teacher_is_told_with_the_command_that_learns_from_it(a2d: Launcher, project: Path):
    ended = a2d(project, "train-teacher", "--name", "big", *settings({**SHORT, "training.max_updates": 1}))
    assert ended.err.endswith("next: a2d distill --teacher big\n")


def test_overwrite_begins_anew_and_is_not_part_of_the_command_that_goes_on(a2d: Launcher, plain: Path, project: Path):
    shutil.copytree(plain / "runs", project / "runs")
    (project / "runs/teacher/aligner.masked.safetensors").write_bytes(b"of another method")
    ended = a2d(project, "train-teacher", "--overwrite", *settings(SHORT), before=STOP_AT.format(update=7))
    assert ended.code == 143
    assert "--overwrite" not in ended.err and "--overwrite" not in info(project)["command"]
    run = project / "runs" / "teacher"
    assert not (run / "best").exists() and not (run / "aligner.masked.safetensors").exists()
    ended = train(a2d, project)
    assert "resuming teacher at update 7" in ended.err
    assert losses(project) == losses(plain)


def test_what_cannot_be_trained_replaces_nothing_and_leaves_no_run(a2d: Launcher, plain: Path, project: Path):
    shutil.copytree(plain / "runs", project / "runs")
    (project / "one.de").write_text("labi\nlabi\n", encoding="utf-8")
    (project / "one.en").write_text("IBAL\n", encoding="utf-8")
    a2d.well(project, "distill", "--method", "ce", "--name", "s", *settings({**SHORT, "training.max_updates": 2}))
    before = {path: path.read_bytes() for path in sorted((project / "runs").rglob("*")) if path.is_file()}
    short = ["--overwrite", "--set", "training.max_length=1"]
    pseudo = ["--overwrite", "--pseudo", "one.de", "one.en"]
    student = ["distill", "--method", "ce", "--name", "s"]
    for command, told in (
        (["train-teacher", *short], "all 2500 pairs are longer than 1 tokens a side"),
        ([*student, *short], "all 2500 pairs are longer than 1 tokens a side"),
        ([*student, *pseudo], "the two sides differ: one.de has 2 lines, one.en has 1"),
        (["distill", "--method", "ce", "--name", "new", *short[1:]], "all 2500 pairs are longer than 1 tokens a side"),
    ):
        assert told in a2d.error(project, *command, code=1)
    after = {path: path.read_bytes() for path in sorted((project / "runs").rglob("*")) if path.is_file()}
    locks = {path for path in after if path.name == ".lock"}
    assert {path: after[path] for path in after.keys() - locks} == {p: before[p] for p in before.keys() - locks}
    # Nor does it decide which settings the run is trained with.
    a2d.well(project, "distill", "--method", "ce", "--name", "new", *settings({**SHORT, "training.max_updates": 2}))


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:999])])
def test_weights_for_the_average_that_are_gone_are_done_without(a2d: Launcher, project: Path, damage):
    assert train(a2d, project, average_last=3, validate_every_updates=5).code == 0
    damage(project / "runs/teacher/snapshots/15.safetensors")
    ended = train(a2d, project, average_last=3, validate_every_updates=5, max_updates=25)
    assert ended.code == 0
    assert f"warning: {project}/runs/teacher/snapshots: 1 of the weights are gone or damaged" in ended.err
    assert "average of 2 weights" in ended.err


def test_a_run_whose_state_is_gone_tells_that_it_begins_anew(a2d: Launcher, project: Path):
    assert train(a2d, project, max_updates=5).code == 0
    Run(project / "runs/teacher").record(finished=False)
    (project / "runs/teacher/training_state.pt").unlink()
    ended = train(a2d, project, max_updates=5)
    assert "training_state.pt is gone: teacher begins anew, not at update 5" in ended.err and ended.code == 0


def test_the_shortest_time_is_one_update(a2d: Launcher, project: Path):
    assert train(a2d, project, max_hours=1e-300).code == 0
    assert info(project)["updates"] == 1 and (project / "runs/teacher/best/model.safetensors").exists()


def test_a_name_too_long_for_files_is_refused(a2d: Launcher, project: Path):
    said = a2d.error(project, "train-teacher", "--name", "n" * 121, code=2)
    assert "longer than 120 bytes\nhint: choose a shorter --name" in said


def test_tensorboard_shows_the_curves(plain: Path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(plain / "runs/teacher/tensorboard"))
    board.Reload()
    assert {"train/loss", "train/lr", "valid/loss"} <= set(board.Tags()["scalars"])
    shown = {event.step: event.value for event in board.Scalars("train/loss")}
    assert shown == pytest.approx(losses(plain), rel=1e-5)


def test_tensorboard_forgets_what_was_logged_behind_the_state_that_a_run_goes_on_from(tmp_path: Path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for begun_at, updates, value in ((0, range(1, 6), 1.0), (3, range(4, 5), 2.0)):
        events = EventFiles()
        with events.open(tmp_path, begun_at):
            for update in updates:
                events.add("train", {"loss": value}, update)
    board = EventAccumulator(str(tmp_path))
    board.Reload()
    shown = {event.step: event.value for event in board.Scalars("train/loss")}
    assert shown == {1: 1.0, 2: 1.0, 3: 1.0, 4: 2.0}


def test_a_validation_text_longer_than_the_model_reads_is_cut_and_translated(a2d: Launcher, project: Path):
    lines = (project / "data" / "text" / "valid.de").read_text(encoding="utf-8").splitlines()
    assert max(map(len, Tokenizer.load(project / "data").encode_src(lines))) > 8  # tokens, without the end mark
    ended = a2d(
        project,
        *(
            "train-teacher",
            *settings({**SHORT, "teacher.max_positions": 9, "training.max_length": 9, "training.decode_below_nll": 9}),
        ),
    )
    assert ended.code == 0, ended.err
    text = (project / "runs" / "teacher" / "metrics.jsonl").read_text(encoding="utf-8")
    judged = [row for row in map(json.loads, text.splitlines()) if row["event"] == "valid"]
    assert judged and all(row["bleu"] is not None for row in judged)


# --- an update ----------------------------------------------------------------------------------------------


@pytest.fixture
def by_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps are the gradient times the learning rate: SGD instead of Adam."""
    monkeypatch.setattr(
        trainer_module, "make_adam", lambda parameters, settings: torch.optim.SGD(parameters, settings.lr)
    )


def weights_now(trainer: Trainer) -> torch.Tensor:
    return torch.cat([each.detach().flatten() for each in trainer.parameters]).clone()


def step_of(trainer: Trainer) -> torch.Tensor:
    before = weights_now(trainer)
    trainer.update()
    return weights_now(trainer) - before


def test_a_gradient_is_clipped_to_the_norm_asked_for(tmp_path, by_gradient):
    trainer = trainer_of("ce", tmp_path)
    step = step_of(trainer)
    assert trainer.state.log.gradient_norms > 2 * trainer.settings.clip_norm
    assert float(step.norm()) == pytest.approx(
        trainer.settings.clip_norm * learning_rate(LATE + 1, trainer.settings), rel=1e-3
    )


def test_the_scale_of_fp16_changes_no_step(tmp_path, by_gradient):
    steps, norms = [], []
    for scale in (64.0, 1024.0):
        trainer = trainer_of("ce", tmp_path, precision="fp16")
        trainer.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        steps.append(step_of(trainer))
        norms.append(trainer.state.log.gradient_norms)
    assert norms[0] == pytest.approx(norms[1], rel=0.01)
    torch.testing.assert_close(steps[0], steps[1], rtol=0.02, atol=float(steps[0].abs().max()) / 100)


def test_a_run_goes_on_with_its_scale_and_in_another_precision(tmp_path, monkeypatch):
    monkeypatch.setattr(Trainer, "_write_last", lambda self: None)
    half = trainer_of("ce", tmp_path, precision="fp16")
    half.scaler = torch.amp.GradScaler("cpu", init_scale=128.0)
    half._save()
    again, single = (trainer_of("ce", tmp_path, precision=precision) for precision in ("fp16", "fp32"))
    again._load_state()
    assert again.scaler.get_scale() == 128.0
    single._load_state()  # which has no scale
    single._save()
    again = trainer_of("ce", tmp_path, precision="fp16")
    fresh = again.scaler.get_scale()
    again._load_state()
    assert again.scaler.get_scale() == fresh
    again.update()


def test_every_update_every_rank_and_every_seed_draws_its_own_dropout(tmp_path, monkeypatch):
    drawn = []

    def update_twice(rank: int, seed: int = 1) -> None:
        trainer = trainer_of("ce", tmp_path, seed=seed)
        trainer.world = World(rank, 2)
        trainer.objective.register_forward_pre_hook(lambda *_: drawn.append(float(torch.rand(()))))
        trainer.update()
        trainer.update()

    monkeypatch.setattr(World, "sum", lambda self, values: values)
    for rank in (0, 1, 0):
        update_twice(rank)
    assert len(set(drawn[:4])) == 4 and drawn[4:] == drawn[:2]
    update_twice(0, seed=2)
    assert len({*drawn[:4], *drawn[6:]}) == 6


@pytest.mark.parametrize(("hardware", "chosen"), [(True, torch.bfloat16), (False, torch.float16)])
def test_bf16_is_chosen_where_the_hardware_has_it(monkeypatch, hardware, chosen):
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: hardware or including_emulation
    )
    assert choose_precision("auto", torch.device("cuda")) == chosen
    assert choose_precision("auto", CPU) == torch.float32


def test_an_overflow_does_not_hide_the_gradient_norms_beside_it(tmp_path):
    log = LogWindow()
    for update, norm in enumerate([2.0, math.inf, 5.0, math.nan], 1):
        log.add(UpdateSums(update, {"nll": 3.0}, 7, norm, False))
    assert (log.mean_gradient_norm, log.updates, log.num_tokens) == (3.5, 4, 28)
    log = LogWindow()
    log.add(UpdateSums(1, {"nll": 3.0}, 7, math.inf, False))
    assert log.mean_gradient_norm is None


def test_a_line_of_the_log_is_json_whatever_its_numbers(tmp_path):
    run = Run(tmp_path)
    run.append_metrics({"event": "valid", "update": 3, "loss": math.nan, "ppl": math.inf, "bleu": None, "chrf": 2.5})

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    row = json.loads(run.metrics_path.read_text(encoding="utf-8"), parse_constant=refuse)
    assert row == {"event": "valid", "update": 3, "loss": None, "ppl": None, "bleu": None, "chrf": 2.5}


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_out_of_memory_in_the_step_is_not_tried_again(tmp_path, monkeypatch, precision):
    """Half of it may have been taken."""
    trainer = trainer_of("ce", tmp_path, precision=precision)

    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(trainer.optimizer, "step", full)
    with pytest.raises(A2DError, match=f"out of memory on cpu in the step of update {LATE + 1}.*a smaller model"):
        trainer.update()


def test_the_largest_seed_draws_and_a_larger_one_is_refused(a2d: Launcher, project: Path):
    assert train(a2d, project, seed=2**32 - 1, max_updates=1).code == 0
    said = a2d.error(project, "train-teacher", "--name", "x", "--seed", "20261129204500", code=2)
    assert "--seed: expected from 0 to 4,294,967,295, got 20261129204500" in said


# --- a validation -------------------------------------------------------------------------------------------


def validator_of(
    sources: list[str],
    references: list[str],
    sentences: int = 0,
    tgt_lang: str = "",
    decode_below_nll: float = math.inf,
    lengths: Sequence[tuple[int, int]] = ((3, 5), (7, 2)),
) -> Validator:
    return Validator(
        ListCorpus(lengths),
        *(sources, references, special_ids(), Decoding()),
        Training(decode_below_nll=decode_below_nll, valid_sentences=sentences, samples=0, max_tokens=47),
        max_length=41,
        tgt_lang=tgt_lang,
    )


def test_validations_are_ranked_by_the_metric_asked_for_and_then_by_loss():
    result = ValidationResult(1.0, 10.0, 50.0)
    assert [result.rank(metric)[0] for metric in ("loss", "bleu", "chrf")] == [-1.0, 10.0, 50.0]
    assert result.rank("chrf") > ValidationResult(2.0, 10.0, 50.0).rank("chrf")
    assert ValidationResult(9.0, 0.0, 0.0).rank("bleu") > ValidationResult(1.0, None, None).rank("bleu")


def test_the_validations_loss_is_the_mean_cross_entropy_of_a_token_without_dropout():
    validator = validator_of(["a", "b"], ["a", "b"], decode_below_nll=0.0)
    model = tiny_model(replace(SHAPE, dropout=0.3))
    total, tokens = 0.0, 0
    for index in range(2):  # each sentence alone, position by position
        batch = validator.plan.load([index])
        scores = model.logits(model.eval()(batch.src, batch.tgt_in).states)[0].log_softmax(-1)
        total -= float(scores.detach().gather(1, batch.tgt_out[0][:, None]).sum())
        tokens += batch.tgt_out.shape[1]
    found = [validator(model.train(), CPU) for _ in range(2)]
    assert found[0].loss == found[1].loss == pytest.approx(total / tokens, rel=1e-5)
    assert model.training and found[0].bleu is None


def test_a_pair_that_is_too_long_for_the_model_does_not_count_in_the_validations_loss():
    """41 tokens a side, end mark counted."""

    def loss_of(*lengths: tuple[int, int]) -> float:
        return validator_of([], [], decode_below_nll=0.0, lengths=lengths)(tiny_model(), CPU).loss

    expected = loss_of((3, 5))
    assert loss_of((3, 5), (41, 2)) == loss_of((3, 5), (2, 41)) == expected
    assert loss_of((3, 5), (40, 2)) != expected


def test_validation_bleu_is_that_of_the_target_language(monkeypatch):
    references = ["我们今天下午三点在图书馆前面见面。", "他把书放在桌子上,然后离开了房间。"]
    translations = ["我们今天下午三点在图书馆门前见面。", "他把书放在桌上,然后离开了房间。"]

    class Translator:
        def __init__(self, *_):
            pass

        def translate(self, sources):
            return [[SimpleNamespace(text=text)] for text in translations]

    monkeypatch.setattr(validation, "Translator", Translator)
    found = {lang: validator_of(["a", "b"], references, tgt_lang=lang)(tiny_model(), CPU).bleu for lang in ("zh", "")}
    assert found["zh"] > 60 and found[""] < 20


def test_validation_translates_sentences_from_all_over_the_set():
    lines = [str(i) for i in range(11)]
    assert validator_of(lines, lines, sentences=4).sources == ["0", "2", "5", "8"]
    assert validator_of(lines, lines, sentences=13).sources == lines


def test_a_language_whose_bleu_lacks_its_tokenizer_is_refused_before_training(a2d: Launcher, tmp_path: Path):
    write_language(tmp_path / "text", {"train": 211, "valid": 7, "test": 5})
    folder = tmp_path / "project"
    folder.mkdir()
    a2d.well(folder, "prepare", *own_files(tmp_path / "text"), "--pair", "de-ja", "--set", "tokenizer.vocab_size=72")
    command = ["train-teacher", *settings({**SHORT, "training.max_updates": 1, "training.decode_below_nll": 9})]
    said = a2d.error(folder, *command, before="import sys; sys.modules['MeCab'] = None\n", code=1)
    assert said == "error: BLEU for 'ja' needs a tokenizer that is not installed\nhint: pip install 'sacrebleu[ja]'\n"
    assert not (folder / "runs").exists()
