"""What a recipe must keep to beyond its types: each rule with the message of the recipe that breaks it."""

from __future__ import annotations

import dataclasses
import typing

import pytest

from a2d_cli.config import rules, schema
from a2d_cli.config.loader import parse_recipe
from a2d_cli.config.rules import METHOD_TERMS
from a2d_cli.config.schema import Recipe
from a2d_cli.errors import ConfigError


def parse(body: str) -> Recipe:
    return parse_recipe("name: mine\npair: de-en\n" + body, where="mine.yaml")


REFUSED = [
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
    ("decoding: {beam: 5000}", "mine.yaml: decoding.beam: expected from 1 to 1,000, got 5000"),
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
        "tokenizer: {vocab_size: 4000, taken_from: opus}",
        (
            "mine.yaml: tokenizer.vocab_size: 4000, but the vocabulary is taken from opus as it is"
            " | hint: leave it out or write auto; tokenizer.trim makes it smaller"
        ),
    ),
    (
        "tokenizer: {trim: true}",
        (
            "mine.yaml: tokenizer.trim: a tokenizer that is trained here has nothing to trim"
            " | hint: name the tokenizer to trim (--tokenizer-from), or choose a vocab_size"
        ),
    ),
    (
        "teacher: {d_model: 250}",
        ("mine.yaml: teacher.d_model: expected an even number divisible by num_heads 4, got 250 | hint: 248 or 252"),
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
        "distillation: {method: word-selective+ce}",
        (
            "mine.yaml: distillation.method: 'word-selective+ce' contradicts itself: "
            "word-selective holds cross-entropy already"
            " | hint: use word-selective alone; distillation.alpha weighs the two"
        ),
    ),
    (
        "distillation: {method: word+word-selective}",
        (
            "mine.yaml: distillation.method: 'word+word-selective' contradicts itself: "
            "word-selective is word for some tokens, word for all"
            " | hint: use one of them; distillation.selected_fraction says for how many"
        ),
    ),
    (
        "distillation: {method: attn-fixed, encoder_self: false, decoder_self: false, cross: false}",
        (
            "mine.yaml: distillation.method: 'attn-fixed' has no attention to align"
            " | hint: set distillation.encoder_self, decoder_self or cross to true"
        ),
    ),
    (
        "distillation: {encoder_self: false, decoder_self: false, cross: false}",
        (
            "mine.yaml: distillation.method: 'a2d' has no attention to align"
            " | hint: set distillation.encoder_self, decoder_self or cross to true"
        ),
    ),
    (
        "distillation: {method: a2d-release, map_form: softened}",
        (
            "mine.yaml: distillation.map_form: 'softened' maps are not those of the released objective"
            " | hint: write plain, or leave a2d-release out"
        ),
    ),
    ("distillation: {map_temperature: 0}", "mine.yaml: distillation.map_temperature: expected above 0, got 0.0"),
    (
        "distillation: {teacher: 'one,,two'}",
        (
            "mine.yaml: distillation.teacher: 'one,,two' names a teacher that has no name"
            " | hint: for example teacher, or one,two"
        ),
    ),
    (
        "distillation: {teacher: 'one,two,one'}",
        "mine.yaml: distillation.teacher: 'one' stands twice in 'one,two,one'",
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
        "data: {generated: {}, tests: {news: [{src: ./a, tgt: ./b}]}}",
        "mine.yaml: data.generated: cannot stand together with data.train, valid, tests or split",
    ),
    (
        "data: {train: [{src: ./a.tsv, tgt: ./b, format: tsv}]}",
        "mine.yaml: data.train[0].tgt: one tsv file holds both sides | hint: leave it out",
    ),
    ("cleaning: {max_characters: 99999}", "mine.yaml: cleaning.max_characters: expected from 1 to 16,384, got 99999"),
    (
        "data: {generated: {}, train: [{src: ./a, tgt: ./b}]}",
        "mine.yaml: data.generated: cannot stand together with data.train, valid, tests or split",
    ),
    (
        "data: {split: {by: every}}",
        "mine.yaml: data.split.every: expected at least 2, got 0 | hint: 23 is usual",
    ),
    (
        "data: {split: {by: every, every: 23, test_pairs: 500}}",
        "mine.yaml: data.split: every takes validation pairs by their place alone | hint: leave out *_pairs",
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
]


@pytest.mark.parametrize(("body", "message"), REFUSED)
def test_keys_that_cannot_be_right(body: str, message: str):
    assert message_of(lambda: parse(body)) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "{name: a/b, pair: de-en}",
            "x.yaml: name: a name is made of letters, digits, '.', '_' and '-', not 'a/b'",
        ),
        (
            "{name: x, pair: deen}",
            ("x.yaml: pair: expected SRC-TGT, got 'deen' | hint: two language codes, for example de-en or zh_Hans-en"),
        ),
        ("{name: x, pair: de-de}", "x.yaml: pair: source and target are both 'de'"),
    ],
)
def test_names_and_languages_that_cannot_be_right(text: str, message: str):
    assert message_of(lambda: parse_recipe(text, where="x.yaml")) == message


def test_everything_wrong_is_told_at_once():
    message = message_of(lambda: parse("teacher: {d_model: 250}\ntraining: {lr: -1}\ndecoding: {nbest: 9}"))
    assert [line.split(":")[1].strip() for line in message.splitlines()] == [
        "training.lr",
        "teacher.d_model",
        "decoding.nbest",
    ]


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
    assert numbers - ruled_elsewhere == set(rules._RANGE_OF)


def message_of(action: typing.Callable[[], object]) -> str:
    with pytest.raises(ConfigError) as caught:
        action()
    return str(caught.value)
