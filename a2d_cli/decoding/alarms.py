"""What is suspicious about a translation, seen without a reference."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp, log

ALARMS = ("empty", "repetition", "length", "numbers")  # kinds, as tables show them

_TIMES = 4  # a unit said so often in a row is a loop,
_WORDS_AGAIN = 6  # and so is one that says so many words again, be it once (a whole sentence twice)
_OVERHEAD_CHARS = 10  # added to both lengths: a word's length says little, a sentence's much
_MARGIN = 2.0  # times as far from the middle as 98 of 100 pairs reach
_MIN_SPREAD = log(1.5)  # a small or uniform corpus shows too little of what is usual


@dataclass(frozen=True)
class LengthRange:
    """How many times longer than its source, in characters, a translation of a pair of languages may be."""

    low: float
    high: float

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]]) -> LengthRange:
        """From text of the pair; at least one pair."""
        ratios = [log(_length_ratio(src, tgt)) for src, tgt in pairs]
        cuts = statistics.quantiles(ratios if len(ratios) > 1 else ratios * 2, n=100)
        middle, first, last = cuts[49], cuts[0], cuts[-1]
        return cls(
            exp(middle - max(_MIN_SPREAD, _MARGIN * (middle - first))),
            exp(middle + max(_MIN_SPREAD, _MARGIN * (last - middle))),
        )

    def __contains__(self, pair: tuple[str, str]) -> bool:
        return self.low <= _length_ratio(*pair) <= self.high


def _length_ratio(src: str, tgt: str) -> float:
    return (len(tgt.strip()) + _OVERHEAD_CHARS) / (len(src.strip()) + _OVERHEAD_CHARS)


def alarms_of(source: str, hypothesis: str, lengths: LengthRange) -> tuple[str, ...]:
    """Kinds of ALARMS, in their order; an empty translation is nothing else besides."""
    if not source.strip():
        return ()
    if not hypothesis.strip():
        return ("empty",)
    found = {
        "repetition": has_repetition_loop(hypothesis, source),
        "length": (source, hypothesis) not in lengths,
        "numbers": bool(lost_numbers(source, hypothesis)),
    }
    return tuple(kind for kind, is_found in found.items() if is_found)


def has_repetition_loop(hypothesis: str, source: str = "") -> bool:
    """Whether the translation says something again and again, far more often than its source does.

    Four times in a row, or six words again; and more than twice what the source repeats. Punctuation and case do not
    count. Within a word of letters (and so in scripts without spaces) two letters and more, four times in a row.
    """
    told = _repetition(hypothesis)
    if told.times < _TIMES and told.words_again < _WORDS_AGAIN:
        return False
    given = _repetition(source)
    return (told.times >= _TIMES and told.times > 2 * given.times) or (
        told.words_again >= _WORDS_AGAIN and told.words_again > 2 * given.words_again
    )


@dataclass(frozen=True)
class _Repetition:
    times: int  # the most often that something is said in a row; 1: nothing is repeated
    words_again: int  # the most words in a row that have just been said


def _repetition(text: str) -> _Repetition:
    words = re.findall(r"\w+", text.casefold()) or text.split()  # punctuation can go round as well
    times, again = 1, 0
    for period in range(1, len(words) // 2 + 1):
        run = _longest_echo(words, period)
        times, again = max(times, run // period + 1), max(again, run if run >= period else 0)
    for word in words:
        if word.isalpha():  # 1000000 is no loop
            for period in range(2, len(word) // 2 + 1):
                times = max(times, _longest_echo(word, period) // period + 1)
    return _Repetition(times, again)


def _longest_echo(items: Sequence[str], period: int) -> int:
    """The most items in a row that equal the one `period` before them."""
    longest = run = 0
    for earlier, later in zip(items, items[period:], strict=False):
        run = run + 1 if earlier == later else 0
        longest = max(longest, run)
    return longest


def lost_numbers(source: str, hypothesis: str) -> list[str]:
    """Numbers of the source that the translation lacks, whatever their separators (1.000,5 = 1,000.5 = 1 000.5).

    A digit alone is not asked for, nor are digits with - or : between them: they may have become words.
    """
    kept = {reading for number in _numbers(hypothesis) for reading in _readings(number)}
    return [number for number in _numbers(source) if not _is_kept(number, kept)]


def _is_kept(number: str, kept: set[str]) -> bool:
    """As a whole; or part by part, as 1999-2003 in '1999 to 2003'; or 17:30 as 5:30 p.m."""
    whole = _digits(number)
    if re.fullmatch(r"\d([-:]\d)*", number) or whole in kept:
        return True
    if (clock := re.fullmatch(r"(1[3-9]|2[0-3])[.:](\d\d)", number)) and f"{int(clock[1]) - 12}{clock[2]}" in kept:
        return True
    long_parts = [digits for part in re.findall(r"\d+", number) if len(digits := _digits(part)) > 1]
    return bool(long_parts) and kept.issuperset(long_parts)


def _numbers(text: str) -> list[str]:
    """Digits, with signs between them that may separate thousands, decimals, hours or days."""
    return re.findall(r"\d+(?:[.,:'’/-]\d+|[ \u00a0\u202f]\d{3}(?!\d))*", text)


def _readings(number: str) -> set[str]:
    """The digits of the whole and of each part: `12 345` may be one number or two."""
    parts = re.findall(r"\d+", number)
    spaced = re.split(r"\s", number)
    return {_digits(each) for each in (number, *spaced, *parts)}


def _digits(number: str) -> str:
    """In one script, without separators and leading zeros (07:30 = 7.30)."""
    return "".join(str(int(sign)) for sign in number if sign.isdigit()).lstrip("0") or "0"
