"""The translator: order, empty lines and line counts are kept, and batches change nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import EOS, SHAPE, SIZE, quick, tiny_model

from a2d_cli.config.schema import Decoding
from a2d_cli.data.batching import SpecialIds
from a2d_cli.decoding.engine import Hypothesis
from a2d_cli.decoding.torch_engine import TorchEngine
from a2d_cli.decoding.translator import EMPTY, Translation, Translator

MODEL = tiny_model()
SETTINGS = Decoding(beam=3, nbest=1, batch_sentences=2, max_length_ratio=1.5, max_length_extra=3)


class NumberTokenizer:
    """'5 7' is the ids 5, 7."""

    src_pad = tgt_pad = SIZE - 1
    eos = EOS

    def encode_src(self, lines: list[str]) -> list[list[int]]:
        return [[int(word) for word in line.split()] for line in lines]

    def decode_tgt(self, ids: list[list[int]]) -> list[str]:
        return [" ".join(map(str, sentence)) for sentence in ids]


def translator(**settings) -> Translator:
    return Translator(
        TorchEngine(MODEL, SpecialIds.of(NumberTokenizer())), NumberTokenizer(), replace(SETTINGS, **settings)
    )


words = st.lists(st.integers(1, SIZE - 2), max_size=9).map(lambda ids: " ".join(map(str, ids)))


def same(found: list[list[Translation]], expected: list[list[Translation]]) -> bool:
    texts = [[t.text for t in each] for each in found] == [[t.text for t in each] for each in expected]
    pairs = zip((t for each in found for t in each), (t for each in expected for t in each), strict=True)
    return texts and all(a.score == pytest.approx(b.score, abs=1e-4) for a, b in pairs)


@given(st.lists(words, max_size=7), st.integers(1, 7), st.integers(1, 3))
@quick
def test_lines_are_translated_one_by_one_whatever_the_batch(lines, batch_sentences, nbest):
    """So the input order is kept and neighbours change nothing."""
    together = translator(batch_sentences=batch_sentences, nbest=nbest).translate(lines)
    alone = [translator(nbest=nbest).translate([line])[0] for line in lines]
    assert same(together, alone)
    assert [len(translations) for translations in together] == [nbest] * len(lines)
    for line, translations in zip(lines, together, strict=True):
        assert line.strip() or translations == [EMPTY] * nbest
        scores = [t.score for t in translations]
        assert scores == sorted(scores, reverse=True)


def test_no_lines_give_no_translations():
    assert translator().translate([]) == []


def test_progress_is_told_of_every_line_that_is_searched():
    told: list[int] = []
    translator(batch_sentences=2).translate(["3", "", "4 5", "6", " ", "7 8 9", "2"], on_done=told.append)
    assert told == [2, 2, 1]


def test_a_long_line_is_cut_and_told():
    told: list[tuple[int, int]] = []
    long = "3 4 5 6 7 8 9"
    found = translator(max_source_tokens=5).translate(["11", long], on_cut=lambda *cut: told.append(cut))
    assert told == [(1, 7)]
    assert same(found, translator().translate(["11", "3 4 5 6 7"]))


def test_no_line_outgrows_the_models_positions():
    told: list[tuple[int, int]] = []
    long = " ".join(["3"] * 101)
    found = translator(max_source_tokens=512, max_length_extra=500).translate(
        [long], on_cut=lambda *cut: told.append(cut)
    )
    assert told == [(0, 101)] and translator(max_source_tokens=512).max_source_tokens == SHAPE.max_positions - 1
    assert len(found[0][0].text.split()) < SHAPE.max_positions


def test_a_translation_that_does_not_end_ends_at_the_models_positions():
    endless = tiny_model(replace(SHAPE, output_bias=True))
    with torch.no_grad():
        endless.output_bias[EOS] = -1e4
    engine = TorchEngine(endless, SpecialIds.of(NumberTokenizer()))
    (found,) = Translator(engine, NumberTokenizer(), replace(SETTINGS, max_length_extra=500)).translate(["3 4"])
    assert found[0].is_cut and len(found[0].text.split()) + 1 == SHAPE.max_positions


@given(st.integers(1, 9), st.sampled_from([0.1, 1.0, 1.5]), st.integers(0, 3))
@quick
def test_an_output_keeps_to_its_limit_in_tokens(length, ratio, extra):
    (found,) = translator(max_length_ratio=ratio, max_length_extra=extra).translate([" ".join(["3"] * length)])
    limit = max(1, int(ratio * length) + extra)
    assert len(found[0].text.split()) + 1 <= limit  # the end mark counts
    assert found[0].score < 0  # searched, even where the limit is below one token


def test_missing_hypotheses_are_empty_lines():
    (found,) = translator(nbest=3, max_length_ratio=0.1, max_length_extra=1).translate(["3"])
    assert len(found) == 3  # one token holds the end mark alone
    assert found[1:] == [replace(EMPTY, score=found[0].score)] * 2  # no better than what was found


def test_missing_hypotheses_are_no_better_than_the_last_that_was_found():
    class Engine:
        max_tokens = 41

        def search(self, batches, settings, align):
            for _ in batches:
                yield [[Hypothesis((3,), -0.5), Hypothesis((5,), -2.0)]]

    (found,) = Translator(Engine(), NumberTokenizer(), replace(SETTINGS, nbest=4)).translate(["7"])
    assert [(each.text, each.score) for each in found] == [("3", -0.5), ("5", -2.0), ("", -2.0), ("", -2.0)]
