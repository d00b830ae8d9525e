"""The objective of the released Align-to-Distill code, value for value, as one public function of tensors.

Its terms are means over a padded batch and sums over sentences, so its strength depends on batch size, length and
padding: kept for reproduction. The other profiles are repaired (distillation/objective.py). Maps are those before
attention dropout; the released code takes those of self-attention after it, the same at its recipes' rate of 0.

Letters: B sentences, T target positions (P = B·T), V vocabulary, C_S and C_T student and teacher maps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from a2d_cli.distillation.alignment import align
from a2d_cli.distillation.divergences import cell_divergence
from a2d_cli.distillation.terms import kind_factors
from a2d_cli.model.attention import AttentionMaps
from a2d_cli.training.losses import smoothed_cross_entropy


class Pointwise(Protocol):
    """A 1×1 convolution between maps: `AttentionAlignment`, or anything with its weights."""

    weight: Tensor  # (C_out, C_in)
    bias: Tensor  # (C_out,)


@dataclass(frozen=True)
class ReleaseSettings:
    alpha: float = 0.5  # weight of the word term
    beta: float = 1.0  # weight of the attention terms
    decay: float = 0.9  # of beta, per epoch
    label_smoothing: float = 0.1
    student_temperature: float = 1.0  # two, as the released code takes: its golden values have a case where they differ
    teacher_temperature: float = 1.0
    encoder_self: bool = True
    decoder_self: bool = True
    cross: bool = True


@dataclass(frozen=True)
class ReleaseLoss:
    """Each term as the released code defines it; `total` = (1-α)·cross_entropy + α·word + the attention terms."""

    total: Tensor
    cross_entropy: Tensor  # label-smoothed, mean over P
    word: Tensor  # H(p, q), mean over P, without τ²
    student_nll: Tensor  # mean over P
    attention: dict[str, Tensor]  # by kind, weight, decay and the factor ½ included


def release_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    targets: Tensor,
    pad: int,
    student_maps: AttentionMaps | None,
    teacher_maps: AttentionMaps | None,
    aligners: Mapping[str, Pointwise],
    settings: ReleaseSettings,
    epoch: int | None,
    teacher_mixers: Mapping[str, Pointwise] | None = None,
) -> ReleaseLoss:
    """The released loss of one batch.

    Args:
        student_logits, teacher_logits: (B, T, V).
        targets: (B, T) ids, `pad` where padded.
        student_maps, teacher_maps: post-softmax, C_S and C_T maps a kind; padding cells take part.
        aligners: the student's convolution C_S -> C_T by kind (`encoder_self`, `decoder_self`, `cross`).
        epoch: from 1; None in validation, where no attention term is taken.
        teacher_mixers: the released recipe's never-trained convolution C_T -> C_T of the teacher's maps.
    """
    positions = targets.numel()  # P
    real = targets != pad
    logits, labels = student_logits[real], targets[real]
    ce = smoothed_cross_entropy(logits, labels, settings.label_smoothing)
    p = (teacher_logits[real].float() / settings.teacher_temperature).softmax(-1)
    log_q = (logits.float() / settings.student_temperature).log_softmax(-1)
    word = -(p * log_q).sum() / positions
    cross_entropy = ce.loss.sum() / positions
    total = (1.0 - settings.alpha) * cross_entropy + settings.alpha * word

    attention: dict[str, Tensor] = {}
    if epoch is not None:
        strength = settings.beta * settings.decay ** (epoch - 1)
        for kind, factor in kind_factors(settings).items():
            target = getattr(teacher_maps, kind)
            if teacher_mixers is not None:
                with torch.no_grad():
                    target = align(target, teacher_mixers[kind].weight, teacher_mixers[kind].bias)
            intermediate = align(getattr(student_maps, kind), aligners[kind].weight, aligners[kind].bias)
            attention[kind] = strength * factor * cell_divergence(target, intermediate)
            total = total + attention[kind]
    return ReleaseLoss(total, cross_entropy, word, ce.nll.sum() / positions, attention)
