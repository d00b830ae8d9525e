"""Who teaches: a callable that gives scores and maps for a batch, without gradient and never part of any state dict."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from a2d_cli.data.batching import Batch
from a2d_cli.model.attention import AttentionMaps
from a2d_cli.model.transformer import Transformer


@dataclass(frozen=True)
class TeacherOutput:
    logits: Tensor  # (tokens, V) at the positions asked for
    maps: AttentionMaps | None


class Teacher:
    """A trained Transformer, frozen, in evaluation mode."""

    def __init__(self, model: Transformer):
        self.model = model.eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(self, batch: Batch, where: Tensor, need_attention: bool) -> TeacherOutput:
        """Scores at the target positions `where` (B, T) and, if wanted, all maps."""
        output = self.model(batch.src, batch.tgt_in, need_attention)
        return TeacherOutput(self.model.logits(output.states[where]), output.maps)
