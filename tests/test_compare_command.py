"""`a2d compare`: a grid of real processes that is interrupted and goes on.

What is refused, what the tables say, and what is kept.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
import torch
from conftest import QUICK, ROOT, Ended, Launcher, settings
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from listener import Listener
from test_structure import parse

from a2d_cli import cli
from a2d_cli.commands import compare as compare_command
from a2d_cli.commands import compare_grid, model_on_texts
from a2d_cli.commands import score as score_command
from a2d_cli.commands.compare import _score_options, compare
from a2d_cli.commands.compare_fairness import notes_on, refuse_other_settings, refuse_unequal, what_was_trained
from a2d_cli.commands.compare_figure import _bars, check_figure, draw
from a2d_cli.commands.compare_grid import Cell, Launch, make_cells, train_grid
from a2d_cli.commands.compare_measure import _Forced
from a2d_cli.commands.compare_plan import ONE_END, Request, make_plan, read_seeds
from a2d_cli.commands.compare_record import Grid, KeptComparison, comparisons_dir, keep, read_kept
from a2d_cli.commands.compare_report import (
    Bootstrap,
    ComparedRuns,
    Comparison,
    MeasuredRun,
    MeasuredTeacher,
    contrasts,
)
from a2d_cli.commands.distill import method_facts
from a2d_cli.commands.option_lists import read_numbers
from a2d_cli.commands.report import report
from a2d_cli.commands.score import score_project
from a2d_cli.commands.scored_text import ScoredText
from a2d_cli.commands.table import Table
from a2d_cli.comparison import Sample
from a2d_cli.config.keys import FREE_KEYS
from a2d_cli.config.loader import read_project_recipe
from a2d_cli.config.schema import Recipe, Training
from a2d_cli.data.batching import SpecialIds, pad_batch
from a2d_cli.errors import A2DError, ConfigError, Interrupted
from a2d_cli.files import check_target, holding_process
from a2d_cli.project.checkpoint import load_checkpoint
from a2d_cli.project.fidelity_cache import FidelityResult
from a2d_cli.project.project import Project
from a2d_cli.project.run import Run
from a2d_cli.project.score_cache import describe_model
from a2d_cli.reporting import Reporter
from a2d_cli.scoring import PairedResult

UPDATES = 40
VALUES = {
    "student_training.validate_every_updates": UPDATES,
    "student_training.valid_sentences": 5,
    "student_training.save_every_updates": 10,
    "student_training.warmup_updates": 10,
}
GRID = ["compare", "--methods", "ce,a2d", "--seeds", "2", "--updates", str(UPDATES), "--jobs", "2", "--threads", "1"]
NAMES = ["ce-seed1", "a2d-diagonal-seed1", "ce-seed2", "a2d-diagonal-seed2"]
REQUEST = Request(
    ("ce", "a2d"), (1, 2), (UPDATES,), settings=tuple(f"{key}={value}" for key, value in VALUES.items()), jobs=2
)


def info(folder: Path, name: str) -> dict[str, object]:
    return json.loads((folder / "runs" / name / "run.json").read_text(encoding="utf-8"))


def edit(folder: Path, name: str, change) -> None:
    values = info(folder, name)
    change(values)
    (folder / "runs" / name / "run.json").write_text(json.dumps(values), encoding="utf-8")


def kept_in(folder: Path) -> list[Path]:
    return sorted(comparisons_dir(Project(folder)).iterdir())


def forget_scores(folder: Path, name: str) -> None:
    """As if that model had translated nothing."""
    path = folder / "scores" / "results.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if json.loads(line)["model"] != name]
    assert len(kept) < len(lines)
    path.write_text("\n".join(kept), encoding="utf-8")


def run(folder: Path, request: Request = REQUEST, reporter: Reporter | None = None) -> Comparison:
    return compare(Project(folder), request, "a2d compare", reporter or Reporter())


@pytest.fixture(scope="module")
def interrupted(a2d: Launcher, taught: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A project whose grid was stopped by Ctrl-C while two runs trained, and what was said, then and by status."""
    folder = Path(shutil.copytree(taught, tmp_path_factory.mktemp("compared") / "project"))
    running = a2d.start(folder, *GRID, *settings(VALUES))
    states = [folder / "runs" / name / "training_state.pt" for name in NAMES[:2]]
    while running.is_alive and not all(path.exists() for path in states):
        time.sleep(0.05)
    running.kill(signal.SIGINT)
    ended = running.wait()
    assert ended.code == 130, ended
    return folder, ended.err + a2d.well(folder, "status").out


@pytest.fixture(scope="module")
def finished(a2d: Launcher, interrupted: tuple[Path, str]) -> tuple[Path, Ended]:
    """The same after the same command has run to its end, and what it printed."""
    folder, _ = interrupted
    return folder, a2d.well(folder, *GRID, *settings(VALUES))


@pytest.fixture
def grid(finished: tuple[Path, Ended], tmp_path: Path) -> Path:
    """A copy of a project with a finished grid."""
    return Path(shutil.copytree(finished[0], tmp_path / "project"))


def no_process(*_: object, **__: object) -> None:
    raise AssertionError("a process was started")


# --- the grid


def test_runs_save_and_end_when_the_comparison_is_killed(a2d: Launcher, taught: Path, tmp_path: Path):
    folder = Path(shutil.copytree(taught, tmp_path / "project"))
    running = a2d.start(folder, *GRID, "--updates", "100000", *settings(VALUES))
    run_folder = folder / "runs" / NAMES[0]
    while running.is_alive and not (run_folder / "training_state.pt").exists():
        time.sleep(0.05)
    running.kill(signal.SIGKILL)
    running.wait()
    for _ in range(400):
        if holding_process(run_folder) is None:
            break
        time.sleep(0.05)
    assert holding_process(run_folder) is None
    assert "is saved at update" in (run_folder / "train.log").read_text(encoding="utf-8")


def test_ctrl_c_ends_the_runs_well_and_tells_the_command_that_goes_on(interrupted: tuple[Path, str]):
    folder, told = interrupted
    asked = shlex.join(["a2d", *GRID, *settings(VALUES)])
    assert f"\nstopped; what is saved goes on with: {asked}\n" in told
    assert told.endswith(f"next: {asked}\n")  # status
    for name in NAMES[:2]:
        assert (folder / "runs" / name / "training_state.pt").exists()
    assert not (folder / "runs" / NAMES[3]).exists()


def test_settings_can_be_chosen_by_the_validation_text(grid: Path, monkeypatch: pytest.MonkeyPatch):
    """So that no test set is looked at before they are."""
    monkeypatch.setattr(compare_grid.subprocess, "Popen", no_process)
    (block,) = run(grid, replace(REQUEST, test_sets=("valid",), jobs=1)).blocks
    assert block.test_set == "valid" and block.sentences == len(Project(grid).read_text("valid", "de"))


def test_a_comparison_is_noted_until_it_has_ended(grid: Path, monkeypatch: pytest.MonkeyPatch):
    assert "comparing" not in Project(grid).state()
    shutil.rmtree(grid / "runs" / NAMES[3])

    def stop(*_: object) -> None:
        raise Interrupted(signal.SIGINT, "a2d compare")

    monkeypatch.setattr("a2d_cli.commands.compare.train_grid", stop)
    with pytest.raises(Interrupted):
        run(grid)
    assert Project(grid).state()["comparing"] == "a2d compare"


def test_an_interrupted_grid_ends_in_a_table_with_runs_of_equal_conditions(finished: tuple[Path, Ended]):
    folder, table = finished[0], finished[1].out
    title, header, _, teacher, ce, a2d, *_ = table.splitlines()
    assert title.startswith("test: de-en, 37 sentences, beam 5; student 1+1 layers, d 24, ")
    assert title.endswith(f"{UPDATES} updates, seeds 1, 2")
    assert " ".join(header.split()) == "method BLEU chrF2 NLL KL to teacher valid NLL seconds a run peak MB"
    assert [line.split()[0] for line in (teacher, ce, a2d)] == ["teacher", "ce", "a2d-diagonal"]
    assert "2 seeds allow no p below 0.5, too few to claim anything about 1 method: that takes 6 seeds" in table
    assert "not measured: " in table
    for seed in (1, 2):
        ours, theirs = info(folder, f"a2d-diagonal-seed{seed}"), info(folder, f"ce-seed{seed}")
        assert ours["initial_weights"] == theirs["initial_weights"]
        assert ours["target_tokens"] == theirs["target_tokens"]
        assert ours["peak_memory_bytes"] > 10**7


def test_finished_runs_are_not_trained_again_and_give_the_same_numbers(
    finished: tuple[Path, Ended], grid: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(compare_grid.subprocess, "Popen", no_process)
    recorder = Listener()
    found = run(grid, replace(REQUEST, methods=("ce", "a2d", "a2d-diagonal")), recorder)
    known, kept = recorder.lines
    assert known == "a2d-diagonal: a2d-diagonal is named twice"
    assert kept == f"kept for 'a2d report': {kept_in(grid)[0]}"
    printed = finished[1].out.split()
    for table in found.tables():
        assert " ".join(table.title.split()) in " ".join(printed)
        for row in table.rows:
            assert " ".join(" ".join(row).split()) in " ".join(printed)


def test_scores_are_those_of_a2d_score_and_losses_are_kept_beside_them(grid: Path):
    block = run(grid).blocks[0]
    rows = {row.model.name: row for row in score_project(Project(grid), models=NAMES, reporter=Reporter()).rows}
    assert {each.run: (each.bleu, each.chrf) for each in block.runs} == {
        name: tuple(score.value for score in row.scores) for name, row in rows.items()
    }
    lines = (grid / "scores" / "fidelity.jsonl").read_text(encoding="utf-8").splitlines()
    kept = {each["model"]: each for each in map(json.loads, lines)}
    assert kept.keys() == {"teacher", *NAMES}
    assert kept["teacher"]["kl"] == pytest.approx(0, abs=1e-6)
    assert {each.run: each.test_nll for each in block.runs} == {name: kept[name]["nll"] for name in NAMES}
    assert {each.run: each.kl for each in block.runs} == {name: kept[name]["kl"] for name in NAMES}
    assert all(each["num_tokens"] == kept["teacher"]["num_tokens"] for each in kept.values())


def test_resampled_sentences_and_seeds_tell_of_the_same_differences(grid: Path):
    (contrast,) = run(grid).blocks[0].contrasts
    differences = contrast.tests["bleu"].differences
    assert any(differences.values)
    assert [each.delta for each in contrast.bootstrap.by_seed] == pytest.approx(differences.values)
    assert contrast.bootstrap.mean.delta == pytest.approx(differences.mean)


def test_a_line_that_a_crash_cut_short_is_measured_again(grid: Path):
    path = grid / "scores" / "fidelity.jsonl"
    before = run(grid).to_json()
    path.write_bytes(path.read_bytes()[:-20])
    assert run(grid).to_json() == before
    assert len(path.read_text(encoding="utf-8").splitlines()) == 6  # the cut line stands alone


def test_json_and_csv_hold_every_run(a2d: Launcher, grid: Path, tmp_path: Path):
    ended = a2d.well(grid, *GRID, *settings(VALUES), "--json", "--csv", str(tmp_path / "runs.csv"))
    (block,) = json.loads(ended.out)["blocks"]
    rows = list(csv.DictReader(io.StringIO((tmp_path / "runs.csv").read_text(encoding="utf-8"))))
    assert [row["run"] for row in rows] == [each["run"] for each in block["runs"]] == NAMES
    assert [float(row["bleu"]) for row in rows] == [each["bleu"] for each in block["runs"]]
    assert block["methods"]["ce"]["kl"]["values"] == [each["kl"] for each in block["runs"] if each["method"] == "ce"]
    (difference,) = block["differences"]
    assert (difference["method"], difference["baseline"], difference["bleu"]["p_value"]) == ("a2d-diagonal", "ce", 0.5)
    assert len(difference["bootstrap"]) == 2
    of_mean, by_seed = difference["sentences"], difference["bootstrap"]
    assert of_mean["delta"] == pytest.approx(fmean(each["delta"] for each in by_seed))
    assert of_mean["low"] <= of_mean["high"]


# --- scoring beside training


def test_every_model_is_scored_once_in_a_process_of_its_own(finished: tuple[Path, Ended]):
    """Were it under another key, this process would have translated again."""
    folder, ended = finished
    lines = (folder / "scores" / "results.jsonl").read_text(encoding="utf-8").splitlines()
    assert sorted(json.loads(line)["model"] for line in lines) == sorted(["teacher", *NAMES])
    for name in ["teacher", *NAMES]:
        assert re.search(rf"^{name} scored in \d+ s$", ended.err, re.MULTILINE)


def test_a_finished_run_without_scores_gets_a_process(grid: Path, monkeypatch: pytest.MonkeyPatch):
    before = run(grid).to_json()
    forget_scores(grid, NAMES[2])
    with monkeypatch.context() as patch:
        patch.setattr(model_on_texts, "load_model", no_process)
        recorder = Listener()
        assert run(grid, reporter=recorder).to_json() == before
    assert recorder.lines[0].startswith(
        "4 of 4 runs are finished, 1 model to be scored; 2 at a time with 1 thread each; follow "
    )
    assert re.fullmatch(f"{NAMES[2]} scored in .* s", recorder.lines[1])


def test_one_job_starts_no_process_to_score(grid: Path, monkeypatch: pytest.MonkeyPatch):
    before = run(grid).to_json()
    forget_scores(grid, NAMES[2])
    monkeypatch.setattr(compare_grid.subprocess, "Popen", no_process)
    assert run(grid, replace(REQUEST, jobs=1)).to_json() == before


def test_what_fails_to_be_scored_is_scored_by_the_comparison_itself(
    grid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    before = run(grid).to_json()
    forget_scores(grid, NAMES[2])
    play_python(
        tmp_path, "echo 'error: out of memory: CUDA' >&2; echo 'hint: smaller batches' >&2; exit 1", monkeypatch
    )
    recorder = Listener()
    assert run(grid, reporter=recorder).to_json() == before
    told = (
        f"warning: {NAMES[2]} is scored after the others, because its own process failed: out of memory: CUDA "
        "| hint: smaller batches"
    )
    assert recorder.lines[1] == told


@pytest.mark.parametrize(
    "changes",
    [
        (),
        ("decoding.beam=2",),
        ("decoding.nbest=3",),
        ("student_training.device=cpu",),
        ("training.device=cpu", "decoding.beam=7", "decoding.length_penalty=0.3", "decoding.max_source_tokens=41"),
    ],
)
def test_a2d_score_is_asked_for_the_same_translations(
    taught: Path, changes: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
):
    asked: dict[str, object] = {}

    def record(project: Project, **given: object) -> None:
        asked.update(given)
        raise A2DError("asked")

    monkeypatch.setattr(score_command, "score_project", record)
    project = Project(taught)
    plan = make_plan(project, replace(REQUEST, settings=changes), Reporter())
    with pytest.raises(A2DError, match="asked"):
        cli.app(["-C", str(taught), "score", *_score_options(plan)], standalone_mode=False)
    own = read_project_recipe(project.recipe_path).decoding
    assert replace(asked["decoding"] or own, nbest=1) == plan.decoding  # as score_project does
    assert plan.decoding == replace(read_project_recipe(project.recipe_path, list(changes)).decoding, nbest=1)
    assert (asked["device"], asked["test_sets"]) == (plan.recipe.student_training.device, ["test"])
    assert asked["with_speed"] is False  # beside other jobs


def test_finished_runs_serve_however_they_were_validated_and_are_scored_side_by_side(
    grid: Path, monkeypatch: pytest.MonkeyPatch
):
    """A beam and a length penalty change no training: nothing is trained, and this process translates nothing."""
    monkeypatch.setattr(model_on_texts, "load_model", no_process)
    recorder = Listener()
    run(
        grid, replace(REQUEST, settings=(*REQUEST.settings, "decoding.beam=2", "decoding.length_penalty=0.6")), recorder
    )
    assert recorder.lines[0].startswith("4 of 4 runs are finished, 5 models to be scored; ")
    found = [json.loads(line) for line in (grid / "scores/results.jsonl").read_text(encoding="utf-8").splitlines()]
    new = [each for each in found if each["decoding"]["beam"] == 2]
    assert [each["decoding"]["length_penalty"] for each in new] == [0.6] * 5
    assert {read_kept(path).grid.decoding["beam"] for path in kept_in(grid)} == {5, 2}  # both are kept


def test_what_is_scored_beside_other_jobs_has_no_speed(a2d: Launcher, grid: Path):
    table = score_project(Project(grid), reporter=Reporter())
    assert {row.to_json()["sentences_per_s"] for row in table.rows} == {None}
    (shown,) = table.tables()
    assert {row[-1] for row in shown.rows} == {"–"}
    assert "\n–: no speed, for other work shared the machine; 'a2d score --refresh' measures it" in shown.note
    assert "measured before" not in shown.note
    assert "–: no speed" in report(Project(grid), None, False, Reporter()).read_text(encoding="utf-8")
    (timed,) = score_project(Project(grid), models=["teacher"], refresh=True, reporter=Reporter()).tables()
    assert float(timed.rows[0][-1]) > 0 and "–: no speed" not in timed.note


APPEND = """
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from a2d_cli.project.result_log import ResultLog
@dataclass(frozen=True)
class Line:
    key: str
    text: str
    format: int = 1
log = ResultLog(Path(sys.argv[1]), Line)
for number in range(499):
    log.add(Line(f"{sys.argv[2]}-{number}", sys.argv[2] * (1 + 37 * number)))  # up to two buffers of a file
"""


def test_processes_that_add_results_at_a_time_lose_none(tmp_path: Path):
    path = tmp_path / "results.jsonl"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    processes = [subprocess.Popen([sys.executable, "-c", APPEND, str(path), name], env=environment) for name in "abcde"]
    assert [process.wait() for process in processes] == [0] * 5
    lines = [json.loads(line) for line in path.read_bytes().split(b"\n")]  # none is torn, none is empty
    assert sorted(line["key"] for line in lines) == sorted(
        f"{name}-{number}" for name in "abcde" for number in range(499)
    )
    assert all(line["text"] == line["key"][0] * len(line["text"]) for line in lines)


# --- what is kept


def test_what_was_found_is_kept_with_its_tables_and_command(a2d: Launcher, finished: tuple[Path, Ended], grid: Path):
    (path,) = kept_in(grid)
    kept = read_kept(path)
    printed = " ".join(finished[1].out.split())
    assert len(kept.tables) == 3
    for table in kept.tables:
        assert all(" ".join(" ".join(cells).split()) in printed for cells in (table.columns, *table.rows))
    assert kept.weights.keys() == {"teacher", *NAMES} and kept.texts.keys() == {"test"}
    assert (kept.grid.methods, kept.grid.seeds, kept.grid.updates) == (("ce", "a2d-diagonal"), (1, 2), (UPDATES,))
    asked = f"compare --methods ce,a2d-diagonal --seeds 2 --updates {UPDATES} --jobs 2 --threads 1"
    assert kept.command == f"{asked} {shlex.join(settings(VALUES))}"
    path.unlink()
    again = json.loads(a2d.well(grid, *shlex.split(kept.command), "--json").out)
    assert read_kept(path) == replace(kept, made_at=read_kept(path).made_at)
    assert [each["run"] for block in again["blocks"] for each in block["runs"]] == NAMES


def test_the_same_comparison_takes_its_own_place_and_another_one_a_new(grid: Path):
    (path,) = kept_in(grid)
    run(grid, replace(REQUEST, methods=("a2d", "ce"), seeds=(2, 1), baselines=("ce",)))
    assert kept_in(grid) == [path]
    assert "--methods a2d-diagonal,ce --seeds 2,1 --updates 40" in read_kept(path).command
    assert read_kept(path).command.endswith(f"--baseline ce {shlex.join(settings(VALUES))}")
    known = {path}
    for changes in ({"seeds": (1,)}, {"baselines": ("a2d",)}):
        run(grid, replace(REQUEST, **changes))
        (other,) = set(kept_in(grid)) - known
        known.add(other)
    assert read_kept(path).grid.baselines == ("ce",)


def test_a_report_tells_comparisons_to_other_baselines_apart(grid: Path):
    run(grid, replace(REQUEST, baselines=("a2d",)))
    html = report(Project(grid), None, False, Reporter()).read_text(encoding="utf-8")
    new, old = (
        html.index(f"ce, a2d-diagonal (to {name}; seeds 1, 2; 40 updates; test)") for name in ("a2d-diagonal", "ce")
    )
    assert new < old  # newest first


def test_a_report_shows_what_was_kept_until_the_runs_change(grid: Path):
    html = report(Project(grid), None, False, Reporter()).read_text(encoding="utf-8")
    assert html.count("<caption>test: de-en, 37 sentences, beam 5; student 1+1 layers, d 24") == 1
    assert "<caption>test, 40 updates: differences in BLEU</caption>" in html
    assert "<caption>test: methods</caption>" not in html
    shutil.rmtree(grid / "runs" / NAMES[0])
    html = report(Project(grid), None, False, Reporter()).read_text(encoding="utf-8")
    assert "differences in BLEU" not in html and f"the project has changed since (gone: {NAMES[0]}):" in html


words = st.text(max_size=5)
axes = st.lists(words, min_size=1, max_size=3, unique=True).map(tuple)
numbers = st.lists(st.integers(1, 7919), min_size=1, max_size=3, unique=True).map(tuple)
rows = st.lists(st.tuples(words, words).map(list), max_size=3)
comparisons = st.builds(
    KeptComparison,
    words, words, words,
    st.builds(
        Grid, words, st.dictionaries(words, st.integers()), axes, numbers, numbers, axes, axes, axes,
        st.dictionaries(words, numbers.map(sum)),
    ),
    st.dictionaries(words, words, max_size=3),
    st.dictionaries(words, st.tuples(words, words), max_size=3),
    st.lists(st.builds(Table, words, st.just(["a", "b"]), rows, words), max_size=3).map(tuple),
)  # fmt: skip


@examples(deadline=None)
@given(kept=comparisons)
def test_what_is_kept_is_read_back(kept: KeptComparison, tmp_path_factory: pytest.TempPathFactory):
    path = keep(Project(tmp_path_factory.mktemp("kept")), kept)
    assert read_kept(path) == kept
    turned = replace(
        kept.grid, methods=kept.grid.methods[::-1], seeds=kept.grid.seeds[::-1], test_sets=kept.grid.test_sets[::-1]
    )
    assert turned.file_name == path.name
    for change in (
        {"seeds": (7927,)},
        {"baselines": ("a baseline",)},
        {"teachers": ("a teacher",)},
        {"decoding": {"a setting": 7}},
    ):
        assert replace(kept.grid, **change).file_name != path.name


JUNK = [
    None,
    7,
    "x",
    [],
    [[7]],
    {},
    {"x": 7},
    [{"title": "", "columns": ["a"], "rows": [["b", "c"]], "note": ""}],
    [1e999],
]


def test_a_file_that_is_no_comparison_is_an_error_and_nothing_worse(grid: Path):
    (path,) = kept_in(grid)
    whole = json.loads(path.read_text(encoding="utf-8"))
    refused = []
    for key in whole:
        for junk in [*JUNK, "absent"]:
            path.write_text(
                json.dumps({name: value for name, value in (whole | {key: junk}).items() if value != "absent"}),
                encoding="utf-8",
            )
            try:
                read_kept(path)
            except A2DError as error:
                refused.append(str(error))
            else:  # what can be read can be shown
                report(Project(grid), None, False, Reporter())
    assert len(refused) > 4 * len(whole)
    missing = f"{path}: not a comparison of a2d: Object missing required field `tables`"
    assert f"{missing} | hint: delete it, and repeat the comparison" in refused
    assert any("a row of '' has not 1 cells" in told for told in refused)
    path.write_text(json.dumps(whole | {"format": 2}))
    with pytest.raises(A2DError, match=r"format 2 is newer than this a2d reads \(up to 1\)"):
        read_kept(path)
    path.write_text('{"format": 1, "ma')
    with pytest.raises(A2DError, match="not a comparison of a2d: Unterminated string"):
        read_kept(path)


# --- what is refused


def test_runs_with_other_settings_than_asked_are_refused_with_runs_values_and_remedy(grid: Path):
    other = replace(REQUEST, settings=(*REQUEST.settings, "student_training.lr=0.5"))
    with pytest.raises(ConfigError) as caught:
        run(grid, other)
    assert caught.value.message.endswith(f"training.lr: 0.5 asked, 0.006 in {', '.join(NAMES)}")
    assert caught.value.hint.startswith("to compare them as they are: --set student_training.lr=0.006;")
    with pytest.raises(ConfigError) as caught:  # --student has the last word, so the remedy is one, too
        run(grid, replace(REQUEST, settings=(*REQUEST.settings, "student.ffn_dim=8", "student.d_model=12")))
    asked = caught.value.hint.partition(";")[0].removeprefix("to compare them as they are: --student ")
    assert run(grid, replace(REQUEST, student=asked, methods=(*REQUEST.methods, ""))).blocks


def test_where_other_keys_end_a_run_the_remedy_is_a_label(grid: Path):
    edit(grid, "ce-seed2", lambda values: values["settings"]["training"].update(patience=10))
    with pytest.raises(ConfigError, match=r"patience: 0 asked, 10 in ce-seed2 \| hint: train runs of other names"):
        run(grid)


def test_what_was_changed_while_the_grid_ran_is_refused_at_its_end(grid: Path, monkeypatch: pytest.MonkeyPatch):
    def with_an_edited_recipe(*_: object) -> None:
        edit(grid, "ce-seed2", lambda values: values["settings"]["training"].update(lr=0.5))

    monkeypatch.setattr(compare_command, "train_grid", with_an_edited_recipe)
    with pytest.raises(ConfigError, match=r"training.lr: 0.006 asked, 0.5 in ce-seed2"):
        run(grid)


def validated_with_beam(folder: Path, beam: int, names: list[str], **changes: object) -> None:
    for name in names:
        edit(folder, name, lambda values: values.update(changes) or values["settings"]["decoding"].update(beam=beam))


def test_runs_whose_weights_were_chosen_by_other_translations_are_refused(grid: Path):
    validated_with_beam(grid, 2, NAMES)
    before = run(grid)  # all of them alike
    validated_with_beam(grid, 7, NAMES[:1])
    message = (
        f"decoding.beam of the validations, whose bleu chose the weights: 7 in {NAMES[0]}, 2 in {', '.join(NAMES[1:])}"
    )
    with pytest.raises(A2DError, match=message):
        run(grid)
    for name in NAMES:
        edit(grid, name, lambda values: values["settings"]["training"].update(best_metric="loss"))
    by_loss = run(grid, replace(REQUEST, settings=(*REQUEST.settings, "student_training.best_metric=loss")))
    assert by_loss.to_json()["blocks"] == before.to_json()["blocks"]


def test_a_run_that_was_begun_with_another_beam_cannot_go_on(grid: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(compare_grid.subprocess, "Popen", no_process)
    validated_with_beam(grid, 2, NAMES[:1], finished=False)
    with pytest.raises(ConfigError) as caught:
        run(grid)
    assert caught.value.message.endswith(f": decoding.beam: 5 asked, 2 in {NAMES[0]}")
    assert caught.value.hint == "train runs of other names: --label NAME, with which they begin"


@pytest.mark.parametrize(
    ("label", "told"), [("a/b", "--label 'a/b': no beginning of a name"), ("a b", r"'a b-\S+-seed1': no name of a run")]
)
def test_a_label_that_begins_no_name_is_refused_before_anything_is_trained(
    grid: Path, monkeypatch: pytest.MonkeyPatch, label: str, told: str
):
    monkeypatch.setattr(compare_grid.subprocess, "Popen", no_process)
    with pytest.raises(ConfigError, match=told):
        run(grid, replace(REQUEST, label=label))


def test_a_run_that_stands_out_is_refused_by_name(grid: Path):
    edit(grid, "ce-seed2", lambda values: values["settings"]["shape"].update(dropout=0.4))
    with pytest.raises(ConfigError, match=r"shape.dropout: 0.0 asked, 0.4 in ce-seed2"):
        run(grid)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("initial_weights", "feed", r"initial weights \(seed 2\): \w{16} in ce-seed2, feed in a2d-diagonal-seed2"),
        ("target_tokens", 7, r"target tokens seen \(seed 2\): \d+ in ce-seed2, 7 in a2d-diagonal-seed2"),
        ("updates", 39, r"updates \(40 were asked for\): 40 in ce-seed2, 39 in a2d-diagonal-seed2"),
        (
            "initial_weights",
            None,
            r"initial weights \(seed 2\): \w{16} in ce-seed2, not recorded in a2d-diagonal-seed2",
        ),
    ],
)
def test_runs_that_differ_in_more_than_their_methods_are_refused(grid: Path, key: str, value: object, message: str):
    edit(grid, "a2d-diagonal-seed2", lambda values: values.update({key: value}) if value else values.pop(key))
    with pytest.raises(A2DError, match=message):
        run(grid)


def test_runs_that_aligned_maps_of_another_form_are_refused(grid: Path):
    with pytest.raises(ConfigError) as caught:
        run(grid, replace(REQUEST, settings=(*REQUEST.settings, "distillation.map_form=value-norm")))
    expected = "distillation.map_form: value-norm asked, plain in a2d-diagonal-seed1, a2d-diagonal-seed2"
    assert caught.value.message.endswith(expected)
    assert "--set distillation.map_form=plain" in caught.value.hint


def made_run(folder: Path, method: str, seed: int = 1, **facts: object) -> Cell:
    """A finished run's folder, as far as fairness looks at it."""
    made = Run(folder / f"{method}-seed{seed}")
    made.folder.mkdir()
    usual = {"initial_weights": "seeds", "text": "its", "target_tokens": 700, "updates": UPDATES, "settings": {}}
    made.record(**{**usual, "best": {"loss": 2.0}, **facts})
    return Cell(method, UPDATES, seed, made)


def test_runs_of_another_precision_are_refused_and_other_machines_are_told(tmp_path: Path):
    cells = [made_run(tmp_path, "ce", precision="float32"), made_run(tmp_path, "word", machine="cpu, 1 thread")]
    refuse_unequal(cells)  # one was killed before it had recorded it
    assert notes_on(cells) == []
    cells.append(made_run(tmp_path, "hidden", seed=2, precision="bfloat16", machine="NVIDIA H100"))
    with pytest.raises(A2DError, match="methods: precision: float32 in ce-seed1, bfloat16 in hidden-seed2"):
        refuse_unequal(cells)
    told = (
        "trained on different machines, so that times a run say little: "
        "cpu, 1 thread in word-seed1, NVIDIA H100 in hidden-seed2"
    )
    assert notes_on(cells) == [told]


def test_runs_that_learned_another_way_or_from_a_start_of_the_teachers_are_told(tmp_path: Path):
    cells = [
        made_run(tmp_path, "word", taught="cached"),
        made_run(tmp_path, "hidden", taught="live"),
        made_run(tmp_path, "a2d-diagonal", taught="cached"),
        made_run(tmp_path, "ce"),
    ]
    assert notes_on(cells) == [
        "the teacher's answers, which a cache rounds: cached in word-seed1, a2d-diagonal-seed1; live in hidden-seed1"
    ]
    assert notes_on(cells[:1] + cells[2:]) == []
    (told,) = notes_on(cells[:1], {"seeds"})
    assert told.startswith("began with the very weights that the teacher began with") and told.endswith(": word-seed1")


def test_how_long_and_which_weights_is_told(tmp_path: Path):
    cells = [made_run(tmp_path, "ce", target_tokens=4_112_505, epochs=8), made_run(tmp_path, "word", epochs=8)]
    training = Training(validate_every_updates=500, lr=0.002, max_tokens=1500, average_last=0)
    length, weights = what_was_trained(cells, training)
    assert length == f"{UPDATES:,} updates: 4.11 M target tokens, up to epoch 8"
    told = "weights: the best by bleu of validations every 500 updates and at the end; learning rate 0.002, 1,500 tar"
    assert weights.startswith(told)
    averaged = what_was_trained(cells, replace(training, average_last=5))[1]
    assert "or the mean of the last 5 where that is better" in averaged


def test_what_a_run_met_with_on_its_way_is_told(tmp_path: Path):
    cells = [
        made_run(tmp_path, "ce", rewinds=1, lr_factor=0.5),
        made_run(tmp_path, "word", accumulate_after_out_of_memory=2),
        made_run(tmp_path, "hidden"),
    ]
    refuse_unequal(cells)
    assert notes_on(cells) == [
        "diverged and went on from an earlier state at half the learning rate: ce-seed1",
        "ran out of memory and went on in smaller pieces, with other dropout masks: word-seed1",
    ]


def test_runs_of_a_lossy_cache_are_not_compared_with_others(grid: Path):
    edit(grid, "a2d-diagonal-seed2", lambda values: values["settings"]["distillation"].update(cache_top_k=32))
    with pytest.raises(
        ConfigError,
        match=r"cache_top_k: nothing asked, 32 in a2d-diagonal-seed2 \| hint: train runs of other names: --label",
    ):
        run(grid)
    lossy = replace(REQUEST, settings=(*REQUEST.settings, "distillation.cache=topk"))
    with pytest.raises(
        ConfigError,
        match=r"cache_top_k: 32 asked, not recorded in a2d-diagonal-seed1 \| hint: train runs of other names",
    ):
        run(grid, lossy)


@pytest.mark.parametrize(
    "key", sorted(vars(Training()).keys() - {"max_updates"})
)  # a run of another length is another run
def test_every_setting_of_training_that_changes_a_result_is_compared(grid: Path, key: str):
    edit(grid, "ce-seed2", lambda values: values["settings"]["training"].update({key: "another"}))
    recipe = replace(read_project_recipe(Project(grid).recipe_path, [*REQUEST.run_settings, *ONE_END]))
    plan = make_plan(Project(grid), REQUEST, Reporter())
    facts = {name: method_facts(own, plan.teachers, None) for name, own in plan.methods.items()}
    if f"training.{key}" in FREE_KEYS:
        refuse_other_settings(Project(grid), recipe, facts, plan.cells)
        return
    with pytest.raises(ConfigError, match=f"training.{key}: .* asked, another in ce-seed2"):
        refuse_other_settings(Project(grid), recipe, facts, plan.cells)


def test_which_keys_may_differ_between_runs_that_are_compared():
    assert {key.removeprefix("training.") for key in FREE_KEYS} == {
        *(
            "seed",
            "device",
            "compile",
            "accumulate",
            "max_rewinds",
            "save_every_updates",
            "log_every_updates",
            "samples",
        ),
        *("decoding.batch_sentences", "decoding.nbest"),
    }


def test_a_loss_is_kept_by_teacher_vocabulary_length_and_text(grid: Path):
    project = Project(grid)
    plan = make_plan(project, REQUEST, Reporter())
    (text,), (teacher,) = plan.texts, plan.teachers
    model = describe_model(plan.cells[0].run.folder.absolute())
    asked = []
    known = FidelityResult("key", "ce-seed1", "test", "w", "t", "s", "r", 2.0, 0.5, 7, 0, "torch", "0")

    class Cache:
        def find(self, key: str) -> FidelityResult:
            asked.append(key)
            return known

    def key_of(text: ScoredText, **changes: object) -> str:
        forced = _Forced(project, replace(plan, **changes), Reporter())
        forced._cache = Cache()
        assert forced.measure(model, text) is known
        return asked[-1]

    class OtherPieces:
        fingerprint = "other"

    shorter = replace(plan.recipe, student=replace(plan.recipe.student, max_positions=7))
    changes = [
        {},
        {"teachers": (replace(teacher, weights_sha256="0" * 64),)},
        {"teachers": (replace(teacher, tokenizer=OtherPieces()),)},
        {"recipe": shorter},
    ]
    texts = [replace(text, src_sha256="0" * 64), replace(text, tgt_sha256="0" * 64)]
    keys = [key_of(text, **change) for change in changes] + [key_of(other) for other in texts]
    assert len(set(keys)) == len(keys)


def test_students_of_copied_layers_have_a_start_of_their_own(tmp_path: Path):
    plain = [made_run(tmp_path, method) for method in ("ce", "word")]
    copying = [made_run(tmp_path, f"{method}+copy-layers", initial_weights="copied") for method in ("ce", "word")]
    refuse_unequal([*plain, *copying])
    assert notes_on([*plain, *copying])[0] == (
        "ce+copy-layers, word+copy-layers: began with layers of the teacher, the others with random weights"
    )
    odd = made_run(tmp_path, "a2d-diagonal+copy-layers", initial_weights="others")
    message = (
        r"initial weights \(seed 1\): copied in ce\+copy-layers-seed1, word\+copy-layers-seed1, "
        r"others in a2d-diagonal\+copy-layers-seed1"
    )
    with pytest.raises(A2DError, match=message):
        refuse_unequal([*plain, *copying, odd])
    other = made_run(tmp_path, "hidden", target_tokens=699, initial_weights="seeds")
    with pytest.raises(A2DError, match=r"target tokens seen \(seed 1\): 700 in .*, 699 in hidden-seed1"):
        refuse_unequal([*copying, other])


def test_runs_of_one_text_have_seen_the_same_tokens_of_it(tmp_path: Path):
    own = {"settings": {"pseudo": {"choice": "best"}}, "text": "teacher's"}
    references = [made_run(tmp_path, method, text="references") for method in ("ce", "word")]
    seq, word = (made_run(tmp_path, method, target_tokens=650, **own) for method in ("seq", "seq+word"))
    refuse_unequal([*references, seq, word])
    odd = made_run(tmp_path, "seq+amad", target_tokens=651, **own)
    with pytest.raises(
        A2DError, match=r"target tokens seen \(seed 1\): 650 in seq-seed1, seq\+word-seed1, 651 in seq\+amad-seed1"
    ):
        refuse_unequal([*references, seq, word, odd])
    anew = made_run(tmp_path, "seq", seed=2, target_tokens=650, **{**own, "text": "made anew"})
    with pytest.raises(A2DError, match="training text of seq: teacher's in seq-seed1, made anew in seq-seed2"):
        refuse_unequal([seq, anew])


def test_another_teacher_than_the_runs_had_is_refused(grid: Path):
    edit(grid, "a2d-diagonal-seed1", lambda values: values["settings"].update(teacher="0" * 16))
    with pytest.raises(
        ConfigError,
        match=r"teacher: teacher asked, weights 0{16} in a2d-diagonal-seed1 \| hint: train runs of other names",
    ):
        run(grid)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": ("ce", "wrod")}, "--methods: no method is called 'wrod' | hint: did you mean 'word'?"),
        (
            {"methods": ("word", "ce", "word@alpha=0.5")},
            "--methods: word@alpha=0.5 has the very settings of word | hint: leave one of them out",
        ),
        ({"methods": ("a2d", "a2d-diagonal")}, "--methods a2d,a2d-diagonal: a comparison takes two methods"),
        (
            {"methods": ("", "")},
            "--methods ,: expected methods, with commas between | hint: for example --methods ce,word,a2d",
        ),
        ({"methods": ("ce", "word", " ")}, "--methods ce,word, : expected methods, with commas between"),
        (
            {"baselines": ("word",)},
            (
                "--baseline word: none of the methods that are compared (ce, a2d-diagonal) "
                "| hint: name one of them, or add it: --methods ce,a2d-diagonal,word"
            ),
        ),
        (
            {"baselines": ("nope",)},
            "--baseline nope: none of the methods that are compared (ce, a2d-diagonal) | hint: name one of them",
        ),
        (
            {"baselines": ("ce", "a2d-diagnal")},
            "--baseline a2d-diagnal: none of the methods that are compared (ce, a2d-diagonal) | hint: did you mean",
        ),
        ({"methods": ("ce", "word@half_life=0")}, "'word@half_life=0': word does not use half_life"),
        ({"baselines": ("a2d@alpha=1",)}, "--baseline a2d@alpha=1: none of the methods that are compared"),
        ({"test_sets": ("mine",)}, "no test set 'mine' | hint: the project has: "),
        (
            {"settings": ("student_training.patience=3",)},
            "student_training.patience is 3: a run could end before the others",
        ),
        ({"settings": ("distillation.teacher=nobody",)}, "teacher: no run or folder 'nobody'"),
        (
            {"teacher": "nobody"},
            "teacher: no run or folder 'nobody' | hint: run 'a2d train-teacher' first, or --teacher RUN|FOLDER",
        ),
        ({"teacher": "teacher,"}, "--teacher: 'teacher,' names a teacher that has no name"),
        ({"settings": ("decoding.beam=0",)}, "--set: decoding.beam: expected from 1 to 1,000, got 0"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_trained(
    taught: Path, changes: dict, message: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(compare_grid.subprocess, "Popen", no_process)
    with pytest.raises(ConfigError) as caught:
        run(taught, replace(REQUEST, **changes))
    assert message in str(caught.value)


def test_a_baseline_may_be_spelled_as_a_method_may(taught: Path):
    plan = make_plan(
        Project(taught), replace(REQUEST, methods=("ce", " a2d"), baselines=("a2d", "a2d-diagonal")), Reporter()
    )
    assert [*plan.methods] == ["ce", "a2d-diagonal"] and plan.baselines == ("a2d-diagonal",)
    assert make_plan(Project(taught), replace(REQUEST, methods=("word", "a2d", "ce")), Reporter()).baselines == (
        "ce",
        "word",
    )


def test_a_method_is_compared_with_itself_under_settings_of_its_own(grid: Path):
    request = replace(REQUEST, methods=("a2d", "a2d@alpha=0.0"), seeds=(1,), baselines=("a2d",))
    block = run(grid, request).blocks[0]
    plain, other = block.runs
    assert (plain.run, other.run, other.method) == (
        "a2d-diagonal-seed1",
        "a2d-diagonal@alpha=0-seed1",
        "a2d-diagonal@alpha=0",
    )
    assert other.initial_weights == plain.initial_weights and other.test_nll != plain.test_nll
    assert [(contrast.method, contrast.baseline) for contrast in block.contrasts] == [
        ("a2d-diagonal@alpha=0", "a2d-diagonal")
    ]
    assert info(grid, other.run)["settings"]["distillation"]["alpha"] == 0.0
    names = ("a2d@alpha=0", "a2d-diagonal@alpha=0")
    with pytest.raises(ConfigError, match="--methods a2d@alpha=0,a2d-diagonal@alpha=0: a comparison takes two methods"):
        run(grid, replace(request, methods=names, baselines=()))
    with pytest.raises(
        ConfigError, match=r"distillation.alpha: 0.25 asked, 0.5 in a2d-diagonal-seed1"
    ):  # of that run alone
        run(grid, replace(request, settings=(*request.settings, "distillation.alpha=0.25")))


def test_a_teacher_translates_once_before_the_runs_begin(taught: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = Path(shutil.copytree(taught, tmp_path / "project"))

    def end(*_: object, **__: object) -> None:
        raise A2DError("the grid begins", "")

    monkeypatch.setattr(compare_command, "train_grid", end)
    recorder = Listener()
    with pytest.raises(A2DError, match="the grid begins"):
        run(folder, replace(REQUEST, methods=("ce", "seq", "seq+word")), recorder)
    assert len([line for line in recorder.lines if "translates the training text" in line]) == 1


def test_a_run_with_another_choice_of_translations_is_told_by_the_recipes_key(taught: Path, tmp_path: Path):
    folder = Path(shutil.copytree(taught, tmp_path / "project"))
    (folder / "runs" / "seq-seed1").mkdir(parents=True)
    settings = {"training": {"max_updates": UPDATES}, "pseudo": {"choice": "closest"}}
    values = {"format": 1, "method": "seq", "seed": 1, "settings": settings}
    (folder / "runs" / "seq-seed1" / "run.json").write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(ConfigError, match="; distillation.pseudo: best asked, closest in seq-seed1;"):
        run(folder, replace(REQUEST, methods=("ce", "seq")))


def test_texts_of_a_teacher_are_those_of_the_methods_own_settings(taught: Path, monkeypatch: pytest.MonkeyPatch):
    asked = []

    def chosen(_, recipe: Recipe, *__: object):
        asked.append((recipe.distillation.pseudo, recipe.distillation.pseudo_references))
        raise A2DError("enough", "")

    monkeypatch.setattr(compare_command, "teacher_text", chosen)
    for method in ("seq", "seq@pseudo=closest", "seq+word@pseudo_references=true"):
        with pytest.raises(A2DError, match="enough"):
            run(taught, replace(REQUEST, methods=("ce", method)))
    assert asked == [("best", False), ("closest", False), ("best", True)]


def test_a_teacher_in_training_is_refused(grid: Path):
    edit(grid, "teacher", lambda values: values.update(finished=False))
    with pytest.raises(ConfigError, match=r"runs/teacher has not ended: runs would learn from different teachers"):
        run(grid)


def test_lengths_without_a_cool_down_are_warned_of(grid: Path):
    recorder = Listener()
    request = replace(
        REQUEST, lengths=(7, 11), settings=("student_training.schedule=inverse_sqrt", "distillation.teacher=nobody")
    )
    with pytest.raises(ConfigError, match="nobody"):
        run(grid, request, recorder)
    assert recorder.lines[0].startswith("warning: student_training.schedule is inverse_sqrt, without a cool-down")


def test_a_warm_up_that_no_run_survives_is_warned_of_once(grid: Path):
    shutil.rmtree(grid / "runs" / NAMES[3])
    recorder = Listener()
    with pytest.raises(ConfigError, match="nobody"):
        run(
            grid,
            replace(
                REQUEST,
                lengths=(UPDATES, 7, 1100),
                teacher="nobody",
                settings=("student_training.warmup_updates=1000",),
            ),
            recorder,
        )
    (told,) = [line for line in recorder.lines if "warmup" in line]
    assert told == (
        "warning: student_training.warmup_updates is 1,000, and a run of 7 or 40 updates ends before its learning rate "
        "has reached its peak; --set student_training.warmup_updates=1"
    )
    recorder = Listener()
    with pytest.raises(ConfigError, match="nobody"):  # finished runs are what they are
        run(
            grid,
            replace(REQUEST, seeds=(1,), teacher="nobody", settings=("student_training.warmup_updates=1000",)),
            recorder,
        )
    assert recorder.lines == []


@pytest.mark.parametrize(
    ("methods", "setting", "message"),
    [
        ("word+copy-layers", (), "copy-layers: the student's "),
        ("hidden", ("distillation.cache=topk",), "distillation.cache: 'topk' cannot teach: hidden"),
        ("a2d-release", ("student_training.accumulate=2",), "a2d-release: an update in 2 pieces"),
    ],
)
def test_what_a_method_cannot_do_is_told_before_anything_is_trained(
    grid: Path, methods: str, setting: tuple[str, ...], message: str
):
    before = sorted((grid / "runs").iterdir())
    with pytest.raises(ConfigError) as caught:
        run(grid, replace(REQUEST, methods=("ce", methods), settings=(*REQUEST.settings, *setting), label="x"))
    assert caught.value.message.startswith(message)
    assert sorted((grid / "runs").iterdir()) == before and "comparing" not in Project(grid).state()


def test_seeds_that_can_claim_nothing_are_told_before_anything_is_trained(grid: Path):
    def told(**changes: Any) -> list[str]:
        recorder = Listener()
        with pytest.raises(ConfigError, match="nobody"):
            run(grid, replace(REQUEST, teacher="nobody", **changes), recorder)
        return [line for line in recorder.lines if "claim" in line]

    too_few = (
        "warning: 3 seeds allow no p below 0.25, too few to claim anything about 2 methods: "
        "that takes 7 seeds (--seeds)"
    )
    assert told(methods=("ce", "word", "a2d"), seeds=(1, 2, 3)) == [too_few]
    assert told(methods=("ce", "word", "a2d"), seeds=tuple(range(1, 8))) == []
    assert told(seeds=(1, 2)) == []  # finished runs are what they are


@examples(max_examples=13, deadline=None)
@given(seeds=numbers)
def test_a_kept_command_asks_for_the_same_again(seeds: tuple[int, ...]):
    request = replace(
        REQUEST,
        seeds=seeds,
        teacher="one,two",
        student="d_model=24,num_heads=3",
        test_sets=("my test", "b"),
        baselines=("a2d",),
        label="wide",
    )
    given = parse(shlex.split(request.command(("ce", "a2d-diagonal"), (7, 11))))
    again = Request(
        tuple(given["methods"].split(",")), read_seeds(given["seeds"]), read_numbers("--updates", given["updates"]),
        tuple(given["baselines"]), tuple(given["tests"]), given["teacher"], given["student"], tuple(given["settings"]),
        given["label"], given["jobs"], given["threads"],
    )  # fmt: skip
    assert again == replace(request, methods=("ce", "a2d-diagonal"), lengths=(7, 11))


@pytest.mark.parametrize("text", ["0", "41", "1000000000", "1,2,x", "", ",", "3,,", "3,,4"])
def test_seeds_are_a_number_or_a_list(text: str):
    assert read_seeds("3") == (1, 2, 3) and read_seeds("4,2") == (4, 2) and read_seeds("3,") == (3,)
    with pytest.raises(ConfigError, match="--seeds"):
        read_seeds(text)


@pytest.mark.parametrize("text", ["3,3", "3,1,03", "3,3,"])
def test_a_seed_that_stands_twice_is_refused(text: str):
    with pytest.raises(ConfigError) as caught:
        read_seeds(text)
    assert str(caught.value) == (
        f"--seeds {text}: a seed stands twice, which would be the same run | hint: name each once; a single one as 3,"
    )


# --- the teacher, or several


@pytest.fixture(scope="module")
def two_teachers(a2d: Launcher, taught: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a second teacher, hardly trained, and students of both together."""
    folder = Path(shutil.copytree(taught, tmp_path_factory.mktemp("two") / "project"))
    a2d.well(folder, "train-teacher", "--name", "second", *QUICK)
    ends = settings({"student_training.patience": 0, "student_training.max_updates": 3})
    for method in ("ce", "word"):
        a2d.well(
            folder,
            "distill",
            "--teacher",
            "second,teacher",
            "--method",
            method,
            "--name",
            f"{method}-seed1",
            *QUICK,
            *ends,
        )
    return folder


OF_TWO = Request(
    ("ce", "word"), (1,), (3,), teacher="second,teacher",
    settings=tuple(value for value in QUICK if value != "--set" and "average_last" not in value), jobs=1,
)  # fmt: skip


def test_students_of_an_ensemble_are_held_against_the_mean_of_its_probabilities(two_teachers: Path):
    settings = ("training.average_last=0",)
    found = run(two_teachers, replace(OF_TWO, settings=(*OF_TWO.settings, *settings)))
    (block,) = found.blocks
    assert [each.model for each in block.teachers] == ["second", "teacher"]
    models = [load_checkpoint(two_teachers / "runs" / name) for name in ("second", "teacher", "word-seed1")]
    tokenizer, kl = models[0].tokenizer, []
    texts = (Project(two_teachers).read_text("test", lang) for lang in ("de", "en"))
    for src, tgt in zip(
        *(encode(list(text)) for encode, text in zip((tokenizer.encode_src, tokenizer.encode_tgt), texts, strict=True)),
        strict=True,
    ):
        batch = pad_batch([np.asarray(src)], [np.asarray(tgt)], SpecialIds.of(tokenizer))
        with torch.no_grad():
            one, other, student = (
                each.model.eval().logits(each.model(batch.src, batch.tgt_in).states[0]).double().softmax(-1)
                for each in models
            )
        taught = (one + other) / 2
        kl += (taught * (taught / student).log()).sum(-1).tolist()
    assert block.sample("word", "kl").mean == pytest.approx(sum(kl) / len(kl), rel=1e-4)
    levels, *_, last = found.tables()
    assert [row[0].partition(" (")[0] for row in levels.rows] == ["teacher 'second'", "teacher 'teacher'", "ce", "word"]
    best = block.teachers[1].bleu
    assert best > block.teachers[0].bleu
    assert block.headroom_bleu == best - block.sample("ce", "bleu").mean
    assert "headroom: the best teacher's BLEU is " in levels.note
    assert "KL to teacher: to the mean of the teachers' probabilities, which is what has taught\n" in last.note
    assert json.loads(json.dumps(found.to_json()))["blocks"][0]["teachers"][1]["bleu"] == best
    assert f"de-en,test,{best}," in found.to_csv()
    (path,) = kept_in(two_teachers)
    kept = read_kept(path)
    assert kept.weights.keys() == {"second", "teacher", "ce-seed1", "word-seed1"}
    assert kept.grid.teachers == tuple(each.weights_sha256[:16] for each in block.teachers)
    assert kept.command.startswith("compare --methods ce,word --seeds 1 --updates 3 --teacher second,teacher ")


@pytest.mark.parametrize("teacher", ["teacher", "teacher,second"])
def test_students_of_other_teachers_than_asked_are_refused(two_teachers: Path, teacher: str):
    with pytest.raises(
        ConfigError,
        match=rf"teacher: {teacher} asked, second,teacher in word-seed1 \| hint: .* --teacher second,teacher",
    ):
        run(two_teachers, replace(OF_TWO, teacher=teacher, settings=(*OF_TWO.settings, "training.average_last=0")))


def test_a_score_of_an_ensembles_student_is_held_against_its_best_member(two_teachers: Path):
    table = score_project(Project(two_teachers), reporter=Reporter())
    rows = {row.model.name: row for row in table.rows}
    assert rows["word-seed1"].to_teacher.delta == pytest.approx(rows["word-seed1"].bleu - rows["teacher"].bleu)
    assert "of several teachers, Δ to the best: word-seed1" in table.tables()[0].note


def test_teacher_and_student_are_passed_on_to_every_run(
    taught_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    play_python(tmp_path, f'[ $5 = distill ] && printf "%s\\n" "$*" >> {tmp_path}/asked; exit 1', monkeypatch)
    shape = "d_model=24,num_heads=4"
    monkeypatch.chdir(taught_project)
    with pytest.raises(A2DError, match="2 of 2 runs failed"):
        run(
            taught_project,
            replace(REQUEST, seeds=(1,), teacher="runs/teacher", student=shape, settings=("decoding.beam=2",)),
        )
    asked = (tmp_path / "asked").read_text().splitlines()
    assert len(asked) == 2
    for line in asked:
        assert f" --teacher runs/teacher --student {shape} --set student_training.patience=0 " in line
        assert line.endswith(" --resume-with a2d compare") and "decoding" not in line


# --- files to write


def test_files_that_could_not_be_written_are_refused_before_anything_is_trained(
    a2d: Launcher, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    absent = tmp_path / "absent"
    for option in ("--csv", "--figure"):
        said = a2d.error(prepared, "compare", option, str(tmp_path), code=2)
        assert said.startswith(f"error: {option} {tmp_path}: a folder\nhint: name a file in it")
        said = a2d.error(prepared, "compare", option, str(absent / "x.png"), code=2)
        assert said.startswith(
            f"error: {option} {absent}/x.png: no folder {absent}\nhint: make it first, or name another"
        )
        assert "no plain file" in a2d.error(prepared, "compare", option, "/dev/null", code=2)
    assert not absent.exists()
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)  # root may write anywhere
    with pytest.raises(ConfigError, match=f"--csv {tmp_path}/x.csv: nothing can be written in {tmp_path}"):
        check_target("--csv", tmp_path / "x.csv")
    check_target("--csv", Path("x.csv"))


DISK_FULL_FOR = """
import errno
from a2d_cli import files
write = files.write_text
def write_text(path, text):
    if path.suffix == "{suffix}":
        raise files.explain_disk_error(OSError(errno.ENOSPC, ""), path)
    write(path, text)
files.write_text = write_text
"""


def test_the_table_is_printed_even_if_a_file_cannot_be_written_in_the_end(a2d: Launcher, grid: Path, tmp_path: Path):
    ended = a2d(
        grid, *GRID, *settings(VALUES), "--csv", str(tmp_path / "x.csv"), before=DISK_FULL_FOR.format(suffix=".csv")
    )
    assert ended.code == 1 and f"error: {tmp_path}/x.csv: no space left" in ended.err
    assert "test, 40 updates: differences in BLEU" in ended.out
    ended = a2d(grid, *GRID, *settings(VALUES), before=DISK_FULL_FOR.format(suffix=".json"))
    assert ended.code == 0 and f"warning: not kept for 'a2d report': {grid}/scores/comparisons/" in ended.err
    assert "test, 40 updates: differences in BLEU" in ended.out


# --- processes that fail


def play_python(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell script in place of Python: $5 is the command; ${11} the name of a run to train, $7 the model to score."""
    executable = folder / "python"
    executable.write_text(f"#!/bin/bash\n{script}\n", encoding="utf-8")
    executable.chmod(0o755)
    monkeypatch.setattr(compare_grid.sys, "executable", str(executable))


def train_with(
    script: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    seeds: tuple[int, ...] = (1, 2),
    score_options: tuple[str, ...] = (),
) -> list[str]:
    """Train ce and word with a script."""
    play_python(folder, script, monkeypatch)
    monkeypatch.setattr(compare_grid, "LOCKED_PAUSE_S", 0.0)
    recorder = Listener()
    cells = make_cells(Project(folder), ("ce", "word"), (7,), seeds)
    try:
        train_grid(Project(folder), cells, [], Launch((), 2, 1, "a2d compare", score_options), recorder)
    except A2DError as error:
        recorder.lines.append(f"error: {error}")
    return recorder.lines


def test_failed_runs_are_named_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    script = """
        echo 'news' >&2
        case ${11} in
            ce-seed1) echo 'error: the disk is full' >&2; echo 'hint: buy another' >&2; exit 1;;
            word-seed1) echo 'ValueError: a bug' >&2; exit 1;;
            ce-seed2) kill -9 $$;;
        esac"""
    lines = train_with(script, tmp_path, monkeypatch)
    assert lines[0].startswith("0 of 4 runs are finished; 2 at a time with 1 thread each; follow one in ")
    assert any(line.startswith("word-seed2 finished in ") for line in lines)
    assert "warning: ce-seed1 failed: the disk is full | hint: buy another" in lines
    assert lines[-1].startswith("error: 3 of 4 runs failed: ")
    for told in (
        "ce-seed1: the disk is full | hint: buy another",
        "word-seed1: ended with code 1: ValueError: a bug",
        "ce-seed2: killed by signal 9: news",
        "the same command tries the others again, --methods and --seeds leave some out",
    ):
        assert told in lines[-1]


def test_a_full_disk_ends_the_grid_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    script = "echo 'error: x: no space left on the disk (0 MiB free)' >&2; exit 1"
    lines = train_with(script, tmp_path, monkeypatch, seeds=(1, 2, 3, 4))
    assert re.search(r"error: [12] of 8 runs failed: ce-seed1: x: no space left on the disk", lines[-1])


def test_a_run_that_finds_the_teachers_cache_locked_by_another_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    script = """
        if [ ${11} = ce-seed1 ]; then sleep 0.5; exit 0; fi
        if [ ! -e tried ]; then touch tried; echo "error: cache is in use by 'a2d' (process 7)" >&2; exit 1; fi"""
    monkeypatch.chdir(tmp_path)
    lines = train_with(script, tmp_path, monkeypatch, seeds=(1,))
    assert [line.split()[0] for line in lines[1:]] == ["word-seed1", "ce-seed1"]
    assert (tmp_path / "tried").exists()


def test_what_was_trained_is_scored_and_its_warnings_are_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    script = """
        case "$5 ${11} $7" in
            "distill ce-seed1"*) exit 1;;
            score*word-seed1) echo "$@" > asked; echo 'warning: test: 3 sentences were cut' >&2;;
            score*word-seed2) kill -9 $$;;
        esac"""
    monkeypatch.chdir(tmp_path)
    lines = train_with(script, tmp_path, monkeypatch, score_options=("--test-set", "test", "--beam", "5"))
    asked = f"-m a2d_cli -C {tmp_path} score --model {tmp_path}/runs/word-seed1 --test-set test --beam 5\n"
    assert (tmp_path / "asked").read_text() == asked
    assert "warning: word-seed1: test: 3 sentences were cut" in lines
    assert "warning: word-seed2 is scored after the others, because its own process failed: killed by signal 9" in lines
    assert {line.split()[0] for line in lines if " scored in " in line} == {"word-seed1", "ce-seed2"}
    assert lines[-1].startswith("error: 1 of 4 runs failed: ce-seed1: ended with code 1")


def test_ctrl_c_ends_what_is_being_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    script = """
        [ $5 = distill ] && exit
        trap 'touch ended; exit 1' TERM
        mkdir first && kill -INT $PPID
        sleep 60 & wait"""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Interrupted, match="a2d compare"):
        train_with(script, tmp_path, monkeypatch, seeds=(1,), score_options=("--beam", "5"))
    assert (tmp_path / "ended").exists()


# --- names of runs


def names_of(project: Project, lengths: tuple[int, ...], label: str = "") -> list[str]:
    return [cell.run.name for cell in make_cells(project, ("ce", "word"), lengths, (1, 3), label)]


def test_runs_are_named_by_method_and_seed_and_by_length_where_there_are_several(tmp_path: Path):
    project = Project(tmp_path)
    assert names_of(project, (500,)) == ["ce-seed1", "word-seed1", "ce-seed3", "word-seed3"]
    assert names_of(project, (500,), "d192")[:2] == ["d192-ce-seed1", "d192-word-seed1"]
    assert names_of(project, (500, 700), "d192")[0] == "d192-ce-500u-seed1"
    both = ["ce-500u-seed1", "word-500u-seed1", "ce-500u-seed3", "word-500u-seed3"]
    assert names_of(project, (1000, 500)) == [*both, *(name.replace("500", "1000") for name in both)]


def test_a_run_that_is_there_is_found_by_either_name(tmp_path: Path):
    project = Project(tmp_path)
    Run(project.runs_dir / "ce-seed1").record(settings={"training": {"max_updates": 500}})
    Run(project.runs_dir / "word-700u-seed3").record(settings={"training": {"max_updates": 700}})
    assert names_of(project, (500, 700))[:1] == ["ce-seed1"]
    assert names_of(project, (700,)) == ["ce-700u-seed1", "word-seed1", "ce-seed3", "word-700u-seed3"]


# --- tables, from numbers made up


def measured(method: str, updates: int, seed: int, bleu: float) -> MeasuredRun:
    return MeasuredRun(
        method, updates, seed, f"{method}-seed{seed}", bleu, 2 * bleu, 5 - bleu / 10, 2 - bleu / 20, 3.0,
        60.0 * seed, None if method == "ce" else seed * 10**6, 1_200_000, "77df", f"{method}{seed}", "file",
    )  # fmt: skip


def block(
    bleu: dict[str, list[float]], teacher: float = 30.0, updates: int = 500, over_sentences: float = 0.25
) -> ComparedRuns:
    """`over_sentences`: half the width of the mean difference's interval over sentences."""
    runs = [
        measured(method, updates, seed, value)
        for method, values in bleu.items()
        for seed, value in enumerate(values, 1)
    ]
    baselines = [name for name in ("ce", "word") if name in bleu]
    results = tuple(
        PairedResult("BLEU", delta, delta - spread, delta + spread, 0.01, "bs:1000")
        for delta, spread in ((1.0, 0.5), (-1.0, 0.5), (1.0, 1.5), (1.0, 0.5), (2.0, 0.5), (1.0, 0.9), (1.0, 0.5))
    )
    seeds = len(next(iter(bleu.values())))

    def drawn(baseline: str, method: str) -> Bootstrap:
        delta = fmean(bleu[method]) - fmean(bleu[baseline])
        mean = PairedResult("BLEU", delta, delta - over_sentences, delta + over_sentences, 0.01, "bs:1000")
        return Bootstrap(results[:seeds], mean)

    bootstrap = {(baseline, method): drawn(baseline, method) for baseline in baselines for method in bleu}
    found = contrasts(runs, baselines, bootstrap)
    teachers = (MeasuredTeacher("teacher", teacher, 60.0, 1.5, 5_000_000, "8e54"),)
    return ComparedRuns("news", 1000, updates, teachers, tuple(runs), found)


def comparison(*blocks: ComparedRuns) -> Comparison:
    seeds = tuple(range(1, len(blocks[0].of("ce")) + 1))
    return Comparison("en-de", "2+2 layers, d 128, 1.2 M", seeds, 5, blocks, ("BLEU|tok:13a",), ("a note",))


SEVEN = [20.0, 20.1, 19.9, 20.2, 20.0, 19.8, 20.0]
BETTER = [value + 3 + 0.1 * (i % 3) for i, value in enumerate(SEVEN)]


def claims(each: ComparedRuns) -> list[str]:
    return [contrast.claim(each.headroom_bleu) for contrast in each.contrasts]


def test_a_difference_is_claimed_with_enough_seeds_and_headroom_alone():
    worse = [value - 3 for value in SEVEN[:5]]
    assert claims(block({"ce": SEVEN, "word": BETTER})) == ["better"]
    assert claims(block({"ce": BETTER, "word": SEVEN})) == ["worse"]
    assert claims(block({"ce": SEVEN[:5], "word": worse})) == ["none"]  # 5 seeds: p is 0.0625 at best
    assert claims(block({"ce": SEVEN, "word": BETTER}, teacher=21.0)) == ["none"]
    assert claims(block({"word": SEVEN, "a2d": BETTER})) == ["none"]  # no plain student: the headroom is unknown


def test_a_difference_that_other_sentences_could_undo_is_not_claimed():
    """All seeds translate the same sentences: seven that agree do not show that others would say so, too."""
    for methods, verdict in (({"ce": SEVEN, "word": BETTER}, "better"), ({"ce": BETTER, "word": SEVEN}, "worse")):
        assert claims(block(methods, over_sentences=2.9)) == [verdict]
        assert claims(block(methods, over_sentences=3.3)) == ["none"]


def test_methods_within_three_tenths_of_a_point_are_called_equal():
    close = [value + 0.1 * (-1) ** i for i, value in enumerate(SEVEN)]
    assert claims(block({"ce": SEVEN, "word": close})) == ["equal"]
    assert claims(block({"ce": SEVEN, "word": close}, teacher=21.0)) == ["none"]
    assert claims(block({"ce": SEVEN, "word": close}, over_sentences=0.35)) == ["none"]
    assert claims(block({"ce": SEVEN[:5], "word": close[:5]})) == ["none"]  # too few seeds to claim anything
    apart = [value + 0.4 * (-1) ** i for i, value in enumerate(SEVEN)]
    assert claims(block({"ce": SEVEN, "word": apart})) == ["none"]


def test_nothing_is_claimed_of_a_difference_that_the_seeds_could_not_have_found():
    plain = [20.0] * 6
    uneven = [20.1, 20.1, 20.1, 20.1, 20.1, 23.0]  # all better: p = 2 / 64, but a mean of 0.58 beside a detectable 1.7
    (contrast,) = block({"ce": plain, "word": uneven}).contrasts
    test = contrast.tests["bleu"]
    assert test.holm_p_value == 0.03125 and test.detectable > test.differences.mean
    assert contrast.claim(10.0) == "none"


def test_a_seed_is_better_or_worse_where_its_interval_is():
    intervals = [(0.1, 2.0), (-0.1, 2.0), (-2.0, -0.1), (0.2, 0.3), (-1.0, 1.0)]
    results = tuple(PairedResult("BLEU", 1.0, low, high, 0.01, "bs:1000") for low, high in intervals)
    (contrast,) = block({"ce": SEVEN[:5], "word": BETTER[:5]}).contrasts
    by_seed = replace(contrast.bootstrap, by_seed=results)
    assert replace(contrast, bootstrap=by_seed).bootstrap_text() == "+2 -1 of 5"


def test_the_headroom_is_told_in_words():
    assert block({"ce": [20.0, 21.0]}).headroom_text() == (
        "headroom: the teacher's BLEU is +9.50 above that of 'ce' (at least 1.5 are needed for a claim)"
    )
    assert (
        "less than 1.5: NO CLAIM on news: it is too near to what its student finds alone, or weak itself"
        in block({"ce": [29.0, 30.0]}).headroom_text()
    )
    assert "headroom unknown: NO CLAIM on news" in block({"word": [29.0, 30.0]}).headroom_text()


def test_tables_tell_levels_differences_and_their_meaning():
    shown = comparison(block({"ce": [20.0, 21.0, 22.0], "word": [23.0, 25.0, 27.0], "a2d": [26.0, 26.0, 26.0]}))
    levels, differences, others = shown.tables()
    assert levels.rows[0] == ["teacher (5.0 M)", "30.00", "60.00", "1.500", "–", "–", "–", "–"]
    assert levels.rows[1][:2] == ["ce", "21.00 ± 1.00"] and levels.rows[1][-2:] == ["2.0 ± 1.0", "–"]
    assert levels.columns[-2] == "minutes a run"
    assert levels.rows[2][-1] == "3"  # MB, of the seed that held most
    assert levels.note.startswith("headroom: ")
    assert [row[:2] for row in differences.rows] == [["word", "ce"], ["a2d", "ce"], ["a2d", "word"]]
    assert differences.rows[0][2:4] == ["+4.00 ± 2.48", "none"]
    assert differences.rows[0][4:] == ["0.250", "0.500", "–", "[3.75,4.25]", "+1 -1 of 3"]
    assert others.columns[2:4] == ["Δ chrF2", "p Holm"] and others.rows[0][2:4] == ["+8.00 ± 4.97", "0.500"]
    for part in (
        "in nats per target token of the references, teacher-forced\nBLEU|tok:13a\n",
        "(–: ended by a kill before it was recorded)",
        "3 seeds allow no p below 0.25, too few to claim anything about 2 methods: that takes 7 seeds",
        "corrected over methods (2 methods to ce, 1 method to word); not over baselines, metrics, test sets and len",
        (
            "a paired t test on 3 seeds finds with 80% power at 5% / methods, from the sd of the paired differences "
            "(noncentral t: Cohen 1988"
        ),
        "which all seeds share: paired bootstrap of the mean over seeds, bs:1000\n",
        "is above 0 (+) or below (-)\n",
        "Δ at least the detectable one, and 0 outside the interval over sentences; equal: within ±0.3 ",
        "a note\nnot measured: ",
    ):
        assert part in others.note


@pytest.mark.parametrize(("teacher", "said", "suffices"), [(30.0, "better", True), (21.0, "none", False)])
def test_tables_and_json_say_what_the_headroom_allows(teacher: float, said: str, suffices: bool):
    shown = comparison(block({"ce": SEVEN, "word": BETTER}, teacher=teacher))
    assert [row[3] for row in shown.tables()[1].rows] == [said]  # the column "claim"
    (values,) = shown.to_json()["blocks"]
    assert [each["claim"] for each in values["differences"]] == [said]
    assert values["headroom_suffices"] is suffices
    assert values["headroom_bleu"] == pytest.approx(teacher - 20)


def test_every_line_of_the_csv_has_the_teachers_bleu_of_its_own_test_set():
    bleu = {"ce": [20.0, 21.0], "word": [23.0, 25.0]}
    news, web = block(bleu, teacher=30.0), replace(block(bleu, teacher=40.0), test_set="web")
    rows = list(csv.DictReader(io.StringIO(comparison(news, web).to_csv())))
    assert [(row["test_set"], float(row["teacher_bleu"])) for row in rows] == [("news", 30.0)] * 4 + [("web", 40.0)] * 4


def test_runs_of_less_than_a_minute_are_told_in_seconds():
    quick = block({"ce": [20.0, 21.0], "word": [23.0, 25.0]})
    runs = tuple(replace(run, elapsed_s=1.5 * run.seed + 90 * (run.method == "word")) for run in quick.runs)
    levels = comparison(replace(quick, runs=runs)).tables()[0]
    assert levels.columns[-2] == "seconds a run"
    assert [row[-2] for row in levels.rows] == ["–", "2.2 ± 1.1", "92.2 ± 1.1"]


def test_a_single_seed_has_no_spread_and_nothing_to_test():
    levels, differences, others = comparison(block({"ce": [20.0], "word": [23.0]})).tables()
    assert levels.rows[1][1] == "20.00"
    assert differences.rows[0][2:4] == ["+3.00", "none"]
    assert differences.rows[0][4:] == ["1.000", "1.000", "–", "[2.75,3.25]", "+1 -0 of 1"]
    assert "1 seed allows no p below 1" in others.note


def test_several_lengths_end_in_a_table_of_gains_by_length():
    short = block({"ce": [20.0, 21.0], "word": [24.0, 25.0]}, updates=500)
    long = block({"ce": [24.0, 26.0], "word": [26.0, 26.0]}, updates=1000)
    *_, last = comparison(short, long).tables()
    assert last.title == "news: Δ BLEU by length"
    assert last.columns == ["method", "Δ to", "500 updates", "1,000 updates"]
    assert last.rows == [["word", "ce", "+4.00 ± 0.00", "+1.00 ± 12.71"]]
    assert "a head start shrinks from left to right" in last.note


# --- the figure


def test_a_figure_is_png_or_svg_and_needs_matplotlib(monkeypatch):
    with pytest.raises(ConfigError, match=r"--figure x.gif: the name must end in .png or .svg"):
        check_figure(Path("x.gif"))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(A2DError, match="--figure needs matplotlib") as caught:
        check_figure(Path("x.png"))
    assert caught.value.hint == "pip install 'a2d-cli[plot]'"


def test_no_bar_of_a_figure_goes_below_zero():
    wide, narrow = Sample((0.1, 0.3)), Sample((20.0, 20.1))
    below, above = _bars([wide, narrow, Sample((-1e-9, -1e-9))])
    assert below == [wide.mean, narrow.half_width, 0.0]
    assert above[:2] == [wide.half_width, narrow.half_width] and wide.half_width > 1
    assert _bars([Sample((20.0,))]) is None


@pytest.mark.parametrize("lengths", [(500,), (500, 1000)])
def test_a_figure_shows_every_method_and_is_the_same_for_the_same_numbers(tmp_path: Path, lengths: tuple[int, ...]):
    pytest.importorskip("matplotlib")
    shown = comparison(*(block({"ce": [20.0, 21.0], "word": [24.0, 25.0]}, updates=updates) for updates in lengths))
    draw(shown, tmp_path / "a.svg")
    draw(shown, tmp_path / "b.svg")
    draw(shown, tmp_path / "c.png")
    text = (tmp_path / "a.svg").read_text(encoding="utf-8")
    for word in ("ce", "word", "teacher", "BLEU", "KL to teacher", "news", "over 2 seeds"):
        assert word in text
    assert text == (tmp_path / "b.svg").read_text(encoding="utf-8")
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
