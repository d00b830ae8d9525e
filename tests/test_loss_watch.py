"""Which losses have left the path, by hand-computed numbers."""

from __future__ import annotations

import math

import pytest

from a2d_cli.training.loss_watch import DIVERGED_NATS, DOUBTFUL_NATS, SMOOTHING_UPDATES, Diverged, LossWatch
from a2d_cli.training.update_sums import UpdateSums

TOKENS = 10


def sums(loss: float, update: int = 7, norm: float = 1.0) -> UpdateSums:
    """Of `loss` nats per token."""
    terms = {"nll": loss * TOKENS, "attention": math.inf}  # which no watch looks at
    return UpdateSums(update, terms, TOKENS, gradient_norm=norm, told_to_stop=False)


def test_the_first_loss_is_the_smoothed_one_and_each_later_one_counts_a_fiftieth():
    watch = LossWatch()
    assert watch.is_healthy
    for loss in (5.0, 4.0, 6.0):
        watch.see(sums(loss), overflow_is_normal=False)
    assert watch.smoothed == pytest.approx((5 * 49 / 50 + 4 / 50) * 49 / 50 + 6 / 50)
    assert watch.lowest == pytest.approx(5 * 49 / 50 + 4 / 50)


def test_a_loss_that_climbs_is_doubtful_before_it_has_diverged():
    watch = LossWatch(smoothed=3.0, lowest=3.0)
    a_quarter_nat = 0.25 * SMOOTHING_UPDATES
    healthy = []
    with pytest.raises(Diverged, match=r"loss 5\.25 after 3\.00") as caught:
        for update in range(100):
            watch.see(sums(watch.smoothed + a_quarter_nat, update), overflow_is_normal=False)
            healthy.append(watch.is_healthy)
    assert caught.value.update == DIVERGED_NATS / 0.25
    assert healthy == [True] * int(DOUBTFUL_NATS / 0.25) + [False] * 6


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number_has_diverged(loss: float):
    with pytest.raises(Diverged):
        LossWatch().see(sums(loss), overflow_is_normal=True)


def test_a_gradient_that_is_no_number_has_diverged_unless_a_scaler_skips_it():
    LossWatch().see(sums(1.0, norm=math.inf), overflow_is_normal=True)
    with pytest.raises(Diverged, match="gradient norm inf"):
        LossWatch().see(sums(1.0, norm=math.inf), overflow_is_normal=False)
