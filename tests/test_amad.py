"""amad: every teacher map teaches every student map, by how alike they are."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_distillation_objective import make, parts_of
from tiny import LargestTensor, quick, random_batch, tiny_model
from torch import Tensor

from a2d_cli.distillation.amad import map_similarity, weighted_divergence
from a2d_cli.distillation.divergences import row_divergence
from a2d_cli.distillation.teachers import Teacher

B, C_T, C_S, Q, K = 2, 3, 5, 7, 11


def draw(seed: int, batch: int = B, maps: tuple[int, int] = (C_T, C_S), size: tuple[int, int] = (Q, K)) -> list[Tensor]:
    """Teacher's maps, student's maps, cells and row weights; two rows and one key at least are padding."""
    generator = torch.Generator().manual_seed(seed)
    cells = torch.rand(batch, *size, generator=generator) < 0.7
    cells[..., 0], cells[..., -1], cells[:, -2:] = True, False, False
    scores = [3 * torch.randn(batch, count, *size, generator=generator) for count in maps]
    # Padding rows look at what they like.
    open_cells = cells.clone()
    open_cells[:, -2:] = True
    teacher, student = (each.masked_fill(~open_cells[:, None], float("-inf")).softmax(-1) for each in scores)
    weights = torch.rand(batch, size[0], generator=generator) + 0.5
    weights[:, -2:] = 0.0
    return [teacher, student, cells, weights]


def by_pairs(teacher: Tensor, student: Tensor, cells: Tensor, weights: Tensor, floor: float) -> Tensor:
    """One pair of maps after the other."""
    total = torch.zeros(())
    for b in range(len(cells)):
        for i in range(teacher.shape[1]):
            own, target = student[b] * cells[b], teacher[b, i] * cells[b]
            cosines = torch.stack([(each * target).sum() / (each.norm() * target.norm()) for each in own])
            similarity = (cosines / 0.1).softmax(0).detach()
            for j in range(student.shape[1]):
                maps = teacher[b : b + 1, i : i + 1], student[b : b + 1, j : j + 1]
                kl = row_divergence(maps[0] * cells[b], maps[1], cells[b : b + 1], weights[b : b + 1], floor)
                total = total + similarity[j] * kl / teacher.shape[1]
    return total


@given(st.integers(0, 999), st.sampled_from([1e-3, 0.1]))
@quick
def test_products_of_matrices_are_the_sum_over_pairs_in_value_and_gradient(seed: int, floor: float):
    """The sum over pairs takes the weights as constants, so this one has no gradient through them either."""
    teacher, student, cells, weights = draw(seed)
    student.requires_grad_()
    found, expected = (
        weighted_divergence(teacher, student, cells, weights, floor),
        by_pairs(teacher, student, cells, weights, floor),
    )
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    ours, theirs = (torch.autograd.grad(value, student)[0] for value in (found, expected))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_one_row_by_hand():
    """A teacher head at the first of two keys, student heads there (9 to 1) and elsewhere (1 to 9)."""
    teacher, student = torch.tensor([[[[1.0, 0.0]]]]), torch.tensor([[[[0.9, 0.1]], [[0.1, 0.9]]]])
    cells, weights = torch.ones(1, 1, 2, dtype=torch.bool), torch.tensor([[2.0]])
    near, far = (math.exp(value / math.sqrt(0.82) / 0.1) for value in (0.9, 0.1))
    expected = 2.0 * (near * -math.log(0.9) + far * -math.log(0.1)) / (near + far)
    assert float(weighted_divergence(teacher, student, cells, weights, 0.0)) == pytest.approx(expected, rel=1e-5)


@given(st.integers(0, 999))
@quick
def test_similarities_are_shares_and_largest_for_the_map_itself(seed: int):
    teacher, _, cells, _ = draw(seed)
    teacher = teacher * cells[:, None]
    similarity = map_similarity(teacher, teacher)
    torch.testing.assert_close(similarity.sum(-1), torch.ones(B, C_T))
    assert (similarity.argmax(-1) == torch.arange(C_T)).all()


@torch.no_grad()
def test_equal_models_are_far_nearer_than_others():
    """Not at 0: some weight always goes to maps that are only alike."""
    student = tiny_model()
    same, other = (parts_of(make("amad", student, Teacher(tiny_model(seed=seed))), random_batch()) for seed in (1, 7))
    kinds = ("encoder_self", "decoder_self", "cross")
    assert all(0 < same[f"attn_{kind}"] < other[f"attn_{kind}"] for kind in kinds)
    assert 2 * sum(same[f"attn_{kind}"] for kind in kinds) < sum(other[f"attn_{kind}"] for kind in kinds)


def test_no_tensor_holds_all_pairs_of_maps():
    teacher, student, cells, weights = draw(1, 3, (13, 17), (19, 23))
    student.requires_grad_()
    with LargestTensor() as largest:
        weighted_divergence(teacher, student, cells, weights, 1e-3).backward()
    assert largest.numel <= student.numel()


def test_one_hot_maps_of_no_likeness_keep_it_finite():
    cells = torch.ones(1, 3, 5, dtype=torch.bool)
    teacher = torch.zeros(1, 2, 3, 5).index_fill(3, torch.tensor([1]), 1.0)
    student = torch.zeros(1, 3, 3, 5).index_fill(3, torch.tensor([2]), 1.0).requires_grad_()
    loss = weighted_divergence(teacher, student, cells, torch.ones(1, 3), 0.0)
    loss.backward()
    assert loss.isfinite() and student.grad.isfinite().all()
