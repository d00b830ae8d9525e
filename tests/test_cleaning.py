"""Cleaning: one normalisation for every line, and rules that are counted."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a2d_cli.config.schema import Cleaning
from a2d_cli.data.cleaning import _INVISIBLE, MAX_SAMPLES, Cleaner, Tally, clean_held_out, normalise

relaxed = settings(deadline=None)  # a busy machine is no failure

# Letters, marks that compose, every kind of space, and what nobody sees.
LINES = st.text(
    st.one_of(
        st.sampled_from("abcä \t\u0308\u0301\ufeff\u200b\u202e\x00\x1c\x85\u2028\u3000\u00ad"),
        st.characters(exclude_categories=["Cs"]),  # no UTF-8 file holds a lone surrogate
    ),
    max_size=40,
)
PAIRS = st.lists(st.tuples(LINES, LINES), max_size=23)


def clean(pairs, **settings):
    tally = Tally()
    return list(Cleaner(Cleaning(**settings)).clean(pairs, tally)), tally


@relaxed
@given(LINES)
def test_normalising_twice_is_normalising_once(line):
    once = normalise(line)
    assert normalise(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert not {unicodedata.category(character) for character in once} & {"Cc", "Zl", "Zp"}
    assert once == " ".join(once.split())  # so it is one line, and words are counted by its spaces


@relaxed
@given(LINES)
def test_most_lines_take_a_shorter_way_to_the_same_text(line):
    assert normalise(line) == unicodedata.normalize("NFC", " ".join(_INVISIBLE.sub("", line).split()))


def test_what_is_printable_is_neither_invisible_nor_white_space():
    printable = "".join(character for character in map(chr, range(sys.maxunicode + 1)) if character.isprintable())
    assert len(printable) > 100_000
    assert not _INVISIBLE.search(printable)
    assert [character for character in printable if character.isspace()] == [" "]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("\ufeffEin\u00a0Hund\t läuft .\r", "Ein Hund läuft ."),
        ("zu\u0308rich", "zürich"),
        ("a\u200b\u0308", "ä"),  # composes once the invisible character between is gone
        ("ab\x07c\u202ed\u00ade", "abcde"),
        ("نمی\u200cخواهم", "نمی\u200cخواهم"),  # a joiner that is spelling
        ("½ … ™ Ａ", "½ … ™ Ａ"),  # NFC, not NFKC: what is scored stays
        (" \u2028 ", ""),
    ],
)
def test_normalise(line, expected):
    assert normalise(line) == expected


@relaxed
@given(PAIRS)
def test_cleaning_is_idempotent_and_counts_every_pair(pairs):
    once, tally = clean(pairs)
    twice, second_tally = clean(once)
    assert twice == once
    assert second_tally.num_dropped == {}
    assert tally.num_read == len(pairs)
    assert tally.num_kept == len(once)
    assert tally.num_read == tally.num_kept + sum(tally.num_dropped.values())


@pytest.mark.parametrize(
    ("pair", "rule"),
    [
        (("", "a"), "empty"),
        (("a", " \u200b"), "empty"),
        (("a b c d e f g h", "b"), "too_long"),
        (("a b c d e f g", "b"), None),
        (("a" * 43, "b" * 43), "too_long"),
        (("a" * 42, "b" * 42), None),
        (("a" * 43, "b" * 42), "too_long"),
        (("a" * 42, "b" * 43), "too_long"),
        (("b", "a b c d e f g h"), "too_long"),
        (("a" * 22, "b" * 11), None),
        (("a" * 23, "b" * 11), "ratio"),
        (("b" * 11, "a" * 23), "ratio"),
        (("a" * 19, "b"), None),  # short: any ratio
        (("ein  Hund", "ein Hund"), "identical"),
        (("Haus", "haus"), None),  # only what is exactly the same
        (("Haus", "Haus."), None),
    ],
)
def test_rules(pair, rule):
    _, tally = clean([pair], max_words=7, max_characters=42, max_ratio=2.0, ratio_free_characters=19)
    assert tally.num_dropped == ({rule: 1} if rule else {})


LIBRARY = "We will meet in front of the library at three this afternoon, and then go and eat."
RAIN = "It was raining yesterday, so I stayed at home and read a book."


@pytest.mark.parametrize(
    "pair",
    [
        ("我们今天下午三点在图书馆前面见面,然后去吃饭。", LIBRARY),
        ("昨天下雨,所以我在家看书。", RAIN),
        ("昨日は雨が降っていたので、家で本を読んでいました。", RAIN),
        ("어제는 비가 와서 집에서 책을 읽었습니다.", RAIN),
    ],
)
def test_sound_pairs_of_dense_scripts_are_kept(pair):
    assert clean([pair])[0] == [pair]
    assert clean([pair[::-1]])[0] == [pair[::-1]]
    assert clean([(pair[0], pair[1] * 4)])[1].num_dropped == {"ratio": 1}


def test_the_first_broken_rule_is_counted():
    _, tally = clean([("", ""), ("lang " * 300,) * 2])
    assert tally.num_dropped == {"empty": 1, "too_long": 1}


def test_duplicates_are_known_across_texts():
    cleaner, first, second = Cleaner(Cleaning()), Tally(), Tally()
    assert len(list(cleaner.clean([("a", "b"), ("a", "c")], first))) == 2
    assert list(cleaner.clean([("a ", "b"), ("b", "a")], second)) == [("b", "a")]
    assert second.num_dropped == {"duplicate": 1}


def test_rules_can_be_off():
    pairs = [("a", "a"), ("a", "a")]
    assert clean(pairs, drop_identical=False, drop_duplicates=False)[0] == pairs


def test_samples_are_few_and_short():
    _, tally = clean([(f"{i} " * 500, "b") for i in range(11)])
    report = tally.as_dict()
    assert report["dropped"] == {"too_long": 11}
    assert len(report["samples"]["too_long"]) == MAX_SAMPLES
    assert max(len(side) for pair in report["samples"]["too_long"] for side in pair) <= 200


def test_held_out_pairs_are_only_normalised():
    tally = Tally()
    pairs = [("same", "same"), ("same", "same"), ("a " * 999, "b"), ("", "b"), ("a", "\u00a0")]
    assert list(clean_held_out(pairs, tally)) == [
        ("same", "same"),
        ("same", "same"),
        (("a " * 999).strip(), "b"),
    ]
    assert tally.num_dropped == {"empty": 2}
