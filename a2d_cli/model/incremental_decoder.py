"""A Transformer's decoder made for search: one position at a time, with its weights laid out for products of few rows.

Three quarters of a search are products of small matrices with big weights. Weights that never change can be laid out
for that once, and projections that read the same states be one product.

Letters: N sentences still searched, W beam width, R = N·W hypotheses, those of a sentence side by side, S source
length, t steps so far, d width, H heads, e = d/H, V target vocabulary, pad included.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from a2d_cli.model.transformer import DecoderLayer, Transformer

_BLOCK = 32  # positions by which keys and values grow


@dataclass(frozen=True)
class DecoderCache:
    """Keys and values of the steps so far: one entry a layer. Search reorders it and knows nothing else of it.

    Self-attention's are never moved: whatever becomes of a hypothesis, its keys stay where they were written, and
    each of a sentence's W queries has a mask that shows it the keys of its own past. A step writes behind the
    `length` of the cache that it is given, so a cache has one successor.
    """

    self_keys: tuple[Tensor, ...]  # (N, H, ≥ t·W, e): those of step p at p·W, ..., p·W + W - 1
    self_values: tuple[Tensor, ...]
    cross_keys: tuple[Tensor, ...]  # (N, H, S, e): once a sentence, whatever the beam
    cross_values: tuple[Tensor, ...]
    src_bias: Tensor | None  # (N, 1, 1, S), 0 or -inf; None: no sentence is padded
    past: Tensor | None  # (N, W, t·W), 0 or -inf; None: W is 1
    length: int  # t

    def select(self, rows: Tensor, sentences: Tensor | None) -> DecoderCache:
        """Keep `sentences` (of N; None: all), and of each those of its hypotheses that `rows` (of R) name."""
        kept = self if sentences is None else self._of(sentences)
        if self.past is None:
            return kept
        return replace(kept, past=self.past.flatten(0, 1).index_select(0, rows).view(-1, *self.past.shape[1:]))

    def _of(self, sentences: Tensor) -> DecoderCache:
        def take(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return tuple(each.index_select(0, sentences) for each in tensors)

        return replace(
            self,
            self_keys=take(self.self_keys),
            self_values=take(self.self_values),
            cross_keys=take(self.cross_keys),
            cross_values=take(self.cross_values),
            src_bias=None if self.src_bias is None else self.src_bias.index_select(0, sentences),
        )

    def with_room(self, beam: int) -> DecoderCache:
        """For one more step."""
        if self.length * beam < self.self_keys[0].shape[2]:
            return self

        def grown(tensor: Tensor) -> Tensor:
            n, heads, size, width = tensor.shape
            larger = tensor.new_empty(n, heads, size + _BLOCK * beam, width)
            larger[:, :, :size] = tensor
            return larger

        return replace(
            self, self_keys=tuple(map(grown, self.self_keys)), self_values=tuple(map(grown, self.self_values))
        )


def _has_onednn() -> bool:
    """Its packed products are what torch's own compiler calls; their names are not for others, so they may go."""
    names = ("_reorder_linear_weight", "_linear_pointwise")
    return torch.backends.mkldnn.is_available() and all(hasattr(torch.ops.mkldnn, name) for name in names)


class _Product:
    """x @ weightᵀ + bias, (..., d_in) -> (..., d_out), for a weight that never changes.

    Args:
        one_row: x will mostly be a single row.
    """

    def __init__(self, weight: Tensor, bias: Tensor, one_row: bool):
        self.weight, self.bias, self.packed = weight, bias, None
        if weight.device.type == "cpu" and weight.dtype == torch.float32 and _has_onednn():
            if one_row:  # the transpose in memory: up to twice as fast for one row, of no use for more
                self.weight = weight.t().contiguous().t()
            else:  # in oneDNN's blocks: 1.2 times (160 rows) to 3 times as fast (5 rows, the output layer)
                self.packed = torch.ops.mkldnn._reorder_linear_weight(weight)

    @classmethod
    def of(cls, *layers: nn.Linear, one_row: bool) -> _Product:
        """Those of several layers that read the same x, side by side."""
        weight = torch.cat([each.weight for each in layers]) if len(layers) > 1 else layers[0].weight
        return cls(weight, torch.cat([each.bias for each in layers]), one_row)

    def __call__(self, x: Tensor) -> Tensor:
        if self.packed is None:
            return F.linear(x, self.weight, self.bias)
        return torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], "")


class _Layer:
    def __init__(self, layer: DecoderLayer, one_row: bool):
        attention, cross = layer.self_attention, layer.cross_attention
        self.layer, self.num_heads = layer, attention.num_heads
        self.self_in = _Product.of(attention.q_proj, attention.k_proj, attention.v_proj, one_row=one_row)
        self.self_out = _Product.of(attention.out_proj, one_row=one_row)
        self.cross_query = _Product.of(cross.q_proj, one_row=one_row)
        self.cross_memory = _Product.of(cross.k_proj, cross.v_proj, one_row=False)
        self.cross_out = _Product.of(cross.out_proj, one_row=one_row)
        self.fc1 = _Product.of(layer.feed_forward.fc1, one_row=one_row)
        self.fc2 = _Product.of(layer.feed_forward.fc2, one_row=one_row)

    def project_memory(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (N, H, S, e) of encoder states (N, S, d)."""
        keys, values = self._heads(self.cross_memory(memory), 2)
        return keys.contiguous(), values.contiguous()  # read at every step

    def step(self, x: Tensor, cache: DecoderCache, i: int) -> Tensor:
        """(N, W, d) -> (N, W, d); writes keys and values to layer `i` of the cache."""
        layer = self.layer
        query, key, value = self._heads(self.self_in(layer.around_self.enter(x)), 3)
        beam = x.shape[1]
        begin, end = cache.length * beam, (cache.length + 1) * beam
        keys, values = cache.self_keys[i][:, :, :end], cache.self_values[i][:, :, :end]
        keys[:, :, begin:], values[:, :, begin:] = key, value
        past = None if cache.past is None else cache.past[:, None]
        x = layer.around_self.leave(x, self.self_out(_attend(query, keys, values, past)))
        (query,) = self._heads(self.cross_query(layer.around_cross.enter(x)), 1)
        change = _attend(query, cache.cross_keys[i], cache.cross_values[i], cache.src_bias)
        x = layer.around_cross.leave(x, self.cross_out(change))
        inner = layer.feed_forward.activation(self.fc1(layer.around_feed_forward.enter(x)))
        return layer.around_feed_forward.leave(x, self.fc2(inner))

    def _heads(self, x: Tensor, parts: int) -> Tensor:
        """(N, P, parts·d) -> (parts, N, H, P, e)"""
        return x.view(*x.shape[:2], parts, self.num_heads, -1).permute(2, 0, 3, 1, 4)


def _attend(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    """(N, H, W, e), keys and values (N, H, K, e) -> (N, W, d)"""
    return F.scaled_dot_product_attention(query, keys, values, attn_mask=mask).transpose(1, 2).flatten(2)


class IncrementalDecoder:
    """Of a model in evaluation mode, with its weights as they are now.

    Args:
        one_row: made for one hypothesis at a time: a beam of 1, sentence by sentence.
    """

    @torch.inference_mode()
    def __init__(self, model: Transformer, one_row: bool = False):
        self.model = model
        self._layers = [_Layer(layer, one_row) for layer in model.decoder_layers]
        weight = model.tgt_embedding.weight
        bias = weight.new_zeros(len(weight)) if model.output_bias is None else F.pad(model.output_bias, (0, 1))
        bias[model.vocabularies.tgt_pad] = -math.inf  # which stands outside the softmax
        self._output = _Product(weight, bias, one_row)

    @torch.inference_mode()
    def start(self, src: Tensor, beam: int) -> DecoderCache:
        """Encode (N, S) and make the empty cache of N·beam hypotheses."""
        memory = self.model.encode(src).states
        cross = [layer.project_memory(memory) for layer in self._layers]
        is_pad = ~self.model.src_mask(src)[:, None, None]
        src_bias = memory.new_zeros(is_pad.shape).masked_fill(is_pad, -math.inf) if bool(is_pad.any()) else None
        empty = (cross[0][0][:, :, :0],) * len(cross)
        return DecoderCache(
            self_keys=empty,
            self_values=empty,
            cross_keys=tuple(keys for keys, _ in cross),
            cross_values=tuple(values for _, values in cross),
            src_bias=src_bias,
            past=memory.new_zeros(len(src), beam, 0) if beam > 1 else None,
            length=0,
        )

    @torch.inference_mode()
    def step(self, tokens: Tensor, cache: DecoderCache) -> tuple[Tensor, DecoderCache]:
        """Last tokens (R,) -> log-probabilities of the next (R, V), pad's -inf, and the grown cache."""
        model, num_sentences = self.model, len(cache.cross_keys[0])
        beam = len(tokens) // num_sentences
        x = F.embedding(tokens.view(num_sentences, beam), model.tgt_embedding.weight)
        x = x * math.sqrt(model.shape.d_model) + model.positions[cache.length]
        cache = cache.with_room(beam)
        if cache.past is not None:
            only_self = torch.full((beam, beam), -math.inf, dtype=x.dtype, device=x.device).fill_diagonal_(0.0)
            cache = replace(cache, past=torch.cat([cache.past, only_self.expand(num_sentences, -1, -1)], 2))
        for i, layer in enumerate(self._layers):
            x = layer.step(x, cache, i)
        logits = self._output(model.decoder_norm(x).flatten(0, 1))
        return logits.log_softmax(-1, dtype=torch.float32), replace(cache, length=cache.length + 1)
