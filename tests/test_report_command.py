"""`a2d report`: at every stage of a project, without training or translating anything."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from html import unescape
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import Launcher, settings
from test_report_html import NASTY, Read

from a2d_cli.commands.compare_record import Grid, KeptComparison, comparisons_dir, keep, read_kept
from a2d_cli.commands.report import report
from a2d_cli.commands.report_runs import MANY_RUNS, _charts_of, _learning, colours_of, read_runs
from a2d_cli.commands.report_scores import FEW_METHODS, text_hashes
from a2d_cli.commands.table import Table
from a2d_cli.comparison import ALPHA, holm, smallest_p_value
from a2d_cli.errors import A2DError, ConfigError
from a2d_cli.files import lock_folder, sha256_file, write_json
from a2d_cli.project.fidelity_cache import FidelityResult, open_fidelity_cache
from a2d_cli.project.project import Project
from a2d_cli.project.run import Run, list_runs
from a2d_cli.project.score_cache import Result, ScoreCache
from a2d_cli.reporting import Reporter

BEST_STUDENT = "BLEU of the student best by validation"  # a label
SHAPE = {"d_model": 24, "num_heads": 3, "ffn_dim": 40, "encoder_layers": 1, "decoder_layers": 2}


def page_of(project: Project, with_alignment: bool = False) -> str:
    html = report(project, None, with_alignment, Reporter()).read_text(encoding="utf-8")
    assert all(target.startswith(("#", "data:")) for target in Read(html).targets)
    return html


def missing_in(html: str) -> list[str]:
    """Those named at the top, without their section."""
    top = re.search(r'<div class="missing">.*?</div>', html, re.DOTALL)
    return (
        [
            unescape(re.sub("<[^>]+>", "", each)).partition(": ")[2]
            for each in re.findall(r"<li>(.*?)</li>", top.group(0))
        ]
        if top
        else []
    )


def table_rows(html: str, title: str) -> list[list[str]]:
    """The cells of the table of that caption, its head first."""
    table = re.search(rf"<caption>{re.escape(title)}</caption>(.*?)</table>", html, re.DOTALL)
    assert table, title
    rows = re.findall(r"<tr>(.*?)</tr>", table.group(1), re.DOTALL)
    return [[unescape(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in rows]


@pytest.fixture
def here(project: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(project)
    return Project(project)


def add_run(
    project: Project, name: str, kind: str, method: str = "ce", seed: int = 1, weights: str = "", **facts: object
) -> Run:
    """A finished run whose 'weights' are a text."""
    run = Run(project.runs_dir / name)
    run.best_dir.mkdir(parents=True)
    (run.best_dir / "model.safetensors").write_text(weights or name)
    run.record(
        **{
            "name": name,
            "kind": kind,
            "method": method,
            "seed": seed,
            "command": f"a2d distill --name {name}",
            "finished": True,
            "stop_reason": "",
            "settings": {"shape": SHAPE, "training": {"lr": 0.1, "seed": seed}, "teacher": ""},
            "parameters": 1_230_000,
            "initial_weights": f"i{seed}",
            "best": {"updates": [20], "loss": 2.5, "bleu": 20.0 + seed},
            "updates": 20,
            "target_tokens": 700 + seed,
            "elapsed_s": 83.0,
            "created": f"2026-01-{seed:02}",
            **facts,
        }
    )
    for update in (5, 10, 15, 20):
        run.append_metrics(
            {"event": "train", "update": update, "loss": 9.0 / update, "nll": 3.0, "simplex_cross": 0.5, "lr": 0.1}
        )
        if update % 10 == 0:
            run.append_metrics(
                {"event": "valid", "update": update, "loss": 20.0 / update, "bleu": float(update), "chrf": 30.0}
            )
    return run


def add_scores(
    project: Project,
    run: Run,
    bleu: float,
    lines: list[str],
    nll: float | None = None,
    engine: str = "torch 2",
    **decoding: object,
) -> None:
    cache, digest = ScoreCache(project.scores_dir), sha256_file(run.best_dir / "model.safetensors")
    src, tgt = (sha256_file(project.text_path("test", lang)) for lang in ("de", "en"))
    name = f"{run.name}.test{''.join(decoding)}.en"
    model = run.name if engine.startswith("torch") else f"{run.name} int8"
    cache.add(
        Result(
            key=f"{model}-test{''.join(decoding)}",
            model=model,
            test_set="test",
            translated_at="2026-01-01T00:00:00",
            hypotheses=name,
            hypotheses_sha256=cache.write_hypotheses(name, lines),
            src_sha256=src,
            tgt_sha256=tgt,
            weights_sha256=digest,
            parameters=1_230_000,
            file_bytes=4_900_000,
            decoding={"beam": 5, "length_penalty": 1.0, **decoding},
            sentences=len(lines),
            translation_s=2.0,
            machine="cpu, 2 threads",
            a2d="0",
            engine=engine,
            scores=[
                {"name": name, "value": value, "signature": "nrefs:1", "verbose": "", "confidence": None}
                for name, value in (("BLEU", bleu), ("chrF2", bleu + 20))
            ],
        )
    )
    if nll is not None:
        open_fidelity_cache(project.scores_dir).add(
            FidelityResult(f"{run.name}-f", run.name, "test", digest, "t", src, tgt, nll, nll - 1, 97, 0, "torch", "0")
        )


def references(project: Project) -> list[str]:
    return project.read_text("test", "en")


# --- stages


def test_a_prepared_project_tells_its_data_and_what_is_missing(here: Project):
    html = page_of(here)
    assert table_rows(html, "Leaks taken out")[1][:4] == ["train", "2,500", "2,500", "0"]
    assert [row[:3] for row in table_rows(html, "Length in tokens")[1:]] == [
        ["train", "de", "2,500"],
        ["train", "en", "2,500"],
        ["valid", "de", "29"],
        ["valid", "en", "29"],
        ["test", "–", "37"],
    ]
    assert missing_in(html) == [
        "A teacher: a2d train-teacher",
        "No run has logged anything yet: a2d train-teacher",
        "Scores of the models on the test sets: a2d score",
        "No run has learned an alignment: a2d distill --method a2d",
        "Translations of teacher and student to hold side by side: a2d score",
    ]
    assert "next: a2d train-teacher" in html
    assert here.state()["prepared"]["data_fingerprint"] in html and "vocab_size: 80" in html


def test_dropped_pairs_are_told_by_rule_and_shown(here: Project):
    values = json.loads(here.report_path.read_text())
    train = values["steps"]["clean"]["sources"][-1]
    train |= {"read": 2507, "dropped": {"ratio": 5, "duplicate": 2}, "samples": {"ratio": [[NASTY, "kurz"]]}}
    values["steps"]["clean"]["left_out"] = [{"src": "test_2017.en", "reason": "no such file"}]
    values["steps"]["decontaminate"]["leaks"]["train"] |= {"dropped": {"valid": 3}, "samples": {"valid": [["a", "b"]]}}
    write_json(here.report_path, values)
    html = page_of(here)
    assert table_rows(html, "Cleaning")[-1][2:] == ["2,507", "2,500", "7", "0.28", "ratio 5, duplicate 2"]
    assert table_rows(html, "Leaks taken out")[1][3:] == ["3", "0.12", "valid 3"]
    assert "Left out: test_2017.en" in html and "stands in valid" in html
    assert NASTY in "".join(Read(html).texts)


def test_a_preparation_that_has_not_ended_is_told(here: Project):
    values = json.loads(here.report_path.read_text())
    first = {**values, "steps": {step: values["steps"][step] for step in ("clean", "decontaminate")}}
    again = {**values, "unfinished": ["tokenizer", "ids"]}  # what an earlier one has written is not shown for its own
    for state in (first, again):
        write_json(here.report_path, state)
        html = page_of(here)
        assert missing_in(html)[0] == "The preparation has not ended (not done: tokenizer, ids): a2d prepare"
        assert "Length in tokens" not in html
    write_json(here.report_path, {**values, "unfinished": ["clean"]})  # what it writes is read by the next step alone
    assert "The preparation has not ended" not in page_of(here)
    here.report_path.write_text("{")
    assert missing_in(page_of(here))[0].startswith(f"The text cannot be read: {here.report_path}: not a report of a2d")
    here.report_path.unlink()
    assert missing_in(page_of(here))[0] == "The text is not prepared: a2d prepare"


def test_a_teacher_alone_has_its_curves_and_waits_for_a_student(here: Project):
    add_run(here, "teacher", "teacher")
    html = page_of(here)
    assert missing_in(html)[0] == "A student: a2d distill"
    assert "kind" not in table_rows_of_models(html)[0]  # the name tells it
    assert table_rows_of_models(html)[1][:3] == ["teacher", "1+2 · 24 · 3 · 40", "1.23 M"]
    assert "<summary>teacher: 20 updates</summary>" in html
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", html)
    assert captions[:2] == ["Training: words", "Training: terms of maps and states"]
    assert "Validation NLL" in captions and "Validation BLEU" in captions


def table_rows_of_models(html: str) -> list[list[str]]:
    return table_rows(
        html.partition('<section id="models">')[2].replace("<table>", "<table><caption>m</caption>", 1), "m"
    )


def test_finished_runs_need_no_column_for_that_and_many_are_folded(here: Project):
    add_run(here, "teacher", "teacher")
    html = page_of(here)
    assert "state" not in table_rows_of_models(html)[0] and "all are finished; layers: " in html
    for number in range(1, MANY_RUNS):
        add_run(here, f"word-seed{number}", "student")
    assert "<summary>All " not in page_of(here)
    add_run(here, "one-more", "student")
    assert f"<summary>All {MANY_RUNS + 1} runs</summary>" in page_of(here)


def test_broken_and_unfinished_runs_and_one_in_training_are_told(here: Project):
    teacher = add_run(here, "teacher", "teacher")
    add_run(here, "stopped", "student", finished=False)
    (here.runs_dir / "torn").mkdir()
    (here.runs_dir / "torn" / "run.json").write_text('{"format": 1, "na')
    begun = Run(here.runs_dir / "begun")
    begun.folder.mkdir()
    begun.record(name="begun", kind="student", method="word", seed=2, finished=False, settings={})
    with open(begun.metrics_path, "w") as stream:
        stream.write('{"event": "train", "update": 5, "loss": NaN}\n{"event": "tra')
    with lock_folder(teacher.folder, "a2d train-teacher"):
        html = page_of(here)
    assert table_rows_of_models(html)[0][-2:] == ["state", "kind"]
    states = {row[0]: row[-2] for row in table_rows_of_models(html)[1:]}
    assert states == {
        "teacher": "in training when this was written",
        "stopped": "stopped before its end",
        "begun": "stopped before its end",
    }
    assert any(told.startswith("Run 'torn' cannot be read:") for told in missing_in(html))


def test_an_imported_teachers_shape_is_that_of_its_checkpoint(here: Project):
    run = add_run(here, "teacher", "teacher")
    config = {"pair": "de-en", "shape": SHAPE | {"d_model": 48}, "vocabularies": {}, "tokenizer": "", "parameters": 7}
    write_json(run.best_dir / "config.json", {"format": 1, **config})
    info = {key: value for key, value in run.info.items() if key != "settings"}
    write_json(run.info_path, {**info, "imported_from": "/x"})
    run.metrics_path.unlink()
    html = page_of(here)
    row = table_rows_of_models(html)[1]
    assert row[1].startswith("1+2 · 48 ·") and row[-1] == "imported"
    assert missing_in(html)[:2] == ["A student: a2d distill", "No run has logged anything yet: a2d distill"]


# --- scores


def test_levels_over_seeds_are_told_out_of_scores_already_made_and_no_differences(here: Project):
    lines = references(here)
    teacher = add_run(here, "teacher", "teacher")
    add_scores(here, teacher, 40.0, lines, nll=1.5)
    for seed in (1, 2, 3):
        for method, bleu in (("ce", 20.0 + seed), ("word", 22.0 + 2 * seed)):
            run = add_run(here, f"{method}-seed{seed}", "student", method, seed)
            add_scores(here, run, bleu, lines[::-1], nll=3.0 if method == "ce" or seed < 3 else None)
    html = page_of(here)
    assert table_rows(html, "test: levels over seeds") == [
        ["family", "method", "runs", "updates", "BLEU", "chrF2", "NLL", "KL to teacher"],
        ["ce", "ce", "3", "20", "22.00 ± 1.00", "42.00 ± 1.00", "3.000 ± 0.000", "2.000 ± 0.000"],
        ["word", "word", "3", "20", "26.00 ± 2.00", "46.00 ± 2.00", "–", "–"],  # not all of its runs are measured
    ]
    assert (
        "family: runs whose names differ in the seed alone; BLEU, chrF2, NLL, KL: their mean ± standard deviation"
        in html
    )
    assert "whether levels differ by more than chance, 'a2d compare' says" in unescape(html)
    assert "unlike" not in html and "… of 3" not in html and "Δ" not in html
    assert [each for each in missing_in(html) if "compare" in each] == [
        f"{proposal(6, 12)}: a2d compare --methods ce,word --seeds 6"
    ]
    models = table_rows(html, "test: 37 sentences")
    assert [row[0] for row in models[1:]] == [
        "teacher",
        "ce-seed1",
        "word-seed1",
        "ce-seed2",
        "word-seed2",
        "ce-seed3",
        "word-seed3",
    ]
    assert models[1][3:] == ["40.00", "60.00", "1.500", "–", "1.23 M", "4.9", "18.5"]
    chart = dots_of(html)
    assert chart.startswith("test, beam 5, length penalty 1.0: BLEU, mean and 95 % interval over seeds<")
    assert ">ce  22.00 ± 2.48</text>" in chart  # t(0.975, 2) · 1 / √3


def proposal(num_seeds: int, num_runs: int) -> str:
    what = "What may be claimed of differences between methods, trained under equal conditions"
    return f"{what} over {num_seeds} seeds, the fewest that can tell (which trains up to {num_runs} runs)"


def dots_of(html: str) -> str:
    return re.search(r'<figure class="chart dots"><figcaption>(.*?)</figure>', html, re.DOTALL).group(1)


def facts_of(html: str) -> dict[str, list[str]]:
    """Value and remark, by label."""
    return {
        label: list(told) for label, *told in re.findall(r"<dt>([^<]+)</dt><dd>([^<]*)<small>([^<]*)</small>", html)
    }


def test_the_student_of_the_headline_is_chosen_by_validation_and_not_by_the_test_set(here: Project):
    add_scores(here, add_run(here, "teacher", "teacher", best={"loss": 2.5, "bleu": 99.0}), 40.0, references(here))
    assert BEST_STUDENT not in facts_of(page_of(here))
    for name, valid_bleu, test_bleu in (("lucky", 21.0, 38.0), ("good", 23.0, 31.0), ("poor", 22.0, 30.0)):
        lines = [f"{line} {name}" for line in references(here)]
        add_scores(here, add_run(here, name, "student", best={"loss": 2.5, "bleu": valid_bleu}), test_bleu, lines)
    add_run(here, "not-scored", "student", best={"loss": 2.5, "bleu": 24.0})
    html = page_of(here)
    facts = facts_of(html)
    assert facts["BLEU of the teacher"][0] == "40.0"
    assert facts[BEST_STUDENT] == ["31.0", "good, 1.2 M parameters; test, beam 5, length penalty 1.0"]
    assert (
        "teacher 'teacher' and the student best by validation, 'good': sentences whose chrF differs most"
        in unescape(html)
    )


def test_methods_that_do_not_have_all_seeds_are_marked(here: Project):
    for method, seeds in (("ce", (1, 2, 5)), ("word", (1, 5)), ("a2d", (3,))):
        for seed in seeds:
            add_scores(
                here, add_run(here, f"{method}-seed{seed}", "student", method, seed), 20.0 + seed, references(here)
            )
    html = page_of(here)
    counts = {row[0]: row[2] for row in table_rows(html, "test: levels over seeds")[1:]}
    assert counts == {"ce": "3 of 4", "word": "2 of 4", "a2d": "1 of 4"}
    assert "… of 4: a mean over some of the seeds (1, 2, 3, 5), hard to compare with the others" in html


def test_runs_that_were_not_trained_alike_are_no_group_of_seeds_without_a_word(here: Project):
    usual = {"shape": SHAPE, "training": {"lr": 0.1}, "data": "d1", "teacher": "a", "decoding": {"beam": 1}}
    for family, changes in {
        "alike": {
            "decoding": {"beam": 2},
            "training": {"lr": 0.1, "samples": 7},
        },  # change no training
        "shapes": {"shape": {**SHAPE, "d_model": 48}},
        "teachers": {"teacher": "b"},
        "texts": {"data": "d2"},
        "rates": {"training": {"lr": 0.2}},
    }.items():
        for seed, own in ((1, {}), (2, changes)):
            settings = {**usual, **own, "training": {**usual["training"], **own.get("training", {}), "seed": seed}}
            add_scores(
                here,
                add_run(here, f"{family}-seed{seed}", "student", "word", seed, settings=settings),
                20.0 + seed,
                references(here),
            )
    for name, seed, updates in (
        ("lengths-seed1", 1, 20),
        ("lengths-seed2", 2, 2300),
    ):
        add_scores(
            here,
            add_run(here, name, "student", "word", seed, weights=name, settings=usual, updates=updates),
            20.0 + seed,
            references(here),
        )
    html = page_of(here)
    rows = {row[0]: row for row in table_rows(html, "test: levels over seeds")[1:]}
    told = {
        "shapes": "shape.d_model: 24 -> 48",
        "teachers": "teacher: a -> b",
        "texts": "data: d1 -> d2",
        "rates": "training.lr: 0.1 -> 0.2",
        "lengths": "updates: 20 -> 2300",
    }
    assert rows.keys() == {"alike", *(f"{family} (unlike runs)" for family in told)}
    assert rows["lengths (unlike runs)"][3] == "20 / 2,300"
    notes = re.findall(r"(\w+): unlike runs, whose spread is not that of seeds alone: ([^<\n]*)", unescape(html))
    assert dict(notes) == told
    # Nor has their mean an interval.
    means = re.findall(r'<text class="name"[^>]*>(\w+)[^<]*?( ± [\d.]+)?</text>', dots_of(html))
    assert {family for family, interval in means if interval} == {"alike"} and len(means) == 6


def test_families_that_differ_in_more_than_their_methods_are_told(here: Project):
    for family, changes in {
        "ce": {},
        "word": {"distillation": {"alpha": 0.5}, "teacher": "a"},
        "wide": {"shape": {**SHAPE, "d_model": 48}, "distillation": {"alpha": 0.5}, "teacher": "a"},
    }.items():
        for seed in (1, 2):
            settings = {"shape": SHAPE, "training": {"lr": 0.1, "seed": seed}, **changes}
            method = "ce" if family == "ce" else "word"
            add_scores(
                here,
                add_run(here, f"{family}-seed{seed}", "student", method, seed, settings=settings),
                20.0 + seed,
                references(here),
            )
    html = unescape(page_of(here))
    assert [row[:2] for row in table_rows(html, "test: levels over seeds")[1:]] == [
        ["ce", "ce"],
        ["wide", "word"],
        ["word", "word"],
    ]
    told = re.findall(r"\w+ and \w+ were trained unlike each other in more than their methods: [^<\n]*", html)
    assert told == ["wide and ce were trained unlike each other in more than their methods: shape.d_model: 24 -> 48"]


def test_what_a_comparison_would_add_is_told_by_the_command_that_trained_its_runs(here: Project):
    command = "a2d compare --methods ce,word --seeds 2 --updates 20 --set student_training.lr=0.1"
    for method, seed in (("ce", 1), ("ce", 2), ("word", 1), ("word", 2)):
        run = add_run(here, f"{method}-seed{seed}", "student", method, seed, command=command)
        add_scores(here, run, 20.0, references(here), nll=3.0 if method == "ce" else None)
    told = [f"NLL on the references, KL to the teacher, and what may be claimed of differences: {command}"]
    assert [each for each in missing_in(page_of(here)) if "compare" in each] == told
    for run in list_runs(here):
        add_scores(here, run, 20.0, references(here), nll=3.0)
    assert [each for each in missing_in(page_of(here)) if "compare" in each] == told  # measured, but not compared
    add_comparison(here, list_runs(here))
    assert not any("compare" in each for each in missing_in(page_of(here)))


def test_few_methods_are_proposed_for_a_comparison_and_none_that_it_cannot_train(here: Project):
    add_run(here, "teacher", "teacher")
    for methods, proposed in {
        ("word-pseudo",): f"{proposal(7, 21)}: a2d compare --methods ce,word,a2d --seeds 7",
        ("hidden",): f"{proposal(6, 12)}: a2d compare --methods ce,hidden --seeds 6",  # nothing is claimed without ce
        ("amad", "word", "seq"): f"{proposal(7, 28)}: a2d compare --methods ce,word,amad,hidden --seeds 7",
    }.items():
        for method in methods:
            add_scores(here, add_run(here, method, "student", method), 20.0, references(here))
        assert [each for each in missing_in(page_of(here)) if "compare" in each] == [proposed]


@pytest.mark.parametrize("num_methods", range(2, FEW_METHODS + 1))
def test_the_proposed_seeds_can_tell_and_fewer_could_not(here: Project, num_methods: int):
    add_run(here, "teacher", "teacher")
    for method in ("ce", "word", "amad", "hidden")[:num_methods]:
        add_scores(here, add_run(here, method, "student", method), 20.0, references(here))
    (told,) = [each for each in missing_in(page_of(here)) if "compare" in each]
    num_seeds = int(told.rpartition("--seeds ")[2])
    assert (
        max(holm([smallest_p_value(num_seeds)] * (num_methods - 1)))
        <= ALPHA
        < max(holm([smallest_p_value(num_seeds - 1)] * (num_methods - 1)))
    )


def test_a_comparison_is_proposed_with_the_teacher_that_is_there(here: Project):
    def proposed() -> list[str]:
        return [told.partition("--seeds 6")[2] for told in missing_in(page_of(here)) if "compare" in told]

    students = [add_run(here, name, "student", name) for name in ("ce", "word")]
    for run in students:
        add_scores(here, run, 20.0, references(here))
    assert proposed() == []  # nobody could teach
    digits = [
        sha256_file(add_run(here, name, "teacher").best_dir / "model.safetensors")[:16] for name in ("big", "wide")
    ]
    assert proposed() == [" --teacher big"]
    students[1].record(settings={"teacher": digits[1]})
    assert proposed() == [" --teacher wide"]
    students[1].record(settings={"teacher": f"{digits[1]},{digits[0]}"})
    assert proposed() == [" --teacher wide,big"]
    digits = sha256_file(add_run(here, "teacher", "teacher").best_dir / "model.safetensors")[:16]
    students[1].record(settings={"teacher": digits})
    assert proposed() == [""]


def test_no_comparison_is_proposed_beside_one_that_is_kept(here: Project):
    runs = [
        add_run(here, "teacher", "teacher"),
        *(add_run(here, f"{name}-seed1", "student", name) for name in ("ce", "word")),
    ]
    for run in runs:
        add_scores(here, run, 20.0, references(here))
    assert any("compare" in told for told in missing_in(page_of(here)))
    add_comparison(here, runs)
    assert not any("compare" in told for told in missing_in(page_of(here)))


def test_a_method_has_one_colour_at_every_length(here: Project):
    for method in ("word", "a2d"):
        for name in (f"{method}-seed1", f"{method}-80u-seed1"):
            add_run(here, name, "student", method)
    colours = colours_of(read_runs(here, Reporter()))
    assert colours == {"a2d": 0, "a2d-80u": 0, "word": 1, "word-80u": 1}
    chart = re.search(r"<figcaption>Students: validation NLL.*?</figure>", page_of(here), re.DOTALL).group(0)
    assert chart.count("<polyline") == 4 + 2  # a line a run, and one a method in the legend
    assert re.findall(r'"c(\d)" points="0,4 18,4"/></svg>(.*?)</li>', chart) == [("0", "a2d"), ("1", "word")]


def test_a_run_without_a_seed_in_its_name_is_none_of_a_comparisons(here: Project):
    for name in ("word", "word-seed1", "word-seed2", "ce"):
        add_run(here, name, "student", name.partition("-")[0], seed=2 if name.endswith("2") else 1)
    families = {each.name: each.family for each in read_runs(here, Reporter())}
    assert families == {"word": "word (by itself)", "word-seed1": "word", "word-seed2": "word", "ce": "ce"}


def test_training_is_drawn_as_a_mean_over_seeds_without_its_first_fall(here: Project):
    runs = [add_run(here, f"word-seed{seed}", "student", "word", seed) for seed in (1, 2)]
    add_run(here, "ce-seed1", "student")
    for run, extra in zip(runs, (0.0, 1.0), strict=True):
        run.metrics_path.unlink()
        for update in range(10, 110, 10):
            run.append_metrics({"event": "train", "update": update, "nll": 100.0 / update + extra})
    runs[0].append_metrics({"event": "train", "update": 110, "nll": 0.1})  # the other is not as far
    known = read_runs(here, Reporter())
    chart = _learning(known, {each.name: list(each.run.metrics()) for each in known}, colours_of(known))
    lines = {line.name: line.points for line in chart.lines}
    assert lines["word"] == [(update, pytest.approx(100 / update + 0.5)) for update in range(20, 110, 10)]
    assert len(chart.lines) == 2 and lines["ce"] == [(update, 3.0) for update in (5, 10, 15, 20)]
    assert f"<figcaption>{chart.title}</figcaption>" in page_of(here)


def test_many_runs_stand_in_one_fold(here: Project):
    for seed in range(1, MANY_RUNS + 2):
        add_run(here, f"word-seed{seed}", "student", "word", seed)
        html = page_of(here)
        assert ("runs by terms of their losses" in html) == (seed > MANY_RUNS)
        assert html.count(": 20 updates</summary>") == seed


def drawn_of_training(**logged: float) -> dict[str, list[str]]:
    """The names of lines, by the title of their chart."""
    charts = _charts_of([{"event": "train", "update": 5, "nll": 3.0, **logged}])
    return {
        chart.title: [line.name for line in chart.lines]
        for chart in charts
        if chart.lines and "alidation" not in chart.title
    }


def test_a_weight_is_drawn_as_it_was_applied():
    words, inside = {"Training: words": ["nll"]}, {"Training: terms of maps and states": ["simplex_cross"]}
    assert drawn_of_training(term_weight=1.0, gradient_ratio=0.3, gradient_cosine=0.1) == words
    weight = {"Weight of these terms, λ": ["weight"]}
    assert drawn_of_training(simplex_cross=0.5, weight=0.25, term_weight=1.0) == words | inside | weight


def test_the_share_of_selected_tokens_is_no_term_inside_the_models_and_has_no_weight():
    drawn = drawn_of_training(word=2.0, selected=0.5, term_weight=1.0)
    assert drawn == {"Training: words": ["nll", "word"], "Training: share of tokens selected": ["selected"]}


def test_scores_of_another_text_or_of_replaced_weights_are_not_shown(here: Project):
    run = add_run(here, "ce", "student")
    add_scores(here, run, 33.0, references(here))
    assert table_rows(page_of(here), "test: 37 sentences")[1][0] == "ce"
    (run.best_dir / "model.safetensors").write_text("better")
    assert "Scores of the models on the test sets: a2d score" in missing_in(page_of(here))
    (run.best_dir / "model.safetensors").write_text("ce")
    with open(here.text_path("test", "de"), "a") as stream:
        stream.write("noch ein Satz\n")
    assert "Scores of the models on the test sets: a2d score" in missing_in(page_of(here))


def test_the_distance_is_that_to_the_teacher_who_has_taught(here: Project):
    add_run(here, "teacher", "teacher")
    taught = {"settings": {"shape": SHAPE, "training": {}, "teacher": "abc"}}
    word, ce = add_run(here, "word", "student", "word", **taught), add_run(here, "ce", "student", "ce")
    src, tgt = (sha256_file(here.text_path("test", lang)) for lang in ("de", "en"))
    for run in (word, ce):
        add_scores(here, run, 20.0, references(here))
        digest = sha256_file(run.best_dir / "model.safetensors")
        for teacher, kl in (("abcdef", 1.5), ("ddd", 9.0)):  # the other teacher's was measured last
            of_run = f"{run.name}-{teacher}", run.name, "test", digest, teacher, src, tgt
            open_fidelity_cache(here.scores_dir).add(FidelityResult(*of_run, 2.5, kl, 97, 0, "torch", "0"))
    rows = {row[0]: row for row in table_rows(page_of(here), f"test: {len(references(here))} sentences")}
    assert (rows["word"][6], rows["ce"][6]) == ("1.500", "1.500")


def test_speeds_of_different_machines_are_not_divided(here: Project):
    runs = [add_run(here, "teacher", "teacher"), add_run(here, "word", "student", "word")]
    for run in runs:
        add_scores(here, run, 20.0, references(here))
    assert "1.0× as many sentences a second, as scored" in page_of(here)
    path = here.scores_dir / "results.jsonl"
    path.write_text(path.read_text().replace("cpu, 2 threads", "NVIDIA H200", 1))
    assert "as many sentences a second" not in page_of(here)


def test_a_test_text_without_its_last_newline_stops_no_report(here: Project):
    path = here.text_path("test", "en")
    path.write_text(path.read_text().removesuffix("\n"))
    lines = references(here)
    teacher = add_run(here, "teacher", "teacher")
    digest = sha256_file(teacher.best_dir / "model.safetensors")
    add_scores(here, teacher, 40.0, lines)
    student = add_run(here, "word", "student", "word", settings={"teacher": digest[:16]})
    add_scores(here, student, 20.0, [*lines[:-1], "xx yy"])
    assert "<mark>xx yy</mark>" in page_of(here)


def test_comparisons_of_other_labels_stand_side_by_side(compared: tuple[Project, list[Run]]):
    project, runs = compared
    grid = Grid("de-en", SHAPE, ("ce", "word"), (1, 2), (20,), ("test",), (), (), {})
    paths = {add_comparison(project, runs, grid=replace(grid, label=label)) for label in ("", "a", "b", "b")}
    assert len(paths) == 3
    assert {read_kept(path).grid.label for path in paths} == {"", "a", "b"}


def test_an_export_stands_below_its_run_and_is_no_run_of_its_method(here: Project):
    lines = references(here)
    run = add_run(here, "ce", "student")
    add_scores(here, run, 30.0, lines)
    add_scores(here, run, 29.0, lines, engine="ctranslate2 4")
    html = page_of(here)
    assert [row[0] for row in table_rows(html, "test: 37 sentences")[1:]] == ["ce", "ce int8"]
    assert "levels over seeds" not in html


def test_translations_that_differ_most_are_shown_side_by_side(here: Project):
    lines = references(here)
    worse, better = lines.copy(), lines.copy()
    worse[5], worse[7] = f"{lines[5]} {NASTY}", "xx yy"
    better[11] = "zz"
    digest = sha256_file(add_run(here, "teacher", "teacher").best_dir / "model.safetensors")
    add_scores(here, Run(here.runs_dir / "teacher"), 40.0, better)
    add_scores(here, add_run(here, "other", "teacher"), 50.0, lines)
    student = add_run(here, "word", "student", settings={"teacher": digest[:16]})
    add_scores(here, student, 30.0, worse)
    html = page_of(here)
    examples = re.findall(r'<dl class="example">(.*?)</dl>', html, re.DOTALL)
    assert len(examples) == 3
    assert "The teacher is ahead: 2 sentences" in html and "The student is ahead: 1 sentence<" in html
    first = re.findall(r"<dt>(.*?)</dt><dd[^>]*>(.*?)</dd>", examples[0])
    assert first[:2] == [("source", here.read_text("test", "de")[7]), ("reference", lines[7])]
    assert first[2] == ("teacher · chrF 100", lines[7]) and first[3] == ("word · chrF 0", "<mark>xx yy</mark>")
    assert "<script" not in html
    (here.scores_dir / "word.test.en").write_text("edited\n")
    assert any(told.startswith("Translations of teacher and student") for told in missing_in(page_of(here)))


# --- comparisons that are kept


def add_comparison(project: Project, runs: list[Run], day: int = 1, **changes: object) -> Path:
    """Of runs that are there; its table has the day in its title."""
    infos = [run.info for run in runs if run.info["kind"] == "student"]
    methods, seeds = (tuple(dict.fromkeys(info[key] for info in infos)) for key in ("method", "seed"))
    src, tgt = (sha256_file(project.text_path("test", lang)) for lang in ("de", "en"))
    found = {
        "made_at": f"2026-02-{day:02}T07:00:00+00:00",
        "a2d": "0.7",
        "command": f"compare --methods {','.join(methods)} --seeds {len(seeds)}",
        "grid": Grid("de-en", SHAPE, methods, seeds, (20 + day,), ("test",), (), (), {}),
        "weights": {run.name: sha256_file(run.best_dir / "model.safetensors") for run in runs},
        "texts": {"test": (src, tgt)},
        "tables": (
            Table(f"levels of day {day}", ["method", "BLEU"], [["ce", "20.00 ± 1.00"]]),
            Table(f"Δ of day {day}", ["p"], [["0.5"]], NASTY),
        ),
    }
    return keep(project, KeptComparison(**found | changes))


@pytest.fixture
def compared(here: Project) -> tuple[Project, list[Run]]:
    """A teacher and two methods with two seeds, all scored."""
    runs = [add_run(here, "teacher", "teacher")]
    runs += [
        add_run(here, f"{method}-seed{seed}", "student", method, seed) for seed in (1, 2) for method in ("ce", "word")
    ]
    for number, run in enumerate(runs):
        add_scores(here, run, 20.0 + number, references(here), nll=3.0)
    return here, runs


def test_translations_of_another_decoding_stand_apart(compared: tuple[Project, list[Run]]):
    project, runs = compared
    add_scores(project, runs[1], 77.0, ["greedy"] * len(references(project)), beam=1)
    html = page_of(project)
    assert "greedy" not in html
    apart = re.search(r"<summary>Translated otherwise: test</summary>(.*?)</details>", html, re.DOTALL).group(1)
    assert (
        ">77.00<" in apart
        and "decoding: beam 1, length penalty 1.0" in apart
        and "77.00" not in html.replace(apart, "")
    )
    how = "1.2 M parameters; test, beam 5, length penalty 1.0"
    facts = facts_of(html)
    assert facts["BLEU of the teacher"] == ["20.0", f"teacher, {how}"] and facts[BEST_STUDENT] == [
        "23.0",
        f"ce-seed2, {how}",
    ]


@pytest.mark.parametrize(
    ("beam", "shown"), [(5, "beam 5, length penalty 1.0"), (3, "beam 5, length penalty 1.0, no repeat ngram 2")]
)
def test_of_two_decodings_of_as_many_models_the_recipes_is_shown_else_the_newest(here: Project, beam: int, shown: str):
    recipe = here.recipe_path.read_text(encoding="utf-8")
    here.recipe_path.write_text(re.sub(r"(?m)^  beam: \d+", f"  beam: {beam}", recipe), encoding="utf-8")
    run = add_run(here, "ce", "student")
    add_scores(here, run, 30.0, references(here))
    add_scores(here, run, 77.0, references(here), no_repeat_ngram=2)
    cache = ScoreCache(here.scores_dir)
    cache.add(replace(cache.find("ce-testno_repeat_ngram"), translated_at="2026-01-02T00:00:00"))
    html = page_of(here)
    assert f"decoding: {shown}\n" in unescape(html.partition("Translated otherwise")[0]).replace("</", "\n</").replace(
        "<br", "\n<br"
    )


def outside_folds(html: str) -> str:
    return re.sub(r"<details>.*?</details>", "", html, flags=re.DOTALL)


def test_the_newest_comparison_is_unfolded_and_the_older_ones_are_below_it(compared: tuple[Project, list[Run]]):
    project, runs = compared
    for day in (11, 13, 7):
        add_comparison(project, runs, day)
    html = page_of(project)
    titles = re.findall(r"<caption>levels of day (\d+)", html)
    assert titles == ["13", "11", "7"] and re.findall(r"<caption>levels of day (\d+)", outside_folds(html)) == ["13"]
    assert "<summary>2026-02-11: ce, word (seeds 1, 2; 31 updates; test)</summary>" in html
    told = (
        "Compared on 2026-02-13 with a2d 0.7, under equal conditions: ce, word (seeds 1, 2; 33 updates; test). "
        "The same again:"
    )
    assert told in html
    assert table_rows(html, "levels of day 13") == [["method", "BLEU"], ["ce", "20.00 ± 1.00"]]
    assert NASTY in "".join(Read(html).texts)
    commands = html.partition('<section id="commands-to-repeat">')[2]
    assert "a2d compare --methods ce,word --seeds 2\n" in commands


def test_methods_that_a_comparison_covers_are_told_once_and_still_drawn(compared: tuple[Project, list[Run]]):
    project, runs = compared
    chart = "test, beam 5, length penalty 1.0: BLEU, mean and 95 % interval over seeds"
    table_rows(page_of(project), "test: levels over seeds")
    path = add_comparison(project, runs)
    html = page_of(project)
    assert chart in html and "<caption>test: levels over seeds</caption>" not in html
    assert [row[0] for row in table_rows(html, "test: 37 sentences")[1:]] == [run.name for run in runs]
    path.unlink()
    add_comparison(project, runs[:3])  # of one seed
    html = page_of(project)
    assert "<caption>levels of day 1</caption>" in html
    assert len(table_rows(html, "test: levels over seeds")) == 3


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda project, run: (run.best_dir / "model.safetensors").write_text("better"), "other weights: word-seed2"),
        (lambda project, run: (run.best_dir / "model.safetensors").unlink(), "other weights: word-seed2"),
        (lambda project, run: run.clear(), "gone: word-seed2"),
        (lambda project, run: Run(project.runs_dir / "teacher").clear(), "gone: teacher"),
        (lambda project, run: project.text_path("test", "en").write_text("one\n"), "other text: test"),
    ],
)
def test_a_comparison_of_what_has_changed_is_left_out_with_the_command_that_renews_it(
    compared: tuple[Project, list[Run]], change, told: str
):
    project, runs = compared
    path = add_comparison(project, runs)
    assert "levels of day 1" in page_of(project)
    change(project, runs[-1])
    html = page_of(project)
    assert "levels of day 1" not in html
    told = (
        f"The comparison of ce, word (seeds 1, 2; 21 updates; test) of 2026-02-01 ({path.name}) is left out, "
        f"for the project has changed since ({told})"
    )
    if "weights" in told:
        told += f". If their settings have changed, too, first move word-seed2 out of {project.runs_dir}; then"
    assert f"{told}: a2d compare --methods ce,word --seeds 2" in missing_in(html)


def test_a_comparison_by_the_validation_text_is_told_as_long_as_that_text_is_there(
    compared: tuple[Project, list[Run]],
):
    project, _ = compared
    hashes = text_hashes(project)
    assert [*hashes] == ["test", "valid"]  # what stands first is what the page is headed with
    paths = [project.text_path("valid", lang) for lang in ("de", "en")]
    assert hashes["valid"] == tuple(map(sha256_file, paths))
    paths[0].unlink()
    assert "valid" not in text_hashes(project)


def test_students_of_a_teacher_or_a_text_that_has_changed_are_in_the_way(compared: tuple[Project, list[Run]]):
    project, runs = compared
    add_comparison(project, runs)
    teacher, ce, word = runs[:3]
    for run in (ce, word):
        run.record(
            settings={
                "teacher": ("0123," if run is ce else "") + sha256_file(teacher.best_dir / "model.safetensors")[:16]
            }
        )
    runs[3].record(settings={"teacher": "0123", "data": "other"})
    (teacher.best_dir / "model.safetensors").write_text("wiser")
    first = "If their settings have changed, too, first move ce-seed1, word-seed1, ce-seed2 out of "
    assert any(f"(other weights: teacher). {first}" in told for told in missing_in(page_of(project)))


def test_a_comparison_that_its_runs_refuse_is_renewed_as_the_report_says(
    a2d: Launcher, taught_project: Path, tmp_path: Path
):
    options = settings(
        {"student_training.max_updates": 3, "student_training.warmup_updates": 2, "student_training.patience": 0}
    )
    for method in ("ce", "word"):
        a2d.well(taught_project, "distill", "--method", method, "--name", f"{method}-seed1", *options)
    a2d.well(taught_project, "compare", "--methods", "ce,word", "--seeds", "1", *options)
    a2d.well(
        taught_project,
        "distill",
        "--method",
        "word",
        "--name",
        "word-seed1",
        *options,
        "--set",
        "training.lr=0.01",
        "--overwrite",
    )
    (told,) = [told for told in missing_in(page_of(Project(taught_project))) if "is left out" in told]
    before, _, command = told.partition("; then: ")
    assert before.endswith(f"first move word-seed1 out of {taught_project / 'runs'}")
    renewing = shlex.split(command)[3:]  # behind `a2d -C FOLDER`
    assert "runs have other settings than this comparison: training.lr: " in a2d.error(
        taught_project, *renewing, code=2
    )
    (taught_project / "runs/word-seed1").rename(tmp_path / "word-seed1")
    a2d.well(taught_project, *renewing)
    assert not any("is left out" in told for told in missing_in(page_of(Project(taught_project))))


def test_many_runs_that_are_gone_are_a_number(compared: tuple[Project, list[Run]]):
    project, runs = compared
    add_comparison(project, runs, weights={f"run{number}": "" for number in range(7)})
    assert any("(gone: run0, run1, run2, run3 and 3 more)" in told for told in missing_in(page_of(project)))


def test_a_comparison_that_cannot_be_read_stops_no_report(compared: tuple[Project, list[Run]]):
    project, runs = compared
    add_comparison(project, runs)
    folder = comparisons_dir(project)
    (folder / "a.json").write_text('{"format": 1, "made')
    write_json(folder / "b.json", {"format": 2})
    write_json(folder / "c.json", {"format": 1, "made_at": "2026"})
    (folder / "d.json").mkdir()
    html = page_of(project)
    assert "<caption>levels of day 1</caption>" in html
    problems = [
        told.partition("A kept comparison is skipped: ")[2] for told in missing_in(html) if "is skipped" in told
    ]
    expected = [
        "a.json: not a comparison of a2d: Unterminated string",
        "b.json: format 2 is newer than this a2d reads (up to 1) | hint: upgrade: pip install -U a2d-cli",
        "c.json: not a comparison of a2d: Object missing required field `a2d` | hint: delete it, and",
        "d.json: not a comparison of a2d: Is a directory",
    ]
    assert len(problems) == len(expected)
    for told, wanted in zip(problems, expected, strict=True):
        assert told.startswith(f"{folder}/{wanted}")


# --- alignment


@pytest.fixture
def aligned(here: Project) -> Project:
    for name, bleu in (("a2d-diagonal", 31.0), ("a2d-masked", 37.0)):
        run = add_run(here, name, "student", name, best={"loss": 2.5, "bleu": bleu})
        (run.folder / "aligner.x.safetensors").touch()
    return here


def test_the_alignment_of_the_best_run_is_measured_and_drawn(aligned: Project, monkeypatch: pytest.MonkeyPatch):
    found = SimpleNamespace(tables=lambda: [Table("means", ["KL"], [["0.5"]]), Table("by head", ["KL"], [["0.7"]])])
    asked = []
    monkeypatch.setattr(
        "a2d_cli.commands.inspect_run.inspect_run", lambda project, name, *rest: asked.append(name) or found
    )
    monkeypatch.setattr(
        "a2d_cli.commands.inspect_figure.alignment_figures", lambda inspection: {"simplex-cross": b"<svg/>"}
    )
    html = page_of(aligned, with_alignment=True)
    assert asked == ["a2d-masked"]
    told = (
        "Of the finished runs with an alignment, &#x27;a2d-masked&#x27; has the best validation BLEU. "
        "Another one: a2d inspect RUN"
    )
    assert told in html
    assert table_rows(html, "means") == [["KL"], ["0.5"]] and '<img alt="simplex-cross"' in html


def test_an_alignment_that_cannot_be_read_is_told(aligned: Project, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise A2DError("its teacher is gone", "put it back")

    monkeypatch.setattr("a2d_cli.commands.inspect_run.inspect_run", fail)
    told = "Not all of the alignment of 'a2d-masked': its teacher is gone | hint: put it back"
    assert told in missing_in(page_of(aligned, with_alignment=True))


def test_without_alignment_nothing_heavy_is_loaded(aligned: Project):
    assert "What the alignment of 'a2d-masked' has learned (--no-alignment): a2d inspect a2d-masked" in missing_in(
        page_of(aligned)
    )
    code = (
        "import sys; from pathlib import Path; from a2d_cli.commands.report import report; "
        "from a2d_cli.project.project import Project; from a2d_cli.reporting import Reporter; "
        "report(Project(Path('.')), None, False, Reporter()); print('torch' in sys.modules)"
    )
    root = str(Path(report.__code__.co_filename).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": root}, check=True
    )
    assert done.stdout == "False\n"


# --- the command


def test_the_command_writes_one_file_and_tells_where(a2d: Launcher, project: Path):
    ended = a2d.well(project, "report")
    assert ended.out == f"{project / 'report.html'}\n"
    ended = a2d.well(project, "report", "-o", "out/page.html", "--json")
    assert json.loads(ended.out) == {"report": "out/page.html"}
    assert (project / "out/page.html").read_text().startswith("<!DOCTYPE html>")
    a2d.well(project, "report")  # a report takes the place of a report


def test_nothing_but_a_report_is_overwritten(here: Project, tmp_path: Path):
    (tmp_path / "thesis.html").write_text("<html>my thesis</html>")
    with pytest.raises(ConfigError, match=r"-o .*thesis.html: this file is no report of a2d, and is not overwritten"):
        report(here, tmp_path / "thesis.html", False, Reporter())
    with pytest.raises(ConfigError, match=r"-o .*: a folder"):
        report(here, tmp_path, False, Reporter())


def test_a_folder_that_is_no_project_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="nothing is prepared here"):
        report(Project(tmp_path), None, False, Reporter())
    assert list(tmp_path.iterdir()) == []
