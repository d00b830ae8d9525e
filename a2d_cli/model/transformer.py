"""The encoder-decoder Transformer, in the one form that exports exactly to CTranslate2 and Hugging Face Marian.

Positions are sinusoids from 0 with angle p / 10000^(2i/d), sines in the first half and cosines in the second;
embeddings are scaled by √d; biases everywhere; LayerNorm eps 1e-5; the decoder starts from pad, whose embedding is
zero. Pad is the last id of a vocabulary, so logits cover the ids below it and pad stands outside the softmax.

Letters: B sentences, S source length, T target length, d width, V target vocabulary (pad included), L layers, H heads.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from a2d_cli.config.schema import ModelShape
from a2d_cli.model.attention import PLAIN, AttentionMaps, MapForm, MultiHeadAttention
from a2d_cli.model.dropout import dropout

LAYER_NORM_EPS = 1e-5


@dataclass(frozen=True)
class Vocabularies:
    """Embedding rows of the two sides, pad (the last id) included."""

    src_size: int
    tgt_size: int
    joint: bool = True  # one table for source, target and output

    @property
    def src_pad(self) -> int:
        return self.src_size - 1

    @property
    def tgt_pad(self) -> int:
        return self.tgt_size - 1


@dataclass(frozen=True)
class HiddenStates:
    """What each layer gives, in order; in a pre-norm model before the last norm."""

    encoder: tuple[Tensor, ...]  # (B, S, d) each
    decoder: tuple[Tensor, ...]  # (B, T, d) each


@dataclass(frozen=True)
class ForwardOutput:
    """What one teacher-forced pass gives."""

    states: Tensor  # (B, T, d) last decoder states; `Transformer.logits` turns them into logits
    maps: AttentionMaps | None
    hidden: HiddenStates | None = None


@dataclass(frozen=True)
class Encoded:
    """What the encoder gives."""

    states: Tensor  # (B, S, d)
    maps: Tensor | None  # (B, L·H, S, S)
    hidden: tuple[Tensor, ...] = ()  # what each layer gives (B, S, d), where it is asked for


def sinusoids(num_positions: int, d_model: int) -> Tensor:
    """Position table (P, d): row p holds sin(p / 10000^(2i/d)) for i < d/2, then the cosines."""
    frequency = 10000.0 ** (-2 * torch.arange(d_model // 2, dtype=torch.float64) / d_model)
    angle = torch.arange(num_positions, dtype=torch.float64)[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1).float()


def _activation(name: str) -> Callable[[Tensor], Tensor]:
    return {"relu": F.relu, "gelu": F.gelu, "silu": F.silu}[name]


class FeedForward(nn.Module):
    """(..., d) -> (..., ffn) -> (..., d), position by position."""

    def __init__(self, shape: ModelShape):
        super().__init__()
        self.fc1 = nn.Linear(shape.d_model, shape.ffn_dim)
        self.fc2 = nn.Linear(shape.ffn_dim, shape.d_model)
        self.activation = _activation(shape.activation)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.activation(self.fc1(x)))


class Sublayer(nn.Module):
    """LayerNorm and residual around one operation: norm(x + f(x)) (post) or x + f(norm(x)) (pre)."""

    def __init__(self, shape: ModelShape):
        super().__init__()
        self.norm = nn.LayerNorm(shape.d_model, eps=LAYER_NORM_EPS)
        self.pre = shape.norm == "pre"
        self.dropout = shape.dropout

    def enter(self, x: Tensor) -> Tensor:
        return self.norm(x) if self.pre else x

    def leave(self, x: Tensor, change: Tensor) -> Tensor:
        x = x + dropout(change, self.dropout, self.training)
        return x if self.pre else self.norm(x)


class EncoderLayer(nn.Module):
    """(B, S, d) -> (B, S, d) and, where a form is asked for, the attention map (B, H, S, S)."""

    def __init__(self, shape: ModelShape):
        super().__init__()
        self.self_attention = MultiHeadAttention(shape.d_model, shape.num_heads, shape.attention_dropout)
        self.feed_forward = FeedForward(shape)
        self.around_attention, self.around_feed_forward = Sublayer(shape), Sublayer(shape)

    def forward(self, x: Tensor, src_mask: Tensor, form: MapForm | None = None) -> tuple[Tensor, Tensor | None]:
        inner = self.around_attention.enter(x)
        change, attention = self.self_attention(inner, inner, src_mask, form)
        x = self.around_attention.leave(x, change)
        x = self.around_feed_forward.leave(x, self.feed_forward(self.around_feed_forward.enter(x)))
        return x, attention


class DecoderLayer(nn.Module):
    """(B, T, d) -> (B, T, d) and, where a form is asked for, the maps (B, H, T, T) and, of `memory`, (B, H, T, S)."""

    def __init__(self, shape: ModelShape):
        super().__init__()
        self.self_attention = MultiHeadAttention(shape.d_model, shape.num_heads, shape.attention_dropout)
        self.cross_attention = MultiHeadAttention(shape.d_model, shape.num_heads, shape.attention_dropout)
        self.feed_forward = FeedForward(shape)
        self.around_self, self.around_cross, self.around_feed_forward = (
            Sublayer(shape),
            Sublayer(shape),
            Sublayer(shape),
        )

    def forward(
        self, x: Tensor, memory: Tensor, causal: Tensor, src_mask: Tensor, form: MapForm | None = None
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        inner = self.around_self.enter(x)
        change, self_map = self.self_attention(inner, inner, causal, form)
        x = self.around_self.leave(x, change)
        change, cross_map = self.cross_attention(self.around_cross.enter(x), memory, src_mask, form)
        x = self.around_cross.leave(x, change)
        x = self.around_feed_forward.leave(x, self.feed_forward(self.around_feed_forward.enter(x)))
        return x, self_map, cross_map


class Transformer(nn.Module):
    """Any depth on both sides; source, target and output embeddings are one table where the vocabulary is joint.

    Raises:
        ValueError: the width is odd or not a multiple of the heads (the loader says it better, and earlier).
    """

    def __init__(self, shape: ModelShape, vocabularies: Vocabularies):
        super().__init__()
        if shape.d_model % shape.num_heads or shape.d_model % 2:
            raise ValueError(f"d_model {shape.d_model} must be even and a multiple of num_heads {shape.num_heads}")
        self.shape, self.vocabularies = shape, vocabularies
        self.tgt_embedding = nn.Embedding(vocabularies.tgt_size, shape.d_model, padding_idx=vocabularies.tgt_pad)
        self.src_embedding = (
            self.tgt_embedding
            if vocabularies.joint
            else nn.Embedding(vocabularies.src_size, shape.d_model, padding_idx=vocabularies.src_pad)
        )
        self.encoder_layers = nn.ModuleList(EncoderLayer(shape) for _ in range(shape.encoder_layers))
        self.decoder_layers = nn.ModuleList(DecoderLayer(shape) for _ in range(shape.decoder_layers))
        pre = shape.norm == "pre"
        self.encoder_norm = nn.LayerNorm(shape.d_model, eps=LAYER_NORM_EPS) if pre else nn.Identity()
        self.decoder_norm = nn.LayerNorm(shape.d_model, eps=LAYER_NORM_EPS) if pre else nn.Identity()
        # Last, and zero: the other weights of a seed are those of a model without it.
        self.output_bias = nn.Parameter(torch.zeros(vocabularies.tgt_pad)) if shape.output_bias else None
        self.register_buffer("positions", sinusoids(shape.max_positions, shape.d_model), persistent=False)
        self._initialize()

    def _initialize(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=self.shape.d_model**-0.5)
                with torch.no_grad():
                    module.weight[module.padding_idx].zero_()

    @property
    def num_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())

    def _embed(self, embedding: nn.Embedding, ids: Tensor) -> Tensor:
        x = embedding(ids) * math.sqrt(self.shape.d_model) + self.positions[: ids.shape[1]]
        return dropout(x, self.shape.dropout, self.training)

    def src_mask(self, src: Tensor) -> Tensor:
        """(B, S) ids -> (B, S), True at real tokens."""
        return src != self.vocabularies.src_pad

    def encode(self, src: Tensor, need_maps: bool = False, need_hidden: bool = False, form: MapForm = PLAIN) -> Encoded:
        """Source ids (B, S), right-padded."""
        mask = self.src_mask(src)[:, None, None]  # (B, 1, 1, S)
        x = self._embed(self.src_embedding, src)
        maps, hidden = [], []
        for layer in self.encoder_layers:
            x, attention = layer(x, mask, form if need_maps else None)
            maps.append(attention)
            if need_hidden:
                hidden.append(x)
        return Encoded(self.encoder_norm(x), torch.cat(maps, 1) if need_maps else None, tuple(hidden))

    def forward(
        self,
        src: Tensor,
        tgt_in: Tensor,
        need_maps: bool = False,
        need_hidden: bool = False,
        form: MapForm = PLAIN,
    ) -> ForwardOutput:
        """Teacher-forced pass: source ids (B, S) and target ids shifted right (B, T), pad first.

        Args:
            form: of the maps, where `need_maps` asks for them.
        """
        encoded = self.encode(src, need_maps, need_hidden, form)
        src_mask = self.src_mask(src)[:, None, None]  # (B, 1, 1, S)
        length = tgt_in.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=src.device).tril()[None, None]
        x = self._embed(self.tgt_embedding, tgt_in)
        self_maps, cross_maps, hidden = [], [], []
        for layer in self.decoder_layers:
            x, self_map, cross_map = layer(x, encoded.states, causal, src_mask, form if need_maps else None)
            self_maps.append(self_map)
            cross_maps.append(cross_map)
            if need_hidden:
                hidden.append(x)
        maps = AttentionMaps(encoded.maps, torch.cat(self_maps, 1), torch.cat(cross_maps, 1)) if need_maps else None
        layers = HiddenStates(encoded.hidden, tuple(hidden)) if need_hidden else None
        return ForwardOutput(self.decoder_norm(x), maps, layers)

    @property
    def output_layer(self) -> tuple[Tensor, Tensor | None]:
        """The target table (V, d), whose last row is pad's, and the bias (V-1,) if there is one: see `logits`."""
        return self.tgt_embedding.weight, self.output_bias

    def logits(self, states: Tensor) -> Tensor:
        """Decoder states (..., d) -> logits of every id but pad (..., V-1)."""
        # The product runs over all V rows, a multiple of 8, and pad's column is cut from the view.
        logits = F.linear(states, self.tgt_embedding.weight)[..., : self.vocabularies.tgt_pad]
        return logits if self.output_bias is None else logits + self.output_bias
