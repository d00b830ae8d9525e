"""Attention in closed form: how much of each teacher head the student's heads could explain, by least squares.

All maps are taken relative to uniform attention: a row's probabilities sum to 1, so its mean is that of the uniform
row.

Letters: B sentences, Q query and K key positions, C_S student maps, C_T teacher maps, W the solved weights (C_T, C_S).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from a2d_cli.distillation.divergences import uniform_rows
from a2d_cli.distillation.terms import Maps, MapTerm, TermContext, TermInputs

# Squares of a row: a head nearer to uniform has nothing to explain, and half precision's noise would be most of it.
FLAT = 1e-3


@dataclass(frozen=True)
class Products:
    """Sums over weighted rows of products of maps, cell by cell."""

    gram: Tensor  # (C_S, C_S) student with student
    cross: Tensor  # (C_T, C_S) teacher with student
    squares: Tensor  # (C_T,) of the teacher's
    rows: Tensor  # () weight of all rows

    def residuals(self, weight: Tensor) -> Tensor:
        """(C_T,) Σ |A^T_c - W_c A^S|²"""
        explained = 2.0 * (weight * self.cross).sum(-1) - (weight @ self.gram * weight).sum(-1)
        return self.squares - explained


def products(maps: Maps) -> Products:
    """What least squares need to know of a batch: a sum over its sentences."""
    valid, uniform = maps.cells[:, None].float(), uniform_rows(maps.cells)
    with torch.autocast(valid.device.type, enabled=False):  # which would take the products in half precision
        teacher, student = (((each.float() - uniform) * valid).flatten(2) for each in (maps.teacher, maps.student))
        weights = maps.row_weights.float()[:, None, :, None].expand_as(valid).flatten(2)  # (B, 1, Q·K)
        return Products(
            gram=((student * weights) @ student.mT).sum(0),
            cross=((teacher * weights) @ student.mT).sum(0),
            squares=(teacher.square() * weights).sum((0, 2)),
            rows=maps.row_weights.sum(),
        )


class Projection(nn.Module):
    """W, and the fading sums that it is solved from. Parameters without gradient: what a run saves and resumes.

    Args:
        ridge: as a fraction of the mean square of a student map.
        decay: of the sums, per update.
    """

    def __init__(self, num_student_maps: int, num_teacher_maps: int, ridge: float, decay: float):
        super().__init__()
        self.ridge, self.decay = ridge, decay

        def zeros(*size: int) -> nn.Parameter:
            return nn.Parameter(torch.zeros(size), requires_grad=False)

        self.weight = zeros(num_teacher_maps, num_student_maps)
        self.gram = zeros(num_student_maps, num_student_maps)
        self.cross = zeros(num_teacher_maps, num_student_maps)
        self.squares = zeros(num_teacher_maps)
        self.rows = zeros()

    @torch.no_grad()
    def look(self, found: Products) -> None:
        """Let the sums fade, add those of an update, and solve for W."""
        for name in ("gram", "cross", "squares", "rows"):
            getattr(self, name).mul_(self.decay).add_(getattr(found, name))
        self.weight.copy_(solve(self.gram, self.cross, self.ridge))

    def forward(self, found: Products) -> Tensor:
        """(), the sum over rows of 1 - R², averaged over teacher maps.

        By the envelope theorem the gradient of the solved problem is that at constant W, so no step is taken through
        the solution. Of this batch nearly: W solves the sums of the updates before it and of some of its sentences.
        """
        squares_a_row = (self.squares / self.rows.clamp(min=1.0)).clamp(min=FLAT)
        with torch.autocast(self.weight.device.type, enabled=False):
            return (found.residuals(self.weight) / squares_a_row).mean()


def solve(gram: Tensor, cross: Tensor, ridge: float) -> Tensor:
    """W that is least in Σ |A^T - W A^S|² + ρ |W|², ρ = ridge · the mean of gram's diagonal: (C_T, C_S)"""
    gram, cross = gram.double(), cross.double()
    # Never singular, not even where no row has more than one key and all products are 0.
    penalty = ridge * gram.diagonal().mean() + torch.finfo(torch.float32).tiny
    eye = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    # `solve` would wait for a GPU, to ask whether it is singular.
    return torch.linalg.solve_ex(gram + penalty * eye, cross.mT).result.mT.float()


class ProjectedAttention(MapTerm):
    """Sum over kinds of 1 - R² of the teacher's maps on the student's, W solved anew before every update."""

    reads = ("ridge", "gram_decay")
    looks_ahead = True
    noun = "aligner"

    def __init__(self, context: TermContext):
        settings, student, teacher = context.settings, context.student, context.teacher
        super().__init__(context)

        def make(kind: str) -> Projection:
            return Projection(student.shape.num_maps(kind), teacher.num_maps(kind), settings.ridge, settings.gram_decay)

        self.projections = nn.ModuleDict({kind: make(kind) for kind in self.kinds})

    def look(self, inputs: TermInputs) -> None:
        for kind, projection in self.projections.items():
            projection.look(products(inputs.maps(kind)))

    def divergence(self, kind: str, maps: Maps) -> Tensor:
        return self.projections[kind](products(maps))

    @property
    def saved(self) -> nn.Module:
        return self.projections
