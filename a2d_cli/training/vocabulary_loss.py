"""Losses over a vocabulary, some tokens at a time: no tensor of all tokens' logits ever lives.

Logits are by far the largest tensor of a training step, and slow to pass over where they lie in no cache. So the
gradient over a few tokens' logits is taken at once, turned into that of states and weights, and forgotten.

Letters: N target tokens, n of them at a time, d model width, V words of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

LOGITS_AT_ONCE = {"cpu": 1 << 21, "cuda": 1 << 27}  # so that a CPU's cache holds them, or a GPU has enough to do
FEWEST_TOKENS = 256  # products of fewer rows are slow


@dataclass(frozen=True)
class Predictions:
    """What a model says of n tokens; in fp32 at least, whatever it computes in."""

    logits: Tensor  # (n, V)
    probabilities: Tensor  # (n, V) their softmax
    logsumexp: Tensor  # (n,) their log-sum-exp


@dataclass(frozen=True)
class TokenLosses:
    """What a loss says of predictions."""

    losses: dict[str, Tensor]  # (n,) by name; `loss` is what is minimised
    gradient: Tensor  # (n, V) of its sum over the logits


TokenLoss = Callable[[slice, Predictions], TokenLosses]  # which of the N tokens, and what is predicted there


def vocabulary_loss(
    states: Tensor, weight: Tensor, bias: Tensor | None, loss: TokenLoss, tokens_at_once: int | None = None
) -> dict[str, Tensor]:
    """A loss's sums over N tokens; `loss` alone can be differentiated, once.

    Args:
        states: (N, d) last decoder states.
        weight: (V + 1, d) of the output layer; the last row is pad's, which stands outside the softmax.
        bias: (V,) or None.
        tokens_at_once: n at most; None: what suits the device.
    """
    inputs = [states, weight] if bias is None else [states, weight, bias]
    differentiate = torch.is_grad_enabled() and any(each.requires_grad for each in inputs)
    if tokens_at_once is None:
        logits_at_once = LOGITS_AT_ONCE.get(states.device.type, LOGITS_AT_ONCE["cpu"])
        tokens_at_once = max(FEWEST_TOKENS, logits_at_once // len(weight))
    with torch.no_grad():
        sums, gradients = _sums_and_gradients(states, weight, bias, loss, tokens_at_once, differentiate)
    if differentiate:
        sums["loss"] = _KnownGradients.apply(sums["loss"], len(inputs), *inputs, *gradients)
    return sums


def _sums_and_gradients(
    states: Tensor, weight: Tensor, bias: Tensor | None, loss: TokenLoss, tokens_at_once: int, differentiate: bool
) -> tuple[dict[str, Tensor], list[Tensor]]:
    """Sums by name; where asked for, the gradients of `loss` over states, weight and bias."""
    device = states.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else states.dtype
    exact = torch.promote_types(dtype, torch.float32)  # of losses, and of sums over tokens
    factor = weight.to(dtype)
    of_states = torch.empty_like(states) if differentiate else None
    of_weight = torch.zeros_like(weight, dtype=exact) if differentiate else None
    of_bias = torch.zeros_like(bias, dtype=exact) if differentiate and bias is not None else None
    sums: dict[str, Tensor] = {}
    for first in range(0, len(states), tokens_at_once):
        rows = slice(first, first + tokens_at_once)
        some = states[rows].to(dtype)
        # Over all V + 1 rows, usually a multiple of 8: a product over V of them takes a third longer.
        padded = (some @ factor.T).to(exact)
        if bias is not None:
            padded[:, :-1] += bias
        padded[:, -1].fill_(float("-inf"))
        probabilities = padded.softmax(-1)
        # The likeliest word tells the log-sum-exp without another exp: its probability is 1/V at least.
        logsumexp = padded.amax(-1) - probabilities.amax(-1).log()
        found = loss(rows, Predictions(padded[:, :-1], probabilities[:, :-1], logsumexp))
        for name, losses in found.losses.items():
            sums[name] = sums[name] + losses.sum() if name in sums else losses.sum()
        if of_states is not None:
            gradient = found.gradient.to(dtype)
            of_states[rows] = gradient @ factor[:-1]
            _add_product(of_weight[:-1], gradient.T, some)
        if of_bias is not None:
            of_bias += found.gradient.sum(0)
    return sums, [each for each in (of_states, of_weight, of_bias) if each is not None]


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """total += left @ right; a half-precision product is summed in the total's precision."""
    if total.dtype == left.dtype:
        total.addmm_(left, right)
    else:
        total += left @ right


class _KnownGradients(torch.autograd.Function):
    """A value with gradients that were taken along with it."""

    @staticmethod
    def forward(context: Any, value: Tensor, count: int, *inputs_and_gradients: Tensor) -> Tensor:
        context.save_for_backward(*inputs_and_gradients[count:])
        return value.clone()

    @staticmethod
    @once_differentiable
    def backward(context: Any, outer: Tensor) -> tuple[Tensor | None, ...]:
        known = context.saved_tensors
        return (None, None, *(gradient * outer for gradient in known), *(None for _ in known))
