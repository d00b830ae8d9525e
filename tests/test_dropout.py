"""Dropout from random bytes: the rate, the scale, one mask for both directions, and the seed decides."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import quick

from a2d_cli.model.dropout import dropout

sizes = st.lists(st.integers(0, 13), min_size=1, max_size=3)
rates = st.floats(0.01, 0.99)


@given(sizes, rates, st.integers(0, 999))
@quick
def test_every_value_is_dropped_or_scaled_and_the_gradient_takes_the_same_mask(size, rate, seed):
    torch.manual_seed(seed)
    x = (torch.rand(size) + 1.0).requires_grad_()
    y = dropout(x, rate, training=True)
    dropped = min(round(rate * 256), 255)  # of 256 levels
    scale = 256 / (256 - dropped)
    kept = y != 0
    assert y.shape == x.shape and y.dtype == x.dtype
    torch.testing.assert_close(y, torch.where(kept, x * scale, 0.0))
    y.backward(torch.full(size, 3.0))
    torch.testing.assert_close(x.grad, kept * 3.0 * scale)


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5])
def test_the_rate_holds_and_the_mean_stays(rate):
    torch.manual_seed(1)
    y = dropout(torch.ones(499, 1009), rate, training=True)
    assert abs(float((y == 0).float().mean()) - rate) < 0.004  # 1/512 of rounding and the noise of 500,000 draws
    assert abs(float(y.mean()) - 1.0) < 0.004


def test_neighbours_are_dropped_independently():
    torch.manual_seed(1)
    kept = (dropout(torch.ones(80003), 0.5, training=True) != 0).float() * 2 - 1
    for distance in (1, 2, 3, 5, 7, 8):  # eight decisions share a random number
        assert abs(float((kept[distance:] * kept[:-distance]).mean())) < 0.02


def test_the_seed_decides():
    def draw(seed):
        torch.manual_seed(seed)
        return dropout(torch.ones(101), 0.5, training=True)

    assert torch.equal(draw(3), draw(3))
    assert not torch.equal(draw(3), draw(4))


@pytest.mark.parametrize(("rate", "training"), [(0.0, True), (0.5, False)])
def test_off_it_is_the_identity_and_draws_nothing(rate, training):
    x, before = torch.ones(7), torch.get_rng_state()
    assert dropout(x, rate, training) is x
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_every_float_type_and_any_memory_order(dtype):
    torch.manual_seed(1)
    x = torch.ones(5, 3, 7, dtype=dtype).transpose(0, 2).requires_grad_()
    y = dropout(x, 0.5, training=True)
    assert y.dtype == dtype and set(y.flatten().tolist()) == {0.0, 2.0}
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())
