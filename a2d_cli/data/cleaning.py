"""Rules that a training pair must pass, and the one normalisation that every line of text gets."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from a2d_cli.config import schema
from a2d_cli.data.aligned_text import Pair
from a2d_cli.data.workers import map_chunks

MAX_SAMPLES = 5  # dropped pairs kept per rule, to look at
_MAX_SAMPLE_CHARACTERS = 200

# What nobody sees: C0 and C1 controls that are no white space, soft hyphen, zero-width space, direction
# marks, word joiner, byte-order mark, annotation marks. The joiners U+200C and U+200D stay: they are spelling
# in Persian, in several Indic scripts and in emoji.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u061c\u200b\u200e\u200f"
    "\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb]"
)
# The keys of `Cleaning` that relax a rule; duplicates and empty sides are nobody's loss.
RULE_KEYS = {"too_long": "max_characters or max_words", "ratio": "max_ratio", "identical": "drop_identical"}
# A Chinese character or a kana says as much as three letters, a Hangul syllable as much as two: without that, the usual
# ratio drops most of a sound Chinese-English text.
_IDEOGRAPH = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_HANGUL = re.compile("[\uac00-\ud7a3]")


def normalise(line: str) -> str:
    """Invisible characters out, every run of white space one space, ends stripped, Unicode NFC.

    The tokenizer applies it too, so that a text to translate is read as the training text was.
    """
    if not line.isprintable():  # a printable line holds nothing invisible
        line = _INVISIBLE.sub("", line)
    line = single_spaced(line)
    # NFC last: what stood around an invisible character may compose once that is gone.
    return line if line.isascii() else unicodedata.normalize("NFC", line)


def single_spaced(text: str) -> str:
    """Every run of white space one space, none at the ends."""
    if text.isprintable() and "  " not in text:  # most lines: white space that is printable is U+0020 only
        return text.strip(" ")
    return " ".join(text.split())


class Tally:
    """How many pairs of one text were read and kept, and how many each rule dropped, with samples."""

    def __init__(self) -> None:
        self.num_read = 0
        self.num_kept = 0
        self.num_dropped: dict[str, int] = {}
        self.samples: dict[str, list[Pair]] = {}

    def drop(self, rule: str, pair: Pair) -> None:
        self.num_dropped[rule] = self.num_dropped.get(rule, 0) + 1
        samples = self.samples.setdefault(rule, [])
        if len(samples) < MAX_SAMPLES:
            samples.append((pair[0][:_MAX_SAMPLE_CHARACTERS], pair[1][:_MAX_SAMPLE_CHARACTERS]))

    def as_dict(self) -> dict[str, Any]:
        """Ready for report.json."""
        return {
            "read": self.num_read,
            "kept": self.num_kept,
            "dropped": dict(self.num_dropped),
            "samples": {rule: [list(pair) for pair in pairs] for rule, pairs in self.samples.items()},
        }


class Cleaner:
    """Passes the pairs that obey every rule. One cleaner sees all training texts, and their duplicates.

    It remembers eight bytes of hash for each pair (about 100 bytes as Python keeps them), not the text.
    """

    def __init__(self, settings: schema.Cleaning):
        self._settings = settings
        self._seen: set[int] = set()

    def clean(self, pairs: Iterable[Pair], tally: Tally) -> Iterator[Pair]:
        """The normalised pairs that stay; `tally` counts the others. All cores work on a large text."""
        seen = self._seen
        for chunk, checked in map_chunks(_Rules(self._settings), pairs):
            tally.num_read += len(chunk)
            for i, pair in checked.rewritten.items():
                chunk[i] = pair
            for i, (pair, key) in enumerate(zip(chunk, checked.hashes, strict=True)):
                rule = checked.broken.get(i)
                if rule is None and self._settings.drop_duplicates:
                    if key in seen:
                        rule = "duplicate"
                    seen.add(key)
                if rule:
                    tally.drop(rule, pair)
                else:
                    tally.num_kept += 1
                    yield pair


@dataclass(frozen=True)
class _Checked:
    """What can be told of a chunk of pairs without the others, by their positions."""

    rewritten: dict[int, Pair]  # normalised, where that changes a pair
    broken: dict[int, str]  # the first rule
    hashes: array[int]  # (pairs,) 64 bits each, of the normalised pair


@dataclass(frozen=True)
class _Rules:
    """Those that need no other pair: all but that on duplicates."""

    _settings: schema.Cleaning

    def __call__(self, pairs: list[Pair]) -> _Checked:
        rewritten: dict[int, Pair] = {}
        broken: dict[int, str] = {}
        hashes = bytearray()
        for i, pair in enumerate(pairs):
            src, tgt = normal = (normalise(pair[0]), normalise(pair[1]))
            if normal != pair:
                rewritten[i] = normal
            if rule := self._broken_rule(src, tgt):
                broken[i] = rule
            hashes += hashlib.blake2b(f"{src}\n{tgt}".encode(), digest_size=8).digest()
        return _Checked(rewritten, broken, array("Q", bytes(hashes)))

    def _broken_rule(self, src: str, tgt: str) -> str | None:
        settings = self._settings
        if not src or not tgt:
            return "empty"
        # A normalised line has one space between words.
        num_characters, num_spaces = max(len(src), len(tgt)), max(src.count(" "), tgt.count(" "))
        if num_characters > settings.max_characters or num_spaces >= settings.max_words:
            return "too_long"
        shorter, longer = sorted((_weight(src), _weight(tgt)))
        if longer > settings.ratio_free_characters and longer > settings.max_ratio * shorter:
            return "ratio"
        if settings.drop_identical and src == tgt:
            return "identical"
        return None


def _weight(text: str) -> int:
    """Its length in letters."""
    if text.isascii():
        return len(text)
    return len(text) + 2 * len(_IDEOGRAPH.findall(text)) + len(_HANGUL.findall(text))


def clean_held_out(pairs: Iterable[Pair], tally: Tally) -> Iterator[Pair]:
    """A validation or test text: every pair normalised and kept, but for those with an empty side."""
    for src, tgt in pairs:
        pair = (normalise(src), normalise(tgt))
        tally.num_read += 1
        if all(pair):
            tally.num_kept += 1
            yield pair
        else:
            tally.drop("empty", pair)
