"""The Transformer: padding changes nothing, and the form is exact."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from tiny import EOS, JOINT, SEPARATE, SHAPE, SIZE, part_of, quick, random_batch, tiny_model

from a2d_cli.config.schema import Training
from a2d_cli.model import attention, transformer
from a2d_cli.model.transformer import Transformer, Vocabularies, sinusoids
from a2d_cli.project.checkpoint import weights_hash, weights_of
from a2d_cli.training.objective import TrainingStep, TranslationObjective
from a2d_cli.training.optimizer import make_adam

FORMS = list(itertools.product(("post", "pre"), (JOINT, SEPARATE)))
lengths = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=4)


def scores(model, batch):
    return model.logits(model(batch.src, batch.tgt_in).states).detach()


# --- padding ------------------------------------------------------------------------------------------------


@given(lengths, st.sampled_from(["post", "pre"]), st.integers(0, 99))
@quick
def test_the_other_sentences_of_a_batch_change_no_logits(lengths, norm, seed):
    model, batch = tiny_model(replace(SHAPE, norm=norm)), random_batch(lengths, seed=seed)
    together = scores(model, batch)
    for row in range(len(lengths)):
        alone = part_of(batch, row)
        torch.testing.assert_close(
            together[row : row + 1, : alone.num_tgt_tokens], scores(model, alone), rtol=1e-4, atol=1e-4
        )


def test_more_padding_changes_no_logits():
    model, batch = tiny_model(), random_batch()
    pad = torch.full((len(batch.src), 7), SIZE - 1)
    wider = model.logits(model(torch.cat([batch.src, pad], 1), torch.cat([batch.tgt_in, pad], 1)).states)[
        :, : batch.tgt_in.shape[1]
    ]
    real = batch.tgt_mask
    torch.testing.assert_close(wider[real], scores(model, batch)[real], rtol=1e-4, atol=1e-4)


def test_a_target_position_sees_no_later_one():
    model, batch = tiny_model(), random_batch(((5, 7),))
    changed = batch.tgt_in.clone()
    changed[:, 4:] = 2
    before, after = scores(model, batch), model.logits(model(batch.src, changed).states)
    torch.testing.assert_close(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4:], after[:, 4:])


def test_asking_for_maps_changes_no_states():
    model, batch = tiny_model(), random_batch()
    with_maps = model(batch.src, batch.tgt_in, need_maps=True)
    torch.testing.assert_close(with_maps.states, model(batch.src, batch.tgt_in).states, rtol=1e-4, atol=1e-5)


# --- form ---------------------------------------------------------------------------------------------------


def test_positions_are_sinusoids_with_the_sines_in_front():
    table = sinusoids(3, 4)  # frequencies 1 and 1/100
    expected = [
        [0.0, 0.0, 1.0, 1.0],
        [math.sin(1), math.sin(0.01), math.cos(1), math.cos(0.01)],
        [math.sin(2), math.sin(0.02), math.cos(2), math.cos(0.02)],
    ]
    torch.testing.assert_close(table, torch.tensor(expected))


def test_late_positions_are_as_exact_as_early_ones():
    table = sinusoids(1024, 512)
    assert abs(float(table[1023, 0]) - math.sin(1023)) < 1e-6
    assert abs(float(table[1023, 511]) - math.cos(1023 / 10000 ** (510 / 512))) < 1e-6


def test_a_joint_vocabulary_is_one_tensor_for_source_target_and_output():
    model = tiny_model()
    assert model.src_embedding.weight is model.tgt_embedding.weight
    assert [name for name in weights_of(model) if "embedding" in name] == ["tgt_embedding.weight"]
    states = torch.randn(3, SHAPE.d_model)
    torch.testing.assert_close(model.logits(states), states @ model.src_embedding.weight[:-1].T)


def test_separate_vocabularies_tie_target_and_output():
    model = tiny_model(vocabularies=SEPARATE)
    assert model.src_embedding.weight.shape == (SEPARATE.src_size, SHAPE.d_model)
    states = torch.randn(3, SHAPE.d_model)
    torch.testing.assert_close(model.logits(states), states @ model.tgt_embedding.weight[:-1].T)


@pytest.mark.parametrize("vocabularies", [JOINT, SEPARATE])
def test_an_output_bias_begins_at_zero_and_is_added_to_the_scores(vocabularies):
    shape, batch = replace(SHAPE, output_bias=True), random_batch(vocabularies=vocabularies)
    models = []
    for each in (SHAPE, shape):
        torch.manual_seed(3)
        models.append(Transformer(each, vocabularies).eval())
    plain, biased = models
    assert weights_of(biased).keys() - weights_of(plain).keys() == {"output_bias"}
    assert torch.equal(scores(plain, batch), scores(biased, batch))
    bias = torch.randn(vocabularies.tgt_size - 1)
    with torch.no_grad():
        biased.output_bias.copy_(bias)
    torch.testing.assert_close(scores(biased, batch), scores(plain, batch) + bias)


@pytest.mark.parametrize("vocabularies", [JOINT, SEPARATE])
def test_pad_stands_outside_the_scores(vocabularies):
    model, batch = tiny_model(vocabularies=vocabularies), random_batch(vocabularies=vocabularies)
    assert scores(model, batch).shape == (*batch.tgt_in.shape, vocabularies.tgt_size - 1)


@pytest.mark.parametrize("vocabularies", [JOINT, SEPARATE])
def test_the_embedding_of_pad_stays_zero_in_training(vocabularies):
    torch.manual_seed(1)
    model = Transformer(SHAPE, vocabularies)
    objective, batch = TranslationObjective(model, 0.1), random_batch(vocabularies=vocabularies)
    optimizer = make_adam(model.parameters(), Training(lr=0.1, weight_decay=0.1))
    before = model.tgt_embedding.weight.detach().clone()
    for update in (1, 2, 3):
        optimizer.zero_grad()
        objective(batch, TrainingStep(1, update)).total.backward()
        optimizer.step()
    for embedding in (model.src_embedding, model.tgt_embedding):
        assert (embedding.weight[embedding.padding_idx] == 0).all()
    assert (model.tgt_embedding.weight[EOS] != before[EOS]).any()


def test_matrices_begin_within_xaviers_bound_and_biases_at_zero():
    torch.manual_seed(3)
    linear = [module for module in Transformer(SHAPE, JOINT).modules() if isinstance(module, torch.nn.Linear)]
    assert {tuple(module.weight.shape) for module in linear} == {(10, 10), (13, 10), (10, 13)}
    for module in linear:
        bound = math.sqrt(6 / sum(module.weight.shape))
        assert 0.85 * bound < float(module.weight.detach().abs().max()) <= bound
        assert (module.bias == 0).all()


@torch.no_grad()
def test_a_pre_norm_model_normalises_what_its_last_layers_give():
    model, batch = tiny_model(replace(SHAPE, norm="pre")), random_batch()
    output = model(batch.src, batch.tgt_in, need_hidden=True)
    encoded = model.encode(batch.src, need_hidden=True)
    torch.testing.assert_close(model.encoder_norm(encoded.hidden[-1]), encoded.states)
    torch.testing.assert_close(model.decoder_norm(output.hidden.decoder[-1]), output.states)
    assert not torch.allclose(encoded.hidden[-1], encoded.states)
    torch.testing.assert_close(output.hidden.encoder[-1], encoded.hidden[-1])


def test_initial_weights_are_a_function_of_the_seed():
    def draw(seed):
        torch.manual_seed(seed)
        return weights_hash(Transformer(SHAPE, JOINT))

    assert draw(3) == draw(3) != draw(4)


def test_positions_are_no_weights():
    assert not any("positions" in name for name in tiny_model().state_dict())


@pytest.mark.parametrize(("d_model", "num_heads"), [(10, 3), (9, 3)])
def test_a_width_that_cannot_be_split_is_refused(d_model, num_heads):
    with pytest.raises(ValueError, match=f"d_model {d_model} must be even and a multiple of num_heads {num_heads}"):
        Transformer(replace(SHAPE, d_model=d_model, num_heads=num_heads), Vocabularies(SIZE, SIZE))


# --- dropout ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("need_maps", [False, True])
def test_dropout_falls_on_embeddings_sublayers_and_attention(monkeypatch, need_maps):
    shape = replace(SHAPE, dropout=0.25, attention_dropout=0.125)
    dropped, fused = [], []
    monkeypatch.setattr(transformer, "dropout", lambda x, *how: dropped.append((x.shape[1:], *how)) or x)
    monkeypatch.setattr(attention, "drop", lambda x, *how: dropped.append((x.shape[1:], *how)) or x)
    attend = F.scaled_dot_product_attention
    monkeypatch.setattr(
        F, "scaled_dot_product_attention", lambda *x, **how: fused.append(how["dropout_p"]) or attend(*x, **how)
    )
    batch = random_batch()
    (_, s), (_, t) = batch.src.shape, batch.tgt_in.shape
    heads, encoders, decoders = shape.num_heads, shape.encoder_layers, shape.decoder_layers
    for training in (True, False):
        dropped.clear(), fused.clear()
        tiny_model(shape).train(training)(batch.src, batch.tgt_in, need_maps=need_maps)
        # Of each side the embeddings; of an encoder layer 2 sublayers, of a decoder layer 3.
        expected = {
            ((s, shape.d_model), 0.25, training): 1 + 2 * encoders,
            ((t, shape.d_model), 0.25, training): 1 + 3 * decoders,
        }
        if need_maps:
            maps = {(heads, s, s): encoders, (heads, t, t): decoders, (heads, t, s): decoders}
            expected |= {(cells, 0.125, training): count for cells, count in maps.items()}
        assert Counter(dropped) == expected
        assert fused == ([] if need_maps else [0.125 if training else 0.0] * (encoders + 2 * decoders))
