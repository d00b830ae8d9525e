"""Divergences over words, cells and rows: their definitions, zero at equality, finite at the edges."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import quick

from a2d_cli.distillation.divergences import cell_divergence, row_divergence, word_divergence

N, V = 5, 11
B, C, Q, K = 2, 3, 5, 7
KINDS = ["fkl", "rkl", "js", "tvd", "skew"]
seeds = st.integers(0, 999)


def normal(seed: int, *size: int) -> torch.Tensor:
    return 2 * torch.randn(*size, generator=torch.Generator().manual_seed(seed))


def kl(p: list[float], q: list[float]) -> float:
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True) if a > 0)


def by_definition(p: list[float], q: list[float], kind: str) -> float:
    mean = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
    skewed = [0.1 * a + 0.9 * b for a, b in zip(p, q, strict=True)]
    return {
        "fkl": kl(p, q),
        "rkl": kl(q, p),
        "js": (kl(p, mean) + kl(q, mean)) / 2,
        "tvd": sum(abs(a - b) for a, b in zip(p, q, strict=True)) / 2,
        "skew": kl(p, skewed),
    }[kind]


# --- words --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@given(seed=seeds, temperature=st.sampled_from([0.5, 1.0, 3.0]))
@quick
def test_a_word_divergence_is_its_definition_for_each_token(kind, seed, temperature):
    teacher, student = normal(seed, N, V), normal(seed + 1, N, V)
    p = (teacher.double() / temperature).softmax(-1).tolist()
    q = (student.double() / temperature).softmax(-1).tolist()
    expected = [by_definition(*pair, kind) for pair in zip(p, q, strict=True)]
    assert word_divergence(teacher, student, temperature, kind).tolist() == pytest.approx(expected, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_distributions_are_at_distance_zero_with_zero_gradient(kind):
    teacher = normal(1, N, V)
    student = (teacher + 5.0).requires_grad_()  # a shift of all scores is the same distribution
    divergence = word_divergence(teacher, student, 1.0, kind)
    divergence.sum().backward()
    assert float(divergence.detach().abs().max()) < 1e-5
    if kind != "tvd":  # whose |p - q| has a kink there
        assert float(student.grad.abs().max()) < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_extreme_scores_keep_divergence_and_gradient_finite(kind):
    teacher = torch.tensor([[200.0, -200.0, 0.0], [0.0, 0.0, 0.0]])
    student = torch.tensor([[-200.0, 200.0, 0.0], [90.0, 0.0, -90.0]], requires_grad=True)
    divergence = word_divergence(teacher, student, 1.0, kind)
    divergence.sum().backward()
    assert divergence.isfinite().all() and student.grad.isfinite().all()


def test_the_gradient_of_forward_kl_is_student_minus_teacher():
    teacher, student = normal(1, N, V), normal(2, N, V).requires_grad_()
    word_divergence(teacher, student, 1.0, "fkl").sum().backward()
    torch.testing.assert_close(student.grad, student.detach().softmax(-1) - teacher.softmax(-1))


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="no divergence 'l2'"):
        word_divergence(normal(1, N, V), normal(2, N, V), 1.0, "l2")


# --- cells --------------------------------------------------------------------------------------------------


@given(seeds)
@quick
def test_cells_are_one_distribution_a_map(seed):
    teacher, student = normal(seed, B, C, Q, K), normal(seed + 1, B, C, Q, K)
    expected = 0.0
    for b in range(B):
        for c in range(C):
            p, q = (x[b, c].flatten().double().softmax(-1).tolist() for x in (teacher, student))
            expected += kl(p, q)
    assert float(cell_divergence(teacher, student)) == pytest.approx(expected, rel=1e-4)


@given(seeds, st.integers(1, Q), st.integers(1, K))
@quick
def test_masked_cells_do_not_exist(seed, queries, keys):
    teacher, student = normal(seed, B, C, Q, K), normal(seed + 1, B, C, Q, K)
    cells = torch.zeros(B, Q, K, dtype=torch.bool)
    cells[:, :queries, :keys] = True
    masked = cell_divergence(teacher, student.requires_grad_(), cells)
    small = cell_divergence(teacher[:, :, :queries, :keys], student[:, :, :queries, :keys])
    torch.testing.assert_close(masked, small, rtol=1e-4, atol=1e-5)
    masked.backward()
    assert (student.grad[~cells[:, None].expand_as(student)] == 0).all() and student.grad.isfinite().all()


# --- rows ---------------------------------------------------------------------------------------------------


def maps(seed: int, cells: torch.Tensor) -> torch.Tensor:
    return normal(seed, B, C, Q, K).masked_fill(~cells[:, None], float("-inf")).softmax(-1)


def some_cells() -> torch.Tensor:
    keys = torch.tensor([7, 4])
    return (torch.arange(K) < keys[:, None])[:, None].expand(B, Q, K).clone()


@given(seeds, st.sampled_from([0.0, 1e-3, 0.3]))
@quick
def test_rows_are_compared_one_by_one_and_averaged_over_maps(seed, floor):
    cells = some_cells()
    teacher, student = maps(seed, cells), maps(seed + 1, cells)
    weights = torch.rand(B, Q, generator=torch.Generator().manual_seed(seed))
    expected = 0.0
    for b, num_keys in enumerate((7, 4)):
        for q in range(Q):
            rows = []
            for c in range(C):
                p = teacher[b, c, q, :num_keys].double().tolist()
                floored = [(1 - floor) * x + floor / num_keys for x in student[b, c, q, :num_keys].double().tolist()]
                rows.append(kl(p, floored))
            expected += float(weights[b, q]) * sum(rows) / C
    found = row_divergence(teacher, student, cells, weights, floor)
    assert float(found) == pytest.approx(expected, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("floor", [0.0, 1e-3])
def test_one_hot_student_rows_keep_loss_and_gradient_finite(floor):
    cells = some_cells()
    student = torch.zeros(B, C, Q, K)
    student[..., 1] = 1.0
    student.requires_grad_()
    loss = row_divergence(maps(1, cells), student, cells, torch.ones(B, Q), floor)
    loss.backward()
    assert loss.isfinite() and student.grad.isfinite().all()
    if floor:
        assert float(loss.detach()) < B * Q * math.log(K / floor)


def test_one_hot_teacher_rows_are_minus_log_of_the_students_choice():
    cells = torch.ones(1, 1, 3, dtype=torch.bool)
    teacher, student = torch.tensor([[[[0.0, 1.0, 0.0]]]]), torch.tensor([[[[0.5, 0.3, 0.2]]]])
    found = row_divergence(teacher, student, cells, torch.ones(1, 1), floor=0.1)
    assert float(found) == pytest.approx(-math.log(0.9 * 0.3 + 0.1 / 3))


def test_rows_of_weight_zero_change_nothing():
    cells, weights = some_cells(), torch.ones(B, Q)
    weights[1, 3:] = 0.0
    teacher, student = maps(1, cells), maps(2, cells)
    before = row_divergence(teacher, student, cells, weights, 1e-3)
    student[1, :, 3:] = 1 / K
    torch.testing.assert_close(row_divergence(teacher, student, cells, weights, 1e-3), before)


def test_half_precision_is_taken_in_single():
    cells = some_cells()
    teacher, student = maps(1, cells).bfloat16(), maps(2, cells).bfloat16()
    assert cell_divergence(teacher, student, cells).dtype == torch.float32
    assert row_divergence(teacher, student, cells, torch.ones(B, Q), 1e-3).dtype == torch.float32
    assert word_divergence(normal(1, N, V).half(), normal(2, N, V).half(), 1.0, "fkl").dtype == torch.float32
