"""Multi-head attention: fused, or explicit where the maps are wanted (Vaswani et al. 2017, §3.2).

Letters: B sentences, H heads, Q query positions, K key positions, d model width, e = d/H head width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from a2d_cli.model.dropout import dropout as drop

KINDS = ("encoder_self", "decoder_self", "cross")


@dataclass(frozen=True)
class MapForm:
    """What a map tells of a head; its rows sum to 1 in every form.

    plain: the probabilities A. softened: A^(1/τ), normalised: softmax of the scores / τ. value-norm: A_ij ‖V_j W_O‖,
    normalised, in which a key that is looked at but gives next to nothing fades (Kobayashi et al. 2020).
    """

    kind: Literal["plain", "softened", "value-norm"] = "plain"
    temperature: float = 1.0  # τ of softened

    @property
    def name(self) -> str:
        """`plain`, `softened-2.0`, `value-norm`: another one for other maps."""
        return f"softened-{self.temperature!r}" if self.kind == "softened" else self.kind


PLAIN = MapForm()
SMALLEST_NORM = 1e-6  # of a value: below it the root's gradient would be infinite, and a row of zeros no distribution


@dataclass(frozen=True)
class AttentionMaps:
    """Of every head, before dropout: its probabilities, or another form of them. Map index = layer · H + head."""

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

    def forward(
        self, query: Tensor, memory: Tensor, mask: Tensor | None, form: MapForm | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Attend from `query` (B, Q, d) to `memory` (B, K, d).

        Args:
            mask: broadcastable to (B, H, Q, K); True where a query may look. None: everywhere.
            form: of the map that is returned, which takes the explicit path; None: the fused one, without a map.

        Returns:
            (B, Q, d) and the map (B, H, Q, K) or None.
        """
        keys, values, q = (
            self.split_heads(each) for each in (self.k_proj(memory), self.v_proj(memory), self.q_proj(query))
        )
        returned = None
        if form is not None:
            # Scaling the query, not the scores: fewer products, and no overflow in half precision.
            scores = (q / math.sqrt(q.shape[-1])) @ keys.transpose(-2, -1)  # (B, H, Q, K)
            if mask is not None:
                scores = scores.masked_fill(~mask, float("-inf"))
            attention = scores.softmax(-1, dtype=torch.float32)
            mixed = drop(attention, self.dropout, self.training).to(values.dtype) @ values
            returned = attention
            if form.kind == "softened":
                returned = (scores / form.temperature).softmax(-1, dtype=torch.float32)
            elif form.kind == "value-norm":
                weighed = attention * self._value_norms(values)[:, :, None]
                returned = weighed / weighed.sum(-1, keepdim=True)
        else:
            rate = self.dropout if self.training else 0.0
            mixed = F.scaled_dot_product_attention(q, keys, values, attn_mask=mask, dropout_p=rate)
        return self.out_proj(mixed.transpose(1, 2).flatten(2)), returned

    def _value_norms(self, values: Tensor) -> Tensor:
        """‖V_j W_O‖ of each head's values (B, H, K, e), without the output's bias: (B, H, K)."""
        with torch.autocast(values.device.type, enabled=False):
            # ‖v W‖² = v (W W^T) v^T: e×e products a key, instead of e×d.
            heads = self.out_proj.weight.T.float().unflatten(0, (self.num_heads, -1))  # (H, e, d)
            v = values.float()
            squares = (v @ (heads @ heads.mT) * v).sum(-1)
        return squares.clamp(min=SMALLEST_NORM**2).sqrt()
