"""`a2d score --stress`: what the lines are, and that alarms are counted where they belong."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import Launcher
from hypothesis import given
from hypothesis import strategies as st
from random_project import random_project
from small_tokenizers import PAIRS, small_tokenizer
from tiny import quick

from a2d_cli.commands.score_stress import SENTENCES, StressReport, score_stress, stress_lines
from a2d_cli.data.tokenizer import Tokenizer
from a2d_cli.decoding.alarms import ALARMS, lost_numbers
from a2d_cli.decoding.translator import Translation
from a2d_cli.errors import ConfigError
from a2d_cli.project.project import Project
from a2d_cli.reporting import Reporter

KINDS = ["plain", "one word", "no full stop", "capitals", "lower case", "numbers", "white space", "long"]
SOURCES = [f"Also {src.lower()} {n}mal." for n, (src, _) in enumerate(PAIRS)]


@dataclass(frozen=True)
class Parrot:
    """A translator that says what it reads, and some of it otherwise."""

    tokenizer: Tokenizer
    max_source_tokens: int = 101
    loop: str = "\n"  # what makes it repeat itself
    silent: str = "\n"  # what it has no answer to

    def translate(self, lines, on_done=None):
        if on_done:
            on_done(len(lines))
        return [[Translation(self._answer(line), -1.0)] for line in lines]

    def _answer(self, line: str) -> str:
        if self.silent in line:
            return ""
        return " ".join([line] * 5) if self.loop in line else line


PARROT = Parrot(small_tokenizer("joint"))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return random_project(tmp_path)


def report_of(project: Project, monkeypatch: pytest.MonkeyPatch, **answers: str) -> StressReport:
    """What a project's two models are told to say."""
    parrot = Parrot(small_tokenizer("joint"), **answers)
    monkeypatch.setattr("a2d_cli.commands.score_stress.load_model", lambda *_: parrot)
    return score_stress(project, reporter=Reporter())


def test_every_kind_of_stress_is_there_and_the_same_every_time():
    found = stress_lines(SOURCES, PARROT)
    assert list(found) == KINDS
    assert found == stress_lines(SOURCES, PARROT)
    assert all(len(lines) == SENTENCES for kind, lines in found.items() if kind != "long")
    assert set(found["plain"]) <= set(SOURCES)


def test_each_kind_is_what_its_name_says():
    found = stress_lines(SOURCES, PARROT)
    for i, plain in enumerate(found["plain"]):
        assert found["one word"][i] in plain and " " not in found["one word"][i]
        assert found["no full stop"][i] + "." == plain
        assert found["capitals"][i] == plain.upper()
        assert found["lower case"][i] == plain.lower()
        assert lost_numbers(found["numbers"][i], plain) and found["numbers"][i].endswith(").")
        assert found["white space"][i] != plain
        tokens = [small_tokenizer("joint").encode_src([line]) for line in (plain, found["white space"][i])]
        assert tokens[0] == tokens[1]  # to the model it is the same


@given(st.integers(2, 400), st.integers(1, 29))
@quick
def test_long_lines_fill_the_limit_and_never_break_it(limit, count):
    parrot, sources = Parrot(small_tokenizer("joint"), limit), SOURCES[:count]
    lengths = [len(ids) for ids in parrot.tokenizer.encode_src(stress_lines(sources, parrot).get("long", []))]
    assert all(length <= limit for length in lengths)
    longest = max(map(len, parrot.tokenizer.encode_src(sources)))
    if sum(map(len, parrot.tokenizer.encode_src(sources))) > limit > 3 * longest:
        assert max(lengths) > limit - longest


def test_a_script_without_capitals_is_not_asked_for_them():
    found = stress_lines(["他走了。", "她来了。"], Parrot(small_tokenizer("joint"), 23))
    assert not {"capitals", "lower case"} & set(found)
    assert found["no full stop"] == ["他走了", "她来了"] and found["one word"] == ["他走了", "她来了"]


def test_one_sentence_is_enough():
    assert stress_lines(["Der Hund läuft."], PARROT)["numbers"] == ["Der Hund läuft (47)."]


def test_who_says_what_he_reads_raises_no_alarm(project: Project, monkeypatch: pytest.MonkeyPatch):
    report = report_of(project, monkeypatch)
    assert {row.model for row in report.rows} == {"teacher", "student"}
    assert all(set(row.alarms) == set(ALARMS) and not any(row.alarms.values()) for row in report.rows)
    assert report.suspects == () and len(report.tables()) == 1


def test_alarms_are_counted_by_model_kind_of_stress_and_kind(project: Project, monkeypatch: pytest.MonkeyPatch):
    report = report_of(project, monkeypatch, loop="(1988)", silent="(47)")
    for row in report.rows:
        if row.stress == "numbers":
            assert row.lines == 13  # all sentences of the first test set, of seven numbers in turn
            assert row.alarms == {"empty": 2, "repetition": 2, "length": 0, "numbers": 0}
        else:
            assert not any(row.alarms.values())
    assert [each.alarms for each in report.suspects[:2]] == [("empty",), ("repetition",)]


def test_the_tables_show_counts_what_they_mean_and_one_example_of_each_stress(
    project: Project, monkeypatch: pytest.MonkeyPatch
):
    counts, examples = report_of(project, monkeypatch, loop="(1988)", silent="(47)").tables()
    assert counts.title == "stress: de-en, sentences of news, beam 3"
    assert counts.columns == ["model", "stress", "lines", "empty", "repetition", "length", "numbers"]
    assert ["student", "numbers", "13", "2", "2", "0", "0"] in counts.rows
    assert [line.partition(":")[0] for line in counts.note.splitlines() if ":" in line] == [*ALARMS, "stress"]
    assert "by the validation text" in counts.note and "long, many sentences as one line" in counts.note
    assert examples.title == "8 suspicious translations, one of each stress (all: --json)"
    assert [row[:3] for row in examples.rows] == [["numbers", "teacher", "empty"]]
    assert all(len(cell) <= 60 for row in examples.rows for cell in row)


def test_the_command_runs_real_models(a2d: Launcher, project: Project):
    report = json.loads(a2d.well(project.folder, "score", "--stress", "--model", "student", "-b", "1", "--json").out)
    assert {row["model"] for row in report["rows"]} == {"student"} and report["decoding"]["beam"] == 1
    assert sum(sum(row["alarms"].values()) for row in report["rows"]) > 0  # it was never trained
    assert all(each["alarms"] for each in report["suspects"])
    shown = a2d.well(project.folder, "score", "--stress", "--model", "student", "-b", "1").out
    assert shown.startswith("stress: de-en, sentences of news, beam 1") and "suspicious translations" in shown


def test_mistakes_are_told(a2d: Launcher, project: Project):
    message = a2d.error(project.folder, "score", "--stress", "hyp.txt", "--reference", "ref.txt", code=2)
    assert "--gap and --stress stand alone" in message
    with pytest.raises(ConfigError, match="no test set 'newz'.*did you mean 'news'"):
        score_stress(project, test_sets=["newz"], reporter=Reporter())
