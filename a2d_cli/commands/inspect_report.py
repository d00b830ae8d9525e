"""What `a2d inspect` found, as tables and JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from a2d_cli.commands.table import Table
from a2d_cli.distillation.inspection import (
    ROW_FLOOR,
    Alignment,
    GradientShare,
    Head,
    HeadMaps,
    strongest,
)
from a2d_cli.reporting import count_text

KIND_TITLES = {
    "encoder_self": "encoder self-attention",
    "decoder_self": "decoder self-attention",
    "cross": "cross-attention",
}
NAMED_STUDENTS = 3  # student heads named for each teacher head


@dataclass(frozen=True)
class SentenceMaps:
    """Some teacher heads of one kind on the sentence, and what stands in for them."""

    term: str
    kind: str
    is_mixture: bool  # what the shares of student heads are, as in Alignment
    queries: tuple[str, ...]  # a token a row: on the target side the one that is written there
    keys: tuple[str, ...]  # a token a column: on the target side those that are read
    heads: tuple[HeadMaps, ...]


@dataclass(frozen=True)
class Sentence:
    """One sentence, seen by both models teacher-forced."""

    src: str
    tgt: str
    is_translated: bool  # the target is the student's own translation
    maps: tuple[SentenceMaps, ...]


@dataclass(frozen=True)
class Inspection:
    """What a run's alignment modules have learned. Plain data: what tables, JSON and pictures are made of."""

    run: str
    folder: str  # of the run
    method: str
    pair: str
    teacher: str  # its run; those of an ensemble with + between
    update: int  # of the weights looked at
    num_pairs: int  # of validation text that everything is measured on
    alignments: tuple[Alignment, ...]
    gradient: GradientShare | None  # None: not measured; a note says why
    sentence: Sentence | None = None
    notes: tuple[str, ...] = ()  # what a reader must know besides

    def to_json(self) -> dict[str, Any]:
        return {**_with_head_names(asdict(self)), "row_floor": ROW_FLOOR}

    def tables(self) -> list[Table]:
        """All alignments at a glance, then each by teacher head."""
        tables = [self._overview(), *map(_by_head, self.alignments)]
        if self.sentence:
            tables.append(_of_sentence(self.sentence))
        return tables

    def _overview(self) -> Table:
        columns = ["attention", "aligner", "heads", "in use", "moved", "KL", "closest", "uniform"]
        rows = [
            [
                KIND_TITLES[each.kind],
                each.term,
                f"{len(each.student_heads)} for {len(each.stand_ins)}",
                f"{fmean(one.effective_heads for one in each.stand_ins):.1f}",
                _moved_text([one.moved for one in each.stand_ins]),
                *(f"{value:.3f}" for value in _means(each)),
            ]
            for each in self.alignments
        ]
        note = [
            "heads: of the student, for those of the teacher; in use: effective number of",
            "student heads, exp(entropy of their shares); moved: how much of the shares is",
            "elsewhere than before training. KL(teacher's row ‖ row) in nats:",
            "of the intermediate map, of the closest single student head, of a row that",
            f"looks everywhere alike; means over the rows of {count_text(self.num_pairs, 'validation pair')}.",
        ]
        note += _gradient_note(self.gradient, self.update)
        note += [f"note: {each}" for each in self.notes]
        return Table(
            f"{self.run} ({self.method}, {self.pair}), taught by {self.teacher}: means", columns, rows, "\n".join(note)
        )


def _gradient_note(found: GradientShare | None, update: int) -> list[str]:
    if found is None:
        return []
    if found.weight == 0.0:
        return [f"gradient: at update {update:,} the terms have no weight any more (half-life)."]
    batches = "1 batch" if found.num_batches == 1 else f"{found.num_batches} batches"
    return [
        f"gradient at update {update:,}, λ {found.weight:.3g}: the terms' is {found.share:.1%} of the rest's,",
        f"cosine between them {found.cosine:+.2f} ({batches} of validation text).",
    ]


def _means(alignment: Alignment) -> tuple[float, float, float]:
    """Residuals of intermediate maps, closest single heads, and uniform rows."""
    ones = alignment.stand_ins
    return (
        fmean(one.residual for one in ones),
        fmean(one.single_residual for one in ones),
        fmean(one.uniform_residual for one in ones),
    )


def _moved_text(moved: Sequence[float | None]) -> str:
    """Their mean."""
    return "–" if None in moved else f"{fmean(moved):.0%}"


def share_text(share: float, is_mixture: bool) -> str:
    """'34%'; a convolution's has its sign: '−34%'."""
    return f"{share:.0%}" if is_mixture else f"{share:+.0%}".replace("-", "−")


def _by_head(alignment: Alignment) -> Table:
    columns = ["teacher", "student heads that stand in", "in use", "moved", "KL", "closest", "uniform"]
    rows = [
        [
            str(one.teacher),
            _named(strongest(one, alignment.student_heads, NAMED_STUDENTS), alignment.is_mixture),
            f"{one.effective_heads:.1f}",
            _moved_text([one.moved]),
            f"{one.residual:.3f}",
            f"{one.single} {one.single_residual:.3f}",
            f"{one.uniform_residual:.3f}",
        ]
        for one in alignment.stand_ins
    ]
    what = "shares of a mixture" if alignment.is_mixture else "weights, scaled to a sum of magnitudes of 100%"
    return Table(f"{KIND_TITLES[alignment.kind]}, {alignment.term}: {what}", columns, rows)


def _named(shares: Iterable[tuple[Head, float]], is_mixture: bool) -> str:
    width = 3 if is_mixture else 4
    return "  ".join(f"{head} {share_text(share, is_mixture):>{width}}" for head, share in shares)


def _of_sentence(sentence: Sentence) -> Table:
    columns = ["attention", "teacher", "KL", "student heads that stand in"]
    rows = [
        [
            KIND_TITLES[maps.kind],
            str(head.teacher),
            f"{head.residual:.3f}",
            _named(((each.head, each.share) for each in head.students), maps.is_mixture),
        ]
        for maps in sentence.maps
        for head in maps.heads
    ]
    origin = "the student's translation" if sentence.is_translated else "target"
    return Table(f"sentence: {sentence.src}\n{origin}: {sentence.tgt}", columns, rows)


def _with_head_names(value: Any) -> Any:
    """`Head` as `LAYER.HEAD` wherever it stands."""
    if isinstance(value, dict):
        if value.keys() == {"layer", "head", "member"}:
            return str(Head(**value))
        return {key: _with_head_names(item) for key, item in value.items()}
    return [_with_head_names(item) for item in value] if isinstance(value, (list, tuple)) else value
