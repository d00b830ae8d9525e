"""Word links: every index is a white-space word of the text, with a real SentencePiece model."""

from __future__ import annotations

import random
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_tokenizers import KINDS, PAIRS, small_tokenizer
from tiny import quick

from a2d_cli.config import schema
from a2d_cli.data.cleaning import normalise
from a2d_cli.data.tokenizer import Tokenizer, train_tokenizer
from a2d_cli.decoding.word_alignment import pharaoh, word_links, words_of

SENTENCE = "der alte Mann sieht einen kleinen Hund im Garten, und die Frau liest: nichts! Er fragt (leise) warum?"
WORDS = SENTENCE.split()
SIZE = 48  # as much as these words allow


@cache
def tokenizer() -> Tokenizer:
    rng = random.Random(3)
    lines = [" ".join(rng.choices(WORDS, k=rng.randint(2, 11))) for _ in range(211)]
    pairs = [(line, line.lower()) for line in lines]
    return train_tokenizer(pairs, len(pairs), schema.Tokenizer(vocab_size=SIZE))


def pieces_of(line: str) -> list[str]:
    return [tokenizer().src_pieces[i] for i in tokenizer().encode_src([line])[0]]


def num_words(line: str) -> int:
    """White-space words, where a space mark in the text is a space, as SentencePiece reads it."""
    return len(normalise(line).replace("▁", " ").split())


# Unknown letters, the space mark itself, punctuation alone and in words, white space of all kinds
odd = st.sampled_from(
    ["▁", "Жук", "Gaжrten", "!", "(", "…", "a▁b", "🙂", "12", "\u00a0", "\t", "\u3000", "-", "e\u0301"]
)
lines = st.lists(st.one_of(st.sampled_from(WORDS), odd), max_size=11).map(" ".join)


@given(lines)
@quick
def test_a_source_piece_belongs_to_a_white_space_word_of_the_line(line):
    found = [word for word in words_of(pieces_of(line)) if word is not None]
    assert found == sorted(found)
    assert set(found) == set(range(num_words(line)))


@given(st.sampled_from(KINDS), st.data())
@quick
def test_a_target_piece_belongs_to_a_white_space_word_of_the_text(kind, data):
    """Whatever the model writes: unknown pieces, spaces alone, pieces of the other language."""
    of_kind = small_tokenizer(kind)
    ids = data.draw(st.lists(st.integers(1, of_kind.tgt_vocab_size - 2), max_size=13))
    (text,) = of_kind.decode_tgt([ids])
    words = words_of([of_kind.tgt_pieces[i] for i in ids], unknown_is_word=True)
    found = [word for word in words if word is not None]
    assert found == sorted(found)
    assert set(found) == set(range(len(text.split())))


@given(lines, st.lists(st.integers(1, SIZE - 2), max_size=13), st.data())
@quick
def test_links_stay_inside_both_texts_and_are_sorted_without_doubles(line, ids, data):
    src, tgt = pieces_of(line), [tokenizer().tgt_pieces[i] for i in ids]
    attended = [data.draw(st.integers(0, len(src) - 1)) for _ in tgt if src]
    links = word_links(src, tgt if src else [], attended)
    (text,) = tokenizer().decode_tgt([ids])
    assert list(links) == sorted(set(links))
    assert all(0 <= s < num_words(line) and 0 <= t < len(text.split()) for s, t in links)


@given(lines)
@quick
def test_a_text_that_looks_at_itself_links_every_word_to_itself(line):
    src = pieces_of(line)
    if "<unk>" in src:
        return  # stands alone in the output
    assert word_links(src, src, range(len(src))) == tuple((i, i) for i in range(num_words(line)))


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        (["▁der", "▁al", "te", "▁Mann"], [0, 1, 1, 2]),
        (["▁", "Жук", ".", "▁ja"], [None, 0, 0, 1]),
        (["▁ja", "▁", "▁", "nein", "▁"], [0, None, None, 1, None]),
        (["▁ja", "!", "▁!", "?"], [0, 0, 1, 1]),
        (["ja", "▁nein"], [0, 1]),
        (["▁a", "<unk>", "b"], [0, 0, 0]),
        ([], []),
    ],
)
def test_words_begin_at_the_space_mark(pieces, words):
    assert words_of(pieces) == words


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        (["▁a", "<unk>", "b"], [0, 1, 2]),
        (["▁a", "▁", "<unk>", "▁b"], [0, None, 1, 2]),
        (["<unk>", "<unk>"], [0, 1]),
        (["▁a", "<unk>", "▁", "b"], [0, 1, None, 2]),
    ],
)
def test_an_unknown_piece_stands_alone_in_the_output(pieces, words):
    """As SentencePiece writes it, ' ⁇ '."""
    assert words_of(pieces, unknown_is_word=True) == words


def test_two_words_are_linked_by_any_of_their_pieces():
    links = word_links(["▁Gar", "ten", "▁im"], ["▁in", "▁the", "▁gar", "den"], [2, 2, 0, 1])
    assert links == ((0, 2), (1, 0), (1, 1))
    assert pharaoh(links) == "0-2 1-0 1-1"


def test_a_word_whose_pieces_look_at_two_words_is_linked_to_both():
    assert word_links(["▁zu", "▁dem"], ["▁zu", "m"], [0, 1]) == ((0, 0), (1, 0))
    assert word_links(["▁zu", "m"], ["▁to", "▁the"], [0, 1]) == ((0, 0), (0, 1))


def test_spaces_alone_link_nothing():
    assert word_links(["▁", "▁ja"], ["▁yes", "▁"], [0, 1]) == ()
    assert pharaoh(()) == ""


def test_a_cut_vocabulary_still_knows_where_source_words_begin():
    cut = small_tokenizer("joint").trimmed(PAIRS[:5])
    for line, _ in PAIRS:
        pieces = cut.cut_src(line)
        assert len(pieces) == len(cut.encode_src([line])[0])
        assert {*words_of(pieces)} - {None} == set(range(len(line.split())))
