"""The learning rate, computed by hand, and what Adam is given."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import quick

from a2d_cli.config.schema import Training
from a2d_cli.training.optimizer import learning_rate, make_adam

PLAIN = Training(lr=0.008, warmup_updates=400, max_updates=4000)
COOLED = Training(
    lr=0.008, warmup_updates=400, max_updates=4000, schedule="inverse_sqrt_cooldown", cooldown_fraction=0.25
)


@pytest.mark.parametrize(
    ("settings", "update", "rate"),
    [
        (PLAIN, 1, 0.00002),  # 1/400 of the peak
        (PLAIN, 100, 0.002),
        (PLAIN, 400, 0.008),
        (PLAIN, 1600, 0.004),  # √(400/1600) = 1/2
        (PLAIN, 3600, 0.008 / 3),
        (PLAIN, 40000, 0.0008),  # beyond max_updates it goes on
        (COOLED, 1600, 0.004),
        (COOLED, 3001, 0.008 * (400 / 3001) ** 0.5),  # 1000 updates are left: the cool-down begins
        (COOLED, 3501, 0.008 * (400 / 3501) ** 0.5 / 2),
        (COOLED, 4000, 0.008 * (400 / 4000) ** 0.5 / 1000),
        (Training(lr=0.008, warmup_updates=0), 1, 0.008),
        (Training(lr=0.008, warmup_updates=0), 4, 0.004),
    ],
)
def test_the_rate_of_an_update(settings, update, rate):
    assert learning_rate(update, settings) == pytest.approx(rate)


@given(st.integers(1, 4000), st.integers(0, 999), st.sampled_from([0.0, 0.2, 1.0]))
@quick
def test_the_rate_is_above_zero_and_at_most_the_peak(update, warmup, cooldown):
    settings = Training(
        lr=0.5,
        warmup_updates=warmup,
        schedule="inverse_sqrt_cooldown",
        cooldown_fraction=cooldown,
        max_updates=4000,
    )
    assert 0 < learning_rate(update, settings) <= 0.5


def test_adam_takes_the_settings_and_its_first_step_is_the_rate():
    weight = torch.nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))
    settings = Training(lr=0.25, adam_beta1=0.7, adam_beta2=0.9, adam_eps=1e-12, weight_decay=0.0)
    optimizer = make_adam([weight], settings)
    group = optimizer.param_groups[0]
    assert (group["lr"], group["betas"], group["eps"], group["weight_decay"]) == (
        0.25,
        (0.7, 0.9),
        1e-12,
        0.0,
    )
    (weight * torch.tensor([5.0, -0.01, 700.0])).sum().backward()
    optimizer.step()
    # Bias-corrected, Adam's first step is lr · sign(gradient), whatever the gradient's size.
    torch.testing.assert_close(weight.detach(), torch.tensor([0.75, -1.75, 2.75]))


def test_weight_decay_is_decoupled():
    weight = torch.nn.Parameter(torch.tensor([4.0]))
    optimizer = make_adam([weight], Training(lr=0.5, weight_decay=0.1))
    weight.grad = torch.zeros(1)
    optimizer.step()
    assert float(weight.detach()) == pytest.approx(4.0 * (1 - 0.5 * 0.1))
