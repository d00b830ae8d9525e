"""Cross-entropy against references. Letters: N target tokens, n of them at a time, V vocabulary."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from a2d_cli.training.vocabulary_loss import Predictions, TokenLosses


@dataclass(frozen=True)
class CrossEntropy:
    """Token by token."""

    loss: Tensor  # (N,), smoothed
    nll: Tensor  # (N,), -log q(target)


def smoothed_cross_entropy(
    logits: Tensor, targets: Tensor, smoothing: float, logsumexp: Tensor | None = None
) -> CrossEntropy:
    """(1-ε-ε')·nll + ε'·Σ_v nll_v with ε' = ε/(V-1), in fp32 at least (fairseq's form).

    Args:
        logits: (N, V)
        targets: (N,) ids below V.
        logsumexp: (N,) of the logits, where it is known.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if logsumexp is None:
        logsumexp = logits.logsumexp(-1)
    nll = logsumexp - logits.gather(-1, targets[:, None]).squeeze(-1)
    if smoothing == 0.0:
        return CrossEntropy(nll, nll)
    vocabulary = logits.shape[-1]
    share = smoothing / (vocabulary - 1)
    everywhere = vocabulary * logsumexp - logits.sum(-1)  # Σ_v nll_v
    loss = (1.0 - smoothing - share) * nll + share * everywhere
    return CrossEntropy(loss, nll)


@dataclass(frozen=True)
class SmoothedCrossEntropy:
    """The same with its gradient, for `vocabulary_loss`."""

    targets: Tensor  # (N,)
    smoothing: float

    def __call__(self, rows: slice, predicted: Predictions) -> TokenLosses:
        targets = self.targets[rows]
        ce = smoothed_cross_entropy(predicted.logits, targets, self.smoothing, predicted.logsumexp)
        # q minus the smoothed target: ε' everywhere and 1-ε at the reference
        share = self.smoothing / (predicted.logits.shape[-1] - 1)
        gradient = predicted.probabilities - share
        at_targets = gradient.new_full((len(targets), 1), 1.0 - self.smoothing - share)
        gradient.scatter_add_(-1, targets[:, None], -at_targets)
        return TokenLosses({"loss": ce.loss, "nll": ce.nll}, gradient)
