"""The tokens that a student finds hard: to them selective distillation keeps the teacher's words (Wang et al. 2021).

Letters: N target tokens, n of them at a time, d width, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from a2d_cli.model.transformer import Transformer
from a2d_cli.training.losses import smoothed_cross_entropy

ROWS_AT_ONCE = 1024  # tokens whose logits live together


class Selection(nn.Module):
    """A threshold for the loss of a token, so that a fraction of the newest ones lies above it.

    Of a batch it is only nearly that fraction: what is remembered is of some sentences of each update, without dropout,
    under which losses are higher, and some of it is of a student that knew less.

    Parameters without gradient: what a run saves and resumes.

    Args:
        fraction: above 0; 1: all tokens.
        capacity: tokens remembered, first in, first out.
    """

    def __init__(self, fraction: float, capacity: int):
        super().__init__()
        self.fraction = fraction
        self.recent = nn.Parameter(torch.full((capacity,), float("-inf")), requires_grad=False)  # -inf: none yet
        self.threshold = nn.Parameter(torch.tensor(float("-inf")), requires_grad=False)

    @torch.no_grad()
    def look(self, nll: Tensor) -> None:
        """Remember tokens by their -log q(target) (N,), and move the threshold."""
        newest = nll[-len(self.recent) :]
        self.recent.copy_(torch.cat([self.recent[len(newest) :], newest]))
        # All on the device: a GPU is never asked how many are known.
        is_known = self.recent.isfinite()
        known, num_known = self.recent.masked_fill(~is_known, float("inf")).sort().values, is_known.sum()
        num_easy = num_known - (self.fraction * num_known.double()).round().clamp(min=1).long()
        # Between two tokens: rounding, which other shapes of a batch do in other ways, must not move one across.
        between = torch.stack([num_easy - 1, num_easy]).clamp(min=0)
        self.threshold.copy_(torch.where(num_easy > 0, known[between].mean(), self.threshold))


@torch.no_grad()
def all_tokens_nll(model: Transformer, states: Tensor, targets: Tensor) -> Tensor:
    """-log q(target) of states (N, d): (N,)"""
    parts = zip(states.split(ROWS_AT_ONCE), targets.split(ROWS_AT_ONCE), strict=True)
    return torch.cat([smoothed_cross_entropy(model.logits(some), wanted, 0.0).nll for some, wanted in parts])
