"""The cached teacher: it says what the live one says, from files that survive interruption and are theirs alone."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import STOP_AT, Launcher, settings
from hypothesis import given
from hypothesis import strategies as st
from listener import Listener
from test_distributed import run_ranks
from tiny import SHAPE, ListCorpus, quick, special_ids, tiny_model, tiny_teacher

from a2d_cli.config.loader import parse_recipe
from a2d_cli.config.schema import Distillation
from a2d_cli.data.batching import BatchPlan, BatchSettings, share
from a2d_cli.distillation import cache_filling, teacher_cache
from a2d_cli.distillation.cache_filling import MAPS_TOLERANCE, WORDS_TOLERANCE_NATS, CacheRequest, cached_or_live
from a2d_cli.distillation.cached_teacher import CachedTeacher
from a2d_cli.distillation.objective import DistillationObjective
from a2d_cli.distillation.teacher_cache import CacheOrigin, Part, TeacherCache
from a2d_cli.distillation.teachers import Teacher
from a2d_cli.errors import A2DError, ConfigError, Interrupted
from a2d_cli.files import lock_folder
from a2d_cli.model.attention import KINDS
from a2d_cli.training.distributed import World
from a2d_cli.training.objective import RunContext, TrainingStep

LENGTHS = [(2, 3), (11, 7), (5, 5), (1, 13), (7, 2), (3, 1), (17, 11), (5, 3), (2, 2), (13, 5), (29, 3)]
LIMIT = 19  # tokens a side: the last pair is too long
NUM_WORDS = 22


class Text(ListCorpus):
    fingerprint = "text"


def plan_of(max_tokens: int = 40, seed: int = 3) -> BatchPlan:
    return BatchPlan(Text(LENGTHS), special_ids(), BatchSettings(max_tokens, max_length=LIMIT), seed)


def request(folder: Path, **changes) -> CacheRequest:
    whole = CacheRequest("auto", 5, True, True, folder / "cache", "weights", "runs/teacher/best", "data")
    return replace(whole, **changes)


def remember(
    folder: Path, live: Teacher | None = None, plan: BatchPlan | None = None, **changes
) -> tuple[Teacher, list[str]]:
    """The teacher that the command would take, and what it says on the way."""
    listener = Listener()
    context = RunContext(plan or plan_of(), torch.device("cpu"), World(), listener, "a2d distill")
    return cached_or_live(live or tiny_teacher(), request(folder, **changes), context), listener.lines


def every_batch(plan: BatchPlan):
    for indices in (*plan.epoch(1), *(share(each, 1, 2) for each in plan.epoch(2) if len(each) > 1)):
        yield plan.load(indices)


def folder_in(path: Path) -> Path:
    (folder,) = (path / "cache").iterdir()
    return folder


def disk_with(free: int):
    return lambda path: namedtuple("usage", "total used free")(10**12, 0, free)


# --- the files ----------------------------------------------------------------------------------------------

ORIGIN = CacheOrigin("weights", "text", 7, "runs/teacher/best", "data")


@given(st.lists(st.integers(1, 7), min_size=1, max_size=23), st.data())
@quick
def test_what_was_marked_is_read_back_however_often_filling_was_broken_off(tmp_path_factory, sizes, data):
    folder = tmp_path_factory.mktemp("cache") / "it"
    rng = np.random.default_rng(len(sizes))
    order = rng.permutation(len(sizes) + 2)[: len(sizes)]  # two pairs of the corpus are not held
    lengths = np.zeros(len(sizes) + 2, dtype=np.int64)
    lengths[order] = sizes
    parts = [Part("a", "float16", 3 * lengths), Part("b", "uint16", lengths * lengths)]
    truth = {part.name: [rng.integers(0, 999, size) for size in part.sizes] for part in parts}

    def numbers(pairs):
        return {name: np.concatenate([arrays[pair] for pair in pairs]) for name, arrays in truth.items()}

    while (cache := TeacherCache(folder, ORIGIN, order, parts)).num_bytes_missing:
        with cache.appending("fill") as writer:
            first = writer.num_pairs
            last = data.draw(st.integers(first + 1, len(order)))
            writer.append(numbers(order[first:last]), last - first)
        for part in parts:  # a killed process leaves more than it has marked
            with open(folder / part.file_name, "ab") as stream:
                stream.write(b"\7" * data.draw(st.integers(0, 5)))
    arrays = cache.open()
    chosen = data.draw(st.lists(st.sampled_from(order.tolist()), min_size=1, max_size=9))
    for name in truth:
        np.testing.assert_array_equal(arrays[name][np.array(chosen)], numbers(chosen)[name])


def test_a_file_cut_short_is_filled_again(tmp_path: Path):
    order, part = np.arange(3), Part("a", "float32", np.array([2, 3, 5]))
    cache = TeacherCache(tmp_path, ORIGIN, order, [part])
    assert cache.num_bytes == cache.num_bytes_missing == 40
    with cache.appending("fill") as writer:
        writer.append({"a": np.arange(10)}, 3)
    assert cache.num_bytes_missing == 0
    os.truncate(tmp_path / part.file_name, 39)
    assert cache.num_bytes_missing == 40
    with cache.appending("fill") as writer:
        assert writer.num_pairs == 0
        writer.append({"a": np.arange(10)}, 3)
    assert cache.open()["a"][np.array([1, 0])].tolist() == [2, 3, 4, 0, 1]


# --- what it says -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["auto", "states"])
def test_the_cached_teacher_says_what_the_live_one_says(tmp_path: Path, mode: str):
    live, plan = tiny_teacher(), plan_of()
    cached, said = remember(tmp_path, mode=mode)
    assert isinstance(cached, CachedTeacher)
    assert said[0].startswith("teacher cache: float16 states and float16 maps of 10 pairs, 0.0")
    assert sum(parameter.numel() for parameter in cached.model.parameters()) < 1000  # its body has gone
    for batch in every_batch(plan):
        exact, told = (teacher(batch, True) for teacher in (live, cached))
        log_p, log_q = (each.logits(slice(None)).log_softmax(-1) for each in (exact, told))
        assert ((log_p.exp() * (log_p - log_q).abs()).sum(-1) < WORDS_TOLERANCE_NATS).all()
        torch.testing.assert_close(told.logits(slice(2, 5)).log_softmax(-1), log_q[2:5])
        src = live.model.src_mask(batch.src)
        real = {"encoder_self": (src, src), "decoder_self": (batch.tgt_mask,) * 2, "cross": (batch.tgt_mask, src)}
        for kind, (queries, keys) in real.items():
            inside = (queries[:, :, None] & keys[:, None, :])[:, None]
            ours, theirs = (getattr(each.maps, kind) for each in (told, exact))
            torch.testing.assert_close(ours * inside, theirs * inside, rtol=0, atol=MAPS_TOLERANCE)
            assert not (ours * ~inside).any()
        assert cached(batch, False).maps is None


def test_the_files_are_as_large_as_foretold(tmp_path: Path):
    shape = tiny_teacher().model.shape
    _, said = remember(tmp_path)
    sizes = {path.name: path.stat().st_size for path in folder_in(tmp_path).iterdir() if path.suffix == ".float16"}
    pairs = [(s + 1, t + 1) for s, t in LENGTHS[:-1]]
    encoder, decoder = shape.encoder_layers * shape.num_heads, shape.decoder_layers * shape.num_heads
    assert sizes == {
        "states.float16": 2 * sum(shape.d_model * t for _, t in pairs),
        "encoder_self.float16": 2 * sum(encoder * s * s for s, _ in pairs),
        "decoder_self.float16": 2 * sum(decoder * t * (t + 1) // 2 for _, t in pairs),
        "cross.float16": 2 * sum(decoder * t * s for s, t in pairs),
    }
    assert f"10 pairs, {sum(sizes.values()) / 1e6:.2f} MB" in said[0]


def log_probabilities(teacher: Teacher, batch) -> torch.Tensor:
    return teacher(batch, False).logits(slice(None))


def test_with_k_the_whole_vocabulary_the_likeliest_words_are_the_distribution(tmp_path: Path):
    live, plan = tiny_teacher(), plan_of()
    for k in (NUM_WORDS, 10**6):  # no vocabulary has more words than it has
        cached, _ = remember(tmp_path, mode="topk", top_k=k)
        for batch in every_batch(plan):
            exact, told = log_probabilities(live, batch).log_softmax(-1), log_probabilities(cached, batch)
            torch.testing.assert_close(told, exact, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("k", [1, 5, NUM_WORDS - 1])
def test_the_likeliest_words_keep_their_probability_and_the_others_share_the_rest(tmp_path: Path, k: int):
    live, plan = tiny_teacher(), plan_of()
    cached, said = remember(tmp_path, mode="topk", top_k=k)
    assert f"the {k} likeliest words and float16 maps" in said[0]
    for batch in every_batch(plan):
        exact, told = log_probabilities(live, batch).log_softmax(-1), log_probabilities(cached, batch)
        torch.testing.assert_close(told.exp().sum(-1), torch.ones(len(told)), rtol=0, atol=3e-3)
        kept = exact.topk(k).indices
        torch.testing.assert_close(told.gather(1, kept), exact.gather(1, kept), rtol=1e-3, atol=1e-4)
        others = told.scatter(1, kept, math.nan)
        others = others[~others.isnan()].view(len(told), NUM_WORDS - k)
        assert torch.equal(others, others[:, :1].expand_as(others))


METHODS = ["word", "a2d-diagonal", "a2d-masked", "ce+a2d-diagonal", "a2d-masked+a2d-diagonal"]


@pytest.mark.parametrize("method", METHODS)
def test_sums_and_gradients_are_the_live_teachers_within_the_tolerance(tmp_path: Path, method: str):
    plan, live = plan_of(), tiny_teacher()
    words, maps = not method.startswith("ce"), "a2d" in method
    cached, _ = remember(tmp_path, words=words, maps=maps)
    batch = plan.load(np.sort(np.concatenate(plan.epoch(1)))[2:9])
    results = []
    for teacher in (live, cached):
        distillation = Distillation(method=method, calibrate_at_update=7)
        objective = DistillationObjective(tiny_model(), teacher, distillation, 0.1, max_updates=100, seed=1)
        objective.before_update(lambda _: batch, TrainingStep(1, 1))
        terms = objective(batch, TrainingStep(1, 1))
        terms.total.backward()
        gradient = torch.cat([p.grad.flatten() for p in objective.model.parameters() if p.grad is not None])
        results.append((terms.parts, gradient, objective.term_weight))
    (parts, gradient, weight), (told, other_gradient, other_weight) = results
    assert parts.keys() == told.keys()
    for name in parts:
        assert float(told[name]) == pytest.approx(float(parts[name]), rel=3e-3, abs=WORDS_TOLERANCE_NATS), name
    assert (gradient - other_gradient).norm() < 3e-3 * gradient.norm()
    assert other_weight == pytest.approx(weight, rel=1e-2)


def test_padding_is_not_asked_for(tmp_path: Path):
    cached, _ = remember(tmp_path)
    batch = plan_of().load(np.array([1, 3]))
    with pytest.raises(AssertionError, match="knows nothing of padding"):
        cached(batch, True, padding_too=True)
    with pytest.raises(AssertionError, match="by their place in the corpus"):
        cached(replace(batch, indices=None), True)


# --- when it is made ----------------------------------------------------------------------------------------


def stamps(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder_in(folder).glob("*.*t*")}


def test_it_is_made_once_and_other_methods_add_what_they_need(tmp_path: Path):
    remember(tmp_path, maps=False)
    assert set(stamps(tmp_path)) == {"states.float16"}
    states = stamps(tmp_path)["states.float16"]
    _, said = remember(tmp_path)
    assert "(0.00 MB to be filled" not in said[0]
    before = stamps(tmp_path)
    assert set(before) == {"states.float16", *(f"{kind}.float16" for kind in KINDS)}
    assert before["states.float16"] == states
    _, said = remember(tmp_path, plan=plan_of(max_tokens=90, seed=5))
    assert "(0.00 MB to be filled" in said[0]
    assert stamps(tmp_path) == before
    remember(tmp_path, mode="topk", top_k=3)
    remember(tmp_path, mode="topk", top_k=7)
    assert set(stamps(tmp_path)) - set(before) == {
        f"top{k}_{part}" for k in (3, 7) for part in ("ids.uint16", "scores.float16")
    }


def test_another_teacher_or_text_in_the_same_place_replaces_it(tmp_path: Path):
    remember(tmp_path)
    old = folder_in(tmp_path)
    cached, said = remember(tmp_path, other_teacher(), teacher="others")
    assert said[0].startswith(f"removed {old} (0.0") and said[0].endswith("has changed")
    assert folder_in(tmp_path) != old
    old, plan = folder_in(tmp_path), plan_of()
    batch = next(every_batch(plan))
    torch.testing.assert_close(
        log_probabilities(cached, batch), log_probabilities(other_teacher(), batch), rtol=0, atol=0.02
    )
    plan.corpus.fingerprint = "another"
    _, said = remember(tmp_path, other_teacher(), plan, teacher="others")
    assert said[0].startswith(f"removed {old} ")
    # A teacher beside it, or a shorter limit, is another cache and leaves it alone.
    _, said = remember(tmp_path, plan=plan, teacher_place="runs/second/best")
    short = BatchPlan(plan.corpus, plan.ids, BatchSettings(40, max_length=11), 3)
    _, also = remember(tmp_path, plan=short, teacher="others")
    assert not any("removed" in line for line in said + also)
    assert len(list((tmp_path / "cache").iterdir())) == 3


def other_teacher() -> Teacher:
    return tiny_teacher(seed=8)


def test_a_cache_that_says_something_else_is_made_anew(tmp_path: Path):
    remember(tmp_path)
    for name, what in (("states.float16", "words by "), ("cross.float16", "cross maps by ")):
        path = folder_in(tmp_path) / name
        path.write_bytes(np.ones(path.stat().st_size // 2, dtype="<f2").tobytes())
        cached, said = remember(tmp_path)
        assert said[1].startswith(f"warning: {path.parent} differs from the live teacher ({what}")
        assert said[1].endswith("it is made anew")
        assert isinstance(cached, CachedTeacher)
        assert remember(tmp_path)[1][1:] == []
    (folder_in(tmp_path) / "cache.json").write_text("{")
    assert remember(tmp_path)[1][1:] == []


@pytest.mark.parametrize(("change", "is_kept"), [(0.01, False), (0.0003, True)])
def test_a_map_that_is_a_hundredth_off_is_made_anew(tmp_path: Path, change: float, is_kept: bool):
    """One of three thousand is what float16 may cost."""
    remember(tmp_path)
    path = folder_in(tmp_path) / "cross.float16"
    path.write_bytes((np.fromfile(path, dtype="<f2") + np.float16(change)).tobytes())
    _, said = remember(tmp_path)
    assert any(line.endswith("it is made anew") for line in said) is not is_kept


def test_a_cache_that_cannot_be_made_right_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    answers = cache_filling.answers_of
    monkeypatch.setattr(
        cache_filling, "answers_of", lambda *given: {name: 0 * numbers for name, numbers in answers(*given).items()}
    )
    with pytest.raises(
        A2DError, match=r"made anew, it still differs from the live teacher: words by .*leave out --cache-teacher"
    ):
        remember(tmp_path)


def teacher_of_large_states() -> Teacher:
    """Two dimensions of its states are large and nearly cancel in its scores: float16 rounds the difference away."""
    teacher = tiny_teacher()
    with torch.no_grad():
        teacher.model.decoder_layers[-1].around_feed_forward.norm.bias[:2] += 3000
        teacher.model.tgt_embedding.weight[:, 1] = -teacher.model.tgt_embedding.weight[:, 0]
    return teacher


def test_states_that_float16_would_change_are_kept_in_float32(tmp_path: Path):
    cached, said = remember(tmp_path, teacher_of_large_states())
    assert said[0].startswith("teacher cache: states in float32, as float16 would be ") and said[0].endswith(
        " nats off"
    )
    assert "float32 states and float16 maps" in said[1]
    for batch in every_batch(plan_of()):
        exact = log_probabilities(teacher_of_large_states(), batch)
        torch.testing.assert_close(log_probabilities(cached, batch), exact, rtol=0, atol=0.02)


def test_two_processes_do_not_fill_it_at_once(tmp_path: Path):
    remember(tmp_path)
    (folder_in(tmp_path) / "cache.json").unlink()
    with (
        lock_folder(folder_in(tmp_path), "a2d distill --name other"),
        pytest.raises(A2DError, match="in use by 'a2d distill --name other'"),
    ):
        remember(tmp_path)


# --- room ---------------------------------------------------------------------------------------------------


def test_a_disk_that_is_too_small_is_told_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shutil, "disk_usage", disk_with(free=17_000))
    with pytest.raises(A2DError) as caught:
        remember(tmp_path, mode="states")
    assert (
        "0.03 MB are needed for float16 states and float16 maps of 10 pairs, 0.02 MB are free" in caught.value.message
    )
    assert caught.value.hint.startswith("free some space, ")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("free", "memory", "why"),
    [
        (40_000, 10**9, "more than 50% of the free disk, 0.04 MB"),
        (10**9, 40_000, "more than 50% of the memory, 0.04 MB"),
        (10**9, 10**9, ""),
    ],
)
def test_auto_lets_the_teacher_teach_live_where_there_is_no_room(
    tmp_path: Path, monkeypatch, free: int, memory: int, why: str
):
    monkeypatch.setattr(shutil, "disk_usage", disk_with(free))
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": memory}[name])
    live = tiny_teacher()
    teacher, said = remember(tmp_path, live)
    if not why:
        assert isinstance(teacher, CachedTeacher)
        return
    assert teacher is live
    assert said == [
        f"the teacher teaches live: a cache of float16 states and float16 maps of 10 pairs, 0.03 MB, would take {why}"
    ]
    assert not (tmp_path / "cache").exists()


def test_a_cache_that_is_full_needs_no_room_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    remember(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", disk_with(free=0))
    for mode in ("auto", "states"):
        assert isinstance(remember(tmp_path, mode=mode)[0], CachedTeacher)


# --- whole commands -----------------------------------------------------------------------------------------

SHORT = settings(
    {
        "training.max_updates": 9,
        "training.schedule": "inverse_sqrt",
        "training.log_every_updates": 1,
        "training.validate_every_updates": 9,
        "training.decode_below_nll": 0,
        "training.average_last": 0,
        "training.adam_eps": 1e-5,
        "distillation.calibrate_at_update": 3,
        "distillation.half_life": 0,  # else training is made for its length
    }
)
SIGNAL_AT_BATCH = """
import os
from a2d_cli.distillation import cache_filling, teacher_cache
cache_filling.FILL_TOKENS = teacher_cache.MARK_EVERY_S = 0
append, left = teacher_cache.CacheWriter.append, [{count}]
def append_or_die(*given):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), {number})
    append(*given)
teacher_cache.CacheWriter.append = append_or_die
"""


def rows(run: Path) -> list[dict[str, float]]:
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [row for row in map(json.loads, lines) if row["event"] == "train"]


def assert_same_training(run: Path, other: Path) -> None:
    ours, theirs = rows(run), rows(other)
    assert len(ours) == len(theirs) == 9
    for row, same in zip(ours, theirs, strict=True):
        assert row.keys() == same.keys()
        for name in row.keys() - {"event", "wps", "ups", "elapsed_s"}:
            assert same[name] == pytest.approx(row[name], rel=3e-3), name


@pytest.fixture(scope="module")
def live_run(a2d: Launcher, taught: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(shutil.copytree(taught, tmp_path_factory.mktemp("live") / "project"))
    a2d.well(folder, "distill", *SHORT)
    return folder / "runs" / "a2d-diagonal"


def test_killed_while_it_fills_it_goes_on_and_training_is_the_live_teachers(
    a2d: Launcher, taught_project: Path, live_run: Path
):
    command = ["distill", "--cache-teacher", *SHORT]
    ended = a2d.start(
        taught_project, *command, before=SIGNAL_AT_BATCH.format(count=5, number=int(signal.SIGKILL))
    ).wait()
    assert ended.code == -signal.SIGKILL
    marked = json.loads((folder_in(taught_project) / "cache.json").read_text())["pairs"]
    assert 0 < marked["states.float16"] == marked["cross.float16"] < 2500
    ended = a2d.start(
        taught_project, *command, before=SIGNAL_AT_BATCH.format(count=5, number=int(signal.SIGTERM))
    ).wait()
    assert ended.code == 143
    assert "goes on with: a2d distill --cache-teacher --set" in ended.err and "Traceback" not in ended.err
    more = json.loads((folder_in(taught_project) / "cache.json").read_text())["pairs"]
    assert marked["states.float16"] < more["states.float16"] < 2500
    said = a2d.well(taught_project, *command).err
    assert "teacher cache: float16 states and float16 maps of 2,500 pairs, " in said
    assert_same_training(live_run, taught_project / "runs" / "a2d-diagonal")
    # What says the same may be resumed as the other; words that are left out may not.
    on = [*SHORT, "--set", "training.max_updates=11"]
    assert "resuming a2d-diagonal at update 9" in a2d.well(taught_project, "distill", *on).err
    said = a2d.error(taught_project, "distill", *on, "--cache-teacher", "--set", "distillation.cache=topk", code=2)
    assert "distillation.cache_top_k: None -> 32" in said


HANG_UP_AT = "import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL)\n" + STOP_AT.replace("SIGTERM", "SIGHUP")


def test_hung_up_it_goes_on_although_the_cache_was_deleted(a2d: Launcher, taught_project: Path, live_run: Path):
    command = ["distill", "--cache-teacher", *SHORT]
    ended = a2d(taught_project, *command, before=HANG_UP_AT.format(update=5))
    assert ended.code == 128 + signal.SIGHUP == 129
    assert "goes on with: a2d distill --cache-teacher --set" in ended.err
    shutil.rmtree(taught_project / "cache")
    assert "resuming a2d-diagonal at update 5" in a2d.well(taught_project, *command).err
    assert_same_training(live_run, taught_project / "runs" / "a2d-diagonal")


def test_several_processes_share_one_cache(a2d: Launcher, taught_project: Path, live_run: Path):
    ended = run_ranks(a2d, 2, taught_project, "distill", "--cache-teacher", *SHORT)
    assert [rank.code for rank in ended] == [0, 0], ended
    assert ended[0].err.count("teacher cache: float16 states") == 1 and ended[1].err == ""
    assert_same_training(live_run, taught_project / "runs" / "a2d-diagonal")


def test_a_text_that_a_teacher_wrote_has_a_cache_of_its_own(a2d: Launcher, taught_project: Path, tmp_path: Path):
    for lang in ("de", "en"):
        lines = (taught_project / f"data/text/train.{lang}").read_text(encoding="utf-8").splitlines(keepends=True)
        (tmp_path / lang).write_text("".join(lines[:97]), encoding="utf-8")
    pseudo = ["--pseudo", str(tmp_path / "de"), str(tmp_path / "en")]
    said = a2d.well(taught_project, "distill", "--method", "word", "--cache-teacher", *pseudo, *SHORT).err
    assert "teacher cache: float16 states of 97 pairs" in said
    said = a2d.well(taught_project, "distill", "--method", "word", "--cache-teacher", *SHORT).err
    assert "teacher cache: float16 states of 2,500 pairs" in said and "removed" not in said
    assert len(list((taught_project / "cache").iterdir())) == 2


def test_the_released_objective_has_a_live_teacher(a2d: Launcher, taught_project: Path):
    command = ["distill", "--method", "a2d-release", "--cache-teacher", *SHORT]
    said = a2d.error(taught_project, *command, "--set", "distillation.cache=states", code=2)
    assert (
        "distillation.cache: 'states' cannot teach: a2d-release learns from padding too, of which a cache knows nothing"
        in said
    )
    assert "the teacher teaches live: a2d-release learns from padding too" in a2d.well(taught_project, *command).err
    assert not (taught_project / "cache").exists()


def test_hidden_states_come_from_a_live_teacher(a2d: Launcher, taught_project: Path):
    command = ["distill", "--method", "hidden", "--cache-teacher", *SHORT]
    for mode in ("states", "topk"):
        said = a2d.error(taught_project, *command, "--set", f"distillation.cache={mode}", code=2)
        why = "hidden learns from the states of all layers, of which a cache keeps the last"
        assert f"error: distillation.cache: '{mode}' cannot teach: {why}\nhint: write none; with auto" in said
    assert f"the teacher teaches live: {why}" in a2d.well(taught_project, *command).err
    assert not (taught_project / "cache").exists()


def test_members_of_an_ensemble_share_the_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shutil, "disk_usage", disk_with(free=100_000))
    assert isinstance(remember(tmp_path, num_teachers=1)[0], CachedTeacher)
    teacher, said = remember(tmp_path / "other", num_teachers=2)
    assert not isinstance(teacher, CachedTeacher)
    assert said[0].endswith("would take more than 25% of the free disk, 0.10 MB")


def test_an_interruption_ends_filling_behind_a_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cache_filling, "FILL_TOKENS", 0)
    append = teacher_cache.CacheWriter.append

    def append_and_interrupt(*given) -> None:
        append(*given)
        os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(teacher_cache.CacheWriter, "append", append_and_interrupt)
        with pytest.raises(Interrupted) as caught:
            remember(tmp_path)
    assert (caught.value.signal_number, caught.value.hint) == (signal.SIGINT, "a2d distill")
    assert isinstance(remember(tmp_path)[0], CachedTeacher)


def test_the_keys_are_checked():
    for key, message in (
        ("cache_top_k: 0", "distillation.cache_top_k: expected at least 1, got 0"),
        ("cache: state", "expected one of none, auto, states, topk"),
    ):
        with pytest.raises(ConfigError, match=re.escape(message)):
            parse_recipe(f"name: mine\npair: de-en\ndistillation: {{{key}}}\n", where="mine.yaml")


# --- batches know their pairs -------------------------------------------------------------------------------


def test_a_batch_knows_the_places_of_its_pairs_wherever_it_is_moved():
    plan = plan_of()
    indices = np.array([3, 0, 6])
    batch = plan.load(indices).to(torch.device("cpu"))
    assert batch.indices.tolist() == [3, 0, 6]
    assert plan.load(indices[:2]).indices.tolist() == [3, 0]
    assert SHAPE.max_positions > plan.longest == 18
