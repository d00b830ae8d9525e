"""Text files get sacrebleu's numbers, whatever is in their lines."""

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from sacrebleu.metrics import BLEU, CHRF, TER
from scored_texts import damaged, sentences, write_lines

from a2d_cli.commands.score_files import file_table, refuse_models, score_files
from a2d_cli.errors import A2DError, ConfigError
from a2d_cli.project.project import Project


@pytest.fixture
def files(tmp_path):
    references = sentences(61, seed=1)
    write_lines(tmp_path / "ref", references)
    for name, drop in (("good", 0.05), ("bad", 0.4)):
        write_lines(tmp_path / name, damaged(references, drop))
    return tmp_path


def test_files_get_the_numbers_and_signatures_of_sacrebleu(files):
    texts = {name: (files / name).read_text(encoding="utf-8").split("\n")[:-1] for name in ("good", "ref")}
    found = score_files([files / "good"], [files / "ref"], ["bleu", "chrf", "ter"])
    for result, metric in zip(found, (BLEU(), CHRF(), TER()), strict=True):
        theirs = metric.corpus_score(texts["good"], [texts["ref"]])
        values = json.loads(json.dumps(result.to_json()))
        assert values["system"] == str(files / "good")
        assert (values["name"], values["score"]) == (theirs.name, pytest.approx(theirs.score))
        assert values["signature"] == metric.get_signature().format()
        assert "paired" not in values and "confidence" not in values
    assert found[0].to_json()["verbose_score"] in BLEU().corpus_score(texts["good"], [texts["ref"]]).format()


def test_one_system_gets_an_interval_where_asked(files):
    (result,) = score_files([files / "good"], [files / "ref"], ["bleu"], bootstrap=53)
    low, high = result.to_json()["confidence"]
    assert low < result.score.value < high and "bs:53" in result.score.signature
    table = file_table([result])
    assert table.columns == ["system", "metric", "score", "95 % CI"]
    assert table.rows[0][3] == f"[{low:.2f},{high:.2f}]"
    assert table.note == f"BLEU|{result.score.signature}"


def test_the_table_of_one_plain_system_is_small(files):
    table = file_table(score_files([files / "good"], [files / "ref"]))
    assert table.columns == ["system", "metric", "score"]
    assert [row[1] for row in table.rows] == ["BLEU", "chrF2"]
    assert len(table.note.splitlines()) == 2


def test_further_systems_are_compared_to_the_first(files):
    found = score_files([files / "bad", files / "good", files / "bad"], [files / "ref"], ["bleu"], bootstrap=101)
    baseline, good, again = found
    assert baseline.difference is None
    assert good.difference.delta == pytest.approx(good.score.value - baseline.score.value)
    assert good.difference.p_value < 0.05 < again.difference.p_value
    json.dumps([result.to_json() for result in found], allow_nan=False)
    table = file_table(found)
    assert table.columns[-1] == f"Δ to {files / 'bad'}"
    assert table.rows[0][-1] == "–" and table.rows[1][-1].startswith("+")


def test_several_references_count_in_the_signature(files):
    write_lines(files / "second", sentences(61, seed=2))
    (result,) = score_files([files / "good"], [files / "ref", files / "second"], ["bleu"])
    assert result.score.signature.startswith("nrefs:2")


def test_hypotheses_come_from_stdin(files, monkeypatch):
    stream = SimpleNamespace(buffer=io.BytesIO((files / "good").read_bytes()))
    monkeypatch.setattr(sys, "stdin", stream)
    from_stdin = score_files(["-"], [files / "ref"])
    assert [result.system for result in from_stdin] == ["stdin", "stdin"]
    assert [result.score for result in from_stdin] == [r.score for r in score_files([files / "good"], [files / "ref"])]


def test_only_a_newline_ends_a_line(tmp_path):
    lines = ["a\x0bb c d e", "a\u2028b c d e", "", "a\x85b\rc d e"]
    hypotheses, reference = write_lines(tmp_path / "h", lines), write_lines(tmp_path / "r", lines)
    (result,) = score_files([hypotheses], [reference], ["chrf"])
    assert result.score.value == pytest.approx(CHRF().corpus_score(lines, [lines]).score)
    (tmp_path / "r").write_bytes((tmp_path / "r").read_bytes().removesuffix(b"\n"))
    assert score_files([hypotheses], [reference], ["chrf"]) == [result]


@pytest.mark.parametrize(
    ("hypotheses", "references", "message"),
    [
        (["short"], ["ref"], "different numbers of lines: .*short 60, .*ref 61"),
        (["good"], ["ref", "short"], "lines: .*good 61, .*short 60"),
        (["empty"], ["ref"], "empty: no lines to score"),
        (["missing"], ["ref"], "missing: no such file"),
        (["good"], ["broken"], "broken: line 2 is not UTF-8"),
        ([], ["ref"], "takes both: HYPOTHESES and --reference"),
        (["good"], [], "takes both: HYPOTHESES and --reference"),
        (["-"], ["-"], "'-' stands for stdin and can be named once"),
    ],
)
def test_files_that_cannot_be_scored_are_refused(files, hypotheses, references, message):
    write_lines(files / "short", sentences(60, seed=1))
    (files / "empty").write_bytes(b"")
    (files / "broken").write_bytes(b"ab\na\xffb\n")
    paths = [[name if name == "-" else files / name for name in names] for names in (hypotheses, references)]
    with pytest.raises(A2DError, match=message):
        score_files(*paths)


def test_a_file_that_is_not_there_is_a_wrong_argument(tmp_path):
    with pytest.raises(ConfigError, match="nix: no such file"):
        score_files([tmp_path / "nix"], [tmp_path / "nix"])


def test_models_in_the_place_of_files_are_told_their_option(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    project = Project(tmp_path / "p")
    (project.runs_dir / "ce").mkdir(parents=True)
    (tmp_path / "two words").mkdir()
    with pytest.raises(
        ConfigError, match=r"^ce: a model, not a file of translations .* a2d -C p score --model ce --model 'two words'$"
    ):
        refuse_models(project, [Path("ce"), Path("two words"), Path("hyp.txt")])
    (tmp_path / "ce").touch()  # a file of that name is what was meant
    refuse_models(project, [Path("ce"), Path("hyp.txt"), Path("-")])


def test_the_command_tells_the_option(a2d, taught):
    said = a2d.error(taught, "score", "teacher", code=2)
    assert said == "error: teacher: a model, not a file of translations\nhint: a2d score --model teacher\n"


def test_the_target_language_chooses_bleus_tokenizer(a2d, files):
    """The one that is asked for, else that of the project one is in."""

    def signature(*options: str) -> str:
        scored = a2d.well(files, "score", "good", "-r", "ref", "-m", "bleu", "--json", *options)
        return json.loads(scored.out)[0]["signature"]

    assert "tok:13a" in signature() and "tok:zh" in signature("--target-language", "zh")
    (files / "a2d.yaml").write_text("name: own\npair: en-zh\n")
    assert "tok:zh" in signature() and "tok:13a" in signature("-l", "en")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["good", "-r", "ref", "--test-set", "x"], "--test-set is for the project's models, not for files"),
        (["good", "-r", "ref", "--beam", "2"], "--beam is for the project's models, not for files"),
        (["-m", "ter"], "--metric is for files of translations\nhint: add HYPOTHESES and --reference"),
        (["--bootstrap", "7"], "--bootstrap is for files of translations"),
    ],
)
def test_an_option_that_would_change_nothing_is_refused(a2d, files, options, message):
    assert f"error: {message}" in a2d.error(files, "score", *options, code=2)
