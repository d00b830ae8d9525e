"""Cross-entropy: sums over real target tokens, smoothed as fairseq does."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from tiny import part_of, quick, random_batch, tiny_model

from a2d_cli.training.losses import smoothed_cross_entropy
from a2d_cli.training.objective import TrainingStep, TranslationObjective

N, V = 7, 11
smoothings = st.floats(0.0, 0.9)


def draw(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(N, V, generator=generator), torch.randint(V, (N,), generator=generator)


@given(st.integers(0, 999), smoothings)
@quick
def test_it_is_the_cross_entropy_with_a_smoothed_target(seed, smoothing):
    logits, targets = draw(seed)
    smoothed = torch.full((N, V), smoothing / (V - 1))
    smoothed[torch.arange(N), targets] = 1.0 - smoothing
    found = smoothed_cross_entropy(logits, targets, smoothing)
    torch.testing.assert_close(found.loss, -(smoothed * logits.log_softmax(-1)).sum(-1), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(found.nll, F.cross_entropy(logits, targets, reduction="none"))


@given(st.integers(0, 999), smoothings)
@quick
def test_it_is_torchs_once_the_two_ways_of_spreading_agree(seed, smoothing):
    """torch spreads ε over all V tokens, fairseq over the V-1 others."""
    logits, targets = draw(seed)
    ours = smoothed_cross_entropy(logits, targets, smoothing * (V - 1) / V).loss
    theirs = F.cross_entropy(logits, targets, label_smoothing=smoothing, reduction="none")
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-4)


def test_a_case_by_hand():
    """q = (1/4, 3/4), target 1, ε = 0.2: 0.8 · ln(4/3) + 0.2 · ln 4."""
    logits = torch.tensor([[0.0, math.log(3.0)]])
    found = smoothed_cross_entropy(logits, torch.tensor([1]), 0.2)
    assert float(found.nll) == pytest.approx(math.log(4 / 3))
    assert float(found.loss) == pytest.approx(0.8 * math.log(4 / 3) + 0.2 * math.log(4))


def test_scores_that_exp_cannot_hold_give_finite_losses_and_gradients():
    logits = torch.tensor([[300.0, -300.0, 0.0]], requires_grad=True)
    found = smoothed_cross_entropy(logits, torch.tensor([1]), 0.1)
    found.loss.backward()
    assert float(found.nll.detach()) == pytest.approx(600.0)
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_scores_are_summed_in_single(dtype):
    logits, targets = draw(1)
    logits = logits.to(dtype)
    found = smoothed_cross_entropy(logits, targets, 0.1)
    assert found.loss.dtype == torch.float32
    torch.testing.assert_close(found.loss, smoothed_cross_entropy(logits.float(), targets, 0.1).loss)


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=5))
@quick
def test_the_loss_of_a_batch_is_the_sum_over_its_sentences(lengths):
    objective, batch, step = TranslationObjective(tiny_model(), 0.1), random_batch(lengths), TrainingStep(1, 1)
    together = objective(batch, step)
    alone = [objective(part_of(batch, row), step) for row in range(len(lengths))]
    assert batch.num_tgt_tokens == sum(tgt + 1 for _, tgt in lengths)
    for name in ("loss", "nll"):
        total = sum(float(terms.parts[name]) for terms in alone)
        assert float(together.parts[name]) == pytest.approx(total, rel=1e-4)
    assert float(together.total.detach()) == float(together.parts["loss"])
    assert together.total.requires_grad and not together.parts["loss"].requires_grad
