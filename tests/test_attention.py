"""Attention: the explicit path equals the fused one, and its maps are what they claim to be."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import SHAPE, quick, random_batch, tiny_model

from a2d_cli.model.attention import KINDS, PLAIN, MapForm, MultiHeadAttention

B, Q, K, H, D = 2, 3, 5, 7, 14


def module(seed: int = 1, dropout: float = 0.0) -> MultiHeadAttention:
    torch.manual_seed(seed)
    return MultiHeadAttention(D, H, dropout)


def run(attention, query, memory, mask, need_map):
    return attention(query, memory, mask, PLAIN if need_map else None)


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


@pytest.mark.parametrize("need_map", [False, True])
def test_both_paths_drop_probabilities_in_training_only(need_map):
    attention = module(dropout=0.5).eval()
    query, memory = torch.randn(B, Q, D), torch.randn(B, K, D)
    exact, _ = run(attention, query, memory, None, need_map)
    torch.testing.assert_close(exact, run(attention, query, memory, None, need_map)[0])
    attention.train()
    assert not torch.allclose(exact, run(attention, query, memory, None, need_map)[0], atol=1e-2)


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
    maps = model(batch.src, batch.tgt_in, need_maps=True).maps
    (sentences, source), target = batch.src.shape, batch.tgt_in.shape[1]
    assert maps.encoder_self.shape == (sentences, model.shape.num_maps("encoder_self"), source, source)
    assert maps.decoder_self.shape == (sentences, model.shape.num_maps("decoder_self"), target, target)
    assert maps.cross.shape == (sentences, model.shape.num_maps("cross"), target, source)
    for each in (maps.encoder_self, maps.decoder_self, maps.cross):
        torch.testing.assert_close(each.sum(-1), torch.ones(each.shape[:-1]))
    padded = ~model.src_mask(batch.src)[:, None, None]  # (B, 1, 1, S)
    assert (maps.encoder_self.masked_select(padded) == 0).all()
    assert (maps.cross.masked_select(padded) == 0).all()
    assert (maps.decoder_self.triu(1) == 0).all()


def test_map_index_is_layer_times_heads_plus_head():
    model, batch = tiny_model(), random_batch()
    maps = model(batch.src, batch.tgt_in, need_maps=True).maps
    x, mask = model._embed(model.src_embedding, batch.src), model.src_mask(batch.src)[:, None, None]
    heads = SHAPE.num_heads
    for layer_index, layer in enumerate(model.encoder_layers):
        for head in range(heads):
            attention = layer.self_attention
            width = SHAPE.d_model // heads
            part = slice(head * width, (head + 1) * width)
            scores = attention.q_proj(x)[..., part] @ attention.k_proj(x)[..., part].mT / math.sqrt(width)
            expected = scores.masked_fill(~mask[:, 0], float("-inf")).softmax(-1)
            torch.testing.assert_close(maps.encoder_self[:, layer_index * heads + head], expected)
        x, _ = layer(x, mask)


# --- forms of maps --------------------------------------------------------------------------------------------

FORMS = [MapForm("softened", 2.0), MapForm("softened", 0.5), MapForm("value-norm")]


def form_id(form: MapForm) -> str:
    return form.name


def told(attention, query, memory, mask, form: MapForm) -> tuple[torch.Tensor, torch.Tensor]:
    return attention(query, memory, mask, form)


@pytest.mark.parametrize("form", FORMS, ids=form_id)
def test_a_form_changes_the_map_and_nothing_that_is_attended_to(form: MapForm):
    attention, query, memory = module(), torch.randn(B, Q, D), torch.randn(B, K, D)
    (mixed, plain), (same, other) = (told(attention, query, memory, None, each) for each in (PLAIN, form))
    assert torch.equal(mixed, same) and not torch.allclose(plain, other, atol=1e-3)
    torch.testing.assert_close(other.sum(-1), torch.ones(B, H, Q))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_softened_maps_are_powers_normalised_over_the_keys_that_may_be_seen(temperature: float):
    attention, query, memory = module(), torch.randn(B, Q, D), torch.randn(B, K, D)
    mask = torch.rand(B, 1, Q, K) < 0.6
    mask[..., 0] = True
    plain = told(attention, query, memory, mask, PLAIN)[1]
    powers = plain ** (1 / temperature)
    found = told(attention, query, memory, mask, MapForm("softened", temperature))[1]
    torch.testing.assert_close(found, powers / powers.sum(-1, keepdim=True))
    assert (found[~mask.expand_as(found)] == 0).all()


def test_value_norm_maps_by_hand():
    """Two heads of width 1. V = (3, 0), (1, 2); the output layer makes head 1 three times as long and head 2 twice."""
    attention = MultiHeadAttention(2, 2)
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.zero_()
        attention.v_proj.weight.copy_(torch.eye(2))
        attention.out_proj.weight.copy_(torch.tensor([[3.0, 0.0], [0.0, 2.0]]))
        attention.out_proj.bias.fill_(100.0)  # belongs to no key
    memory = torch.tensor([[[3.0, 0.0], [1.0, 2.0]]])
    _, maps = told(
        attention, torch.zeros(1, 1, 2), memory, None, MapForm("value-norm")
    )  # A = (1/2, 1/2) for both heads
    torch.testing.assert_close(maps, torch.tensor([[[[9 / 12, 3 / 12]], [[0.0, 1.0]]]]), rtol=0, atol=1e-6)


def test_value_norm_maps_are_the_lengths_of_what_each_key_gives():
    attention, query, memory = module(), torch.randn(B, Q, D), torch.randn(B, K, D)
    plain = told(attention, query, memory, None, PLAIN)[1]
    values, width = attention.v_proj(memory), D // H
    for h in range(H):
        part = slice(h * width, (h + 1) * width)
        given_ = (
            plain[:, h, :, :, None] * (values[..., part] @ attention.out_proj.weight[:, part].T)[:, None]
        )  # (B, Q, K, d)
        lengths = given_.norm(dim=-1)
        found = told(attention, query, memory, None, MapForm("value-norm"))[1][:, h]
        torch.testing.assert_close(found, lengths / lengths.sum(-1, keepdim=True))


def test_a_sink_that_gives_nothing_fades_and_its_gradient_is_finite():
    attention, query = module(), torch.randn(B, Q, D)
    memory = torch.randn(B, K, D)
    with torch.no_grad():
        attention.v_proj.bias.copy_(
            -attention.v_proj.weight @ memory[0, 0]
        )  # V of the first key of the first sentence is 0
    _, maps = told(attention, query, memory, None, MapForm("value-norm"))
    assert float(maps[0, :, :, 0].detach().max()) < 1e-4
    maps.square().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in attention.parameters())
    assert (attention.v_proj.weight.grad != 0).any() and (attention.out_proj.weight.grad != 0).any()


@pytest.mark.parametrize("form", FORMS, ids=form_id)
def test_gradients_of_a_form_are_those_of_differences(form: MapForm):
    attention = module().double()
    query, memory = torch.randn(B, Q, D, dtype=torch.float64), torch.randn(B, K, D, dtype=torch.float64)
    weights = torch.randn(B, H, Q, K)

    def loss() -> torch.Tensor:
        return (told(attention, query, memory, None, form)[1] * weights).sum()

    loss().backward()
    for parameter in (attention.k_proj.weight, attention.v_proj.weight, attention.out_proj.weight):
        if parameter.grad is None:
            continue
        direction, step = torch.randn_like(parameter), 1e-3
        slope = float((parameter.grad * direction).sum())
        with torch.no_grad():
            parameter.add_(step * direction)
            above = float(loss())
            parameter.sub_(2 * step * direction)
            below = float(loss())
            parameter.add_(step * direction)
        assert (above - below) / (2 * step) == pytest.approx(slope, rel=2e-2, abs=2e-2)


@pytest.mark.parametrize("form", FORMS, ids=form_id)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_keeps_every_form_in_single(form: MapForm, dtype: torch.dtype):
    attention, query, memory = module(), torch.randn(B, Q, D), torch.randn(B, K, D)
    exact = told(attention, query, memory, None, form)[1]
    with torch.autocast("cpu", dtype):
        maps = told(attention, query, memory, None, form)[1]
    assert maps.dtype == torch.float32
    torch.testing.assert_close(maps.sum(-1), torch.ones(B, H, Q))
    torch.testing.assert_close(maps, exact, rtol=0, atol=0.03)


@pytest.mark.parametrize("form", FORMS, ids=form_id)
def test_a_model_gives_all_its_maps_in_the_form_asked_for(form: MapForm):
    model, batch = tiny_model(), random_batch()
    plain, other = (model(batch.src, batch.tgt_in, True, form=each) for each in (PLAIN, form))
    assert torch.equal(plain.states, other.states)
    for kind in KINDS:
        ours, theirs = getattr(other.maps, kind), getattr(plain.maps, kind)
        assert ((ours == 0) == (theirs == 0)).all() and not torch.allclose(ours, theirs, atol=1e-3)
        torch.testing.assert_close(ours.sum(-1), torch.ones(ours.shape[:-1]))


def test_every_form_has_a_name_of_its_own():
    forms = [PLAIN, *FORMS, MapForm("softened", 2.5), MapForm("softened", 1e-7)]
    assert [form.name for form in forms[:4]] == ["plain", "softened-2.0", "softened-0.5", "value-norm"]
    assert len({form.name for form in forms}) == len(forms)
