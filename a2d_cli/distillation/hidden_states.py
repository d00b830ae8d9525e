"""Hidden states matched layer by layer: what a student's layer gives shall be, up to its scale, what a teacher's gives.

Both sides are normalised before they are compared, as in Sun et al. (2019), here by LayerNorm without weights. In a
pre-norm model a state's scale grows from layer to layer, and whoever reads it takes a LayerNorm first; in a post-norm
model it comes out of one: a token's mean and scale have nothing to say. Where the widths differ, a trained projection
stands in between (Romero et al. 2015).

Letters: B sentences, P positions of one side (source or target), d width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from a2d_cli.distillation.layer_map import layer_pairs
from a2d_cli.distillation.terms import Term, TermContext, TermInputs
from a2d_cli.training.objective import LossTerms


class StateProjection(nn.Module):
    """States of the student's width to the teacher's.

    Args:
        generator: draws the weights, so that the student's own never depend on the method.
    """

    def __init__(self, student_width: int, teacher_width: int, generator: torch.Generator):
        super().__init__()
        bound = student_width**-0.5  # a linear layer's usual initial range
        self.weight = nn.Parameter(torch.empty(teacher_width, student_width))
        self.bias = nn.Parameter(torch.zeros(teacher_width))
        with torch.no_grad():
            self.weight.uniform_(-bound, bound, generator=generator)

    def forward(self, states: Tensor) -> Tensor:
        return F.linear(states, self.weight, self.bias)


class HiddenStateMatching(Term):
    """Encoder + decoder: mean square of LayerNorm(student's) - LayerNorm(teacher's), a mean over layers and widths."""

    reads = ("layer_map",)
    uses_maps = False
    uses_hidden = True
    one_teacher = True
    part_prefix = "hidden_"
    noun = "projection"

    def __init__(self, context: TermContext):
        super().__init__()
        own, target = context.student.shape, context.teacher.shape
        self.pairs = layer_pairs(context.settings.layer_map, own, target, context.generator)
        self.projections = nn.ModuleDict()  # empty: the widths are equal
        if own.d_model != target.d_model:
            for side, pairs in self.pairs.items():
                self.projections[side] = nn.ModuleList(
                    StateProjection(own.d_model, target.d_model, context.generator) for _ in pairs
                )

    def forward(self, inputs: TermInputs) -> LossTerms:
        parts = {
            "encoder": self._distance("encoder", inputs, inputs.row_weights["encoder_self"]),
            "decoder": self._distance("decoder", inputs, inputs.row_weights["decoder_self"]),
        }
        return LossTerms(sum(parts.values()), parts)

    @property
    def saved(self) -> nn.Module:
        return self.projections

    def _distance(self, side: str, inputs: TermInputs, weights: Tensor) -> Tensor:
        """A sum over positions by their weights (B, P), 0 at padding."""
        total = torch.zeros((), device=weights.device)
        for layer, teacher_layer in enumerate(self.pairs[side]):
            own = getattr(inputs.student.hidden, side)[layer]  # (B, P, d)
            target = getattr(inputs.teacher.hidden, side)[teacher_layer]
            if side in self.projections:
                own = self.projections[side][layer](own)
            total = total + ((_normalised(own) - _normalised(target)).square().mean(-1) * weights).sum()
        return total / len(self.pairs[side])


def _normalised(states: Tensor) -> Tensor:
    """LayerNorm without weights, in fp32."""
    return F.layer_norm(states.float(), states.shape[-1:])
