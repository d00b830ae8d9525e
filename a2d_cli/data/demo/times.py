"""Throws of the dice, and the numbers, times, dates and prices they give in both languages."""

from __future__ import annotations

import bisect
import itertools
import random
from collections.abc import Sequence
from functools import cache
from typing import TypeVar

from a2d_cli.data.demo import lexicon
from a2d_cli.data.demo import words as forms
from a2d_cli.data.demo.clauses import Part
from a2d_cli.data.demo.words import Verb

T = TypeVar("T")

Pair = tuple[str, str]  # German, English
# The r-th word of a list (from 0) is taken with a probability proportional to (r + offset) ** -exponent.
ZIPF_OFFSET, ZIPF_EXPONENT = 2, 1.3


class Dice:
    """Choices from a seed, the same on every Python: only `Random.random` is promised not to change."""

    def __init__(self, seed: int):
        self._random = random.Random(seed).random

    def chance(self, probability: float) -> bool:
        return self._random() < probability

    def pick(self, items: Sequence[T]) -> T:
        return items[int(self._random() * len(items))]

    def number(self, low: int, high: int) -> int:
        return low + int(self._random() * (high - low + 1))

    def zipf(self, items: Sequence[T]) -> T:
        """An item of a list that is in the order of frequency."""
        return items[bisect.bisect(_zipf_sums(len(items)), self._random())]

    def weighted(self, weights: dict[T, float]) -> T:
        sums = list(itertools.accumulate(weights.values()))
        return list(weights)[bisect.bisect(sums, self._random() * sums[-1])]


@cache
def _zipf_sums(length: int) -> list[float]:
    sums = list(itertools.accumulate((rank + ZIPF_OFFSET) ** -ZIPF_EXPONENT for rank in range(length)))
    return [value / sums[-1] for value in sums[:-1]]


ONES_DE, ONES_EN = zip(*(pair.split("=") for pair in lexicon.ONES.split()), strict=True)
TENS_DE, TENS_EN = zip(("", ""), *(pair.split("=") for pair in lexicon.TENS.split()), strict=True)


def number_de(number: int) -> str:
    """23 -> dreiundzwanzig, for 1 to 9,999 before a noun."""
    if number < 20:
        return ONES_DE[number] if number != 1 else "ein"
    if number < 100:
        tens, ones = divmod(number, 10)
        return (number_de(ones) + "und" if ones else "") + TENS_DE[tens]
    unit, word = (100, "hundert") if number < 1000 else (1000, "tausend")
    count, rest = divmod(number, unit)
    return number_de(count) + word + (number_de(rest) if rest else "")


def number_en(number: int) -> str:
    """23 -> twenty-three, for 1 to 9,999."""
    if number < 20:
        return ONES_EN[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return TENS_EN[tens] + (f"-{ONES_EN[ones]}" if ones else "")
    unit, word = (100, "hundred") if number < 1000 else (1000, "thousand")
    count, rest = divmod(number, unit)
    return f"{number_en(count)} {word}" + (f" {number_en(rest)}" if rest else "")


def clock(dice: Dice) -> Pair:
    """halb vier is half past three."""
    hour = dice.number(1, 11)
    this, that = ("eins" if h == 1 else number_de(h) for h in (hour, hour + 1))
    now, later = number_en(hour), number_en(hour + 1)
    return dice.pick(
        [
            (f"um halb {that}", f"at half past {now}"),
            (f"um Viertel nach {this}", f"at a quarter past {now}"),
            (f"um Viertel vor {that}", f"at a quarter to {later}"),
            (f"um {number_de(hour)} Uhr", f"at {now} o'clock"),
            (f"um zehn nach {this}", f"at ten past {now}"),
            (f"um {hour + 12}.30 Uhr", f"at {hour}:30 p.m."),
        ]
    )


UNITS = [
    ("Tag", "Tagen", "day"),
    ("Jahr", "Jahren", "year"),
    ("Woche", "Wochen", "week"),
    ("Monat", "Monaten", "month"),
    ("Stunde", "Stunden", "hour"),
    ("Minute", "Minuten", "minute"),
]


def ago(dice: Dice) -> Pair:
    _, plural, unit = dice.pick(UNITS)
    count = dice.number(2, 12)
    return f"vor {number_de(count)} {plural}", f"{number_en(count)} {unit}s ago"


def date(dice: Dice) -> Pair:
    german, english_month = dice.pick(lexicon.MONTHS.split()).split("=")
    day = dice.number(1, 30)
    return f"am {day}. {german}", f"on {english_month} {day}"


def year(dice: Dice, preposition_de: str = "im Jahr", preposition_en: str = "in") -> Pair:
    number = dice.number(1920, 2020)
    return f"{preposition_de} {number}", f"{preposition_en} {number}"


def since(dice: Dice, tags: frozenset[str]) -> Pair:
    if "y" in tags and dice.chance(0.3):
        return year(dice, "seit", "since")
    if dice.chance(0.15):
        return dice.pick(
            [
                ("seit Montag", "since Monday"),
                ("seit gestern", "since yesterday"),
                ("seit Anfang Mai", "since early May"),
            ]
        )
    _, plural, unit = dice.pick(UNITS[:4] if "y" in tags else UNITS[4:])
    count = dice.number(2, 25)
    return f"seit {number_de(count)} {plural}", f"for {number_en(count)} {unit}s"


def price(dice: Dice) -> Pair:
    if dice.chance(0.3):
        euros, cents = dice.number(1, 90), dice.pick(["50", "99", "20", "75"])
        return f"{euros},{cents} Euro", f"{euros}.{cents} euros"
    euros = dice.pick([dice.number(2, 99), 100 * dice.number(1, 12)])
    return f"{number_de(euros)} Euro", f"{number_en(euros)} euros"


def duration(dice: Dice) -> Pair:
    if dice.chance(0.2):
        return dice.pick(
            [
                ("eine Stunde", "one hour"),
                ("einen Tag", "one day"),
                ("eine halbe Stunde", "half an hour"),
                ("einen Monat", "one month"),
            ]
        )
    german, _, unit = dice.pick(UNITS)
    count = dice.number(2, 60)
    plural = german + ("n" if german.endswith("e") else "e")
    return f"{number_de(count)} {plural}", f"{number_en(count)} {unit}s"


def time_part(dice: Dice, group: str, verb: Verb) -> Part:
    """When it happens: `group` is a key of WHEN, or since, used."""
    role_en = "time"
    if group == "since":
        german, english_time = since(dice, verb.tags)
    elif group == "used":
        german, english_time, role_en = "früher", "", "none"
    else:
        german, english_time = dice.zipf(forms.pairs(lexicon.WHEN[group]))
        if group == "past" and dice.chance(0.35):
            german, english_time = dice.pick([ago, ago, date, year, clock])(dice)
        elif group == "habit" and dice.chance(0.15):
            german, english_time = clock(dice)
        elif group == "done":
            role_en = "adverb"
    return Part("time", german, english_time, role_en)
