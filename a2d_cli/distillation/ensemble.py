"""Several teachers as one: the mean of their probabilities, and the attention of all.

Letters: B sentences, T target length, N target positions asked for, n of them at a time, V vocabulary, C maps of a
kind.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from a2d_cli.data.batching import Batch
from a2d_cli.distillation.teachers import Teacher, TeacherOutput, TeacherShapes
from a2d_cli.model.attention import KINDS, AttentionMaps, MapForm


class EnsembleTeacher:
    """Teachers of one vocabulary whose maps have one form, each live or cached.

    Its maps are those of the first, then those of the second, and so on.
    """

    def __init__(self, members: Sequence[Teacher]):
        self.members = tuple(members)

    @property
    def form(self) -> MapForm:
        return self.members[0].form

    @property
    def way(self) -> str:
        return ", ".join(dict.fromkeys(member.way for member in self.members))

    @property
    def shapes(self) -> TeacherShapes:
        return TeacherShapes(tuple(shape for member in self.members for shape in member.shapes.members))

    @torch.no_grad()
    def __call__(self, batch: Batch, need_maps: bool, need_hidden: bool = False) -> TeacherOutput:
        """As one teacher: log-probabilities at the N real target positions, and all maps."""
        assert not need_hidden, "several teachers have no layers in common"
        said = [member(batch, need_maps) for member in self.members]

        @torch.no_grad()
        def logits(rows: slice) -> Tensor:
            total = said[0].logits(rows).log_softmax(-1, dtype=torch.float32)  # (n, V)
            for other in said[1:]:
                torch.logaddexp(total, other.logits(rows).log_softmax(-1, dtype=torch.float32), out=total)
            return total.sub_(math.log(len(said)))

        return TeacherOutput(logits, _all_maps([each.maps for each in said]) if need_maps else None)


def one_teacher(members: Sequence[Teacher]) -> Teacher | EnsembleTeacher:
    """All of them together; a single one stays as it is."""
    return EnsembleTeacher(members) if len(members) > 1 else members[0]


def _all_maps(maps: Sequence[AttentionMaps]) -> AttentionMaps:
    """(B, C, Q, K) of each member -> (B, Σ C, Q, K)"""
    return AttentionMaps(*(torch.cat([getattr(each, kind) for each in maps], 1) for kind in KINDS))
