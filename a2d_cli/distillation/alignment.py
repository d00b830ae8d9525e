"""The alignment module: a trainable map from all student heads to all teacher heads (Jin et al. 2024).

Letters: B sentences, Q query and K key positions, C_S student maps, C_T teacher maps (map index = layer · H + head).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from a2d_cli.config.schema import ModelShape

EVEN_SHARE = 0.1  # of a mixture that starts on the diagonal: spread over all student heads, so that each has a gradient


class AttentionAlignment(nn.Module):
    """A pointwise convolution from student maps to intermediate maps: I_c = bias_c + Σ_k W_ck A^S_k.

    Args:
        generator: draws W, so that the student's own initial weights never depend on the method.
    """

    def __init__(self, num_student_maps: int, num_teacher_maps: int, generator: torch.Generator | None = None):
        super().__init__()
        bound = num_student_maps**-0.5  # a 1×1 convolution's usual initial range
        self.weight = nn.Parameter(torch.empty(num_teacher_maps, num_student_maps))  # (C_T, C_S)
        self.bias = nn.Parameter(torch.empty(num_teacher_maps))
        with torch.no_grad():
            self.weight.uniform_(-bound, bound, generator=generator)
            self.bias.uniform_(-bound, bound, generator=generator)

    @torch.no_grad()
    def start_positive(self) -> None:
        """Let every intermediate cell start above 0, for a term that keeps only the positive part.

        A teacher head whose weights and bias were drawn below 0 would have no gradient there, and stay at 0 for good.
        """
        self.weight.abs_()
        self.bias.zero_()

    def forward(self, student_maps: Tensor) -> Tensor:
        """(B, C_S, Q, K) -> (B, C_T, Q, K)"""
        return align(student_maps, self.weight, self.bias)


class SimplexAlignment(nn.Module):
    """Each intermediate map is a convex mixture of student maps, so its rows stay probabilities.

    π = softmax(v / τ) reads as "which student heads stand in for this teacher head".

    Args:
        temperature: τ. Adam moves v by about the learning rate whatever its gradient is, so this is how fast shares can
            change; those at the start are the same for any.
    """

    def __init__(
        self,
        num_student_maps: int,
        num_teacher_maps: int,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
    ):
        super().__init__()
        self.temperature = temperature
        # Small noise breaks the tie between heads; near-uniform mixtures give every head a gradient.
        self.scores = nn.Parameter(torch.empty(num_teacher_maps, num_student_maps))  # v: (C_T, C_S)
        with torch.no_grad():
            self.scores.normal_(std=0.1 * temperature, generator=generator)

    @property
    def mixture(self) -> Tensor:
        """π: (C_T, C_S), rows sum to 1."""
        return (self.scores / self.temperature).softmax(-1)

    @torch.no_grad()
    def start_at(self, mixture: Tensor) -> None:
        """Let π be `mixture` (C_T, C_S), but for `EVEN_SHARE` of it."""
        shares = (1.0 - EVEN_SHARE) * mixture + EVEN_SHARE / mixture.shape[1]
        self.scores.copy_(self.temperature * shares.log())

    def forward(self, student_maps: Tensor) -> Tensor:
        """(B, C_S, Q, K) -> (B, C_T, Q, K)"""
        return align(student_maps, self.mixture)


def diagonal_mixture(kind: str, student: ModelShape, teacher: ModelShape) -> Tensor:
    """Each teacher head as the student's heads at the same relative depth and the same relative place in their layer.

    Layers of both models divide the unit interval evenly, and a teacher layer is shared out by how far it overlaps with
    each student layer (of 3 and 2: the first, half of both, the second); so are the heads of a layer.

    Args:
        kind: of attention, as in `KINDS`.

    Returns:
        (C_T, C_S), rows sum to 1; the identity for models alike.
    """
    depth = _overlaps(student.layers_with(kind), teacher.layers_with(kind))
    return torch.kron(depth, _overlaps(student.num_heads, teacher.num_heads))


def _overlaps(num_student: int, num_teacher: int) -> Tensor:
    """(num_teacher, num_student): what share of part i of num_teacher even parts lies in part j of num_student."""
    lower, upper = (torch.arange(num_teacher)[:, None] + end for end in (0, 1))  # in units of 1 / num_teacher
    start, end = ((torch.arange(num_student) + end) * num_teacher / num_student for end in (0, 1))
    return (torch.minimum(upper, end) - torch.maximum(lower, start)).clamp(min=0.0)


def align(maps: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The 1×1 convolution, in fp32: maps (B, C, Q, K), weight (C_out, C), bias (C_out,) -> (B, C_out, Q, K)."""
    with torch.autocast(maps.device.type, enabled=False):  # which would take the product in half precision
        mixed = (weight.float() @ maps.float().flatten(2)).unflatten(-1, maps.shape[2:])
    return mixed if bias is None else mixed + bias[:, None, None]
