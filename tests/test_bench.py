"""`a2d bench`: what is counted and told. How fast anything is, no test says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ENVIRONMENT, Launcher
from hypothesis import given
from hypothesis import strategies as st
from listener import Listener
from random_project import add_random_run, random_project
from small_tokenizers import PAIRS, small_tokenizer

from a2d_cli.commands import bench as bench_module
from a2d_cli.commands.bench import Job, _read_test, observe_in_a_process, read_shapes
from a2d_cli.commands.bench_report import (
    BenchReport,
    BenchRow,
    BenchSettings,
    Choice,
    Form,
    Machine,
    Observation,
)
from a2d_cli.commands.option_lists import read_names, read_numbers
from a2d_cli.config.schema import PRESETS, Decoding, ModelShape, Recipe
from a2d_cli.decoding.engine import Hypothesis, SearchBatch
from a2d_cli.decoding.speed import Speed, TimedPass, percentile, time_translation
from a2d_cli.errors import A2DError, ConfigError
from a2d_cli.files import write_json
from a2d_cli.project.exported import is_export
from a2d_cli.project.project import Project

RECIPE = Recipe("own", "de-en", student=ModelShape(norm="pre", dropout=0.25))
QUICK = ("--sentences", "11", "--rounds", "1")
COLUMNS = 120


# What is counted


class Repeater:
    """An engine that says the source; forced, the token 2 as often as the limit allows."""

    name, machine, max_tokens = "repeater", "none", 97

    def __init__(self):
        self.batches: list[SearchBatch] = []

    def search(self, batches, settings, *, align=False, exact_length=False) -> Iterator[list[list[Hypothesis]]]:
        for batch in batches:
            self.batches.append(batch)
            outputs = [[2] * (limit - 1) for limit in batch.limits] if exact_length else batch.sources
            yield [[Hypothesis(tuple(tokens), 0.0)] for tokens in outputs]


LINES = [src for src, _ in PAIRS[:13]]
TOKENS = [len(ids) for ids in small_tokenizer("joint").encode_src(LINES)]


def timed(batch_sentences: int, length_ratio: float | None = None) -> tuple[TimedPass, list[SearchBatch]]:
    engine = Repeater()
    found = time_translation(
        engine, small_tokenizer("joint"), Decoding(batch_sentences=batch_sentences), LINES, length_ratio
    )
    return found, engine.batches[1:]  # the first warms up


@pytest.mark.parametrize("batch_sentences", [1, 5, 17])
def test_every_sentence_and_token_is_counted_once_whatever_the_batch(batch_sentences):
    found, batches = timed(batch_sentences)
    assert (found.sentences, found.tokens) == (len(LINES), sum(TOKENS))
    assert sum(len(batch.sources) for batch in batches) == len(LINES)
    assert found.wall_s > 0 and found.cpu_s >= 0


def test_latencies_are_those_of_sentences_alone():
    found, _ = timed(1)
    assert len(found.latencies_s) == len(LINES)
    assert sum(found.latencies_s) == pytest.approx(found.wall_s)
    assert timed(2)[0].latencies_s == ()


@pytest.mark.parametrize("batch_sentences", [1, 3])
def test_forced_outputs_have_one_length_a_batch_in_proportion_to_the_sources(batch_sentences):
    found, batches = timed(batch_sentences, length_ratio=2.0)
    for batch in batches:
        assert len(set(batch.limits)) == 1
        assert batch.limits[0] == pytest.approx(2 * sum(map(len, batch.sources)) / len(batch.sources), abs=0.5)
    # The limit counts the end mark, the tokens do not.
    assert found.tokens == sum(batch.limits[0] * len(batch.sources) for batch in batches) - len(LINES)


def test_forced_outputs_fit_the_model():
    assert {batch.limits[0] for batch in timed(1, length_ratio=1000.0)[1]} == {Repeater.max_tokens}
    assert {batch.limits[0] for batch in timed(1, length_ratio=1e-9)[1]} == {2}


@given(st.lists(st.floats(0, 1e6), min_size=1), st.integers(1, 100))
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(values, percent):
    found = percentile(values, percent)
    assert found in values
    assert 100 * sum(value <= found for value in values) >= percent * len(values)
    assert 100 * sum(value < found for value in values) < percent * len(values)


def test_speeds_are_medians_of_the_passes():
    passes = [
        TimedPass(2, tokens=10, cpu_s=cpu_s, wall_s=2 * cpu_s, latencies_s=(cpu_s, 3 * cpu_s))
        for cpu_s in (8.0, 1.0, 2.0)
    ]
    assert Speed.of(passes) == Speed(
        sentences_per_cpu_s=1.0,
        tokens_per_cpu_s=5.0,
        sentences_per_s=0.5,
        tokens_per_s=2.5,
        latency_p50_s=2.0,
        latency_p95_s=6.0,
    )


# What is asked for


def test_presets_are_students_layers_or_changes_of_the_one_before():
    shapes = read_shapes("tiny, small,d_model=96,num_heads=3,6-6,3-1,ffn_dim=7", RECIPE)
    assert list(shapes) == ["tiny", "small,d_model=96,num_heads=3", "6-6", "3-1,ffn_dim=7"]
    tiny, changed, teacher, shallow = shapes.values()
    assert (tiny.d_model, tiny.ffn_dim) == (PRESETS["tiny"].d_model, PRESETS["tiny"].ffn_dim)
    assert (changed.d_model, changed.num_heads, changed.ffn_dim) == (96, 3, PRESETS["small"].ffn_dim)
    assert teacher == ModelShape(
        d_model=512, num_heads=8, ffn_dim=2048, encoder_layers=6, decoder_layers=6, norm="pre", dropout=0.25
    )
    assert (shallow.encoder_layers, shallow.decoder_layers, shallow.ffn_dim) == (3, 1, 7)
    assert read_shapes("d_model=192", RECIPE)["d_model=192"].norm == "pre"  # the recipe's student is what is changed


@pytest.mark.parametrize("text", ["huge", "6-6-6", "tiny,d_model=wide", "tiny,witdh=3", "0-6", "tiny,num_heads=7", ""])
def test_wrong_presets_are_refused_in_the_options_name(text):
    with pytest.raises(ConfigError, match="^--preset: "):
        read_shapes(text, RECIPE)


def test_lists_of_an_option():
    assert read_numbers("--beam", "1, 5,1") == (1, 5)
    assert read_names("--engine", "ct2,torch", ("torch", "ct2")) == ("ct2", "torch")
    for text in ("0", "1,,5", "two", "-1", "²", ""):
        with pytest.raises(ConfigError, match=f"^--beam: expected numbers from 1, with commas between, got '{text}'"):
            read_numbers("--beam", text)
    with pytest.raises(ConfigError, match="^--engine: 'onnx' is none of torch, ct2$"):
        read_names("--engine", "ct2,onnx", ("torch", "ct2"))


# A process a measurement


class Poison:
    """Ends the process that receives it."""

    def __reduce__(self):
        return os._exit, (9,)


def job(folder: Path, **changes: object) -> Job:
    form = Form("some", 7, False, "ct2", "int8", folder, 1, 41)
    return Job(**{"form": form, "lines": ["a"], "decodings": (), "threads": 1, "length_ratio": None, **changes})


def test_an_error_of_the_measuring_process_is_told_as_it_was(tmp_path):
    with pytest.raises(A2DError, match="no such tokenizer file") as found:
        observe_in_a_process(job(tmp_path))
    assert found.value.hint


def test_a_measuring_process_that_is_killed_is_told(tmp_path):
    with pytest.raises(A2DError, match="^some, ct2 int8: the process that measured it was killed"):
        observe_in_a_process(job(tmp_path, lines=Poison()))


def test_peak_memory_is_a_processs_own_and_is_remembered():
    ask = "from a2d_cli.training.memory import peak_memory_bytes; print(peak_memory_bytes())"
    script = f"""
import subprocess, sys
block = b"x" * 300_000_000
del block
{ask}
sys.stdout.flush()
subprocess.run([sys.executable, "-c", "{ask}"], check=True)
"""
    environment = {**os.environ, **ENVIRONMENT}
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    own, of_its_child = map(int, ended.stdout.split())
    assert 300_000_000 < own < 500_000_000
    assert 10_000_000 < of_its_child < 200_000_000


# The whole command


@pytest.fixture(scope="module")
def measured(a2d: Launcher, taught: Path) -> dict:
    """A run and an untrained model, each by everything."""
    arguments = (
        "teacher",
        "--preset",
        "d_model=12,num_heads=3,ffn_dim=17",
        *QUICK,
        "--batch-size",
        "1,4",
        "--json",
    )
    return json.loads(a2d.well(taught, "bench", *arguments).out)


def test_each_model_engine_and_precision_is_a_row(measured):
    forms = [(row["model"], row["engine"], row["precision"], row["random_weights"]) for row in measured["rows"]]
    engines = (("torch", "float32"), ("ct2", "float32"), ("ct2", "int8"))
    models = (("teacher", False), ("d_model=12,num_heads=3,ffn_dim=17", True))
    assert forms == [(name, *engine, is_random) for name, is_random in models for engine in engines]
    assert (measured["pair"], measured["test_set"], measured["sentences"]) == ("de-en", "test", 11)
    for row in measured["rows"]:
        assert [(speed["beam"], speed["batch_sentences"]) for speed in row["speeds"]] == [
            (1, 1),
            (1, 4),
            (5, 1),
            (5, 4),
        ]


def test_sizes_are_those_of_the_files(measured, taught):
    torch_row, float_row, int8_row, *_ = measured["rows"]
    run = taught / "runs/teacher"
    files = (run / "best/model.safetensors", run / "best/config.json", run / "spm.model")
    assert torch_row["file_bytes"] == sum(path.stat().st_size for path in files)
    assert int8_row["file_bytes"] < float_row["file_bytes"]
    assert torch_row["parameters"] == json.loads(files[1].read_text())["parameters"]


def test_ct2_is_measured_without_torch(measured):
    """Which alone takes more memory than all else."""
    for torch_row, *ct2_rows in (measured["rows"][:3], measured["rows"][3:]):
        for row in ct2_rows:
            assert row["peak_bytes"] + 50_000_000 < torch_row["peak_bytes"]


def test_speeds_add_up(measured):
    for row in measured["rows"]:
        for speed in row["speeds"]:
            (only,) = speed["passes"]
            assert speed["tokens_per_cpu_s"] == pytest.approx(speed["tokens"] / only["cpu_s"])
            assert speed["sentences_per_s"] == pytest.approx(11 / only["wall_s"])
            has_latency = speed["latency_p50_s"] is not None and speed["latency_p50_s"] <= speed["latency_p95_s"]
            assert has_latency == (speed["batch_sentences"] == 1)


def test_untrained_models_write_as_much_by_every_engine(measured):
    per_engine = [[speed["tokens"] for speed in row["speeds"]] for row in measured["rows"] if row["random_weights"]]
    assert len(per_engine) == 3
    assert per_engine[0] == per_engine[1] == per_engine[2]


def test_an_export_is_measured_as_it_is(a2d, taught_project):
    a2d.well(taught_project, "export", "teacher", "-q", "float32")
    folder = taught_project / "exports/teacher-ct2-float32"
    assert is_export(folder)
    few = (*QUICK, "--beam", "2", "--batch-size", "3", "--json")
    (row,) = json.loads(a2d.well(taught_project, "bench", str(folder), *few).out)["rows"]
    assert (row["model"], row["engine"], row["precision"]) == ("teacher-ct2-float32", "ct2", "float32")
    # Of the run it is the form that is measured, too: not one made anew.
    (again,) = json.loads(a2d.well(taught_project, "bench", "--engine", "ct2", "--precision", "float32", *few).out)[
        "rows"
    ]
    assert (again["model"], again["file_bytes"]) == ("teacher", row["file_bytes"])
    said = a2d.error(taught_project, "bench", str(folder), "--engine", "torch", code=1)
    assert "an export for ct2, which --engine torch cannot load" in said


def test_the_table_tells_the_machine_and_what_is_measured(a2d, taught):
    out = a2d.well(taught, "bench", *QUICK, "--engine", "ct2", "--precision", "int8", "--beam", "2").out
    title, columns, _, model, row, *notes = out.splitlines()
    assert title == "cost of translating: de-en, 11 sentences of test"
    assert re.split(r"\s{2,}", columns)[4:8] == ["sent/s ×1", "tok/s ×1", "sent/s ×32", "tok/s ×32"]
    assert model.startswith("teacher, 0.0") and row.startswith("  ct2 int8")
    told = "\n".join(notes)
    for part in ("per CPU second", "one round; 1 thread on", "ctranslate2 4.", "load average", "× CPU time"):
        assert part in told
    assert "torch" not in told and "random weights" not in told


def test_the_table_fits_120_columns(capsys):
    from a2d_cli.console import print_table

    def passes(choice: Choice) -> TimedPass:
        latencies_s = (1.2345,) * 7 if choice.batch_sentences == 1 else ()
        return TimedPass(7, tokens=43210, cpu_s=0.0017, wall_s=0.0019, latencies_s=latencies_s)

    settings = BenchSettings()
    choices = tuple(Choice(beam, size) for beam in settings.beams for size in settings.batch_sizes)
    observation = Observation(tuple(map(passes, choices)), 12_345_000_000)
    forms = [
        Form(name, 123_456_789, True, engine, "float32", Path(), 1_234_567_890, 41)
        for name in ("a2d-diagonal-ct2-int8", "6-6")
        for engine in ("torch", "ct2")
    ]
    rows = tuple(BenchRow(form, (observation,) * 3) for form in forms)
    machine = Machine("AMD EPYC 9654 96-Core Processor", 192, 123.4, 123.4, {"a2d": "0.1.0", "ctranslate2": "4.8.5"})
    table = BenchReport("zh_Hans-en", "test_2016_flickr", 1000, settings, choices, rows, machine).table()
    print_table(table.title, table.columns, table.rows, table.note)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 2 + 2 * 5
    assert max(map(len, lines)) <= COLUMNS


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["teecher"], 2, "no run or folder 'teecher'\nhint: did you mean 'teacher'?"),
        (["--engine", "onnx"], 2, "--engine: 'onnx' is none of torch, ct2"),
        (["--precision", "int4"], 2, "--precision: 'int4' is none of float32, int8"),
        (["--engine", "torch", "--precision", "int8"], 2, "teacher: torch computes in float32 alone"),
        (["--preset", "huge"], 2, "--preset: expected one of"),
        (["--batch-size", "all"], 2, "--batch-size: expected numbers from 1"),
    ],
)
def test_what_cannot_be_measured_is_told(a2d, taught, arguments, code, said):
    assert said in a2d.error(taught, "bench", *arguments, code=code)


def test_where_there_is_nothing_to_measure_the_command_is_told(a2d, project, tmp_path):
    assert "nothing is prepared here" in a2d.error(tmp_path, "bench", code=2)
    said = a2d.error(project, "bench", code=2)
    assert "no finished run to measure\nhint: train one, or measure sizes before training: --preset" in said
    Project(project).record(prepared={**Project(project).state()["prepared"], "tests": []})
    assert "no test set\nhint: add data.tests" in a2d.error(project, "bench", "--preset", "tiny", code=2)


def test_a_model_of_another_language_pair_is_refused(a2d, taught_project):
    path = taught_project / "runs/teacher/best/config.json"
    write_json(path, {**json.loads(path.read_text()), "pair": "fr-en"})
    said = a2d.error(taught_project, "bench", "teacher", code=1)
    assert "model 'teacher' translates fr-en, the project's test sets are de-en" in said


def test_a_run_of_another_language_pair_does_not_hold_up_the_others(tmp_path: Path):
    project = random_project(tmp_path)
    add_random_run(project, "opus", "teacher", seed=1).record(pair="fr-de")
    heard = Listener()
    folders = bench_module._find_folders(project, [], "de-en", heard)
    assert [folder.name for folder in folders] == ["teacher", "student"]
    assert heard.lines == ["warning: opus is left out: it translates fr-de"]


def test_a_cpu_is_measured_where_there_is_a_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    opened = []
    monkeypatch.setattr(bench_module, "CTranslate2Engine", lambda *given, **options: opened.append(options))
    monkeypatch.setattr(bench_module.Tokenizer, "load", lambda folder: None)
    bench_module._load(Form("m", 1, False, "ct2", "int8", tmp_path, 1, 41), 1)
    assert opened == [{"threads": 1, "device": "cpu"}]


def test_without_ctranslate2_the_package_is_told(a2d, taught):
    without = "import sys; sys.modules['ctranslate2'] = None"
    said = a2d.error(taught, "bench", "teacher", before=without, code=1)
    assert "the ct2 engine needs the package ctranslate2" in said and "pip install" in said


def test_a_test_set_of_empty_lines_is_told(tmp_path: Path):
    project = random_project(tmp_path)
    for lang in ("de", "en"):
        project.text_path("news", lang).write_text("\n \n", encoding="utf-8")
    with pytest.raises(A2DError, match=r"news\.de: no sentence to translate.*name a test set in data\.tests"):
        _read_test(project, RECIPE, 3)
