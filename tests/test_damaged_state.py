"""State files that are damaged: a command answers all the same, says which file it is, and deletes nothing."""

from __future__ import annotations

import copy
import json
import math
import re
import shutil
import signal
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from conftest import ENDED, prepared_as
from random_project import random_project

from a2d_cli.cli import app, explain
from a2d_cli.commands.compare_record import Grid, KeptComparison, keep
from a2d_cli.commands.table import Table
from a2d_cli.config.schema import Decoding
from a2d_cli.data.aligned_text import TextStamp
from a2d_cli.data.corpus import CorpusIndex, ParallelCorpus, SideIndex
from a2d_cli.data.report import STEPS
from a2d_cli.distillation.pseudo_corpus import PseudoIndex, PseudoOrigin, Shard
from a2d_cli.distillation.teacher_cache import CacheOrigin, outdated_caches
from a2d_cli.errors import A2DError
from a2d_cli.files import holding_process, lock_folder, sha256_file, write_json
from a2d_cli.project.checkpoint import load_checkpoint
from a2d_cli.project.exported import Manifest, read_export, write_manifest
from a2d_cli.project.fidelity_cache import FidelityResult, open_fidelity_cache
from a2d_cli.project.project import Project
from a2d_cli.project.run import Run
from a2d_cli.project.score_cache import Result, ScoreCache

JUNK = (None, 7, -1.5, 1e300, "x", [], ["x"], {}, {"x": None})
WRECKS = {
    "empty": b"",
    "NUL bytes": b"\0" * 97,
    "no UTF-8": b'{"format": 1, "name": "\xff"}',
    "cut short": b'{"format": 1, "na',
    "a list": b"[]",
    "a huge number": b'{"format": 1, "updates": ' + b"9" * 5003 + b"}",
    "nested": b'{"format": 1, "name": ' + b"[" * 100_003,
}
RUN, EXPORT = "runs/student", "exports/student-ct2-int8"
FILES = {  # with the commands that read them
    "project.json": ("status", "report"),
    "data/report.json": ("status", "report"),
    f"{RUN}/run.json": ("status", "report"),
    f"{RUN}/best/config.json": ("score --model student",),
    f"{EXPORT}/a2d.json": ("status", "report"),
    "pseudo/abc/pseudo.json": ("status",),
    "scores/comparisons/KEPT.json": ("report",),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has a state file of each kind."""
    project = random_project(tmp_path_factory.mktemp("whole") / "project")
    run, pairs = Run(project.folder / RUN), 7
    size, best = (run.best_dir / "model.safetensors").stat().st_size, sha256_file(run.best_dir / "model.safetensors")
    hashes = {name: tuple(sha256_file(project.text_path(name, lang)) for lang in ("de", "en")) for name in ("news",)}
    shape = json.loads((run.best_dir / "config.json").read_text(encoding="utf-8"))["shape"]
    run.record(
        **ENDED,
        best={"updates": [7], "loss": 2.5, "bleu": 20.0, "chrf": None},
        command="a2d distill",
        a2d="0",
        torch="2",
        machine="cpu",
        precision="float32",
        taught="live",
        initial_weights="f" * 16,
        text="t",
        epochs=1,
        target_tokens=700,
        parameters=1000,
        peak_memory_bytes=5_000_000,
        alignment_head={"layer": 1, "head": 1, "agreement": 0.5, "reference": "itself", "weights_sha256": best},
        settings={**run.info["settings"], "shape": shape, "training": {"lr": 0.1, "max_updates": 7}, "data": "mine"},
    )
    for update in (1, 2, 3):
        run.append_metrics({"event": "train", "update": update, "epoch": 1, "nll": 3.0 / update, "lr": 0.1})
        run.append_metrics({"event": "valid", "update": update, "loss": 3.0, "bleu": None, "chrf": 2.0, "best": True})
    sections = {step: {"key": "k", "duration_s": 1.0, "files": {f"{step}.txt": 3}} for step in STEPS}
    counts = {"read": 9, "kept": 7, "dropped": {"ratio": 2}, "samples": {"ratio": [["a", "b"]]}}
    sections["clean"] |= {"sources": [{"set": "train", "src": "a", "tgt": "b", **counts}], "left_out": []}
    sections["clean"] |= {"downloads": {"x": {"url": "https://a/x", "sha256": "0"}}}
    sections["decontaminate"] |= {"texts": {"train": asdict(TextStamp(pairs, "d"))}, "leaks": {"train": counts}}
    sections["tokenizer"] |= {"vocab_size": [7], "fingerprint": "f"}
    lengths = {"mean": 1.0, "median": 1.0, "p95": 2.0, "max": 3}
    sections["ids"] |= {"lengths": {"train": {"de": lengths}}, "unknown": {"train": {"de": 0.0}}}
    facts = {"data_fingerprint": "d", "tokenizer_fingerprint": "t", "unfinished": []}
    write_json(project.report_path, {"format": 1, "steps": sections, **facts})
    (project.folder / EXPORT).mkdir(parents=True)
    (project.folder / EXPORT / "model.bin").write_bytes(b"model")
    gate = {"gate": {"chrf_float": 30.0, "chrf_quantised": 29.9}}
    write_manifest(
        project.folder / EXPORT,
        Manifest(
            "ct2", "int8", "2026", "0", "de-en", "student", "student", "ce", 1, 1000, best, "f", shape,
            asdict(Decoding()), {}, None, gate, {"model.bin": sha256_file(project.folder / EXPORT / "model.bin")},
        ),
    )  # fmt: skip
    origin = PseudoOrigin("abc", TextStamp(pairs, "digest"), "float32", Decoding()).facts()
    index = PseudoIndex(origin, 1, 2000, {0: Shard(pairs, pairs, "hash", {"loop": 1})})
    write_json(project.pseudo_dir / "abc/pseudo.json", {"format": 1, **asdict(index)})
    grid = Grid("de-en", shape, ("ce",), (3,), (7,), ("news",), ("ce",), (), {})
    table = Table("t", ["a", "b"], [["c", "d"]])
    kept = keep(project, KeptComparison("2026-01-01", "0", "compare", grid, {"student": best}, hashes, (table,)))
    kept.rename(kept.with_name("KEPT.json"))
    cache = ScoreCache(project.scores_dir)
    score = {"signature": "s", "verbose": "", "confidence": None}
    scores = [{"name": name, "value": 30.0, **score} for name in ("BLEU", "chrF2")]
    lines = project.read_text("news", "en")
    written = cache.write_hypotheses("news.en", lines)
    cache.add(
        Result(
            "key", "student", "news", "2026", "news.en", written, *hashes["news"], best, 1000, size, {"beam": 2},
            len(lines), 2.0, "cpu", "0", "torch 2", scores,
        )
    )  # fmt: skip
    teacher = sha256_file(project.runs_dir / "teacher/best/model.safetensors")
    forced = FidelityResult("key", "student", "news", best, teacher, *hashes["news"], 2.0, 1.0, 97, 0, "torch", "0")
    open_fidelity_cache(project.scores_dir).add(forced)
    return project.folder


@pytest.fixture
def project(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = Path(shutil.copytree(whole, tmp_path / "project"))
    monkeypatch.chdir(folder)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Of all files but what the commands are there to write."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name not in ("report.html", ".lock"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def told_by(folder: Path, command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """All that `a2d COMMAND` says, the report's page included; an error is one that is told in words."""
    problem: A2DError | None = None
    pipes_end = signal.getsignal(signal.SIGPIPE)
    try:
        app(command.split(), prog_name="a2d")
    except SystemExit:
        pass
    except Exception as error:
        problem = explain(error)
        if problem is None:
            raise
    finally:
        signal.signal(signal.SIGPIPE, pipes_end)  # `translate` has this process end with the reader of its output
    page = folder / "report.html"
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    page.unlink(missing_ok=True)
    said = capsys.readouterr()
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "NOW", text)  # a minute may turn over between two pages
    return f"{said.out}{said.err}{text}{problem or ''}"


def damaged_values(value: Any, depth: int = 3) -> Iterator[Any]:
    """The same with one value after the other, down to a depth, gone or replaced by some kind of junk."""
    keys = [*value] if isinstance(value, dict) else range(min(1, len(value)) if isinstance(value, list) else 0)
    for number, key in enumerate(keys):
        if isinstance(value, dict):
            yield {name: item for name, item in value.items() if name != key}
        inner = damaged_values(value[key], depth - 1) if depth > 1 else ()
        for junk in (JUNK[(number + depth) % len(JUNK)], *inner):
            changed = copy.copy(value)
            changed[key] = junk
            yield changed


def test_the_project_is_whole(project: Path, capsys: pytest.CaptureFixture[str]):
    assert "broken" not in told_by(project, "status", capsys)
    page = told_by(project, "report", capsys)
    assert "cannot be read" not in page and "skipped" not in page
    parts = ["student: 3 updates", "Training: words", "Validation chrF2", "Leaks taken out"]
    for part in (*parts, "30.00 → 29.90", "news: ", "2.000", "Compared on 2026-01-01"):
        assert part in page


@pytest.mark.parametrize("wreck", WRECKS)
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_cannot_be_parsed_is_named(
    project: Path, name: str, wreck: str, capsys: pytest.CaptureFixture[str]
):
    path = project / name
    path.write_bytes(WRECKS[wreck])
    before = contents(project)
    for command in FILES[name]:
        said = told_by(project, command, capsys)
        assert path.name in said or path.parent.name in said
        assert "broken" in said or "cannot be read" in said or "of a2d: " in said or "changed since" in said
    assert contents(project) == before


@pytest.mark.parametrize("name", [name for name in FILES if not name.endswith("config.json")])
def test_no_value_is_more_than_a_command_can_bear(project: Path, name: str, capsys: pytest.CaptureFixture[str]):
    path = project / name
    values = json.loads(path.read_text(encoding="utf-8"))
    for number, changed in enumerate(damaged_values(values)):
        path.write_text(json.dumps(changed), encoding="utf-8")
        for command in FILES[name]:
            if command != "report" or number % 9 == 0:  # a page takes its time
                told_by(project, command, capsys)
    assert number > 9
    assert json.loads(path.read_text(encoding="utf-8")) == changed


@pytest.mark.parametrize("name", [f"{RUN}/metrics.jsonl", "scores/results.jsonl", "scores/fidelity.jsonl"])
def test_a_damaged_line_costs_that_line(project: Path, name: str, capsys: pytest.CaptureFixture[str]):
    path = project / name
    first, *others = path.read_bytes().removesuffix(b"\n").split(b"\n")
    page = told_by(project, "report", capsys)
    values = json.loads(first)
    for number, changed in enumerate(damaged_values(values)):
        path.write_bytes(b"\n".join([json.dumps(changed).encode(), *others]))
        if number % 5 == 0:
            told_by(project, "report", capsys)
    for wreck in WRECKS.values():
        path.write_bytes(b"\n".join([first, wreck, *others]) + b"\n")
        before = contents(project)
        assert told_by(project, "report", capsys) == page
        assert contents(project) == before


def test_a_broken_run_is_left_out_and_told(project: Path, capsys: pytest.CaptureFixture[str]):
    path = project / RUN / "run.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    for changes, problem in (
        ({"created": 7}, "Expected `str`, got `int` - at `$.created`"),
        ({"settings": {"teacher": None}}, "Expected `str`, got `null` - at `$.settings.teacher`"),
        ({"elapsed_s": math.nan}, "Expected `float` >= 0.0 - at `$.elapsed_s`"),
        ({"best": {"loss": "x"}}, "Expected `float`, got `str` - at `$.best.loss`"),
    ):
        write_json(path, {**values, **changes})
        said = told_by(project, "status", capsys)
        assert f"broken: not a run file of a2d: {problem}" in " ".join(said.split())
    del values["updates"], values["elapsed_s"]
    write_json(path, values)
    with pytest.raises(A2DError, match="run.json: not the file of a finished run: no elapsed_s, updates .*--overwrite"):
        Run(path.parent).info  # noqa: B018  # reads it
    said = told_by(project, "translate --input a2d.yaml", capsys)
    assert "run 'student' is left out: " in said and "run.json" in said


def test_damage_that_the_commands_of_training_meet_is_told_in_words(project: Path):
    """What they read, read as they read it: they take longer than such a test may."""
    config, manifest = project / RUN / "best/config.json", project / EXPORT / "a2d.json"
    ids = project / "data/train.ids.json"
    side = SideIndex("uint16", 0, 0)
    write_json(ids, {"format": 1, **asdict(CorpusIndex(0, "d", "t", side, side))})
    readers = {
        config: lambda: load_checkpoint(config.parent),
        manifest: lambda: read_export(manifest.parent),
        ids: lambda: ParallelCorpus.open(ids.parent, "train", "de", "en"),
    }
    for path, read in readers.items():
        text = path.read_text(encoding="utf-8")
        refused = 0
        for changed in damaged_values(json.loads(text), depth=2):
            path.write_text(json.dumps(changed), encoding="utf-8")
            try:
                read()
            except A2DError as error:
                refused += str(path.parent) in str(error)
        assert refused > 9
        path.write_text(text, encoding="utf-8")


def test_the_length_that_an_export_takes_has_no_default(project: Path):
    path = project / EXPORT / "a2d.json"
    write_json(path, {**json.loads(path.read_text(encoding="utf-8")), "shape": {}})
    with pytest.raises(A2DError, match="a2d.json: not a manifest of a2d: .* field `max_positions` .*export' again"):
        read_export(path.parent)


@pytest.mark.parametrize("holder", [b"\xff", b"'a2d distill' (process 99999999999999999999)", b"\0" * 7])
def test_a_damaged_lock_holds_nobody_out(tmp_path: Path, holder: bytes):
    (tmp_path / ".lock").write_bytes(holder + b"\n")
    assert holding_process(tmp_path) is None
    with lock_folder(tmp_path, "a2d distill"):
        pass


def test_a_cache_that_cannot_be_read_holds_nothing_and_stays(tmp_path: Path):
    origin = CacheOrigin("t", "x", 7, "runs/teacher", "data")
    for wreck in (*WRECKS.values(), json.dumps({"format": 1, **asdict(origin), "pairs": {"p": "x"}}).encode()):
        (tmp_path / "teacher-a").mkdir(exist_ok=True)
        (tmp_path / "teacher-a/cache.json").write_bytes(wreck)
        assert outdated_caches(tmp_path, CacheOrigin("other", "x", 7, "runs/teacher", "data")) == []


def test_what_is_not_known_is_kept(project: Path):
    """Keys of one's own, or that this version has no use for."""
    run = Run(project / RUN)
    write_json(run.info_path, {**run.info, "note": [1], "settings": {"teacher": "", "own": {"a": 1}}})
    run.record(seed=7)
    assert run.info["note"] == [1] and run.info["settings"]["own"] == {"a": 1}
    assert Project(project).state()["prepared"] == prepared_as("news", "talks")
