"""Attention learned from fixed layers: each student layer's heads from one teacher layer's, no alignment trained."""

from __future__ import annotations

import torch
from torch import Tensor

from a2d_cli.distillation.divergences import row_divergence
from a2d_cli.distillation.layer_map import layer_pairs
from a2d_cli.distillation.terms import Maps, MapTerm, TermContext


class FixedAttention(MapTerm):
    """Sum over kinds of the row KL, averaged over student maps: heads one to one where both models have as many in a
    layer, else the mean of a layer's heads."""

    reads = ("row_floor", "layer_map")
    one_teacher = True

    def __init__(self, context: TermContext):
        settings, own, target = context.settings, context.student.shape, context.teacher.shape
        super().__init__(context)
        self.row_floor = settings.row_floor
        self.num_heads, self.num_teacher_heads = own.num_heads, target.num_heads
        self.pairs = layer_pairs(settings.layer_map, own, target, context.generator)

    def divergence(self, kind: str, maps: Maps) -> Tensor:
        pairs = self.pairs["encoder" if kind == "encoder_self" else "decoder"]
        own = maps.student.unflatten(1, (-1, self.num_heads))  # (B, L, H, Q, K)
        target = maps.teacher.unflatten(1, (-1, self.num_teacher_heads))
        target = torch.stack([target[:, layer] for layer in pairs], 1)  # as many layers as the student's
        if self.num_heads == self.num_teacher_heads:
            own, target = own.flatten(1, 2), target.flatten(1, 2)
        else:
            own, target = own.mean(2), target.mean(2)
        return row_divergence(target, own, maps.cells, maps.row_weights, self.row_floor)
