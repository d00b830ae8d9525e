"""A term: a loss between the attention maps or hidden states of both models, beside that of words.

How to add one: a2d_cli/README.md, "Adding a method". Neither objective nor trainer knows it: what they must know
stands on its class.

Letters: B sentences, S source and T target length, Q query and K key positions.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from a2d_cli.config.schema import Distillation
from a2d_cli.data.batching import Batch
from a2d_cli.distillation.teachers import TeacherOutput, TeacherShapes
from a2d_cli.model.transformer import ForwardOutput, Transformer
from a2d_cli.training.objective import LossTerms


def real_cells(src_mask: Tensor, tgt_mask: Tensor) -> dict[str, Tensor]:
    """By kind (B, Q, K), of masks (B, S) and (B, T): query and key real, the key not in the future."""
    return {
        "encoder_self": src_mask[:, :, None] & src_mask[:, None, :],
        "decoder_self": (tgt_mask[:, :, None] & tgt_mask[:, None, :]).tril(),
        "cross": tgt_mask[:, :, None] & src_mask[:, None, :],
    }


@dataclass(frozen=True)
class Maps:
    """One kind of attention: the maps of both models, and what of them is real."""

    teacher: Tensor  # (B, C_T, Q, K)
    student: Tensor  # (B, C_S, Q, K)
    cells: Tensor  # (B, Q, K), True where query and key are real and the query may look
    row_weights: Tensor  # (B, Q), 0 at padding; they sum to the target tokens


@dataclass(frozen=True)
class TermInputs:
    """One batch, what both models say of it, and which of it is real."""

    batch: Batch
    student: ForwardOutput
    teacher: TeacherOutput
    src_mask: Tensor  # (B, S), True at real tokens
    cells: dict[str, Tensor] = field(init=False)  # by kind (B, Q, K), of `real_cells`
    row_weights: dict[str, Tensor] = field(init=False)  # by kind (B, Q), 0 at padding; they sum to the target tokens

    def __post_init__(self) -> None:
        src, tgt = self.src_mask, self.batch.tgt_mask
        # A sentence's source rows together weigh as much as its target tokens: the sum stays one over target tokens.
        tokens_a_row = tgt.sum(1, keepdim=True) / src.sum(1, keepdim=True)
        rows = {"encoder_self": src * tokens_a_row, "decoder_self": tgt, "cross": tgt}
        object.__setattr__(self, "cells", real_cells(src, tgt))
        object.__setattr__(self, "row_weights", rows)

    def maps(self, kind: str) -> Maps:
        teacher, student = (getattr(side.maps, kind) for side in (self.teacher, self.student))
        return Maps(teacher, student, self.cells[kind], self.row_weights[kind])


@dataclass(frozen=True)
class TermContext:
    """What a term is made for."""

    student: Transformer
    teacher: TeacherShapes
    settings: Distillation
    generator: torch.Generator  # draws what the term draws, so that the student's initial weights never depend on it


class Term(nn.Module):
    """A loss of one batch. Its trainable modules live here, never in the student."""

    reads: tuple[
        str, ...
    ] = ()  # of Distillation, those it reads; the kinds of attention, which all with maps do, aside
    uses_maps = True
    uses_hidden = False  # the layers' states
    one_teacher = False  # an ensemble cannot teach it, for instance as it asks for `context.teacher.shape`
    # An update in pieces, or on several ranks, has the same sums: a sentence's do not depend on those beside it.
    can_be_cut = True
    looks_ahead = False  # it is shown some of each update's sentences before
    part_prefix = "attn_"  # of its parts in the log, where it is the only term
    noun = "module"  # what is saved of it is called; a run with an `aligner` has alignments to inspect

    def forward(self, inputs: TermInputs) -> LossTerms:
        raise NotImplementedError

    def look(self, inputs: TermInputs) -> None:
        """Some sentences of the coming update, the same on every rank however it is cut: no gradient, dropout off."""

    @property
    def saved(self) -> nn.Module:
        """What of it is saved beside the student."""
        return self


def kind_factors(settings: Distillation) -> dict[str, float]:
    """Weight of each kind of attention that is aligned: decoder kinds count half where both are used."""
    half = 0.5 if settings.decoder_self and settings.cross else 1.0
    factors = {"encoder_self": 1.0, "decoder_self": half, "cross": half}
    return {kind: factor for kind, factor in factors.items() if getattr(settings, kind)}


class MapTerm(Term):
    """A term over attention maps: a divergence for each kind of attention that is aligned."""

    def __init__(self, context: TermContext):
        super().__init__()
        self.kinds = kind_factors(context.settings)

    def forward(self, inputs: TermInputs) -> LossTerms:
        parts = {kind: self.divergence(kind, inputs.maps(kind)) for kind in self.kinds}
        return LossTerms(sum(factor * parts[kind] for kind, factor in self.kinds.items()), parts)

    def divergence(self, kind: str, maps: Maps) -> Tensor:
        """() Of one kind, a sum over target tokens."""
        raise NotImplementedError
