"""`a2d prepare` of files of one's own: how they are named, and what cannot be prepared."""

from __future__ import annotations

import gzip
import json
import shlex
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Launcher, own_files, settings, write_language
from hypothesis import given
from hypothesis import strategies as st

from a2d_cli.cli import single_files
from a2d_cli.commands.own_files import file_format
from a2d_cli.config.loader import read_project_recipe
from a2d_cli.config.schema import PRESETS, Split

SMALL = ["--pair", "de-en", "--set", "tokenizer.vocab_size=64"]


@pytest.fixture
def text(tmp_path: Path) -> Path:
    write_language(tmp_path, {"train": 101, "valid": 7, "test": 5})
    return tmp_path


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split("\n")[:-1]


def write(path: Path, content: list[str]) -> None:
    path.write_text("".join(line + "\n" for line in content), encoding="utf-8")


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("--train a.de a.en", "--train a.de a.en"),
        ("--train a.tsv", "--train a.tsv ''"),
        ("--train=a.tsv --pair de-en", "--train a.tsv '' --pair de-en"),
        ("--train A.TMX.gz --valid b.tsv", "--train A.TMX.gz '' --valid b.tsv ''"),
        ("--train=a.de a.en --test c.tsv", "--train a.de a.en --test c.tsv ''"),
        ("score hyp.tsv --reference=ref.tsv", "score hyp.tsv --reference=ref.tsv"),
    ],
)
def test_one_file_may_hold_both_sides(typed: str, read: str):
    assert single_files(typed.split()) == [word.strip("'") for word in read.split()]


@given(st.lists(st.text(max_size=5), max_size=7))
def test_other_arguments_are_left_as_they_are(arguments: list[str]):
    others = [argument for argument in arguments if not argument.startswith("--t") and not argument.startswith("--v")]
    assert single_files(others) == others


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("x.tsv", "tsv"),
        ("X.TMX.GZ", "tmx"),
        ("x.tsv.xz", "tsv"),
        ("x.tmx.bz2", "tmx"),
        ("tsv", "plain"),
        ("x.tsv.de", "plain"),
    ],
)
def test_the_name_tells_the_format(name: str, form: str):
    assert file_format(name) == form


def test_tsv_tmx_and_gz_hold_the_same_pairs(a2d: Launcher, text: Path):
    sides = [lines(text / f"train.{lang}") for lang in ("de", "en")]
    pairs = list(zip(*sides, strict=True))
    write(text / "all.tsv", [f"{de}\t{en}" for de, en in pairs])
    units = "".join(
        f'<tu><tuv xml:lang="de"><seg>{de}</seg></tuv><tuv xml:lang="en"><seg>{en}</seg></tuv></tu>' for de, en in pairs
    )
    (text / "all.tmx.gz").write_bytes(gzip.compress(f'<tmx version="1.4"><body>{units}</body></tmx>'.encode()))
    held_out = own_files(text)[3:]
    for name, train in (
        ("plain", [f"--train={text / 'train.de'}", str(text / "train.en")]),
        ("tsv", ["--train", str(text / "all.tsv")]),
        ("tmx", [f"--train={text / 'all.tmx.gz'}"]),
    ):
        a2d.well(text, "-C", name, "prepare", *train, *held_out, *SMALL)
        assert [lines(text / name / f"data/text/train.{lang}") for lang in ("de", "en")] == sides


def test_a_tsv_may_have_other_columns(a2d: Launcher, text: Path):
    sides = [lines(text / f"train.{lang}") for lang in ("de", "en")]
    write(text / "all.tsv", [f"{en}\t{number}\t{de}" for number, (de, en) in enumerate(zip(*sides, strict=True))])
    a2d.well(
        text, "-C", "p", "prepare", "--train", str(text / "all.tsv"), *own_files(text)[3:], *SMALL, "--columns", "3,1"
    )
    assert [lines(text / f"p/data/text/train.{lang}") for lang in ("de", "en")] == sides
    assert "columns 1 and 4 are asked for\nhint: name them (a2d prepare --columns SRC,TGT;" in a2d.error(
        text, "-C", "q", "prepare", "--train", str(text / "all.tsv"), *SMALL, "--columns", "1,4", code=1
    )


def test_ones_own_files_are_trained_as_what_was_tried_unless_one_says_otherwise(a2d: Launcher, text: Path):
    a2d.well(text, "-C", "p", "prepare", *own_files(text), *SMALL, "--set", "training.lr=0.5")
    recipe = read_project_recipe(text / "p/a2d.yaml")
    assert (recipe.teacher.norm, recipe.student.norm, recipe.training.lr) == ("pre", "pre", 0.5)
    assert recipe.student == replace(PRESETS["mini"], norm="pre")
    assert recipe.student_training.schedule == "inverse_sqrt_cooldown"


def test_what_is_said_of_ones_own_data_counts(a2d: Launcher, text: Path):
    asked = {"data.split.by": "components", "data.split.valid_pairs": 3, "data.licence": "CC0", "data.split.seed": 5}
    (train, *files), given = own_files(text)[:3], settings(asked)
    a2d.well(text, "-C", "p", "prepare", train, *files, *SMALL, *given, "--test", *own_files(text)[-2:])
    data = read_project_recipe(text / "p/a2d.yaml").data
    assert data.split == Split("components", valid_pairs=3, seed=5) and data.licence == "CC0"
    assert len(lines(text / "p/data/text/valid.de")) == 3
    twice = [*own_files(text), *SMALL, *given]
    assert "data.split: takes validation pairs, but data.valid names some" in a2d.error(
        text, "-C", "q", "prepare", *twice, code=2
    )


def test_files_may_lie_in_a_folder_with_a_colon_in_its_name(a2d: Launcher, text: Path):
    sides = [lines(text / f"train.{lang}") for lang in ("de", "en")]
    folder = text / "at 12:30"
    folder.mkdir()
    for path in text.glob("*.*"):
        path.rename(folder / path.name)
    a2d.well(text, "-C", "p", "prepare", *own_files(folder), *SMALL)
    assert [lines(text / f"p/data/text/train.{lang}") for lang in ("de", "en")] == sides
    assert "unchanged" in a2d.well(text, "-C", "p", "prepare").out


def test_what_is_dropped_is_counted_and_the_next_command_is_told(a2d: Launcher, text: Path):
    sides = {lang: lines(text / f"train.{lang}") for lang in ("de", "en")}
    leak = [lines(text / f"test.{lang}")[3] for lang in ("de", "en")]
    for lang, leaked in zip(("de", "en"), leak, strict=True):
        write(text / f"train.{lang}", [*sides[lang], "", sides[lang][7], leaked, "lang " * 2003])
    shown = a2d.well(text, "-C", "p", "prepare", *own_files(text), *SMALL).out
    assert "105 training pairs" in shown and shown.endswith("next: a2d -C p train-teacher\n")
    report = json.loads(a2d.well(text, "-C", "p", "prepare", "--json").out)  # the same once more: nothing to do
    (tally,) = [tally for tally in report["steps"]["clean"]["sources"] if tally["set"] == "train"]
    assert tally["read"] == 105 and sum(tally["dropped"].values()) == 3
    assert report["steps"]["decontaminate"]["texts"]["train"]["num_pairs"] == 101


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            [],
            (
                "nothing to prepare\n"
                "hint: name a recipe ('a2d recipes list') or your own files (--train SRC TGT --pair de-en)"
            ),
        ),
        (["--valid", "valid.de", "valid.en", "--pair", "de-en"], "no training text is given\nhint: --train SRC TGT"),
        (
            ["--train", "train.de", "train.en"],
            "the languages of your files are not given\nhint: for example --pair de-en",
        ),
        (
            ["--pair", "de-en", "--train", "train.de"],
            "--train train.de: one file is no TSV or TMX file\nhint: give two",
        ),
        (
            ["--train", "train.de", "train.en", "--pair", "de-en", "--columns", "2,1"],
            "--columns 2,1: none of your files is a TSV file\nhint: its name ends in .tsv",
        ),
        (
            ["--train", "train.de", "train.en", "--pair", "de-en", "--columns", "2"],
            "--columns 2: expected the source's and the target's\nhint: for example --columns 3,1",
        ),
        (["demo", "--train", "train.de", "train.en"], "recipe 'demo' and files of your own were both given"),
        (
            ["--train", "train.de", "--pair", "de-en"],
            "--train train.de: one file is no TSV or TMX file\nhint: give two files, SRC TGT, or",
        ),
        (
            ["--train", "train.de", "trian.en", "--pair", "de-en"],
            "--train: no such file: trian.en\nhint: the current folder is",
        ),
        (
            ["--train", "train.de", "/dev/null", "--pair", "de-en"],
            "--train: /dev/null can be read only once: not a plain file\nhint: write its text to a file",
        ),
        (
            ["--train", "all.tsv", "more.tsv", "--pair", "de-en"],
            "more.tsv is no recipe: files of your own are given with --train, --valid and --test\nhint: one TSV",
        ),
        (
            ["--train", "sub", "train.en", "--pair", "de-en"],
            "--train: sub is a folder\nhint: give two files, SRC TGT, or one that ends in .tsv",
        ),
        (["--train", "train.de", "train.en", "--test", "sub", "--pair", "de-en"], "--test: sub is a folder"),
        (
            ["--train", "train.de", "train.en", "--pair", "german"],
            "--pair: expected SRC-TGT, got 'german'\nhint: two language codes",
        ),
        (
            ["multi30k"],
            "hint: did you mean 'multi30k-deen' or 'multi30k-ende' or 'multi30k-enfr'? 'a2d recipes list' names them",
        ),
        (
            ["demo", "--pair", "de-en"],
            "--pair goes with files of your own, and none is named\nhint: add --train SRC TGT, or leave it out",
        ),
        (
            ["--train", "train.en", "train.de", "--pair", "de-en"],
            "--train train.en train.de: by their names they are en and de, but --pair is de-en\nhint: --train train.de",
        ),
        (["--columns", "3,1"], "--columns goes with files of your own, and none is named"),
        (["multi30k-endee"], "no recipe is called 'multi30k-endee'\nhint: did you mean 'multi30k-ende'?"),
        (["nowhere.yaml"], "nowhere.yaml: no such recipe file"),
        (["demo", "--set", "tokenizer.vocab_sise=80"], "did you mean 'vocab_size'?"),
        (["demo", "--set", "training.lr=fast"], "training.lr: expected a number, got 'fast'"),
    ],
)
def test_what_cannot_be_prepared(a2d: Launcher, text: Path, options: list[str], message: str):
    (text / "sub").mkdir()
    assert message in a2d.error(text, "prepare", *options, code=2)
    assert not (text / "data").exists()


def test_a_training_text_that_is_little_or_leaks_is_warned_of(a2d: Launcher, text: Path):
    for lang in ("de", "en"):
        write(text / f"valid.{lang}", lines(text / f"train.{lang}")[:60])
    warned = a2d.well(text, "-C", "p", "prepare", *own_files(text), *SMALL).err
    assert "warning: 60 of 101 training pairs share a sentence with validation or test text (valid 60)" in warned
    assert "warning: 41 training pairs: too little to learn from; tens of thousands are usual" in warned


def test_the_text_of_ones_own_is_known_by_a_plain_path(a2d: Launcher, text: Path):
    (text / "sub").mkdir()
    a2d.well(text / "sub", "-C", "p", "prepare", *own_files(Path("..")), *SMALL)
    (files,) = read_project_recipe(text / "sub/p/a2d.yaml").data.train
    assert files.src == str((text / "train.de").resolve())


def test_sides_of_different_length_are_refused_with_both_counts(a2d: Launcher, text: Path):
    write(text / "train.en", lines(text / "train.en")[:89])
    said = a2d.error(text, "-C", "p", "prepare", *own_files(text), *SMALL, code=1)
    assert "101" in said and "89" in said and "train.de" in said


def test_an_empty_corpus_after_cleaning_is_refused(a2d: Launcher, text: Path):
    for lang in ("de", "en"):
        write(text / f"train.{lang}", ["same", "", "   ", "same"])
    said = a2d.error(text, "-C", "p", "prepare", *own_files(text), *SMALL, code=1)
    assert (
        "error: data.train: none of 4 pairs is left after cleaning: identical 2 · empty 2\nhint: check that the files"
        in said
    )


def test_a_vocabulary_larger_than_the_corpus_allows_is_refused_with_the_size_that_fits(a2d: Launcher, text: Path):
    options = ["-C", "p", "prepare", *own_files(text), "--pair", "de-en", "--set"]
    said = a2d.error(text, *options, "tokenizer.vocab_size=8000", code=2)
    assert "error: tokenizer.vocab_size: 8000 is more than this corpus allows: at most " in said
    a2d.well(text, *options, f"tokenizer.vocab_size={said.rpartition('=')[2].partition(',')[0]}")


SLEEPING_TOKENIZER = """
import pathlib, time, sentencepiece
def train(**_):
    pathlib.Path('asleep').touch()
    time.sleep(600)
sentencepiece.SentencePieceTrainer.train = train
"""


def test_ctrl_c_within_sentencepiece_ends_at_once_and_names_the_command_that_goes_on(a2d: Launcher, text: Path):
    command = ["prepare", *own_files(text), *SMALL]
    running = a2d.start(text, *command, before=SLEEPING_TOKENIZER)
    while running.is_alive and not (text / "asleep").exists():
        time.sleep(0.02)
    running.kill(signal.SIGINT)
    ended = running.wait(10)
    again = f"a2d {shlex.join(command)}"
    assert ended.code == 130 and ended.err.endswith(f"stopped; what is finished is kept, go on with: {again}\n")
    assert json.loads(a2d.well(text, "status", "--json").out)["next"] == again
    assert "clean unchanged" in a2d.well(text, *command).out
    assert json.loads(a2d.well(text, "status", "--json").out)["next"] == "a2d train-teacher"
