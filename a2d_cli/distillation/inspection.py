"""Which student heads stand in for which teacher heads, and how well: what an alignment module has learned, measured.

Letters: B sentences, C_T teacher and C_S student maps of one kind (map index = layer · H + head), Q query and K key
positions of a sentence.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from a2d_cli.config.schema import ModelShape
from a2d_cli.data.batching import Batch
from a2d_cli.distillation.aligned_attention import as_rows
from a2d_cli.distillation.alignment import SimplexAlignment, align
from a2d_cli.distillation.divergences import log_of_floored, uniform_rows
from a2d_cli.distillation.ensemble import EnsembleTeacher
from a2d_cli.distillation.objective import DistillationObjective
from a2d_cli.distillation.teachers import Teacher
from a2d_cli.distillation.terms import TermInputs
from a2d_cli.model.transformer import Transformer

ROW_FLOOR = 1e-3  # uniform mass in a row that is compared with the teacher's: a one-hot row stays at a finite distance
SHOWN_STUDENTS = 3  # student heads whose maps are shown beside a teacher head's
Matrix = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, order=True)
class Head:
    """A head of one kind of attention; everything counts from 1."""

    layer: int
    head: int
    member: int = 0  # of an ensemble of teachers; 0: there is one model

    def __str__(self) -> str:
        return f"{self.member}:{self.layer}.{self.head}" if self.member else f"{self.layer}.{self.head}"


@dataclass(frozen=True)
class StandIn:
    """What stands in for one teacher head. Distances are KL(teacher's row ‖ row) in nats, means over real rows."""

    teacher: Head
    shares: tuple[float, ...]  # of each student head; their magnitudes sum to 1
    effective_heads: float  # exp(entropy of the magnitudes): 1 = a single head, C_S = all alike
    residual: float  # of the intermediate map
    single: Head  # the student head that is closest on its own
    single_residual: float
    uniform_residual: float  # of rows that look everywhere alike: what nothing learned would give
    moved: float | None = None  # how much of the shares is elsewhere than at the start, ½ Σ |now - then|; None: unknown


@dataclass(frozen=True)
class Alignment:
    """One aligner: all student heads of a kind of attention to all teacher heads."""

    term: str  # of the method: simplex, masked, …
    kind: str  # encoder_self, decoder_self or cross
    is_mixture: bool  # shares are a convex mixture; else a convolution's weights, which have signs
    student_heads: tuple[Head, ...]
    stand_ins: tuple[StandIn, ...]  # by teacher head, in order

    @property
    def name(self) -> str:
        return f"{self.term}-{self.kind}"


@dataclass(frozen=True)
class GradientShare:
    """How much the terms of maps and states move the student, beside the rest of its loss."""

    weight: float  # λ
    share: float  # ‖λ · gradient of the terms‖ / ‖gradient of the rest‖
    cosine: float  # between the two
    num_batches: int


@dataclass(frozen=True)
class StudentMap:
    head: Head
    share: float
    rows: Matrix  # (Q, K)


@dataclass(frozen=True)
class HeadMaps:
    """One teacher head on one sentence, and what stands in for it there. Every map is (Q, K), rows sum to 1."""

    teacher: Head
    residual: float  # of the intermediate map on this sentence
    teacher_rows: Matrix
    intermediate_rows: Matrix
    students: tuple[StudentMap, ...]  # the strongest first


@dataclass(frozen=True)
class InspectedAligner:
    """An aligner and how its term reads what it makes."""

    term: str
    kind: str
    aligner: nn.Module
    by_rows: bool = False  # the term compares rows, which fixes the level of a convolution's maps; cells leave it open
    start: Tensor | None = None  # (C_T, C_S), the shares before training

    @property
    def is_mixture(self) -> bool:
        return isinstance(self.aligner, SimplexAlignment)

    @property
    def weight(self) -> Tensor:
        """(C_T, C_S): π or W."""
        return (self.aligner.mixture if self.is_mixture else self.aligner.weight).detach()

    def shares(self) -> Tensor:
        """(C_T, C_S): π, or W scaled so that the magnitudes of a row sum to 1."""
        return self.weight / self.weight.abs().sum(-1, keepdim=True).clamp(min=1e-12)

    @torch.no_grad()
    def intermediate(self, student_maps: Tensor, cells: Tensor) -> Tensor:
        """Intermediate maps whose rows are distributions over the cells (B, Q, K): (B, C_S, Q, K) -> (B, C_T, Q, K)."""
        if self.by_rows:
            return as_rows(self.aligner(student_maps), cells)
        # Relative to uniform rows: the same for a mixture, and the level that a sum over cells leaves open for the
        # others.
        uniform = uniform_rows(cells)
        return as_rows(uniform + align(student_maps - uniform, self.weight), cells)


def heads_of(kind: str, shapes: Sequence[ModelShape]) -> tuple[Head, ...]:
    """Of one model, or of the members of an ensemble, in the order of their maps."""
    return tuple(
        Head(layer, head, member if len(shapes) > 1 else 0)
        for member, shape in enumerate(shapes, start=1)
        for layer in range(1, shape.layers_with(kind) + 1)
        for head in range(1, shape.num_heads + 1)
    )


@torch.no_grad()
def term_inputs_of(student: Transformer, teacher: Teacher | EnsembleTeacher, batch: Batch) -> TermInputs:
    """A batch as both models see it, maps included."""
    taught = teacher(batch, need_maps=True)
    output = student(batch.src, batch.tgt_in, need_maps=True, form=teacher.form)
    return TermInputs(batch, output, taught, student.src_mask(batch.src))


def measure_alignments(
    student: Transformer,
    teacher: Teacher | EnsembleTeacher,
    aligned: Sequence[InspectedAligner],
    batches: Iterable[Batch],
) -> list[Alignment]:
    """Shares and residuals of every aligner, over all real rows of the batches."""
    distances = [_Distances() for _ in aligned]
    for batch in batches:
        inputs = term_inputs_of(student, teacher, batch)
        for each, sums in zip(aligned, distances, strict=True):
            sums.add(each, inputs)
    return [_alignment(each, sums, student, teacher) for each, sums in zip(aligned, distances, strict=True)]


@dataclass
class _Distances:
    """Sums over rows of an aligner's divergences."""

    num_rows: int = 0
    intermediate: Tensor | float = 0.0  # (C_T,)
    single: Tensor | float = 0.0  # (C_T, C_S)
    uniform: Tensor | float = 0.0  # (C_T,)

    def add(self, aligned: InspectedAligner, inputs: TermInputs) -> None:
        maps = inputs.maps(aligned.kind)
        cells, student = maps.cells, maps.student
        teacher = maps.teacher.float() * cells[:, None]

        def log(rows: Tensor) -> Tensor:
            return log_of_floored(rows.float(), cells, ROW_FLOOR)

        entropy = -torch.xlogy(teacher, teacher).sum((0, 2, 3))
        intermediate = log(aligned.intermediate(student, cells))
        self.intermediate -= ((teacher * intermediate).sum((0, 2, 3)) + entropy).double()
        # Every teacher map with every student map: one product over all cells of the batch.
        flat_teacher, flat_student = (maps.transpose(0, 1).flatten(1) for maps in (teacher, log(student)))
        self.single -= (flat_teacher @ flat_student.T + entropy[:, None]).double()
        self.uniform -= ((teacher * log(uniform_rows(cells))).sum((0, 2, 3)) + entropy).double()
        self.num_rows += int(cells.any(-1).sum())


def _alignment(
    aligned: InspectedAligner, sums: _Distances, student: Transformer, teacher: Teacher | EnsembleTeacher
) -> Alignment:
    student_heads, teacher_heads = (
        heads_of(aligned.kind, (student.shape,)),
        heads_of(aligned.kind, teacher.shapes.members),
    )
    shares = aligned.shares()
    magnitudes = shares.abs().double()
    effective = (-torch.xlogy(magnitudes, magnitudes).sum(-1)).exp()
    intermediate, single, uniform = (each / sums.num_rows for each in (sums.intermediate, sums.single, sums.uniform))
    closest = single.argmin(-1)
    moved = None if aligned.start is None else 0.5 * (shares - aligned.start).abs().sum(-1)
    stand_ins = tuple(
        StandIn(
            teacher=head,
            shares=tuple(shares[index].tolist()),
            effective_heads=float(effective[index]),
            residual=float(intermediate[index]),
            single=student_heads[int(closest[index])],
            single_residual=float(single[index, closest[index]]),
            uniform_residual=float(uniform[index]),
            moved=None if moved is None else float(moved[index]),
        )
        for index, head in enumerate(teacher_heads)
    )
    return Alignment(aligned.term, aligned.kind, aligned.is_mixture, student_heads, stand_ins)


def strongest(stand_in: StandIn, student_heads: Sequence[Head], count: int) -> list[tuple[Head, float]]:
    """Student heads of the largest magnitudes, with their shares."""
    pairs = zip(student_heads, stand_in.shares, strict=True)
    return sorted(pairs, key=lambda pair: -abs(pair[1]))[:count]


def head_maps(
    student: Transformer,
    teacher: Teacher | EnsembleTeacher,
    aligned: InspectedAligner,
    batch: Batch,
    wanted: Sequence[Head],
) -> tuple[HeadMaps, ...]:
    """The maps of a batch of one sentence, for some teacher heads."""
    inputs, distances = term_inputs_of(student, teacher, batch), _Distances()
    distances.add(aligned, inputs)
    alignment = _alignment(aligned, distances, student, teacher)
    cells = inputs.cells[aligned.kind]
    teacher_maps, student_maps = (getattr(each.maps, aligned.kind) for each in (inputs.teacher, inputs.student))
    intermediate = aligned.intermediate(student_maps, cells)
    index_of = {head: index for index, head in enumerate(alignment.student_heads)}

    def rows(maps: Tensor, index: int) -> Matrix:
        return tuple(tuple(row) for row in maps[0, index].tolist())

    def look(index: int) -> HeadMaps:
        stand_in = alignment.stand_ins[index]
        students = strongest(stand_in, alignment.student_heads, SHOWN_STUDENTS)
        return HeadMaps(
            stand_in.teacher,
            stand_in.residual,
            rows(teacher_maps, index),
            rows(intermediate, index),
            tuple(StudentMap(head, share, rows(student_maps, index_of[head])) for head, share in students),
        )

    teacher_heads = [stand_in.teacher for stand_in in alignment.stand_ins]
    return tuple(look(teacher_heads.index(head)) for head in wanted)


def gradient_share(objective: DistillationObjective, weight: float, batches: Sequence[Batch]) -> GradientShare:
    """Norms and angle of the terms' gradient over the student's weights, dropout off; means over batches of the
    gradient per target token.

    Args:
        weight: λ.
    """
    norms = [objective.gradient_norms(batch) for batch in batches]
    tokens = [batch.num_tgt_tokens for batch in batches]
    terms = sum(each.terms / num for each, num in zip(norms, tokens, strict=True))
    rest = sum(each.rest / num for each, num in zip(norms, tokens, strict=True))
    cosine = sum(each.cosine for each in norms) / len(norms)
    return GradientShare(weight, weight * terms / rest if rest else 0.0, cosine, len(norms))
