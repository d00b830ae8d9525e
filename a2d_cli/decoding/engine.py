"""What a translator needs of a model, whoever computes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from a2d_cli.config.schema import Decoding


@dataclass(frozen=True)
class Hypothesis:
    """One finished translation."""

    tokens: tuple[int, ...]  # without the end mark
    score: float  # Σ log p / length ** length_penalty; the length counts the end mark
    attended: tuple[int, ...] | None = None  # for each token the source position that the alignment head looks at most


@dataclass(frozen=True)
class SearchBatch:
    """Sentences that are searched together."""

    sources: list[list[int]]  # ids without end marks, none empty
    limits: list[int]  # most tokens of each output, end mark counted


def with_attended(
    sources: Sequence[list[int]],
    found: Sequence[Sequence[Hypothesis]],
    attend: Callable[[list[list[int]], list[Sequence[int]]], Iterable[Sequence[int]]],
) -> list[list[Hypothesis]]:
    """Hypotheses with `attended`.

    Args:
        attend: of sources and translations of them, for each token of a translation the source position that the
            alignment head looks at most: among words only, as a head that rests on the end mark says nothing.
    """
    flat = [(source, h) for source, hypotheses in zip(sources, found, strict=True) for h in hypotheses]
    attended = iter(attend([source for source, _ in flat], [h.tokens for _, h in flat]))
    return [[replace(h, attended=tuple(next(attended))) for h in hypotheses] for hypotheses in found]


class Engine(Protocol):
    """A loaded model that can search."""

    name: str  # torch or ct2
    max_tokens: int  # that it can read, and write, end mark counted
    machine: str  # where it runs: `cpu, 2 threads`, or the GPU's name (of CTranslate2: `cuda`)

    def search(
        self, batches: Iterable[SearchBatch], settings: Decoding, *, align: bool = False, exact_length: bool = False
    ) -> Iterator[list[list[Hypothesis]]]:
        """For each batch, in order, each sentence's `nbest` best hypotheses, best first (fewer only if no more exist).

        Args:
            align: fill in `attended`.
            exact_length: end no output before its limit; so speed can be measured whatever the weights.
        """
        ...

    def score_tokens(self, sources: list[list[int]], targets: list[list[int]]) -> list[list[float]]:
        """Log-probabilities of given translations: for each, one for every token and one for the end mark."""
        ...
