"""From a teacher's n-best translations to the pairs that a student learns from (sequence-level distillation)."""

from __future__ import annotations

import contextlib
import functools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

from a2d_cli.data.aligned_text import Pair
from a2d_cli.data.workers import map_chunks
from a2d_cli.distillation.pseudo_corpus import WHOLE, Candidate, PseudoCorpus
from a2d_cli.distillation.pseudo_text import Encoding, encode_pairs
from a2d_cli.files import fingerprint
from a2d_cli.reporting import Reporter

if TYPE_CHECKING:
    from sacrebleu.metrics import CHRF

Translated = tuple[Pair, list[Candidate]]  # source and reference, and translations of that source

# How many sentences have which translation, as the run's report tells it.
_OWN, _SAME, _NOT_WHOLE = "in the teacher's words", "in the reference's very words", "not whole: "


@dataclass(frozen=True)
class TeacherText:
    """The training text in its teacher's words.

    A translation that is not whole (empty, in a loop, cut) is nobody's model: the reference stands in for it.
    """

    corpus: PseudoCorpus
    choice: Literal["best", "closest"]
    with_references: bool  # each source once more with its reference
    fill: Callable[[], None]  # makes what is missing of the corpus

    def facts(self) -> dict[str, Any]:
        """What decides the text besides training text and teacher, which a run knows; known before it is made."""
        origin = self.corpus.origin.facts()
        del origin["text"], origin["teacher"]
        return {**origin, "choice": self.choice, "nbest": self.corpus.needed, "with_references": self.with_references}

    def encode(self, encoding: Encoding, reporter: Reporter) -> dict[str, int]:
        """As `encode_pairs`; translates first what is not translated yet.

        Returns:
            Also how many sentences have a translation in whose words, or none that is whole.
        """
        self.fill()
        tally: Counter[str] = Counter()
        counts = encode_pairs(self._pairs(tally), str(self.corpus.folder), self.digest(), encoding, reporter)
        not_whole = sum(count for key, count in tally.items() if key.startswith(_NOT_WHOLE))
        reporter.info(
            f"{self.corpus.folder}: {sum(tally.values()):,} sentences; "
            f"{tally[_SAME]:,} translations are the reference's very words; "
            f"for {not_whole:,} that are not whole the reference stands in"
        )
        return {**counts, **tally}

    def digest(self) -> str:
        """Of the text, once it is made."""
        of_references = [self.corpus.origin.text.digest] * (self.with_references or self.choice == "closest")
        return fingerprint([self.corpus.index().digest, self.facts(), *of_references])

    def _pairs(self, tally: Counter[str]) -> Iterator[Pair]:
        choices = map_chunks(_Choice(self.choice, self.corpus.needed), self.corpus.read())
        with contextlib.closing(choices):
            chosen_ones = chain.from_iterable(zip(*chunk, strict=True) for chunk in choices)
            for ((src, reference), candidates), chosen in chosen_ones:
                if chosen is None:
                    tally[_NOT_WHOLE + candidates[0].state] += 1
                else:
                    tally[_SAME if chosen == reference else _OWN] += 1
                    yield src, chosen
                if chosen is None or self.with_references:
                    yield src, reference


@dataclass(frozen=True)
class _Choice:
    """`choose` for a chunk of the text: chrF takes a millisecond and a half for a sentence."""

    choice: Literal["best", "closest"]
    needed: int  # of the candidates

    def __call__(self, sentences: list[Translated]) -> list[str | None]:
        return [choose(candidates[: self.needed], reference, self.choice) for (_, reference), candidates in sentences]


def choose(candidates: Sequence[Candidate], reference: str, choice: Literal["best", "closest"]) -> str | None:
    """The teacher's best translation, or of several the one that is closest to the reference by sentence chrF.

    None: it is not whole, or none is.
    """
    if choice == "best":
        return candidates[0].text if candidates[0].state == WHOLE else None
    texts = list(dict.fromkeys(each.text for each in candidates if each.state == WHOLE))
    if len(texts) < 2 or reference in texts:
        return reference if reference in texts else next(iter(texts), None)
    return max(texts, key=lambda text: _chrf().sentence_score(text, [reference]).score)  # of equals the likeliest


@functools.cache
def _chrf() -> CHRF:
    from sacrebleu.metrics import CHRF

    return CHRF()
