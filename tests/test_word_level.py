"""The word-level loss: cross-entropy and the teacher's words in one pass, equal to the two of them apart."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from tiny import quick
from torch import Tensor

from a2d_cli.distillation.divergences import word_divergence
from a2d_cli.distillation.word_level import WordLevelLoss
from a2d_cli.training.losses import SmoothedCrossEntropy, smoothed_cross_entropy
from a2d_cli.training.vocabulary_loss import vocabulary_loss

N, D, V = 7, 5, 11
KINDS = ["fkl", "rkl", "js", "tvd", "skew"]


def draw(seed: int, dtype: torch.dtype = torch.float64) -> tuple[list[Tensor], Tensor, Tensor]:
    """States, weight with pad's row, bias; the teacher's scores; targets."""
    generator = torch.Generator().manual_seed(seed)
    sizes = [(N, D), (V + 1, D), (V,)]
    inputs = [torch.randn(size, generator=generator, dtype=torch.float64).to(dtype).requires_grad_() for size in sizes]
    teacher = (2 * torch.randn(N, V, generator=generator, dtype=torch.float64)).to(dtype)
    return inputs, teacher, torch.randint(V, (N,), generator=generator)


def word_level(inputs, teacher, targets, alpha, temperature=1.0, kind="fkl", smoothing=0.1, tokens_at_once=3):
    loss = WordLevelLoss(
        SmoothedCrossEntropy(targets, smoothing), lambda rows: teacher[rows].clone(), alpha, temperature, kind
    )
    return vocabulary_loss(*inputs, loss, tokens_at_once)


@pytest.mark.parametrize("kind", KINDS)
@given(
    seed=st.integers(0, 999),
    alpha=st.floats(0.0, 1.0),
    temperature=st.sampled_from([0.5, 1.0, 3.0]),
    smoothing=st.sampled_from([0.0, 0.1]),
    tokens_at_once=st.integers(1, N + 1),
)
@quick
def test_it_is_the_sum_of_its_terms_in_values_and_gradients(kind, seed, alpha, temperature, smoothing, tokens_at_once):
    inputs, teacher, targets = draw(seed)
    states, weight, bias = inputs
    logits = F.linear(states, weight[:-1], bias)
    ce = smoothed_cross_entropy(logits, targets, smoothing)
    word = word_divergence(teacher, logits, temperature, kind)
    expected = ((1 - alpha) * ce.loss + alpha * temperature**2 * word).sum()
    found = word_level(inputs, teacher, targets, alpha, temperature, kind, smoothing, tokens_at_once)
    torch.testing.assert_close(found["loss"], expected)
    torch.testing.assert_close(found["nll"], ce.nll.sum())
    torch.testing.assert_close(found["word"], word.sum())
    assert not found["nll"].requires_grad and not found["word"].requires_grad
    for ours, theirs in zip(*(torch.autograd.grad(x, inputs) for x in (found["loss"], expected)), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(("kind", "temperature"), [("fkl", 1.0), ("fkl", 2.0), ("js", 1.0)])
def test_its_gradients_are_the_differences_of_its_values(kind, temperature):
    inputs, teacher, targets = draw(1)
    assert torch.autograd.gradcheck(lambda *x: word_level(x, teacher, targets, 0.3, temperature, kind)["loss"], inputs)


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 999), num_hard=st.integers(0, N), tokens_at_once=st.integers(1, N + 1))
@quick
def test_where_tokens_are_selected_it_is_word_level_for_some_and_references_for_the_others(
    kind, seed, num_hard, tokens_at_once
):
    inputs, teacher, targets = draw(seed)
    states, weight, bias = inputs
    logits = F.linear(states, weight[:-1], bias)
    nll = F.cross_entropy(logits, targets, reduction="none").detach()
    order = nll.argsort(descending=True)
    threshold = nll[order[num_hard - 1]] if num_hard else torch.tensor(float("inf"))
    hard, easy = order[:num_hard], order[num_hard:]
    ce = [smoothed_cross_entropy(logits[some], targets[some], 0.1).loss.sum() for some in (hard, easy)]
    word = word_divergence(teacher[hard], logits[hard], 2.0, kind).sum()
    expected = 0.7 * ce[0] + 0.3 * 4.0 * word + ce[1]
    threshold = threshold - 1e-9  # but for rounding
    taught = WordLevelLoss(
        SmoothedCrossEntropy(targets, 0.1), lambda rows: teacher[rows].clone(), 0.3, 2.0, kind, threshold
    )
    found = vocabulary_loss(*inputs, taught, tokens_at_once)
    torch.testing.assert_close(found["loss"], expected)
    torch.testing.assert_close(found["nll"], nll.sum())
    torch.testing.assert_close(found["word"], word)
    assert int(found["selected"]) == num_hard
    for ours, theirs in zip(*(torch.autograd.grad(x, inputs) for x in (found["loss"], expected)), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_a_teacher_of_the_same_mind_adds_nothing(temperature):
    """Up to the cross-entropy, halved: a shift of all scores is the same distribution."""
    inputs, _, targets = draw(1)
    states, weight, bias = inputs
    teacher = F.linear(states, weight[:-1], bias).detach() + 5.0
    found = word_level(inputs, teacher, targets, 0.5, temperature)
    expected = 0.5 * smoothed_cross_entropy(F.linear(states, weight[:-1], bias), targets, 0.1).loss.sum()
    assert abs(float(found["word"])) < 1e-10
    for ours, theirs in zip(*(torch.autograd.grad(x, inputs) for x in (found["loss"], expected)), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_extreme_scores_keep_values_and_gradients_finite():
    inputs, teacher, targets = draw(1, torch.float32)
    states, weight, bias = (each.detach().mul(40).requires_grad_() for each in inputs)
    for kind in KINDS:
        found = word_level([states, weight, bias], 40 * teacher, targets, 0.5, kind=kind)
        gradients = torch.autograd.grad(found["loss"], [states, weight, bias])
        assert all(value.isfinite().all() for value in (*found.values(), *gradients))


@pytest.mark.parametrize("kind", ["fkl", "js"])
def test_half_precision_teachers_are_compared_in_single(kind):
    inputs, teacher, targets = draw(1, torch.float32)
    found = word_level(inputs, teacher.bfloat16(), targets, 0.5, kind=kind)
    exact = word_level(inputs, teacher.bfloat16().float(), targets, 0.5, kind=kind)
    assert found["word"].dtype == torch.float32
    assert torch.equal(found["loss"], exact["loss"])


def test_the_teachers_scores_are_left_as_they_were():
    inputs, teacher, targets = draw(1)
    before = teacher.clone()
    for kind in KINDS:
        word_level(inputs, teacher, targets, 0.5, kind=kind)
    assert torch.equal(teacher, before)
