"""Cross-entropy against references. Letters: N target tokens, V vocabulary of the scores."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class CrossEntropy:
    """Sums over N tokens."""

    loss: Tensor  # (), smoothed
    nll: Tensor  # (), -log q(target)


def smoothed_cross_entropy(logits: Tensor, targets: Tensor, smoothing: float) -> CrossEntropy:
    """(1-ε-ε')·nll + ε'·Σ_v nll_v with ε' = ε/(V-1), in fp32 (fairseq's form).

    Args:
        logits: (N, V) unnormalised scores.
        targets: (N,) ids below V.
    """
    logits = logits.float()
    vocabulary = logits.shape[-1]
    normaliser = logits.logsumexp(-1)  # (N,)
    nll = normaliser - logits.gather(-1, targets[:, None]).squeeze(-1)
    if smoothing == 0.0:
        return CrossEntropy(nll.sum(), nll.sum())
    share = smoothing / (vocabulary - 1)
    everywhere = vocabulary * normaliser - logits.sum(-1)  # Σ_v nll_v
    loss = (1.0 - smoothing - share) * nll + share * everywhere
    return CrossEntropy(loss.sum(), nll.sum())
