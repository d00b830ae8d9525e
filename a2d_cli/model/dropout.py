"""Dropout; on a CPU from random bytes, at a fifth of the usual cost (a tenth of a training step)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_LEVELS = 256  # values of a byte: the rate is rounded to a multiple of 1/256, the scale is exact for that


def dropout(x: Tensor, rate: float, training: bool) -> Tensor:
    """Zero each value with probability `rate` and scale the others by 1 / (1 - rate)."""
    if not training or rate == 0.0:
        return x
    if x.device.type != "cpu":
        return F.dropout(x, rate, training)
    return _ByteDropout.apply(x, min(round(rate * _LEVELS), _LEVELS - 1))


class _ByteDropout(torch.autograd.Function):
    """Eight keep decisions from each random 64-bit number instead of one."""

    @staticmethod
    def forward(context: Any, x: Tensor, num_dropped: int) -> Tensor:
        words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
        keep = words.view(torch.uint8)[: x.numel()].view(x.shape) >= num_dropped
        context.save_for_backward(keep)
        context.scale = _LEVELS / (_LEVELS - num_dropped)
        return torch.ops.aten.native_dropout_backward(x, keep, context.scale)  # x · keep · scale in one pass

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (keep,) = context.saved_tensors
        return torch.ops.aten.native_dropout_backward(gradient, keep, context.scale), None
