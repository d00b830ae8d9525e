"""No sentence of a validation or test set may stand in the training text: a score would measure memory.

Sentences of one language are compared in their normal form, and a pair is a leak if *either* side is.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from a2d_cli.data.aligned_text import Pair
from a2d_cli.data.cleaning import Tally, single_spaced
from a2d_cli.data.workers import map_chunks


def normal_form(sentence: str) -> str:
    """What two sentences share that differ in case, spacing or Unicode composition only."""
    folded = unicodedata.normalize("NFC", sentence).casefold()  # which takes some letters apart
    return single_spaced(unicodedata.normalize("NFC", folded))


@dataclass(frozen=True)
class HeldOut:
    """Validation and test sets once nothing of them stands in the training text."""

    valid: list[Pair]
    tests: dict[str, list[Pair]]


class _SentenceIndex:
    """Both sides of some sets; tells which set holds the source or the target of a pair."""

    def __init__(self, sets: Mapping[str, Iterable[Pair]]):
        self.set_of_src: dict[str, str] = {}  # normal form to the name of a set
        self.set_of_tgt: dict[str, str] = {}
        for name, pairs in sets.items():
            for src, tgt in pairs:
                self.set_of_src.setdefault(normal_form(src), name)
                self.set_of_tgt.setdefault(normal_form(tgt), name)

    def find(self, src: str, tgt: str) -> str | None:
        """The set in which one of two *normal forms* stands."""
        return self.set_of_src.get(src) or self.set_of_tgt.get(tgt)


@dataclass(frozen=True)
class _Found:
    """What a chunk of the training text shares with the other sets."""

    leaks: dict[int, str]  # position in the chunk: the set that it is removed for
    reduced_src: set[str]  # normal forms that stay, and leave the sets that are to be reduced
    reduced_tgt: set[str]


@dataclass(frozen=True)
class _Search:
    index: _SentenceIndex
    reduced: _SentenceIndex

    def __call__(self, pairs: list[Pair]) -> _Found:
        found = _Found({}, set(), set())
        for i, pair in enumerate(pairs):
            src, tgt = normal_form(pair[0]), normal_form(pair[1])
            if name := self.index.find(src, tgt):
                found.leaks[i] = name
                continue
            if src in self.reduced.set_of_src:
                found.reduced_src.add(src)
            if tgt in self.reduced.set_of_tgt:
                found.reduced_tgt.add(tgt)
        return found


class Decontamination:
    """Removes validation pairs that stand in a test set, and training pairs that stand in either.

    For a test set named in `reduced_tests` it is the other way round: its own pairs are removed where they
    stand in valid or train. That is for a public set that was made out of the validation or training text.

    Use `filter` on the training text to its end, then `held_out`.
    """

    def __init__(self, valid: list[Pair], tests: Mapping[str, list[Pair]], reduced_tests: Collection[str] = ()):
        self.valid_tally = Tally()
        self.train_tally = Tally()
        self.test_tallies = {name: Tally() for name in reduced_tests}
        whole_tests = {name: pairs for name, pairs in tests.items() if name not in reduced_tests}
        self._tests = tests
        self._valid = list(_without(valid, _SentenceIndex(whole_tests), self.valid_tally))
        self._index = _SentenceIndex({"valid": self._valid, **whole_tests})

        self._reduced = _SentenceIndex({name: tests[name] for name in reduced_tests})
        self._train_or_valid = _SentenceIndex({"valid": self._valid})  # of train, only what stands in `_reduced`

    def filter(self, train: Iterable[Pair]) -> Iterator[Pair]:
        """The training pairs that stand in no held-out set, streamed. All cores work on a large text."""
        for chunk, found in map_chunks(_Search(self._index, self._reduced), train):
            self.train_tally.num_read += len(chunk)
            for src in found.reduced_src:
                self._train_or_valid.set_of_src.setdefault(src, "train")
            for tgt in found.reduced_tgt:
                self._train_or_valid.set_of_tgt.setdefault(tgt, "train")
            for i, pair in enumerate(chunk):
                if name := found.leaks.get(i):
                    self.train_tally.drop(name, pair)
                else:
                    self.train_tally.num_kept += 1
                    yield pair

    def held_out(self) -> HeldOut:
        """The sets that remain; right only after `filter` has come to its end."""
        reduced = {
            name: list(_without(self._tests[name], self._train_or_valid, tally))
            for name, tally in self.test_tallies.items()
        }
        return HeldOut(self._valid, {name: reduced.get(name, pairs) for name, pairs in self._tests.items()})


def _without(pairs: Iterable[Pair], index: _SentenceIndex, tally: Tally) -> Iterator[Pair]:
    for pair in pairs:
        tally.num_read += 1
        if name := index.find(normal_form(pair[0]), normal_form(pair[1])):
            tally.drop(name, pair)
        else:
            tally.num_kept += 1
            yield pair
