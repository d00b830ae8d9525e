"""Alarms: what is no reference's business, and what a source excuses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import quick

from a2d_cli.decoding.alarms import ALARMS, LengthRange, alarms_of, has_repetition_loop, lost_numbers

WORDS = ["der", "alte", "Mann", "geht", "langsam", "über", "die", "breite", "Straße", "und", "singt", "ein", "Lied"]
PAIRS = [("x" * (23 + i), "y" * (23 + i + i % 7)) for i in range(97)]
RANGE = LengthRange.of(PAIRS)

different_words = st.lists(st.sampled_from(WORDS), unique=True, max_size=len(WORDS))


@given(different_words, st.integers(1, 5), st.integers(4, 11), st.data())
@quick
def test_what_is_said_four_times_in_a_row_is_a_loop_wherever_it_stands(words, size, times, data):
    unit = data.draw(
        st.lists(st.sampled_from(["du", "bist", "mein", "Freund", "hier"]), min_size=size, max_size=size, unique=True)
    )
    first = data.draw(st.integers(0, len(words)))
    text = " ".join([*words[:first], *unit * times, *words[first:]])
    assert has_repetition_loop(text)
    assert has_repetition_loop(text, " ".join(words + unit))
    assert has_repetition_loop(text.upper().replace(" ", ", ") + "!")
    assert not has_repetition_loop(text, " ".join(unit * times))


@given(different_words)
@quick
def test_a_text_without_repetition_is_no_loop(words):
    assert not has_repetition_loop(" ".join(words))


@given(st.text(alphabet="ab .!1", max_size=41))
@quick
def test_what_the_source_says_may_be_said(text):
    assert not has_repetition_loop(text, text)
    assert not has_repetition_loop(text.replace(" ", "  "), text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "No, no, no!",
        "It was very, very, very cold.",
        "over and over and over and over again",
        "He had had enough.",
        "1.000.000 or 1000000000000",
        "Mississippi",
        "And so on . . .",
        "the man and the woman and the child and the dog",
    ],
)
def test_language_may_repeat_itself(text):
    assert not has_repetition_loop(text)


@pytest.mark.parametrize(
    "text",
    [
        "the the the the",
        "a man in a man in a man in a",
        "The man is in the street. The man is in the street.",
        "Donaudampfdampfdampfdampfschiff",
        "他走他走他走他走",
        ". . . . . .",
    ],
)
def test_models_repeat_themselves_like_this(text):
    assert has_repetition_loop(text)


def test_a_source_excuses_twice_what_it_repeats():
    assert not has_repetition_loop("ha ha ha ha ha ha", "Ha ha ha!")
    assert has_repetition_loop("ha ha ha ha ha ha ha", "Ha ha ha!")
    assert not has_repetition_loop("ha ha ha ha", "Hahaha")
    sentence = "He goes home and eats soup."
    assert not has_repetition_loop(f"{sentence} {sentence}", "Er geht heim und isst Suppe. " * 2)


separators = st.sampled_from(["", ".", ",", "'", "’", " ", "\u00a0", "\u202f"])


@given(st.integers(10, 10**9), separators, separators)
@quick
def test_a_number_is_kept_whatever_separates_its_thousands(number, one, other):
    def written(separator: str) -> str:
        return f"{number:,}".replace(",", separator)

    assert lost_numbers(f"Es sind {written(one)} Stück.", f"there are {written(other)} of them") == []
    assert lost_numbers(f"Es sind {written(one)} Stück.", "there are many of them")


@given(st.text(alphabet="0123456789.,:'/- ax\u00a0٣", max_size=29))
@quick
def test_a_text_keeps_its_own_numbers(text):
    assert lost_numbers(text, text) == []
    assert lost_numbers(text, f"well: {text} .") == []


@pytest.mark.parametrize(
    ("source", "hypothesis", "lost"),
    [
        ("3,5 Liter", "3.5 litres", []),
        ("3,5 Liter", "3.7 litres", ["3,5"]),
        ("1.500,25 Euro", "1,500.25 euros", []),
        ("um 7:30 Uhr", "at 07.30", []),
        ("12:30 Uhr", "12h30", []),
        ("um 17.30 Uhr", "at 5:30 p.m.", []),
        ("um 13:30 Uhr", "at 1:30 p.m.", []),
        ("um 23:59 Uhr", "at 11:59 p.m.", []),
        ("um 24:30 Uhr", "at 12:30 p.m.", ["24:30"]),  # no hour of the day
        ("um 17.30 Uhr", "at 5:40 p.m.", ["17.30"]),
        ("um 14:00 Uhr", "um 14 Uhr", []),
        ("1999-2003", "from 1999 to 2003", []),
        ("am 24.12.1999", "on 24/12/1999", []),
        ("am 3.8.1999", "on 3 August 1999", []),
        ("7 Zwerge", "seven dwarfs", []),
        ("2-3 Kinder", "two or three children", []),
        ("ein 2:1", "a two to one", []),
        ("2,5 Liter", "two and a half litres", ["2,5"]),
        ("12 Zwerge und 47 Äpfel", "12 dwarfs", ["47"]),
        ("im Jahr 1988", "in 1989", ["1988"]),
        ("88 Tage", "1988 days", ["88"]),
        ("٤٧ Tage", "47 days", []),
        ("x² + 10", "10 + x²", []),
    ],
)
def test_numbers_lost_by_hand(source, hypothesis, lost):
    assert lost_numbers(source, hypothesis) == lost


def test_lengths_as_in_the_corpus_are_usual():
    assert all(pair in RANGE for pair in PAIRS)
    assert ("Hund", "dog") in RANGE and ("Ja", "Yes, sir") in RANGE


@given(st.integers(3, 9), st.integers(4, 9))
@quick
def test_lengths_far_from_the_corpus_are_not(words, factor):
    source = " ".join(["Straße"] * words)
    assert (source, " ".join(["street"] * words * factor)) not in RANGE
    assert (" ".join(["Straße"] * words * factor), " ".join(["so"] * words)) not in RANGE


def test_a_range_follows_the_pair_of_languages():
    """Where one writes three times as much, that is no alarm; and writing as much is one."""
    source = "x" * 70
    tripled = LengthRange.of([("x" * n, "y" * 3 * n) for n in range(20, 90)])
    assert (source, "y" * 210) in tripled and (source, source) not in tripled
    assert (source, "y" * 210) not in RANGE and (source, source) in RANGE


@pytest.mark.parametrize(
    ("source", "hypothesis", "expected"),
    [
        ("", "", ()),
        ("  ", "was?", ()),
        ("Der Mann singt ein Lied.", " ", ("empty",)),
        ("Der Mann singt ein Lied.", "The man sings a song.", ()),
        ("Der Mann singt 17 Lieder.", "The man sings songs.", ("numbers",)),
        ("Der Mann singt ein Lied.", "The", ("length",)),
        ("Der Mann singt 17 Lieder.", "sings " * 29, ("repetition", "length", "numbers")),
    ],
)
def test_alarms_by_hand(source, hypothesis, expected):
    assert alarms_of(source, hypothesis, RANGE) == expected
    assert set(expected) <= set(ALARMS)


def test_one_pair_is_enough_to_tell_usual_lengths():
    assert ("Ein Satz.", "A sentence.") in LengthRange.of([("Ein Satz.", "A sentence.")])
