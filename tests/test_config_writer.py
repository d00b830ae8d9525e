"""Recipes written so that reading gives them back."""

from __future__ import annotations

import typing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from a2d_cli.config import schema, writer
from a2d_cli.config.loader import parse_recipe
from a2d_cli.config.rules import METHOD_TERMS, check_recipe
from a2d_cli.config.schema import CorpusFiles, Download, ModelShape, Recipe, Training
from a2d_cli.config.writer import dump_recipe

SHA = "0123456789abcdef" * 4


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
    ).map(lambda files: replace(files, tgt=None) if files.format in ("tsv", "tmx") else files),
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
seeds = st.integers(0, 2**32 - 1)
trainings = some(
    Training, max_length=st.integers(1, 64), device=st.sampled_from(["auto", "cpu", "cuda", "cuda:3"]), seed=seeds
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
        split=st.none()
        | some(schema.Split, by=st.just("components"), seed=seeds)
        | st.builds(schema.Split, st.just("every"), every=st.integers(2, 99), seed=seeds),
        generated=st.none(),
    ),
    cleaning=some(schema.Cleaning, max_ratio=st.floats(1, 1e9), max_characters=st.integers(1, 16_384)),
    tokenizer=some(
        schema.Tokenizer,
        vocab_size=st.just("auto") | st.integers(1, 9999).map(lambda size: 8 * size),
        taken_from=st.none(),
        trim=st.just(False),
    )
    | some(schema.Tokenizer, vocab_size=st.just("auto"), taken_from=texts),
    teacher=shapes,
    student=shapes,
    training=trainings,
    student_training=trainings,
    distillation=some(
        schema.Distillation,
        method=st.sampled_from([*METHOD_TERMS, "ce+a2d-paper", "word+a2d-diagonal"]),
        teacher=st.lists(paths.filter(lambda path: "," not in path), min_size=1, max_size=3, unique=True).map(",".join),
        encoder_self=st.just(True),
        map_form=st.just("plain"),  # the released objective knows no other
        pseudo=st.just("best"),
        pseudo_beam=st.integers(1, 1000),
        pseudo_nbest=st.just(0),
    ),
    decoding=some(schema.Decoding, beam=st.integers(1, 1000), nbest=st.just(1)),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(recipes)
def test_a_dump_is_read_back_exactly(recipe: Recipe):
    check_recipe(recipe, "drawn")
    assert parse_recipe(dump_recipe(recipe), where="dumped") == recipe


def test_a_dump_tells_units_choices_and_lets_training_reach_the_student():
    body = "name: mine\npair: de-en\ntraining: {lr: 0.5}\nstudent_training: {seed: 9}"
    text = dump_recipe(parse_recipe(body, where="mine.yaml"))
    lines = text.splitlines()
    assert "  lr: 0.5  # peak, at the end of the warm-up" in lines
    assert "  best_metric: bleu  # one of loss, bleu, chrf" in lines
    assert "  vocab_size: auto  # a whole number or 'auto'; embedding rows, pad included; a multiple of 8" in lines
    assert (
        "# Rules for training pairs. Other sets lose what decontamination takes, and pairs with an empty side." in lines
    )
    assert text.count("lr: 0.5") == 1
    edited = parse_recipe(text.replace("lr: 0.5", "lr: 0.25"), where="a2d.yaml")
    assert (edited.student_training.lr, edited.student_training.seed) == (0.25, 9)


def test_no_comment_of_the_schema_is_lost():
    """Comments are found where a key, its default and its comment stand on one line."""
    lines = Path(schema.__file__).read_text(encoding="utf-8").splitlines()
    written = [line.partition("  # ")[2] for line in lines if line.startswith("    ") and "  # " in line]
    assert [*writer._comments().values()] == written and len(written) > 60


def test_a_dump_without_the_schemas_source_has_no_comments(monkeypatch: pytest.MonkeyPatch):
    def no_source(module: object) -> str:
        raise OSError("could not get source code")

    monkeypatch.setattr(writer.inspect, "getsource", no_source)
    writer._comments.cache_clear()
    try:
        assert "  lr: 0.001\n" in dump_recipe(Recipe(name="mine", pair="de-en"))
    finally:
        writer._comments.cache_clear()
