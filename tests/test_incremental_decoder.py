"""The decoder made for search: step by step what the model's full pass computes, in every layout of its weights."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from tiny import JOINT, SEPARATE, SHAPE, random_batch, tiny_model
from torch import Tensor

from a2d_cli.model.incremental_decoder import IncrementalDecoder
from a2d_cli.model.transformer import Transformer

FORMS = list(itertools.product(("post", "pre"), (JOINT, SEPARATE), ("relu", "gelu", "silu")))
CLOSE = {"rtol": 1e-4, "atol": 1e-4}
PADDED, FULL = ((5, 1), (2, 1), (7, 1)), ((5, 1), (5, 1), (5, 1))


def full_pass(model: Transformer, src: Tensor, history: Tensor) -> Tensor:
    """Next log-probabilities (R, V-1) after (R, t), each hypothesis on its own."""
    src = src.repeat_interleave(len(history) // len(src), 0)
    return model.logits(model(src, history).states[:, -1]).log_softmax(-1, dtype=torch.float32)


@torch.no_grad()
def assert_steps_are_full_passes(
    model: Transformer, decoder: IncrementalDecoder, src: Tensor, beam: int, steps: int
) -> None:
    """While hypotheses change places, and sentences leave after the third step and the fifth."""
    generator = torch.Generator().manual_seed(11)
    pad = model.vocabularies.tgt_pad
    cache = decoder.start(src, beam)
    tokens = torch.full((len(src) * beam,), pad)
    history = tokens[:, None]  # (R, t)
    for step in range(steps):
        log_probs, cache = decoder.step(tokens, cache)
        torch.testing.assert_close(log_probs[:, :pad], full_pass(model, src, history), **CLOSE)
        assert bool(log_probs[:, pad].isneginf().all())
        sentences = None
        rows = torch.randint(beam, (len(src), beam), generator=generator) + beam * torch.arange(len(src))[:, None]
        if step in (2, 4) and len(src) > 1:
            sentences = torch.tensor([i for i in range(len(src)) if i != 1])
            src, rows = src[sentences], rows[sentences]
        rows = rows.flatten()
        cache = cache.select(rows, sentences)
        tokens = torch.randint(1, pad, (len(rows),), generator=generator)
        history = torch.cat([history[rows], tokens[:, None]], 1)


@pytest.mark.parametrize(("norm", "vocabularies", "activation"), FORMS)
def test_step_by_step_is_the_full_pass(norm, vocabularies, activation):
    model = tiny_model(replace(SHAPE, norm=norm, activation=activation, output_bias=norm == "post"), vocabularies)
    src = random_batch(PADDED, vocabularies).src
    assert_steps_are_full_passes(model, IncrementalDecoder(model), src, beam=2, steps=7)


@pytest.mark.parametrize("lengths", [PADDED, FULL, FULL[:1]], ids=["padded", "full", "alone"])
@pytest.mark.parametrize("beam", [1, 3])
@pytest.mark.parametrize("layout", ["packed", "one row", "plain", "other precision"])
def test_every_layout_of_the_weights_computes_the_same(monkeypatch, layout, beam, lengths):
    model = tiny_model()
    if layout == "plain":
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    if layout == "other precision":
        model = model.double()
    decoder = IncrementalDecoder(model, one_row=layout == "one row")
    assert_steps_are_full_passes(model, decoder, random_batch(lengths).src, beam, steps=7)


def test_outputs_may_be_as_long_as_the_model_allows():
    """Across several enlargements of the cache."""
    model = tiny_model(replace(SHAPE, max_positions=71))
    src = random_batch(PADDED).src
    assert_steps_are_full_passes(model, IncrementalDecoder(model), src, beam=2, steps=71)


def test_reordering_hypotheses_moves_no_keys():
    model = tiny_model()
    src = random_batch(PADDED).src
    decoder, beam = IncrementalDecoder(model), 2
    _, cache = decoder.step(torch.full((len(src) * beam,), JOINT.tgt_pad), decoder.start(src, beam))
    chosen = cache.select(torch.tensor([1, 1, 2, 3, 5, 4]), None)
    assert chosen.self_keys is cache.self_keys and chosen.self_values is cache.self_values
    assert cache.cross_keys[0].shape[0] == len(src)  # not once a hypothesis


def test_weights_are_those_of_the_moment_it_was_made():
    model = tiny_model()
    src, start = random_batch(PADDED).src, torch.full((3,), JOINT.tgt_pad)
    decoder = IncrementalDecoder(model)
    before, _ = decoder.step(start, decoder.start(src, 1))
    with torch.no_grad():
        model.decoder_layers[0].feed_forward.fc1.weight.add_(1.0)
    unchanged, _ = decoder.step(start, decoder.start(src, 1))
    torch.testing.assert_close(unchanged, before)
    renewed = IncrementalDecoder(model)
    assert not torch.allclose(renewed.step(start, renewed.start(src, 1))[0], before)
