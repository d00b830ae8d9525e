"""Multi-head attention: fused, or explicit where the maps are wanted (Vaswani et al. 2017, §3.2).

Letters: B sentences, H heads, Q query positions, K key positions, d model width, e = d/H head width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from a2d_cli.model.dropout import dropout as drop

KINDS = ("encoder_self", "decoder_self", "cross")


@dataclass(frozen=True)
class AttentionMaps:
    """Post-softmax probabilities of every head, before dropout. Map index = layer · H + head."""

    encoder_self: Tensor  # (B, L·H, S, S)
    decoder_self: Tensor  # (B, L·H, T, T), causal
    cross: Tensor  # (B, L·H, T, S)


class MultiHeadAttention(nn.Module):
    """Scaled dot-product attention with biases on all four projections."""

    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        self.num_heads = num_heads
        self.dropout = dropout  # of the attention probabilities
        self.q_proj = nn.Linear(d_model, d_model)
        self.k_proj = nn.Linear(d_model, d_model)
        self.v_proj = nn.Linear(d_model, d_model)
        self.out_proj = nn.Linear(d_model, d_model)

    def split_heads(self, x: Tensor) -> Tensor:
        """(B, P, d) -> (B, H, P, e)"""
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

    def project_keys(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of (B, K, d): two of (B, H, K, e)."""
        return self.split_heads(self.k_proj(x)), self.split_heads(self.v_proj(x))

    def attend(
        self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, need_map: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Attend from `query` (B, Q, d) to projected keys and values (B, H, K, e).

        Args:
            mask: broadcastable to (B, H, Q, K); True where a query may look. None: everywhere.
            need_map: take the explicit path and return the map.

        Returns:
            (B, Q, d) and the map (B, H, Q, K) or None.
        """
        q = self.split_heads(self.q_proj(query))
        attention = None
        if need_map:
            # Scaling the query, not the scores: fewer products, and no overflow in half precision.
            scores = (q / math.sqrt(q.shape[-1])) @ keys.transpose(-2, -1)  # (B, H, Q, K)
            if mask is not None:
                scores = scores.masked_fill(~mask, float("-inf"))
            attention = scores.softmax(-1, dtype=torch.float32)
            mixed = drop(attention, self.dropout, self.training).to(values.dtype) @ values
        else:
            rate = self.dropout if self.training else 0.0
            mixed = F.scaled_dot_product_attention(q, keys, values, attn_mask=mask, dropout_p=rate)
        return self.out_proj(mixed.transpose(1, 2).flatten(2)), attention
