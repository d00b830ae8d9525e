"""Recipes: read strictly, resolved once, and written so that reading gives them back."""

from __future__ import annotations

import dataclasses
import typing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from a2d_cli.config import loader, schema
from a2d_cli.config.loader import (
    METHOD_TERMS,
    check_recipe,
    dump_recipe,
    load_recipe,
    parse_recipe,
    parse_student,
    read_project_recipe,
    recipe_keys,
)
from a2d_cli.config.schema import PRESETS, CorpusFiles, Download, ModelShape, Recipe, Training
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
    complete = dump_recipe(
        parse("data: {split: {by: every, every: 23}, generated: {}}", "data.generated=null")
    )
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


def test_a_mistake_is_named_with_the_file_it_stands_in(tmp_path: Path):
    (tmp_path / "base.yaml").write_text(HEAD + "training: {lr: fast}\n")
    (tmp_path / "child.yaml").write_text("extends: ./base.yaml\ndecoding: {beam: wide}\n")
    assert message_of(lambda: load_recipe(tmp_path / "child.yaml", ["training.seed=x"])) == (
        "base.yaml: training.lr: expected float, got 'fast' (str)\n"
        "child.yaml: decoding.beam: expected int, got 'wide' (str)\n"
        "--set: training.seed: expected int, got 'x' (str)"
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
        " | hint: a2d recipes lists the recipes that come with a2d"
    )
    assert message_of(lambda: load_recipe(tmp_path / "b.yaml")) == (
        "b.yaml: extends: expected the name of a recipe, got a list"
    )


REFUSED = [
    # keys
    ("training: {lrr: 1}", "mine.yaml: training.lrr: unknown key | hint: did you mean 'lr'?"),
    ("lr: 1", "mine.yaml: lr: unknown key | hint: did you mean 'training.lr'?"),
    ("student: {presets: tiny}", "mine.yaml: student.presets: unknown key | hint: did you mean 'preset'?"),
    (
        "data: {split: {zzz: 1}}",
        (
            "mine.yaml: data.split.zzz: unknown key"
            " | hint: the keys here are by, valid_pairs, test_pairs, every, seed"
        ),
    ),
    (
        "data: {train: [{sr: a}]}",
        "mine.yaml: data.train[0].sr: unknown key | hint: did you mean 'src'?",
    ),
    # types
    ("training: {lr: fast}", "mine.yaml: training.lr: expected float, got 'fast' (str)"),
    ("training: {lr: .nan}", "mine.yaml: training.lr: expected float, got '.nan' (str)"),
    ("training: {lr: inf}", "mine.yaml: training.lr: expected float, got 'inf' (str)"),
    ("training: {seed: true}", "mine.yaml: training.seed: expected int, got true (bool)"),
    ("training: {seed: 1.5}", "mine.yaml: training.seed: expected int, got 1.5 (float)"),
    ("training: {seed: }", "mine.yaml: training.seed: expected int, got nothing"),
    ("training: {compile: yes}", "mine.yaml: training.compile: expected true or false, got 'yes' (str)"),
    ("training: [1]", "mine.yaml: training: expected a mapping, got a list"),
    ("data: {train: {src: a}}", "mine.yaml: data.train: expected a list, got a mapping"),
    ("data: {downloads: 5}", "mine.yaml: data.downloads: expected a mapping, got 5 (int)"),
    ("data: {split: 5}", "mine.yaml: data.split: expected a mapping, got 5 (int)"),
    ("about: [x]", "mine.yaml: about: expected str, got a list"),
    (
        "tokenizer: {vocab_size: big}",
        "mine.yaml: tokenizer.vocab_size: expected int or 'auto', got 'big' (str)",
    ),
    (
        "training: {best_metric: blue}",
        (
            "mine.yaml: training.best_metric: expected one of loss, bleu, chrf, got 'blue' (str)"
            " | hint: did you mean 'bleu'?"
        ),
    ),
    (
        "student: {preset: huge}",
        "mine.yaml: student.preset: expected one of tiny, small, base, paper, got 'huge' (str)",
    ),
    # ranges
    ("training: {max_updates: 0}", "mine.yaml: training.max_updates: expected at least 1, got 0"),
    (
        "student_training: {max_updates: 0}",
        "mine.yaml: student_training.max_updates: expected at least 1, got 0",
    ),
    ("training: {lr: 0}", "mine.yaml: training.lr: expected above 0, got 0.0"),
    ("student: {dropout: 1}", "mine.yaml: student.dropout: expected at least 0 and below 1, got 1.0"),
    ("distillation: {alpha: 1.5}", "mine.yaml: distillation.alpha: expected from 0 to 1, got 1.5"),
    ("distillation: {half_life: -1}", "mine.yaml: distillation.half_life: expected 0 or more, got -1.0"),
    (
        "tokenizer: {character_coverage: 0}",
        "mine.yaml: tokenizer.character_coverage: expected above 0 and at most 1, got 0.0",
    ),
    (
        "data: {train: [{src: ./a, format: tsv, src_column: 0}]}",
        "mine.yaml: data.train[0].src_column: expected at least 1, got 0",
    ),
    # keys that must fit each other
    (
        "tokenizer: {vocab_size: 4001}",
        "mine.yaml: tokenizer.vocab_size: expected a multiple of 8, got 4001 | hint: 4000 or 4008",
    ),
    (
        "tokenizer: {vocab_size: -3}",
        "mine.yaml: tokenizer.vocab_size: expected a multiple of 8, got -3 | hint: the smallest is 8",
    ),
    (
        "teacher: {d_model: 250}",
        (
            "mine.yaml: teacher.d_model: expected an even number divisible by num_heads 4, got 250"
            " | hint: 248 or 252"
        ),
    ),
    (
        "student: {d_model: 7, num_heads: 7}",
        "mine.yaml: student.d_model: expected an even number divisible by num_heads 7, got 7 | hint: 14",
    ),
    (
        "decoding: {nbest: 6}",
        "mine.yaml: decoding.nbest: 6 is more than beam 5 | hint: raise decoding.beam",
    ),
    (
        "teacher: {max_positions: 100}",
        (
            "mine.yaml: training.max_length: 200 is more than teacher.max_positions 100"
            " | hint: lower it, or raise teacher.max_positions"
        ),
    ),
    (
        "training: {device: gpu}",
        "mine.yaml: training.device: expected auto, cpu, cuda or cuda:N, got 'gpu'",
    ),
    # the method
    (
        "distillation: {method: a2d-rel}",
        "mine.yaml: distillation.method: no method is called 'a2d-rel' | hint: did you mean 'a2d-release'?",
    ),
    (
        "distillation: {method: magic}",
        (
            "mine.yaml: distillation.method: no method is called 'magic'"
            f" | hint: the methods are {', '.join(METHOD_TERMS)}"
        ),
    ),
    (
        "distillation: {method: word+a2d-paper+word}",
        "mine.yaml: distillation.method: 'word' stands twice in 'word+a2d-paper+word'",
    ),
    (
        "distillation: {method: a2d+a2d-masked, profile: masked}",
        "mine.yaml: distillation.method: 'a2d-masked' stands twice in 'a2d+a2d-masked'",
    ),
    (
        "distillation: {method: ce+word}",
        (
            "mine.yaml: distillation.method: 'ce+word' contradicts itself: word holds cross-entropy already"
            " | hint: use word alone; distillation.alpha weighs the two"
        ),
    ),
    (
        "distillation: {encoder_self: false, decoder_self: false, cross: false}",
        (
            "mine.yaml: distillation.method: 'a2d' has no attention to align"
            " | hint: set distillation.encoder_self, decoder_self or cross to true"
        ),
    ),
    # data
    (
        "data: {downloads: {web: {url: 'ftp://x/y'}}}",
        "mine.yaml: data.downloads.web.url: expected http(s)://HOST/PATH, got 'ftp://x/y'",
    ),
    (
        "data: {downloads: {web: {url: 'https://x/y', sha256: abc}}}",
        "mine.yaml: data.downloads.web.sha256: expected 64 digits 0-9a-f, got 'abc'",
    ),
    (
        "data: {downloads: {../web: {url: 'https://x/y'}}}",
        "mine.yaml: data.downloads.../web: a name is made of letters, digits, '.', '_' and '-', not '../web'",
    ),
    ("data: {downloads: {web: {}}}", "mine.yaml: data.downloads.web.url: missing"),
    (
        "data: {downloads: {web: {url: 'https://x/y'}}, train: [{src: wed:a, tgt: web:b}]}",
        "mine.yaml: data.train[0].src: no download is called 'wed' | hint: did you mean 'web'?",
    ),
    (
        "data: {valid: [{src: xyz:a, tgt: ./b}]}",
        "mine.yaml: data.valid[0].src: no download is called 'xyz' | hint: for a path, write ./xyz:a",
    ),
    (
        "data: {tests: {t: [{src: ./a, format: sgm}]}}",
        "mine.yaml: data.tests.t[0].tgt: missing: only tsv and tmx hold both sides, and this is sgm",
    ),
    (
        "data: {train: [{src: ./a, format: tsv, src_column: 2}]}",
        "mine.yaml: data.train[0].tgt_column: source and target are both column 2",
    ),
    (
        "data: {tests: {a/b: []}}",
        "mine.yaml: data.tests.a/b: a name is made of letters, digits, '.', '_' and '-', not 'a/b'",
    ),
    (
        "data: {tests: {valid: []}}",
        "mine.yaml: data.tests.valid: 'valid' is taken: call the test set something else",
    ),
    (
        "data: {tests: {flickr: []}, reduce_tests: [flicker]}",
        "mine.yaml: data.reduce_tests: no test set is called 'flicker' | hint: did you mean 'flickr'?",
    ),
    (
        "data: {generated: {}, train: [{src: ./a, tgt: ./b}]}",
        "mine.yaml: data.generated: cannot stand together with data.train or data.split",
    ),
    ("data: {split: {valid_pairs: 5}}", "mine.yaml: data.split.by: missing"),
    (
        "data: {split: {by: every}}",
        "mine.yaml: data.split.every: expected at least 2, got 0 | hint: 23 is usual",
    ),
    (
        "data: {split: {by: components}}",
        "mine.yaml: data.split: takes no pairs | hint: set data.split.valid_pairs or test_pairs",
    ),
    (
        "data: {split: {by: every, every: 23}, valid: [{src: ./a, tgt: ./b}]}",
        "mine.yaml: data.split: takes validation pairs, but data.valid names some | hint: keep one of them",
    ),
    (
        "data: {split: {by: components, test_pairs: 3}, tests: {test: [{src: ./a, tgt: ./b}]}}",
        "mine.yaml: data.split: makes the test set 'test', but data.tests names one | hint: rename it",
    ),
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
        ("hello", "x.yaml: expected a mapping of sections, got 'hello' (str)"),
        (
            "{name: a/b, pair: de-en}",
            "x.yaml: name: a name is made of letters, digits, '.', '_' and '-', not 'a/b'",
        ),
        (
            "{name: x, pair: deen}",
            (
                "x.yaml: pair: expected SRC-TGT, got 'deen'"
                " | hint: two language codes, for example de-en or zh_Hans-en"
            ),
        ),
        ("{name: x, pair: de-de}", "x.yaml: pair: source and target are both 'de'"),
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
        ("training.lr=", "--set: training.lr: expected float, got '' (str)"),
        ("training.lr.x=1", "--set: training.lr: expected float, got a mapping"),
        (
            "data.train=[",
            (
                "--set data.train: line 1, column 2: expected the node content, but found '<stream end>'"
                " | hint: the file must be YAML"
            ),
        ),
        # the student inherits the value: one mistake, one line
        ("training.max_updates=0", "mine.yaml: training.max_updates: expected at least 1, got 0"),
    ],
)
def test_an_override_that_cannot_be_right(override: str, message: str):
    assert message_of(lambda: parse("", override)) == message


def test_everything_wrong_is_told_at_once():
    message = message_of(lambda: parse("teacher: {d_model: 250}\ntraining: {lr: -1}\ndecoding: {nbest: 9}"))
    assert [line.split(":")[1].strip() for line in message.splitlines()] == [
        "training.lr",
        "teacher.d_model",
        "decoding.nbest",
    ]


def test_configuration_mistakes_exit_with_2():
    with pytest.raises(ConfigError) as caught:
        parse("lr: 1")
    assert caught.value.exit_code == 2


def test_every_number_has_a_range():
    ruled_elsewhere = {"Tokenizer.vocab_size"}
    numbers = {
        f"{kind.__name__}.{name}"
        for kind in vars(schema).values()
        if isinstance(kind, type) and dataclasses.is_dataclass(kind)
        for name, value_type in typing.get_type_hints(kind).items()
        if {int, float} & {value_type, *typing.get_args(value_type)}
    }
    assert len(numbers) > 60
    assert numbers - ruled_elsewhere == set(loader._RANGE_OF)


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
            (
                "--student: preset: expected one of tiny, small, base, paper, got 'smal' (str)"
                " | hint: did you mean 'small'?"
            ),
        ),
        ("d_modell=8", "--student: d_modell: unknown key | hint: did you mean 'd_model'?"),
        ("d_model=wide", "--student: d_model: expected int, got 'wide' (str)"),
        ("ffn_dim=0", "--student: ffn_dim: expected at least 1, got 0"),
        (
            "d_model=130",
            (
                "--student: d_model: expected an even number divisible by num_heads 4, got 130"
                " | hint: 128 or 132"
            ),
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
        == f"{path}: no such file: nothing is prepared here yet | hint: run: a2d prepare RECIPE"
    )


def test_a_dump_tells_units_choices_and_lets_training_reach_the_student():
    text = dump_recipe(parse("training: {lr: 0.5}\nstudent_training: {seed: 9}"))
    lines = text.splitlines()
    assert "  lr: 0.5  # peak, at the end of the warm-up" in lines
    assert "  best_metric: bleu  # one of loss, bleu, chrf" in lines
    assert "  vocab_size: auto  # int or 'auto'; embedding rows, pad included; a multiple of 8" in lines
    assert (
        "# Rules for training pairs. Validation and test sets are never filtered, only decontaminated."
        in lines
    )
    assert text.count("lr: 0.5") == 1
    edited = parse_recipe(text.replace("lr: 0.5", "lr: 0.25"), where="a2d.yaml")
    assert (edited.student_training.lr, edited.student_training.seed) == (0.25, 9)


def test_a_dump_without_the_schemas_source_has_no_comments(monkeypatch: pytest.MonkeyPatch):
    def no_source(module: object) -> str:
        raise OSError("could not get source code")

    monkeypatch.setattr(loader.inspect, "getsource", no_source)
    loader._comments.cache_clear()
    try:
        assert "  lr: 0.001\n" in dump_recipe(parse())
    finally:
        loader._comments.cache_clear()


positive = st.integers(1, 10**12)
fractions = st.floats(1e-9, 1 - 1e-9)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,8}", fullmatch=True).filter(
    lambda name: name not in ("train", "valid", "test")
)
paths = texts.map("./{}".format)


def some(kind: type, **given: st.SearchStrategy) -> st.SearchStrategy:
    """Any value of a section: each key by its type, except those given."""
    for name, value_type in typing.get_type_hints(kind).items():
        if name not in given:
            if typing.get_origin(value_type) is typing.Literal:
                given[name] = st.sampled_from(typing.get_args(value_type))
            else:
                given[name] = {bool: st.booleans(), int: positive, float: fractions, str: texts}[value_type]
    return st.builds(kind, **given)


corpora = st.lists(
    some(
        CorpusFiles,
        src=paths,
        tgt=paths,
        src_column=st.integers(1, 4),
        tgt_column=st.integers(5, 9),
    ),
    max_size=2,
).map(tuple)
shapes = st.integers(1, 9).flatmap(
    lambda heads: some(
        ModelShape,
        num_heads=st.just(heads),
        d_model=st.integers(1, 99).map(lambda factor: 2 * heads * factor),
        max_positions=st.integers(64, 4096),
    )
)
trainings = some(
    Training, max_length=st.integers(1, 64), device=st.sampled_from(["auto", "cpu", "cuda", "cuda:3"])
)
downloads = st.builds(Download, st.just("https://example.org/a.tgz"), st.none() | st.just(SHA))
recipes = st.builds(
    Recipe,
    name=names,
    pair=st.sampled_from(["de-en", "no-en", "zh_Hans-dsb"]),
    about=texts,
    data=some(
        schema.Data,
        downloads=st.dictionaries(names, downloads, max_size=2),
        train=corpora,
        valid=st.just(()),
        tests=st.dictionaries(names, corpora, max_size=2),
        reduce_tests=st.just(()),
        split=st.none() | some(schema.Split, every=st.integers(2, 99)),
        generated=st.none(),
    ),
    cleaning=some(schema.Cleaning, max_ratio=st.floats(1, 1e9)),
    tokenizer=some(
        schema.Tokenizer, vocab_size=st.just("auto") | st.integers(1, 9999).map(lambda size: 8 * size)
    ),
    teacher=shapes,
    student=shapes,
    training=trainings,
    student_training=trainings,
    distillation=some(
        schema.Distillation,
        method=st.sampled_from([*METHOD_TERMS, "ce+a2d-paper", "word+a2d-simplex"]),
        encoder_self=st.just(True),
    ),
    decoding=some(schema.Decoding, nbest=st.just(1)),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(recipes)
def test_a_dump_is_read_back_exactly(recipe: Recipe):
    check_recipe(recipe, "drawn")
    assert parse_recipe(dump_recipe(recipe), where="dumped") == recipe


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
