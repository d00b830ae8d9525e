"""Attention: the explicit path equals the fused one, and its maps are what they claim to be."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import SHAPE, quick, random_batch, tiny_model

from a2d_cli.model.attention import MultiHeadAttention

B, Q, K, H, D = 2, 3, 5, 7, 14


def module(seed: int = 1, dropout: float = 0.0) -> MultiHeadAttention:
    torch.manual_seed(seed)
    return MultiHeadAttention(D, H, dropout)


def run(attention, query, memory, mask, need_map):
    return attention.attend(query, *attention.project_keys(memory), mask, need_map)


@pytest.mark.parametrize("masked", [False, True])
def test_explicit_attention_is_the_fused_one_in_values_and_gradients(masked):
    attention = module()
    query, memory = torch.randn(B, Q, D), torch.randn(B, K, D)
    mask = torch.rand(B, 1, Q, K) < 0.6 if masked else None
    if masked:
        mask[..., 0] = True  # a row that sees nothing has no softmax
    found = []
    for need_map in (False, True):
        inputs = query.clone().requires_grad_(), memory.clone().requires_grad_()
        attention.zero_grad()
        mixed, _ = run(attention, *inputs, mask, need_map)
        (mixed * torch.linspace(-1, 1, D)).sum().backward()
        found.append([mixed, *(i.grad for i in inputs), *(p.grad for p in attention.parameters())])
    for fused, explicit in zip(*found, strict=True):
        torch.testing.assert_close(explicit, fused, rtol=1e-4, atol=1e-5)


def test_the_map_is_softmax_of_scaled_products_head_by_head():
    attention = module()
    query, memory = torch.randn(B, Q, D), torch.randn(B, K, D)
    mixed, maps = run(attention, query, memory, None, True)
    assert maps.shape == (B, H, Q, K) and maps.dtype == torch.float32
    width = D // H
    q, k, v = attention.q_proj(query), attention.k_proj(memory), attention.v_proj(memory)
    heads = []
    for h in range(H):
        part = slice(h * width, (h + 1) * width)
        expected = (q[..., part] @ k[..., part].mT / math.sqrt(width)).softmax(-1)
        torch.testing.assert_close(maps[:, h], expected)
        heads.append(expected @ v[..., part])
    torch.testing.assert_close(mixed, attention.out_proj(torch.cat(heads, -1)))


def test_without_a_request_there_is_no_map():
    attention = module()
    assert run(attention, torch.randn(B, Q, D), torch.randn(B, K, D), None, False)[1] is None


def test_the_map_is_taken_before_dropout():
    attention = module(dropout=0.5).train()
    _, maps = run(attention, torch.randn(B, Q, D), torch.randn(B, K, D), None, True)
    torch.testing.assert_close(maps.sum(-1), torch.ones(B, H, Q))
    attention.eval()
    query, memory = torch.randn(B, Q, D), torch.randn(B, K, D)
    torch.testing.assert_close(
        run(attention, query, memory, None, True)[0], run(attention, query, memory, None, False)[0]
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_keeps_the_map_in_single(dtype):
    attention = module()
    query, memory = torch.randn(B, Q, D), torch.randn(B, K, D)
    exact_mixed, exact = run(attention, query, memory, None, True)
    with torch.autocast("cpu", dtype):
        mixed, maps = run(attention, query, memory, None, True)
    assert mixed.dtype == dtype and maps.dtype == torch.float32
    torch.testing.assert_close(maps.sum(-1), torch.ones(B, H, Q))
    torch.testing.assert_close(maps, exact, rtol=0, atol=0.02)
    torch.testing.assert_close(mixed.float(), exact_mixed, rtol=0, atol=0.05)


lengths = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=5)


@given(lengths, st.integers(0, 99))
@quick
def test_maps_of_a_model_are_distributions_that_see_no_padding_and_no_future(lengths, seed):
    model, batch = tiny_model(), random_batch(lengths, seed=seed)
    maps = model(batch.src, batch.tgt_in, need_attention=True).maps
    (sentences, source), target = batch.src.shape, batch.tgt_in.shape[1]
    assert maps.encoder_self.shape == (sentences, model.num_encoder_maps, source, source)
    assert maps.decoder_self.shape == (sentences, model.num_decoder_maps, target, target)
    assert maps.cross.shape == (sentences, model.num_decoder_maps, target, source)
    for each in (maps.encoder_self, maps.decoder_self, maps.cross):
        torch.testing.assert_close(each.sum(-1), torch.ones(each.shape[:-1]))
    padded = ~model.src_mask(batch.src)  # (B, 1, 1, S)
    assert (maps.encoder_self.masked_select(padded) == 0).all()
    assert (maps.cross.masked_select(padded) == 0).all()
    assert (maps.decoder_self.triu(1) == 0).all()


def test_map_index_is_layer_times_heads_plus_head():
    model, batch = tiny_model(), random_batch()
    maps = model(batch.src, batch.tgt_in, need_attention=True).maps
    x, mask = model._embed(model.src_embedding, batch.src), model.src_mask(batch.src)
    heads = SHAPE.num_heads
    for layer_index, layer in enumerate(model.encoder_layers):
        for head in range(heads):
            attention = layer.self_attention
            width = SHAPE.d_model // heads
            part = slice(head * width, (head + 1) * width)
            scores = attention.q_proj(x)[..., part] @ attention.k_proj(x)[..., part].mT / math.sqrt(width)
            expected = scores.masked_fill(~mask[:, 0], float("-inf")).softmax(-1)
            torch.testing.assert_close(maps.encoder_self[:, layer_index * heads + head], expected)
        x, _ = layer(x, mask, need_map=False)
