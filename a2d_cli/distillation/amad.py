"""AMAD (AAAI 2024): each teacher map teaches all student maps, the more the more alike they are already.

Letters: B sentences, Q query and K key positions, C_S student maps i.e. heads of all layers, C_T teacher maps.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from a2d_cli.distillation.divergences import log_of_floored
from a2d_cli.distillation.terms import Maps, MapTerm, TermContext

TEMPERATURE = 0.1  # of the softmax over cosines


class Amad(MapTerm):
    """Sum over kinds of Σ_ij a_ij KL(A^T_i ‖ A^S_j), averaged over teacher maps i."""

    reads = ("row_floor",)

    def __init__(self, context: TermContext):
        super().__init__(context)
        self.row_floor = context.settings.row_floor

    def divergence(self, kind: str, maps: Maps) -> Tensor:
        return weighted_divergence(maps.teacher, maps.student, maps.cells, maps.row_weights, self.row_floor)


def weighted_divergence(
    teacher_maps: Tensor, student_maps: Tensor, cells: Tensor, row_weights: Tensor, floor: float
) -> Tensor:
    """Σ_b Σ_q w_bq · mean_i Σ_j a_bij KL(A^T_i row ‖ (1-ε) A^S_j row + ε · uniform over valid keys).

    A sentence's weights a are those of its own cells, so that no other sentence plays a part. They get no gradient.
    As Σ_j a_ij = 1, the sum is -H(A^T_i) - Σ_j a_ij (A^T_i · log A^S_j): products of matrices, and no tensor of all
    pairs' cells.

    Args:
        teacher_maps, student_maps: (B, C_T, Q, K) and (B, C_S, Q, K), rows are probabilities.
        cells: (B, Q, K), True where query and key are real and the query may look.
        row_weights: (B, Q), 0 at padding rows.
        floor: ε.

    Returns:
        ()
    """
    valid = cells[:, None]  # (B, 1, Q, K)
    teacher, student = teacher_maps.float() * valid, student_maps.float() * valid
    similarity = map_similarity(teacher, student.detach())
    log_student = log_of_floored(student, cells, floor)
    weighted = teacher * row_weights[:, None, :, None]
    negative_entropy = (torch.xlogy(teacher, teacher) * row_weights[:, None, :, None]).sum()
    with torch.autocast(teacher.device.type, enabled=False):  # which would take the product in half precision
        agreement = weighted.flatten(2) @ log_student.flatten(2).mT  # (B, C_T, C_S)
    return (negative_entropy - (similarity * agreement).sum()) / teacher.shape[1]


def map_similarity(teacher: Tensor, student: Tensor) -> Tensor:
    """a = softmax over student maps of the cosine, divided by the temperature.

    (B, C_T, Q, K), (B, C_S, Q, K) -> (B, C_T, C_S)
    """
    with torch.autocast(teacher.device.type, enabled=False):
        cosines = F.normalize(teacher.flatten(2), dim=-1) @ F.normalize(student.flatten(2), dim=-1).mT
    return (cosines / TEMPERATURE).softmax(-1)
