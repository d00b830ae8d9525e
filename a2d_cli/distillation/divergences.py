"""How far the student's distributions are from the teacher's: over words, over map cells, over map rows.

All in fp32 at least.

Letters: N target tokens, V vocabulary, B sentences, C maps, Q query and K key positions.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def word_divergence(teacher_logits: Tensor, student_logits: Tensor, temperature: float, kind: str) -> Tensor:
    """D(p^τ, q^τ) of each token, without the factor τ².

    Args:
        teacher_logits, student_logits: (N, V).
        kind: fkl KL(p‖q), rkl KL(q‖p), js Jensen-Shannon, tvd total variation, skew KL(p‖0.1 p + 0.9 q).

    Returns:
        (N,)
    """
    log_p = (_exact(teacher_logits) / temperature).log_softmax(-1)
    log_q = (_exact(student_logits) / temperature).log_softmax(-1)
    if kind == "fkl":
        return _kl(log_p, log_q)
    if kind == "rkl":
        return _kl(log_q, log_p)
    if kind == "js":
        log_mean = torch.logaddexp(log_p, log_q) - math.log(2)
        return 0.5 * (_kl(log_p, log_mean) + _kl(log_q, log_mean))
    if kind == "tvd":
        return 0.5 * (log_p.exp() - log_q.exp()).abs().sum(-1)
    if kind == "skew":
        return _kl(log_p, torch.logaddexp(log_p + math.log(0.1), log_q + math.log(0.9)))
    raise ValueError(f"no divergence '{kind}'")


def _exact(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    return (log_p.exp() * (log_p - log_q)).sum(-1)


def cell_divergence(teacher_maps: Tensor, intermediate_maps: Tensor, cells: Tensor | None = None) -> Tensor:
    """Σ_b Σ_c KL(softmax over cells of A^T ‖ softmax over cells of I): the published divergence.

    Args:
        teacher_maps, intermediate_maps: (B, C, Q, K).
        cells: (B, Q, K) or broadcastable, True where a cell counts; None: all, padding included.

    Returns:
        (), a sum over sentences and maps.
    """
    teacher, student = teacher_maps.float(), intermediate_maps.float()
    if cells is not None:
        # Far below any map value, yet finite: a masked cell weighs exactly 0 and gives no NaN.
        outside = ~cells[:, None].expand_as(teacher)
        teacher, student = teacher.masked_fill(outside, -1e4), student.masked_fill(outside, -1e4)
    log_p = teacher.flatten(2).log_softmax(-1)
    log_q = student.flatten(2).log_softmax(-1)
    return _kl(log_p, log_q).sum()


def row_divergence(
    teacher_maps: Tensor, intermediate_maps: Tensor, cells: Tensor, row_weights: Tensor, floor: float
) -> Tensor:
    """Σ_b Σ_q w_bq · mean_c KL(A^T row ‖ (1-ε) I row + ε · uniform over valid keys).

    Args:
        teacher_maps, intermediate_maps: (B, C, Q, K), rows are probabilities.
        cells: (B, Q, K) or broadcastable, True at the keys that a row may look at.
        row_weights: (B, Q), 0 at padding rows.
        floor: ε, keeps the divergence finite where a student row is one-hot.

    Returns:
        ()
    """
    teacher, student = teacher_maps.float(), intermediate_maps.float()
    cross_entropy = -(teacher * log_of_floored(student, cells, floor)).sum(-1)  # (B, C, Q)
    entropy = -torch.xlogy(teacher, teacher).sum(-1)
    return ((cross_entropy - entropy).mean(1) * row_weights).sum()


def log_of_floored(maps: Tensor, cells: Tensor, floor: float) -> Tensor:
    """log((1-ε) rows + ε · uniform over valid keys), finite everywhere: (B, C, Q, K), (B, Q, K) -> (B, C, Q, K)"""
    # Outside the cells a teacher has probability 0; what is added keeps 0 · log 0 from becoming NaN there.
    return torch.add(floor * uniform_rows(cells) + 1e-12, maps, alpha=1.0 - floor).log()


def uniform_rows(cells: Tensor) -> Tensor:
    """Rows that look everywhere alike where they may look: (B, Q, K) -> (B, 1, Q, K)"""
    valid = cells[:, None].float()
    return valid / valid.sum(-1, keepdim=True).clamp(min=1.0)
