"""Attention learned from fixed layers: each student layer's heads from one teacher layer's, no alignment trained."""

from __future__ import annotations

import torch
from torch import Tensor

from a2d_cli.distillation.divergences import row_divergence
from a2d_cli.distillation.layer_map import layer_pairs
from a2d_cli.distillation.terms import Lesson, Loss, Pupils, Term, kind_factors, weighed


class FixedAttention(Term):
    """Sum over kinds of the row KL, averaged over student maps: heads one to one where both models have as many in a
    layer, else the mean of a layer's heads."""

    reads = ("row_floor", "layer_map")
    one_teacher = True

    def __init__(self, pupils: Pupils):
        super().__init__()
        settings, own, target = pupils.settings, pupils.student.shape, pupils.teacher.shape
        self.kinds, self.row_floor = kind_factors(settings), settings.row_floor
        self.num_heads, self.num_teacher_heads = own.num_heads, target.num_heads
        self.encoder_pairs = layer_pairs(
            settings.layer_map, own.encoder_layers, target.encoder_layers, pupils.generator
        )
        self.decoder_pairs = layer_pairs(
            settings.layer_map, own.decoder_layers, target.decoder_layers, pupils.generator
        )

    def forward(self, lesson: Lesson) -> Loss:
        return weighed({kind: self._divergence(kind, lesson) for kind in self.kinds}, self.kinds)

    def _divergence(self, kind: str, lesson: Lesson) -> Tensor:
        pairs = self.encoder_pairs if kind == "encoder_self" else self.decoder_pairs
        own = getattr(lesson.student.maps, kind).unflatten(1, (-1, self.num_heads))  # (B, L, H, Q, K)
        target = getattr(lesson.teacher.maps, kind).unflatten(1, (-1, self.num_teacher_heads))
        target = torch.stack([target[:, layer] for layer in pairs], 1)  # as many layers as the student's
        if self.num_heads == self.num_teacher_heads:
            own, target = own.flatten(1, 2), target.flatten(1, 2)
        else:
            own, target = own.mean(2), target.mean(2)
        return row_divergence(target, own, lesson.cells[kind], lesson.row_weights[kind], self.row_floor)
