"""Recipes are read strictly: by the schema's types, layer by layer, each mistake named where it stands."""

from __future__ import annotations

import dataclasses
import typing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a2d_cli.config import loader, schema
from a2d_cli.config.keys import recipe_keys
from a2d_cli.config.loader import load_recipe, parse_recipe, parse_student, read_project_recipe
from a2d_cli.config.rules import METHOD_TERMS
from a2d_cli.config.schema import PRESETS, CorpusFiles, Decoding, Distillation, Download, ModelShape, Recipe, Training
from a2d_cli.config.writer import dump_recipe
from a2d_cli.errors import A2DError, ConfigError

HEAD = "name: mine\npair: de-en\n"
LISTS = ("data.train", "data.valid", "data.reduce_tests")
SHA = "0123456789abcdef" * 4


def parse(body: str = "", *overrides: str) -> Recipe:
    return parse_recipe(HEAD + body, overrides, where="mine.yaml")


def test_an_almost_empty_recipe_is_the_schema_defaults():
    assert parse() == Recipe(name="mine", pair="de-en")
    assert parse("training:\ndata:\n") == Recipe(name="mine", pair="de-en")


@pytest.mark.parametrize(
    ("body", "key", "value"),
    [
        ("training: {lr: 5e-4}", "training.lr", 5e-4),  # a text in YAML 1.1
        ("training: {lr: 1}", "training.lr", 1.0),
        ("training: {max_updates: 100_000}", "training.max_updates", 100_000),
        ("training: {compile: true}", "training.compile", True),
        ("tokenizer: {vocab_size: auto}", "tokenizer.vocab_size", "auto"),
        ("tokenizer: {vocab_size: 4000}", "tokenizer.vocab_size", 4000),
        ("about: 2024-01-01", "about", "2024-01-01"),  # a date in YAML 1.1
        ("about: off", "about", "off"),  # False in YAML 1.1
        ("about: 12:30", "about", "12:30"),  # 750 in YAML 1.1
        ("data: {split: null}", "data.split", None),
    ],
)
def test_the_schema_decides_how_a_scalar_is_read(body: str, key: str, value: object):
    found = value_of(parse(body), key)
    assert found == value
    assert type(found) is type(value)


def test_norwegian_is_a_language():
    recipe = parse_recipe("name: mine\npair: no-en\ndata: {tests: {no: [{src: ./a, tgt: ./b}]}}", where="x")
    assert (recipe.src_lang, recipe.tgt_lang, [*recipe.data.tests]) == ("no", "en", ["no"])


def test_nested_corpora_are_dataclasses():
    body = f"""
data:
  downloads:
    dev: {{url: https://example.org/dev.tgz, sha256: {SHA}}}
  train:
    - {{src: dev:a.de, tgt: dev:a.en}}
    - {{src: dev:b.tsv, format: tsv, src_column: 3}}
  tests:
    flickr: [{{src: dev:t.de, tgt: dev:t.en}}]
"""
    data = parse(body).data
    assert data.downloads == {"dev": Download("https://example.org/dev.tgz", SHA)}
    assert data.train == (
        CorpusFiles("dev:a.de", "dev:a.en"),
        CorpusFiles("dev:b.tsv", format="tsv", src_column=3),
    )
    assert data.tests == {"flickr": (CorpusFiles("dev:t.de", "dev:t.en"),)}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_sets_the_dimensions_and_written_keys_win(name: str):
    recipe = parse(f"student: {{preset: {name}, dropout: 0.25, ffn_dim: 99}}")
    assert recipe.student == dataclasses.replace(PRESETS[name], dropout=0.25, ffn_dim=99)


def test_presets_are_dimensions_and_nothing_else():
    for preset in PRESETS.values():
        dimensions = {key: getattr(preset, key) for key in loader.PRESET_KEYS}
        assert preset == dataclasses.replace(ModelShape(), **dimensions)


def test_a_preset_by_override_replaces_the_dimensions_and_keeps_the_rest():
    recipe = parse("student: {d_model: 64, num_heads: 2, dropout: 0.3}", "student.preset=base")
    assert recipe.student == dataclasses.replace(PRESETS["base"], dropout=0.3)


def test_student_training_inherits_and_the_users_word_reaches_it():
    body = "training: {lr: 0.001, seed: 5}\nstudent_training: {lr: 0.003}"
    assert parse(body).student_training == Training(lr=0.003, seed=5)
    assert parse(body, "training.lr=0.01").student_training.lr == 0.01
    both = parse(body, "training.lr=0.01", "student_training.lr=0.02")
    assert (both.training.lr, both.student_training.lr) == (0.01, 0.02)
    assert parse(body, "student_training.lr=0.02").training.lr == 0.001


def test_the_last_override_wins_and_lists_and_mappings_are_yaml():
    corpora = 'data.train=[{src: /t/a.tsv, format: tsv}, {src: "/t/b.tmx", format: tmx}]'
    recipe = parse("", "training.lr=1", "training.lr=2e-3", corpora, "decoding={beam: 7, nbest: 2}")
    assert recipe.training.lr == 2e-3
    assert [files.src for files in recipe.data.train] == ["/t/a.tsv", "/t/b.tmx"]
    assert (recipe.decoding.beam, recipe.decoding.nbest) == (7, 2)


@pytest.mark.parametrize("text", ["5", "5e-4", "true", "a: b", "@x", "- y", ""])
def test_an_override_of_a_text_keeps_it_as_typed(text: str):
    assert parse("", f"about={text}").about == text


def test_a_section_that_the_recipe_leaves_out_can_be_set():
    overrides = ["data.split.by=every", "data.split.every=23"]
    assert parse("", *overrides).data.split == schema.Split(by="every", every=23)
    assert parse("data: {split: null}", *overrides) == parse("", *overrides)
    assert parse("data: {split: {by: every, every: 23}}", "data.split=null") == parse()


def test_every_key_of_the_schema_can_be_set():
    keys = recipe_keys()
    assert len(keys) > 100
    assert {"training.lr", "data.split.by", "data.tests", "student.norm", "decoding.beam"} <= set(keys)
    complete = dump_recipe(parse("data: {split: {by: every, every: 23}, generated: {}}", "data.generated=null"))
    for key in keys:
        # What is set to the wrong shape of thing is refused by its own name: the key was found.
        with pytest.raises(ConfigError, match=rf"^--set: {key}: expected "):
            parse_recipe(complete, [f"{key}=[[]]" if not key.endswith(LISTS) else f"{key}=x"], where="x")


def test_extends_merges_mappings_and_replaces_lists(tmp_path: Path):
    (tmp_path / "base.yaml").write_text(
        HEAD + "training: {lr: 0.1, seed: 3}\ndata: {train: [{src: ./a, tgt: ./b}, {src: ./c, tgt: ./d}]}\n"
    )
    (tmp_path / "sub").mkdir()
    child = tmp_path / "sub" / "child.yaml"
    child.write_text("extends: ../base.yaml\ntraining: {lr: 0.2}\ndata: {train: [{src: e, tgt: f}]}\n")
    recipe = load_recipe(child)
    assert (recipe.training.lr, recipe.training.seed) == (0.2, 3)
    assert [files.src for files in recipe.data.train] == [str(tmp_path / "sub" / "e")]


def test_paths_start_at_the_file_that_says_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "base.yaml").write_text(
        HEAD + "data:\n  downloads: {web: {url: https://example.org/x.tgz}}\n"
        "  train: [{src: a.de, tgt: web:b.en}]\n  tests: {t: [{src: /abs/c, tgt: web}]}\n"
    )
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "child.yaml").write_text("extends: ../base.yaml\n")
    monkeypatch.chdir(tmp_path / "sub")
    data = load_recipe("./child.yaml", ["data.valid=[{src: v.de, tgt: v.en}]"]).data
    assert data.train == (CorpusFiles(str(tmp_path / "a.de"), "web:b.en"),)
    assert data.tests == {"t": (CorpusFiles("/abs/c", "web"),)}
    assert data.valid == (CorpusFiles(str(tmp_path / "sub" / "v.de"), str(tmp_path / "sub" / "v.en")),)


def test_a_tokenizer_is_taken_from_a_run_by_its_name_or_from_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "mine.yaml"
    for text, found in (
        ("opus", "opus"),
        ("runs/opus", str(tmp_path / "runs/opus")),
        ("/runs/opus", "/runs/opus"),
        ("", None),
    ):
        path.write_text(HEAD + f"tokenizer: {{taken_from: {text}}}\n")
        assert load_recipe(path).tokenizer.taken_from == found
    monkeypatch.chdir(tmp_path.parent)
    assert load_recipe(path, ["tokenizer.taken_from=./opus"]).tokenizer.taken_from == str(tmp_path.parent / "opus")


def test_a_mistake_is_named_with_the_file_it_stands_in(tmp_path: Path):
    (tmp_path / "base.yaml").write_text(HEAD + "training: {lr: fast}\n")
    (tmp_path / "child.yaml").write_text("extends: ./base.yaml\ndecoding: {beam: wide}\n")
    assert message_of(lambda: load_recipe(tmp_path / "child.yaml", ["training.seed=x"])) == (
        "base.yaml: training.lr: expected a number, got 'fast'\n"
        "child.yaml: decoding.beam: expected a whole number, got 'wide'\n"
        "--set: training.seed: expected a whole number, got 'x'"
    )


def test_a_circle_of_recipes_is_refused(tmp_path: Path):
    (tmp_path / "a.yaml").write_text("extends: b.yaml\n")
    (tmp_path / "b.yaml").write_text("extends: a.yaml\n")
    message = "b.yaml: extends: a recipe cannot extend itself: a.yaml -> b.yaml -> a.yaml"
    assert message_of(lambda: load_recipe(tmp_path / "a.yaml")) == message


def test_extending_what_is_not_there(tmp_path: Path):
    (tmp_path / "a.yaml").write_text("extends: gone.yaml\n")
    (tmp_path / "b.yaml").write_text("extends: [x]\n")
    assert message_of(lambda: load_recipe(tmp_path / "a.yaml")) == (
        f"a.yaml: extends: {tmp_path / 'gone.yaml'}: no such recipe file"
        " | hint: 'a2d recipes list' names those that come with a2d"
    )
    assert message_of(lambda: load_recipe(tmp_path / "b.yaml")) == (
        "b.yaml: extends: expected the name of a recipe, got a list"
    )


REFUSED = [
    # keys
    ("training: {lrr: 1}", "mine.yaml: training.lrr: unknown key | hint: did you mean 'lr'?"),
    ("training: {learning_rate: 1}", "mine.yaml: training.learning_rate: unknown key | hint: did you mean 'lr'?"),
    ("lr: 1", "mine.yaml: lr: unknown key | hint: did you mean 'training.lr'?"),
    ("student: {presets: tiny}", "mine.yaml: student.presets: unknown key | hint: did you mean 'preset'?"),
    (
        "data: {split: {zzz: 1}}",
        ("mine.yaml: data.split.zzz: unknown key | hint: the keys here are by, valid_pairs, test_pairs, every, seed"),
    ),
    (
        "data: {train: [{sr: a}]}",
        "mine.yaml: data.train[0].sr: unknown key | hint: did you mean 'src'?",
    ),
    # types
    ("training: {lr: fast}", "mine.yaml: training.lr: expected a number, got 'fast'"),
    ("training: {lr: .nan}", "mine.yaml: training.lr: expected a number, got '.nan'"),
    ("training: {lr: inf}", "mine.yaml: training.lr: expected a number, got 'inf'"),
    ("training: {seed: true}", "mine.yaml: training.seed: expected a whole number, got true"),
    ("training: {seed: 1.5}", "mine.yaml: training.seed: expected a whole number, got 1.5"),
    ("training: {seed: }", "mine.yaml: training.seed: expected a whole number, got nothing"),
    ("training: {compile: yes}", "mine.yaml: training.compile: expected true or false, got 'yes'"),
    ("training: [1]", "mine.yaml: training: expected a mapping, got a list"),
    ("data: {train: {src: a}}", "mine.yaml: data.train: expected a list, got a mapping"),
    ("data: {downloads: 5}", "mine.yaml: data.downloads: expected a mapping, got 5"),
    ("data: {split: 5}", "mine.yaml: data.split: expected a mapping, got 5"),
    ("about: [x]", "mine.yaml: about: expected a text, got a list"),
    (
        "tokenizer: {vocab_size: big}",
        "mine.yaml: tokenizer.vocab_size: expected a whole number or 'auto', got 'big'",
    ),
    (
        "training: {best_metric: blue}",
        ("mine.yaml: training.best_metric: expected one of loss, bleu, chrf, got 'blue' | hint: did you mean 'bleu'?"),
    ),
    (
        "student: {preset: huge}",
        "mine.yaml: student.preset: expected one of mini, tiny, small, base, paper, got 'huge'",
    ),
    ("data: {downloads: {web: {}}}", "mine.yaml: data.downloads.web.url: missing"),
    ("data: {split: {valid_pairs: 5}}", "mine.yaml: data.split.by: missing"),
    # YAML
    ("name: again", "mine.yaml: line 3, column 1: the key 'name' stands twice | hint: the file must be YAML"),
    (
        "about: [",
        (
            "mine.yaml: line 3, column 9: expected the node content, but found '<stream end>'"
            " | hint: the file must be YAML"
        ),
    ),
    (
        "about: \x00",
        (
            "mine.yaml: unacceptable character #x0000: special characters are not allowed"
            ' in "<unicode string>", position 30 | hint: the file must be YAML'
        ),
    ),
    (
        "format: 2\nfuture: 1",
        "mine.yaml: format 2 is newer than this a2d reads (up to 1) | hint: upgrade: pip install -U a2d-cli",
    ),
]


@pytest.mark.parametrize(("body", "message"), REFUSED)
def test_a_recipe_that_cannot_be_right(body: str, message: str):
    assert message_of(lambda: parse(body)) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x.yaml: name: missing\nx.yaml: pair: missing"),
        ("- a\n", "x.yaml: expected a mapping of sections, got a list"),
        ("hello", "x.yaml: expected a mapping of sections, got 'hello'"),
    ],
)
def test_a_recipe_without_head(text: str, message: str):
    assert message_of(lambda: parse_recipe(text, where="x.yaml")) == message


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.lrr=1", "--set: training.lrr: unknown key | hint: did you mean 'lr'?"),
        ("lr=1", "--set: lr: unknown key | hint: did you mean 'training.lr'?"),
        ("training.lr", "--set training.lr: expected KEY=VALUE | hint: for example --set training.lr=3e-4"),
        (
            "training..lr=1",
            "--set training..lr=1: expected KEY=VALUE | hint: for example --set training.lr=3e-4",
        ),
        ("training.lr=", "--set: training.lr: expected a number, got ''"),
        ("training.lr.x=1", "--set: training.lr: expected a number, got a mapping"),
        (
            "data.train=[",
            (
                "--set data.train: line 1, column 2: expected the node content, but found '<stream end>'"
                " | hint: the file must be YAML"
            ),
        ),
        # the student inherits the value: one mistake, one line
        ("training.max_updates=0", "--set: training.max_updates: expected at least 1, got 0"),
        ("--max-hours student_training.max_hours=-1", "--max-hours: expected 0 or more, got -1.0"),
        ("--precision training.precision=fp8", "--precision: expected one of auto, fp32, bf16, fp16, got 'fp8'"),
        (
            "--method distillation.method=foo",
            "--method: no method is called 'foo' | hint: the methods are " + ", ".join(METHOD_TERMS),
        ),
        ("data.split={by: pairs}", "--set: data.split.by: expected one of components, every, got 'pairs'"),
    ],
)
def test_an_override_that_cannot_be_right(override: str, message: str):
    assert message_of(lambda: parse("", override)) == message


def test_configuration_mistakes_exit_with_2():
    with pytest.raises(ConfigError) as caught:
        parse("lr: 1")
    assert caught.value.exit_code == 2


def test_students_by_preset_by_key_and_by_both():
    recipe = parse("student: {preset: tiny, dropout: 0.3}")
    assert parse_student("base", recipe) == dataclasses.replace(PRESETS["base"], dropout=0.3)
    assert parse_student("d_model=192,num_heads=6", recipe) == dataclasses.replace(
        recipe.student, d_model=192, num_heads=6
    )
    assert parse_student("small, dropout=0.2, norm=pre", recipe) == dataclasses.replace(
        PRESETS["small"], dropout=0.2, norm="pre"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "smal",
            ("--student: expected one of mini, tiny, small, base, paper, got 'smal' | hint: did you mean 'small'?"),
        ),
        ("d_modell=8", "--student: d_modell: unknown key | hint: did you mean 'd_model'?"),
        ("d_model=wide", "--student: d_model: expected a whole number, got 'wide'"),
        ("ffn_dim=0", "--student: ffn_dim: expected at least 1, got 0"),
        (
            "d_model=130",
            ("--student: d_model: expected an even number divisible by num_heads 4, got 130 | hint: 128 or 132"),
        ),
        (
            "tiny,small",
            "--student: expected KEY=VALUE, got 'small' | hint: for example d_model=192,num_heads=4",
        ),
    ],
)
def test_a_student_that_cannot_be_right(text: str, message: str):
    assert message_of(lambda: parse_student(text, parse())) == message


def test_the_projects_recipe_is_read_back_with_overrides(tmp_path: Path):
    path = tmp_path / "a2d.yaml"
    recipe = parse("data: {train: [{src: /t/a.de, tgt: /t/a.en}]}", "training.seed=7")
    path.write_text(dump_recipe(recipe), encoding="utf-8")
    assert read_project_recipe(path) == recipe
    assert read_project_recipe(path, ["training.seed=8"]).student_training.seed == 8


def test_a_project_without_recipe(tmp_path: Path):
    path = tmp_path / "a2d.yaml"
    with pytest.raises(A2DError) as caught:
        read_project_recipe(path)
    assert (
        str(caught.value)
        == f"{path}: no such file | hint: run 'a2d prepare' as you did before: what is prepared stays; "
        "or copy recipe.yaml of a run there"
    )


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("abn:-[]{}#&*!|>'\"%@ \n\t,e1.~"), max_size=40))
def test_no_text_brings_a_traceback(text: str):
    try:
        parse_recipe(text, where="x")
    except ConfigError as error:
        assert error.message.startswith("x:")


def value_of(recipe: Recipe, key: str) -> object:
    value: object = recipe
    for name in key.split("."):
        value = getattr(value, name)
    return value


def message_of(action: typing.Callable[[], object]) -> str:
    with pytest.raises(ConfigError) as caught:
        action()
    return str(caught.value)


def test_what_the_method_says_by_default():
    """METHOD.md's numbers: §3 for the word term and release, §4 for ε, τ and word-selective, §5 for the rest."""
    words = {"alpha": 0.5, "temperature": 1.0, "divergence": "fkl", "selected_fraction": 0.5, "selection_queue": 30_000}
    release = {"beta": 1.0, "decay": 0.9, "teacher_mix": "none", "gradient_scale": "mean"}
    attention = {"row_floor": 1e-3, "half_life": 0.2, "gradient_share": 0.5, "calibrate_at_update": 50}
    mixtures = {
        "mixture_temperature": 1.0,
        "ridge": 1e-3,
        "gram_decay": 0.9,
        "map_form": "plain",
        "layer_map": "forward",
    }
    sequences = {"pseudo": "best", "pseudo_beam": 5}
    expected = words | release | attention | mixtures | sequences
    assert {key: getattr(Distillation(), key) for key in expected} == expected
    training = {"label_smoothing": 0.1, "average_last": 5, "adam_beta1": 0.9, "adam_beta2": 0.98}
    assert {key: getattr(Training(), key) for key in training} == training
    decoding = {"beam": 5, "length_penalty": 1.0}
    assert {key: getattr(Decoding(), key) for key in decoding} == decoding
