"""Aligners: a pointwise convolution, a convex mixture, any numbers of maps, and an own source of chance."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from tiny import quick

from a2d_cli.config.schema import ModelShape
from a2d_cli.distillation.alignment import (
    AttentionAlignment,
    SimplexAlignment,
    align,
    diagonal_mixture,
)
from a2d_cli.distillation.divergences import cell_divergence, row_divergence

B, Q, K = 2, 3, 5
ALIGNERS = [AttentionAlignment, SimplexAlignment]
counts = st.integers(1, 29)


def random_maps(count: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(B, count, Q, K, generator=torch.Generator().manual_seed(seed)).softmax(-1)


@given(counts, counts)
@quick
def test_the_alignment_is_a_1x1_convolution(num_student, num_teacher):
    maps, aligner = random_maps(num_student), AttentionAlignment(num_student, num_teacher)
    expected = F.conv2d(maps, aligner.weight[:, :, None, None], aligner.bias)
    assert aligner(maps).shape == (B, num_teacher, Q, K)
    torch.testing.assert_close(aligner(maps), expected, rtol=1e-4, atol=1e-5)


@given(counts, counts, st.sampled_from([0.1, 1.0, 5.0]))
@quick
def test_a_simplex_mixture_keeps_rows_probabilities(num_student, num_teacher, temperature):
    maps, aligner = (
        random_maps(num_student),
        SimplexAlignment(num_student, num_teacher, temperature=temperature),
    )
    assert aligner.mixture.shape == (num_teacher, num_student) and (aligner.mixture >= 0).all()
    torch.testing.assert_close(aligner.mixture.sum(-1), torch.ones(num_teacher))
    mixed = aligner(maps)
    assert mixed.shape == (B, num_teacher, Q, K) and (mixed >= 0).all()
    torch.testing.assert_close(mixed.sum(-1), torch.ones(B, num_teacher, Q))


@pytest.mark.parametrize("temperature", [0.1, 2.0])
def test_a_lower_temperature_moves_shares_faster_from_the_same_start(temperature: float):
    def after_a_step(temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
        aligner = SimplexAlignment(5, 7, torch.Generator().manual_seed(3), temperature)
        optimizer = torch.optim.SGD(aligner.parameters(), lr=1e-3)
        start = aligner.mixture.detach()
        aligner(maps).square().sum().backward()
        aligner.scores.grad.sign_()  # as Adam does in its first step
        optimizer.step()
        return start, aligner.mixture.detach().log() - start.log()

    maps = random_maps(5)
    (start, moved), (start_at_1, moved_at_1) = after_a_step(temperature), after_a_step(1.0)
    torch.testing.assert_close(start, start_at_1)
    torch.testing.assert_close(moved * temperature, moved_at_1, rtol=0.05, atol=1e-4)


def shape(layers: int, heads: int) -> ModelShape:
    return ModelShape(d_model=2 * heads, num_heads=heads, encoder_layers=layers, decoder_layers=layers + 1)


def test_layers_and_heads_overlap_on_the_diagonal():
    # 3 teacher layers on 2: the first, half of both, the second; 1 teacher head on 2: half of both.
    found = diagonal_mixture("encoder_self", shape(2, 2), shape(3, 1))
    torch.testing.assert_close(found, torch.tensor([[2, 2, 0, 0], [1, 1, 1, 1], [0, 0, 2, 2]]) / 4)
    # Twice as many heads as the student's: two share one.
    found = diagonal_mixture("cross", shape(1, 2), shape(1, 4))
    expected = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    torch.testing.assert_close(found, torch.kron(torch.eye(2), expected))


@given(st.integers(1, 7), st.integers(1, 7), st.integers(1, 7), st.integers(1, 7))
@quick
def test_a_diagonal_mixture_uses_every_student_head_alike(student_layers, student_heads, teacher_layers, teacher_heads):
    student, teacher = shape(student_layers, student_heads), shape(teacher_layers, teacher_heads)
    found = diagonal_mixture("encoder_self", student, teacher)
    assert (found >= 0).all()
    torch.testing.assert_close(found.sum(1), torch.ones(len(found)))
    torch.testing.assert_close(found.sum(0), torch.full((found.shape[1],), found.shape[0] / found.shape[1]))
    torch.testing.assert_close(diagonal_mixture("encoder_self", student, student), torch.eye(found.shape[1]))


@pytest.mark.parametrize("temperature", [0.1, 2.0])
def test_a_start_is_the_mixture_asked_for_but_for_an_even_share(temperature: float):
    aligner, wanted = SimplexAlignment(5, 3, temperature=temperature), torch.eye(5)[:3]
    aligner.start_at(wanted)
    torch.testing.assert_close(aligner.mixture.detach(), 0.9 * wanted + 0.1 / 5)


def test_equal_maps_through_the_identity_are_at_distance_zero():
    maps, cells = random_maps(7), torch.ones(B, Q, K, dtype=torch.bool)
    through_cells, through_rows = AttentionAlignment(7, 7), SimplexAlignment(7, 7)
    with torch.no_grad():
        through_cells.weight.copy_(torch.eye(7))
        through_cells.bias.zero_()
        through_rows.scores.copy_(100 * torch.eye(7))
    assert abs(float(cell_divergence(maps, through_cells(maps).detach()))) < 1e-5
    assert abs(float(cell_divergence(maps, through_cells(maps).detach(), cells))) < 1e-5
    assert abs(float(row_divergence(maps, through_rows(maps).detach(), cells, torch.ones(B, Q), 0.0))) < 1e-5
    # The floor alone costs at most -log(1 - ε) a row.
    assert (
        0 <= float(row_divergence(maps, through_rows(maps).detach(), cells, torch.ones(B, Q), 1e-3)) < 1.01e-3 * B * Q
    )


@pytest.mark.parametrize("aligner", ALIGNERS)
def test_an_aligner_draws_from_its_own_generator_alone(aligner):
    def draw(seed):
        return torch.cat([p.flatten() for p in aligner(3, 5, torch.Generator().manual_seed(seed)).parameters()])

    before = torch.get_rng_state()
    assert torch.equal(draw(1), draw(1)) and not torch.equal(draw(1), draw(2))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("temperature", [0.1, 1.0, 5.0])
def test_a_drawn_mixture_is_nearly_even_but_no_two_heads_are_alike(temperature: float):
    mixture = SimplexAlignment(5, 7, torch.Generator().manual_seed(3), temperature).mixture.detach()
    assert 0.01 < float((5 * mixture - 1).abs().max()) < 0.3
    assert all(len(set(row)) == 5 for row in mixture.tolist())


def test_a_drawn_convolution_has_the_usual_range_of_its_inputs():
    aligner = AttentionAlignment(25, 97, torch.Generator().manual_seed(3))
    for parameter in aligner.parameters():
        assert 0.95 * 25**-0.5 < float(parameter.detach().abs().max()) <= 25**-0.5
        assert float(parameter.detach().min()) < 0 < float(parameter.detach().max())


@pytest.mark.parametrize("aligner", ALIGNERS)
def test_gradients_reach_every_aligner_weight_and_every_student_map(aligner):
    maps, module = random_maps(3).requires_grad_(), aligner(3, 5)
    (module(maps) * torch.randn(B, 5, Q, K)).sum().backward()
    assert (maps.grad != 0).all() and all((p.grad != 0).all() for p in module.parameters())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_does_not_round_the_maps(dtype):
    maps, weight, bias = random_maps(3), torch.randn(5, 3), torch.randn(5)
    with torch.autocast("cpu", dtype):
        found = align(maps, weight, bias)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, align(maps, weight, bias))
