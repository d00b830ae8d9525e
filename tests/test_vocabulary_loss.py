"""Losses over a vocabulary: whatever is made at a time, the plain formula in value and gradient, in little memory."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from tiny import LargestTensor, quick, random_batch, tiny_model
from torch import Tensor

from a2d_cli.model.transformer import Vocabularies
from a2d_cli.training import vocabulary_loss as module
from a2d_cli.training.losses import SmoothedCrossEntropy, smoothed_cross_entropy
from a2d_cli.training.objective import TrainingStep, TranslationObjective
from a2d_cli.training.vocabulary_loss import vocabulary_loss

N, D, V = 7, 5, 11


def draw(seed: int, n: int = N, d: int = D, v: int = V, bias: bool = True) -> tuple[list[Tensor], Tensor]:
    """States, weight with pad's row, bias; and targets. In double precision."""
    generator = torch.Generator().manual_seed(seed)
    sizes = [(n, d), (v + 1, d), (v,)][: 3 if bias else 2]
    inputs = [torch.randn(size, generator=generator, dtype=torch.float64).requires_grad_() for size in sizes]
    return inputs, torch.randint(v, (n,), generator=generator)


def loss_of(inputs: list[Tensor], targets: Tensor, smoothing: float, tokens_at_once: int | None) -> dict[str, Tensor]:
    states, weight, bias = (*inputs, None)[:3]
    return vocabulary_loss(states, weight, bias, SmoothedCrossEntropy(targets, smoothing), tokens_at_once)


def plain(inputs: list[Tensor], targets: Tensor, smoothing: float) -> dict[str, Tensor]:
    states, weight, bias = (*inputs, None)[:3]
    ce = smoothed_cross_entropy(F.linear(states, weight[:-1], bias), targets, smoothing)
    return {"loss": ce.loss.sum(), "nll": ce.nll.sum()}


@given(
    st.integers(0, 999),
    st.integers(1, 13),
    st.integers(1, 7),
    st.integers(2, 17),
    st.booleans(),
    st.floats(0.0, 0.9),
    st.integers(1, 14),
)
@quick
def test_it_is_the_plain_formula_in_sums_and_gradients(seed, n, d, v, bias, smoothing, tokens_at_once):
    inputs, targets = draw(seed, n, d, v, bias)
    expected = plain(inputs, targets, smoothing)
    found = loss_of(inputs, targets, smoothing, tokens_at_once)
    torch.testing.assert_close(found["loss"], expected["loss"])
    torch.testing.assert_close(found["nll"], expected["nll"])
    for ours, theirs in zip(*(torch.autograd.grad(x, inputs) for x in (found["loss"], expected["loss"])), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_its_gradients_are_the_differences_of_its_values():
    inputs, targets = draw(1)
    assert torch.autograd.gradcheck(lambda *x: loss_of(list(x), targets, 0.2, 3)["loss"], inputs)


def test_the_gradient_is_scaled_and_can_be_taken_again():
    inputs, targets = draw(1)
    (once,) = [torch.autograd.grad(loss_of(inputs, targets, 0.1, 3)["loss"], inputs)]
    loss = 3.0 * loss_of(inputs, targets, 0.1, 3)["loss"]
    for keep in (True, False):
        for ours, theirs in zip(torch.autograd.grad(loss, inputs, retain_graph=keep), once, strict=True):
            torch.testing.assert_close(ours, 3.0 * theirs)


def test_only_the_loss_is_differentiated():
    inputs, targets = draw(1)
    found = loss_of(inputs, targets, 0.1, None)
    assert found["loss"].requires_grad and not found["nll"].requires_grad


def test_where_nobody_differentiates_no_gradient_is_taken():
    inputs, targets = draw(1)
    expected = loss_of(inputs, targets, 0.1, 3)
    with torch.no_grad():
        silent = loss_of(inputs, targets, 0.1, 3)
    frozen = loss_of([each.detach() for each in inputs], targets, 0.1, 3)
    for found in (silent, frozen):
        assert not found["loss"].requires_grad
        assert {name: float(value.detach()) for name, value in found.items()} == {
            name: float(value.detach()) for name, value in expected.items()
        }


def test_frozen_weights_stay_without_a_gradient():
    (states, weight, bias), targets = draw(1)
    loss_of([states, weight.detach(), bias], targets, 0.1, None)["loss"].backward()
    assert weight.grad is None and states.grad is not None and bias.grad is not None


def test_pad_is_no_word_and_its_row_has_no_gradient():
    inputs, targets = draw(1)
    before = loss_of(inputs, targets, 0.1, None)["loss"]
    with torch.no_grad():
        inputs[1][-1] += 100.0
    after = loss_of(inputs, targets, 0.1, None)["loss"]
    assert torch.equal(before, after)
    after.backward()
    assert (inputs[1].grad[-1] == 0).all()


def test_scores_that_exp_cannot_hold_give_finite_losses_and_gradients():
    states = torch.ones(1, 1, requires_grad=True)
    weight = torch.tensor([[300.0], [-300.0], [0.0], [0.0]], requires_grad=True)
    found = vocabulary_loss(states, weight, None, SmoothedCrossEntropy(torch.tensor([1]), 0.1))
    found["loss"].backward()
    assert float(found["nll"]) == pytest.approx(600.0)
    assert states.grad.isfinite().all() and weight.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast_products_are_half_and_sums_are_single(dtype):
    inputs, targets = draw(1, n=53)
    inputs = [each.detach().float().requires_grad_() for each in inputs]
    exact = loss_of(inputs, targets, 0.1, 11)
    gradients = torch.autograd.grad(exact["loss"], inputs)
    with torch.autocast("cpu", dtype):
        half = loss_of(inputs, targets, 0.1, 11)
    assert all(value.dtype == torch.float32 for value in half.values())
    for name, value in half.items():
        torch.testing.assert_close(value, exact[name], rtol=0.02, atol=0.0)
    for ours, theirs in zip(torch.autograd.grad(half["loss"], inputs), gradients, strict=True):
        assert ours.dtype == torch.float32
        assert float((ours - theirs).norm() / theirs.norm()) < 0.02


def test_half_precision_states_get_half_precision_gradients():
    inputs, targets = draw(1)
    inputs = [each.detach().bfloat16().requires_grad_() for each in inputs]
    found = loss_of(inputs, targets, 0.1, 3)
    assert found["loss"].dtype == torch.float32
    found["loss"].backward()
    assert all(each.grad.dtype == torch.bfloat16 for each in inputs)


@pytest.mark.parametrize("training", [True, False])
def test_no_tensor_holds_all_tokens_scores(training):
    words, d = 997, 3
    inputs, targets = draw(1, n=499, d=d, v=words)
    with LargestTensor() as largest, torch.set_grad_enabled(training):
        found = loss_of(inputs, targets, 0.1, tokens_at_once=5)
        if training:
            found["loss"].backward()
    assert largest.numel == 5 * (words + 1)


def test_an_objective_makes_no_tensor_of_all_tokens_scores(monkeypatch):
    words = 2003
    monkeypatch.setattr(module, "FEWEST_TOKENS", 5)
    monkeypatch.setitem(module.LOGITS_AT_ONCE, "cpu", 4000)
    vocabularies = Vocabularies(words + 1, words + 1)
    objective = TranslationObjective(tiny_model(vocabularies=vocabularies), 0.1)
    batch = random_batch([(5, 7)] * 31, vocabularies)
    with LargestTensor() as largest:
        objective(batch, TrainingStep(1, 1)).total.backward()
    weights = (words + 1) * objective.model.shape.d_model
    assert largest.numel <= weights < batch.num_tgt_tokens * words / 20


def test_a_loss_sees_every_token_once_and_in_order():
    inputs, targets = draw(1)
    seen = []

    def loss(rows, predicted):
        seen.append(range(N)[rows])
        assert len(predicted.logits) == len(predicted.probabilities) == len(predicted.logsumexp) == len(seen[-1])
        torch.testing.assert_close(predicted.logits.logsumexp(-1), predicted.logsumexp)
        torch.testing.assert_close(predicted.logits.softmax(-1), predicted.probabilities)
        return SmoothedCrossEntropy(targets, 0.1)(rows, predicted)

    vocabulary_loss(*inputs, loss, tokens_at_once=3)
    assert list(itertools.chain(*seen)) == list(range(N)) and len(seen) == 3
