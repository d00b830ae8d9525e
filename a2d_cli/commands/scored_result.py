"""A result of scores/ whose scores are read, and which teacher's it is held against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from a2d_cli.project.run import is_taught_by
from a2d_cli.project.score_cache import Result
from a2d_cli.scoring import Score


class ScoredResult:
    """What a class has whose `result` is one of scores/."""

    result: Result

    @property
    def scores(self) -> list[Score]:
        """BLEU and chrF2."""
        return [Score(**values) for values in self.result.scores]

    @property
    def bleu(self) -> float:
        return self.scores[0].value


S = TypeVar("S", bound=ScoredResult)


def own_teacher(digits: str, teachers: Sequence[S]) -> S | None:
    """The one that a student was distilled from (of an ensemble the best); of a model that has no teacher the first.

    None: it is not among them.

    Args:
        digits: as `is_taught_by`; empty: it has none.
        teachers: on the same test set.
    """
    if not digits:
        return next(iter(teachers), None)
    own = [each for each in teachers if is_taught_by(digits, each.result.weights_sha256)]
    return max(own, key=lambda each: each.bleu, default=None)
