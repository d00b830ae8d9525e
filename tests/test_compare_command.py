"""`a2d compare`: a grid of real processes that is interrupted and goes on, what is refused, and what the tables say."""

from __future__ import annotations

import csv
import io
import json
import shutil
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Launcher, settings

from a2d_cli.commands import compare_grid
from a2d_cli.commands.compare import Request, compare, read_seeds
from a2d_cli.commands.compare_fairness import notes_on, refuse_unequal
from a2d_cli.commands.compare_figure import check_figure, draw
from a2d_cli.commands.compare_grid import Cell, Launch, make_cells, train_grid
from a2d_cli.commands.compare_report import Block, Comparison, MeasuredRun, MeasuredTeacher, contrasts
from a2d_cli.commands.score import score_project
from a2d_cli.errors import A2DError, ConfigError
from a2d_cli.project.project import Project
from a2d_cli.project.run import Run
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
NAMES = ["ce-seed1", "a2d-simplex-seed1", "ce-seed2", "a2d-simplex-seed2"]
REQUEST = Request(
    ("ce", "a2d"), (1, 2), (UPDATES,), settings=tuple(f"{key}={value}" for key, value in VALUES.items()), jobs=2
)


class Recorder(Reporter):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, message: str) -> None:
        self.lines.append(message)

    def warn(self, message: str) -> None:
        self.lines.append(f"warning: {message}")


def info(folder: Path, name: str) -> dict[str, object]:
    return json.loads((folder / "runs" / name / "run.json").read_text(encoding="utf-8"))


def edit(folder: Path, name: str, change) -> None:
    values = info(folder, name)
    change(values)
    (folder / "runs" / name / "run.json").write_text(json.dumps(values), encoding="utf-8")


def run(folder: Path, request: Request = REQUEST, reporter: Reporter | None = None) -> Comparison:
    return compare(Project(folder), request, "a2d compare", reporter or Reporter())


@pytest.fixture(scope="module")
def interrupted(a2d: Launcher, taught: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A project whose grid was stopped by Ctrl-C while two runs trained, and what was said."""
    folder = Path(shutil.copytree(taught, tmp_path_factory.mktemp("compared") / "project"))
    running = a2d.start(folder, *GRID, *settings(VALUES))
    states = [folder / "runs" / name / "training_state.pt" for name in NAMES[:2]]
    while running.is_alive and not all(path.exists() for path in states):
        time.sleep(0.05)
    running.kill(signal.SIGINT)
    ended = running.wait()
    assert ended.code == 130, ended
    return folder, ended.err


@pytest.fixture(scope="module")
def finished(a2d: Launcher, interrupted: tuple[Path, str]) -> tuple[Path, str]:
    """The same after the same command has run to its end, and what it printed."""
    folder, _ = interrupted
    return folder, a2d.well(folder, *GRID, *settings(VALUES)).out


@pytest.fixture
def grid(finished: tuple[Path, str], tmp_path: Path) -> Path:
    """A copy of a project with a finished grid."""
    return Path(shutil.copytree(finished[0], tmp_path / "project"))


# --- the grid


def test_ctrl_c_ends_the_runs_well_and_tells_the_command_that_goes_on(interrupted: tuple[Path, str]):
    folder, told = interrupted
    assert told.rstrip().splitlines()[-1].startswith("stopped; what is saved goes on with: a2d compare --methods ce,a2d")
    for name in NAMES[:2]:
        assert (folder / "runs" / name / "training_state.pt").exists()
    assert not (folder / "runs" / NAMES[3]).exists()


def test_an_interrupted_grid_ends_in_a_table_with_runs_of_equal_conditions(finished: tuple[Path, str]):
    folder, table = finished
    title, header, _, teacher, ce, a2d, *_ = table.splitlines()
    assert title.startswith("test: de-en, 37 sentences, beam 5; student 1+1 layers, d 24, ")
    assert title.endswith(f"{UPDATES} updates, seeds 1, 2")
    assert " ".join(header.split()) == "method BLEU chrF2 test NLL KL to teacher valid NLL minutes a run peak MB"
    assert [line.split()[0] for line in (teacher, ce, a2d)] == ["teacher", "ce", "a2d-simplex"]
    assert "2 seeds allow no p below 0.5, too few to claim anything about 1 method: that takes 6 seeds" in table
    assert "not measured: " in table
    for seed in (1, 2):
        ours, theirs = info(folder, f"a2d-simplex-seed{seed}"), info(folder, f"ce-seed{seed}")
        assert ours["initial_weights"] == theirs["initial_weights"]
        assert ours["target_tokens"] == theirs["target_tokens"]
        assert ours["peak_memory_bytes"] > 10**7


def test_finished_runs_are_not_trained_again_and_give_the_same_numbers(
    finished: tuple[Path, str], grid: Path, monkeypatch: pytest.MonkeyPatch
):
    def no_process(*_: object, **__: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(compare_grid.subprocess, "Popen", no_process)
    recorder = Recorder()
    found = run(grid, replace(REQUEST, methods=("ce", "a2d", "a2d-simplex")), recorder)
    assert recorder.lines == ["a2d-simplex: a2d-simplex stands in the comparison already"]
    printed = finished[1].split()
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
    assert all(each["num_tokens"] == kept["teacher"]["num_tokens"] for each in kept.values())


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
    assert (difference["method"], difference["baseline"], difference["bleu"]["p_value"]) == ("a2d-simplex", "ce", 0.5)
    assert len(difference["bootstrap"]) == 2


# --- what is refused


def test_runs_with_other_settings_than_asked_are_refused_with_runs_values_and_remedy(grid: Path):
    other = replace(REQUEST, settings=(*REQUEST.settings, "student_training.lr=0.5", "decoding.beam=2"))
    with pytest.raises(ConfigError) as caught:
        run(grid, other)
    all_four = ", ".join(NAMES)
    assert f"training.lr: 0.5 asked, 0.006 in {all_four}" in caught.value.message
    assert f"decoding.beam: 2 asked, 5 in {all_four}" in caught.value.message
    assert caught.value.hint.startswith("to compare them as they are: --set decoding.beam=5 --set student_training.lr=0.006;")


def test_a_run_that_stands_out_is_refused_by_name(grid: Path):
    edit(grid, "ce-seed2", lambda values: values["settings"]["shape"].update(dropout=0.4))
    with pytest.raises(ConfigError, match=r"shape.dropout: 0.0 asked, 0.4 in ce-seed2"):
        run(grid)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("initial_weights", "feed", r"initial weights \(seed 2\): \w{16} in ce-seed2, feed in a2d-simplex-seed2"),
        ("target_tokens", 7, r"target tokens seen \(seed 2\): \d+ in ce-seed2, 7 in a2d-simplex-seed2"),
        ("updates", 39, r"updates \(40 were asked for\): 40 in ce-seed2, 39 in a2d-simplex-seed2"),
        ("initial_weights", None, r"initial weights \(seed 2\): \w{16} in ce-seed2, not recorded in a2d-simplex-seed2"),
    ],
)
def test_runs_that_differ_in_more_than_their_methods_are_refused(grid: Path, key: str, value: object, message: str):
    edit(grid, "a2d-simplex-seed2", lambda values: values.update({key: value}))
    with pytest.raises(A2DError, match=message):
        run(grid)


@pytest.mark.parametrize("older", [False, True])
def test_runs_that_aligned_maps_of_another_form_are_refused(grid: Path, older: bool):
    """As are those of an older a2d, which knew no other form than plain."""
    if older:
        for name in NAMES[1::2]:
            edit(grid, name, lambda values: values["settings"]["distillation"].pop("map_form"))
        run(grid)
    with pytest.raises(ConfigError) as caught:
        run(grid, replace(REQUEST, settings=(*REQUEST.settings, "distillation.map_form=value-norm")))
    expected = "distillation.map_form: value-norm asked, plain in a2d-simplex-seed1, a2d-simplex-seed2"
    assert caught.value.message.endswith(expected)
    assert "--set distillation.map_form=plain" in caught.value.hint


def made_run(folder: Path, method: str, seed: int = 1, **facts: object) -> Cell:
    """A finished run's folder, as far as fairness looks at it."""
    made = Run(folder / f"{method}-seed{seed}")
    made.folder.mkdir()
    made.record(**{"initial_weights": "seeds", "target_tokens": 700, "updates": UPDATES, "settings": {}, **facts})
    return Cell(method, UPDATES, seed, made)


def test_students_of_copied_layers_have_a_start_of_their_own(tmp_path: Path):
    plain = [made_run(tmp_path, method) for method in ("ce", "word")]
    copying = [made_run(tmp_path, f"{method}+copy-layers", initial_weights="copied") for method in ("ce", "word")]
    refuse_unequal([*plain, *copying])
    assert notes_on([*plain, *copying])[0] == (
        "ce+copy-layers, word+copy-layers: began with layers of the teacher, the others with random weights"
    )
    odd = made_run(tmp_path, "a2d-simplex+copy-layers", initial_weights="others")
    message = r"initial weights \(seed 1\): copied in ce\+copy-layers-seed1, word\+copy-layers-seed1, others in a2d-simplex\+copy-layers-seed1"
    with pytest.raises(A2DError, match=message):
        refuse_unequal([*plain, *copying, odd])
    other = made_run(tmp_path, "hidden", target_tokens=699, initial_weights="seeds")
    with pytest.raises(A2DError, match=r"target tokens seen \(seed 1\): 700 in .*, 699 in hidden-seed1"):
        refuse_unequal([*copying, other])


def test_another_teacher_than_the_runs_had_is_refused(grid: Path):
    edit(grid, "a2d-simplex-seed1", lambda values: values["settings"].update(teacher="0" * 16))
    with pytest.raises(ConfigError, match=r"teacher: \w{16} asked, 0{16} in a2d-simplex-seed1"):
        run(grid)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": ("ce", "wrod")}, "no method is called 'wrod'"),
        ({"methods": ("a2d", "a2d-simplex")}, "a comparison takes two methods"),
        ({"baselines": ("word",)}, "--baseline word is none of the methods compared"),
        ({"test_sets": ("mine",)}, "--test-set mine: no test set of the recipe"),
        ({"settings": ("student_training.patience=3",)}, "student_training.patience is 3: a run could end before the others"),
        ({"settings": ("distillation.teacher=nobody",)}, "teacher: no run or folder 'nobody'"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_trained(grid: Path, changes: dict, message: str):
    with pytest.raises(ConfigError) as caught:
        run(grid, replace(REQUEST, **changes))
    assert message in caught.value.message


def test_a_teacher_in_training_is_refused(grid: Path):
    edit(grid, "teacher", lambda values: values.update(finished=False))
    with pytest.raises(ConfigError, match=r"runs/teacher has not ended: runs would learn from different teachers"):
        run(grid)


def test_lengths_without_a_cool_down_are_warned_of(grid: Path):
    recorder = Recorder()
    request = replace(REQUEST, lengths=(7, 11), settings=("student_training.schedule=inverse_sqrt", "distillation.teacher=nobody"))
    with pytest.raises(ConfigError, match="nobody"):
        run(grid, request, recorder)
    assert recorder.lines[0].startswith("warning: student_training.schedule is inverse_sqrt, without a cool-down")


@pytest.mark.parametrize("text", ["0", "41", "1,2,x", ""])
def test_seeds_are_a_number_or_a_list(text: str):
    assert read_seeds("3") == (1, 2, 3) and read_seeds("4,2") == (4, 2)
    with pytest.raises(ConfigError, match="--seeds"):
        read_seeds(text)


# --- processes that fail


def train_with(script: str, folder: Path, monkeypatch: pytest.MonkeyPatch, seeds: tuple[int, ...] = (1, 2)) -> list[str]:
    """Train ce and word with a shell script in the place of Python, whose ${11} is the run's name."""
    executable = folder / "python"
    executable.write_text(f"#!/bin/bash\n{script}\n", encoding="utf-8")
    executable.chmod(0o755)
    monkeypatch.setattr(compare_grid.sys, "executable", str(executable))
    monkeypatch.setattr(compare_grid, "LOCKED_PAUSE_S", 0.0)
    recorder = Recorder()
    cells = make_cells(Project(folder), ("ce", "word"), (7,), seeds)
    try:
        train_grid(Project(folder), cells, Launch((), 2, 1, "a2d compare"), recorder)
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
        "the same command tries these again, --methods and --seeds leave some out",
    ):
        assert told in lines[-1]


def test_a_run_that_finds_the_teachers_cache_locked_by_another_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    script = """
        if [ ${11} = ce-seed1 ]; then sleep 0.5; exit 0; fi
        if [ ! -e tried ]; then touch tried; echo "error: cache is in use by 'a2d' (process 7)" >&2; exit 1; fi"""
    monkeypatch.chdir(tmp_path)
    lines = train_with(script, tmp_path, monkeypatch, seeds=(1,))
    assert [line.split()[0] for line in lines[1:]] == ["word-seed1", "ce-seed1"]
    assert (tmp_path / "tried").exists()


# --- names of runs


def names_of(project: Project, lengths: tuple[int, ...]) -> list[str]:
    return [cell.run.name for cell in make_cells(project, ("ce", "word"), lengths, (1, 3))]


def test_runs_are_named_by_method_and_seed_and_by_length_where_there_are_several(tmp_path: Path):
    project = Project(tmp_path)
    assert names_of(project, (500,)) == ["ce-seed1", "word-seed1", "ce-seed3", "word-seed3"]
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


def block(bleu: dict[str, list[float]], teacher: float = 30.0, updates: int = 500) -> Block:
    runs = [measured(method, updates, seed, value) for method, values in bleu.items() for seed, value in enumerate(values, 1)]
    baselines = [name for name in ("ce", "word") if name in bleu]
    results = tuple(
        PairedResult("BLEU", delta, 0.0, 1.0, p_value, "bs:1000")
        for delta, p_value in ((1.0, 0.01), (-1.0, 0.02), (1.0, 0.3), (1.0, 0.01), (2.0, 0.01), (1.0, 0.04), (1.0, 0.01))
    )
    seeds = len(next(iter(bleu.values())))
    bootstrap = {(baseline, method): results[:seeds] for baseline in baselines for method in bleu}
    found = contrasts(runs, baselines, bootstrap)
    return Block("news", 1000, updates, MeasuredTeacher("teacher", teacher, 60.0, 1.5, 5_000_000, "8e54"), tuple(runs), found)


def comparison(*blocks: Block) -> Comparison:
    seeds = tuple(range(1, len(blocks[0].of("ce")) + 1))
    return Comparison("en-de", "2+2 layers, d 128, 1.2 M", seeds, 5, blocks, ("BLEU|tok:13a",), ("a note",))


SEVEN = [20.0, 20.1, 19.9, 20.2, 20.0, 19.8, 20.0]
BETTER = [value + 3 + 0.1 * (i % 3) for i, value in enumerate(SEVEN)]


def claims(each: Block) -> list[str]:
    return [contrast.claim(each.headroom_bleu) for contrast in each.contrasts]


def test_a_difference_is_claimed_with_enough_seeds_and_headroom_alone():
    worse = [value - 3 for value in SEVEN[:5]]
    assert claims(block({"ce": SEVEN, "word": BETTER})) == ["better"]
    assert claims(block({"ce": BETTER, "word": SEVEN})) == ["worse"]
    assert claims(block({"ce": SEVEN[:5], "word": worse})) == ["none"]  # 5 seeds: p is 0.0625 at best
    assert claims(block({"ce": SEVEN, "word": BETTER}, teacher=21.0)) == ["none"]
    assert claims(block({"word": SEVEN, "a2d": BETTER})) == ["none"]  # no plain student: the headroom is unknown


def test_the_headroom_is_told_in_words():
    assert block({"ce": [20.0, 21.0]}).headroom_text() == (
        "headroom: the teacher's BLEU is +9.50 above that of 'ce' (at least 1.5 are needed for a claim)"
    )
    assert "less than 1.5: NO CLAIM on news: this teacher has nothing left to teach there" in block({"ce": [29.0, 30.0]}).headroom_text()
    assert "headroom unknown: NO CLAIM on news" in block({"word": [29.0, 30.0]}).headroom_text()


def test_tables_tell_levels_differences_and_their_meaning():
    shown = comparison(block({"ce": [20.0, 21.0, 22.0], "word": [23.0, 25.0, 27.0], "a2d": [26.0, 26.0, 26.0]}))
    levels, differences, others = shown.tables()
    assert levels.rows[0] == ["teacher (5.0 M)", "30.00", "60.00", "1.500", "–", "–", "–", "–"]
    assert levels.rows[1][:2] == ["ce", "21.00 ± 1.00"] and levels.rows[1][-2:] == ["2.0 ± 1.0", "–"]
    assert levels.rows[2][-1] == "3"  # MB, of the seed that held most
    assert levels.note.startswith("headroom: ")
    assert [row[:2] for row in differences.rows] == [["word", "ce"], ["a2d", "ce"], ["a2d", "word"]]
    assert differences.rows[0][2:8] == ["+4.00 ± 2.48", "0.250", "0.500", "3.26", "+1 -1 of 3", "none"]
    assert others.columns[2:4] == ["Δ chrF2", "p Holm"] and others.rows[0][2:4] == ["+8.00 ± 4.97", "0.500"]
    for part in (
        "in nats per target token of the references, teacher-forced\nBLEU|tok:13a\n",
        "(–: an older a2d did not record it)",
        "3 seeds allow no p below 0.25, too few to claim anything about 2 methods: that takes 7 seeds",
        "corrected over methods (2 methods to ce, 1 method to word); not over metrics, test sets and lengths",
        "a paired t test on 3 seeds finds with 80% power at 5%, from the sd of the paired differences (noncentral t: Cohen 1988",
        "paired over sentences, bs:1000",
        "a note\nnot measured: ",
    ):
        assert part in others.note


def test_a_single_seed_has_no_spread_and_nothing_to_test():
    levels, differences, others = comparison(block({"ce": [20.0], "word": [23.0]})).tables()
    assert levels.rows[1][1] == "20.00"
    assert differences.rows[0][2:8] == ["+3.00", "1.000", "1.000", "–", "+1 -0 of 1", "none"]
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
