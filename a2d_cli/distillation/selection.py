"""The tokens that a student finds hard: those to which selective distillation keeps the teacher's words (Wang et al. 2021).

Letters: N target tokens, n of them at a time, d width, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from a2d_cli.training.vocabulary_loss import Scores, TokenSums, vocabulary_loss


class Selection(nn.Module):
    """A threshold for the loss of a token, so that a fraction of the newest ones lies above it. Parameters without gradient:
    what a run saves and resumes.

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
        known = self.recent[self.recent.isfinite()].sort().values
        num_easy = len(known) - max(1, round(self.fraction * len(known)))
        if num_easy > 0:
            # Between two tokens: rounding, which other shapes of a batch do in other ways, must not move one across.
            self.threshold.copy_(known[num_easy - 1 : num_easy + 1].mean())


def token_nll(scores: Scores, targets: Tensor) -> Tensor:
    """-log q(target) of each of n tokens: (n,)"""
    return scores.normalisers - scores.values.gather(-1, targets[:, None]).squeeze(-1)


@torch.no_grad()
def all_tokens_nll(states: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
    """The same of states (N, d) and the output layer of `vocabulary_loss`: (N,)"""
    found = []

    def note(rows: slice, scores: Scores) -> TokenSums:
        found.append(token_nll(scores, targets[rows]))
        return TokenSums({}, scores.values)  # of which no gradient is taken

    vocabulary_loss(states, weight, bias, note)
    return torch.cat(found)
