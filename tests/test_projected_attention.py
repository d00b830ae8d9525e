"""a2d-proj: how much of each teacher head the student's heads could explain, by least squares solved, not trained."""

from __future__ import annotations

import io

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_distillation_objective import FIRST, make, parts_of
from tiny import quick, random_batch, tiny_model, tiny_teacher
from torch import Tensor

from a2d_cli.distillation.projected_attention import Products, Projection, products, solve
from a2d_cli.distillation.teachers import Teacher
from a2d_cli.distillation.terms import Maps
from a2d_cli.training.objective import TrainingStep

KINDS = ("encoder_self", "decoder_self", "cross")
B, C_T, C_S, Q, K = 3, 2, 5, 7, 11


def draw(seed: int) -> list[Tensor]:
    """Teacher's maps, student's maps, cells and row weights; the last row and the last key are padding."""
    generator = torch.Generator().manual_seed(seed)
    cells = torch.ones(B, Q, K, dtype=torch.bool)
    cells[:, -1], cells[..., -1] = False, False
    teacher, student = (torch.randn(B, count, Q, K, generator=generator).softmax(-1) for count in (C_T, C_S))
    keys = cells[:, :1, None, :]  # a map gives nothing to a key that is padding, also in a row that is
    teacher, student = (each * keys / (each * keys).sum(-1, keepdim=True) for each in (teacher, student))
    weights = (torch.rand(B, Q, generator=generator) + 0.5) * cells.any(-1)
    return [teacher, student, cells, weights]


def columns(teacher: Tensor, student: Tensor, cells: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Every real cell, each row less its mean, times its weight's root: (cells, C_T) and (cells, C_S) in double."""
    sides = []
    for maps in (teacher, student):
        found = []
        for b, q in torch.argwhere(weights > 0).tolist():
            row = maps[b, :, q].double()[:, cells[b, q]]
            found.append((row - row.mean(-1, keepdim=True)) * weights[b, q].double().sqrt())
        sides.append(torch.cat(found, 1).T)
    return sides[0], sides[1]


def looked(found: Products, ridge: float = 1e-3, decay: float = 0.9) -> Projection:
    projection = Projection(len(found.gram), len(found.cross), ridge, decay)
    projection.look(found)
    return projection


@given(st.integers(0, 999))
@quick
def test_it_is_the_unexplained_share_of_an_ordinary_regression(seed: int):
    drawn = draw(seed)
    y, x = columns(*drawn)
    weight = torch.linalg.lstsq(x, y).solution
    unexplained = (y - x @ weight).square().sum(0) / y.square().sum(0)  # 1 - R² of each teacher map
    found = products(Maps(*drawn))
    projection = looked(found, ridge=1e-9)
    torch.testing.assert_close(projection.weight.double(), weight.T, rtol=1e-2, atol=1e-3)
    expected = float(unexplained.mean() * drawn[3].sum())
    assert float(projection(found)) == pytest.approx(expected, rel=1e-4)


@given(st.integers(0, 999), st.sampled_from([1e-3, 0.3]))
@quick
def test_its_gradient_is_that_of_the_solved_problem(seed: int, ridge: float):
    """The envelope theorem: W may be a constant, as finite differences of problems that are solved anew say."""
    teacher, student, cells, weights = draw(seed)
    leaf = student.clone().requires_grad_()
    found = products(Maps(teacher, leaf, cells, weights))
    projection = looked(Products(*(each.detach() for each in vars(found).values())), ridge)
    (gradient,) = torch.autograd.grad(projection(found), leaf)
    penalty = ridge * float(found.gram.detach().diagonal().mean())

    def solved(maps: Tensor) -> float:
        y, x = columns(teacher, maps, cells, weights)
        weight = torch.linalg.solve(x.T @ x + penalty * torch.eye(C_S, dtype=x.dtype), x.T @ y)
        least = (y - x @ weight).square().sum(0) + penalty * weight.square().sum(0)
        return float((least / (y.square().sum(0) / weights.double().sum())).mean())

    generator = torch.Generator().manual_seed(seed)
    step = torch.randn(student.shape, generator=generator, dtype=torch.float64)
    step = (step - step.mean(-1, keepdim=True)) * 1e-5
    difference = solved(student.double() + step) - solved(student.double() - step)
    # Padding keys take part in no row: their share of the direction is not seen by either.
    assert float((gradient.double() * 2 * step).sum()) == pytest.approx(difference, rel=1e-2, abs=1e-7)


def test_one_row_by_hand():
    """Relative to uniform: teacher (½, -½), students (¼, -¼) and (0, 0), so W = (2, 0) and all is explained."""
    teacher, student = torch.tensor([[[[1.0, 0.0]]]]), torch.tensor([[[[0.75, 0.25]], [[0.5, 0.5]]]])
    found = products(Maps(teacher, student, torch.ones(1, 1, 2, dtype=torch.bool), torch.tensor([[3.0]])))
    assert found.gram.tolist() == [[0.375, 0.0], [0.0, 0.0]]
    assert (found.cross.tolist(), found.squares.tolist(), float(found.rows)) == ([[0.75, 0.0]], [1.5], 3.0)
    projection = looked(found, ridge=1e-6)
    torch.testing.assert_close(projection.weight, torch.tensor([[2.0, 0.0]]))
    assert float(projection(found)) == pytest.approx(0.0, abs=1e-5)
    projection.weight.zero_()
    assert float(projection(found)) == pytest.approx(3.0)  # 1 - R² = 1 of three tokens: no better than uniform rows


def test_a_greater_penalty_explains_less():
    found = products(Maps(*draw(1)))
    losses = [float(looked(found, ridge)(found)) for ridge in (1e-6, 0.1, 10.0)]
    assert losses == sorted(losses) and losses[-1] < float(found.rows)


def test_sums_fade_from_update_to_update():
    first, second = products(Maps(*draw(1))), products(Maps(*draw(2)))
    projection = looked(first, decay=0.5)
    projection.look(second)
    torch.testing.assert_close(projection.gram.data, 0.5 * first.gram + second.gram)
    torch.testing.assert_close(projection.squares.data, 0.5 * first.squares + second.squares)
    torch.testing.assert_close(projection.weight.data, solve(projection.gram, projection.cross, 1e-3))


def test_where_no_row_has_a_choice_there_is_nothing_to_explain():
    one = torch.ones(2, 3, 5, 1)
    found = products(Maps(one, one, torch.ones(2, 5, 1, dtype=torch.bool), torch.ones(2, 5)))
    projection = looked(found)
    assert float(projection(found)) == 0.0 and (projection.weight == 0).all()


def test_a_teacher_head_that_is_all_but_uniform_counts_for_nothing():
    """Relative to its own size its noise would be as much to explain as another head's attention."""
    _, student, cells, weights = draw(1)
    even = torch.full((B, 1, Q, K), 1 / (K - 1)) + 1e-5 * torch.randn(B, 1, Q, K)
    projection = looked(found := products(Maps(even, student, cells, weights)))
    assert 0 <= float(projection(found)) < 1e-4 * float(found.rows)


@torch.no_grad()
def test_equal_models_explain_each_other():
    objective = make("a2d-proj", tiny_model(), Teacher(tiny_model()), ridge=1e-7)
    objective.before_update(lambda _: random_batch(), FIRST)
    parts = parts_of(objective, random_batch())
    for kind in KINDS:
        assert abs(parts[f"attn_{kind}"]) < 0.01 * random_batch().num_tgt_tokens


def test_only_the_students_attention_learns_from_it():
    student = tiny_model()
    objective = make("a2d-proj", student, alpha=1.0)
    objective._losses(random_batch(), True)[1].backward()
    layers = [layer.self_attention for layer in (*student.encoder_layers, *student.decoder_layers)]
    for attention in (*layers, *(layer.cross_attention for layer in student.decoder_layers)):
        assert (attention.q_proj.weight.grad != 0).any() and (attention.k_proj.weight.grad != 0).any()
    assert all(p.grad is None and not p.requires_grad for p in objective.terms.parameters())


def test_any_numbers_of_heads_and_layers_fit_together():
    for heads, layers in ((1, 1), (7, 2)):
        objective = make("a2d-proj", teacher=tiny_teacher(heads, layers))
        assert objective(random_batch(), FIRST).total.isfinite()
        (saved,) = objective.helper_modules().values()
        assert saved["encoder_self"].weight.shape == (heads * layers, 15)
        assert saved["cross"].weight.shape == (heads * (layers + 1), 10)


def test_a_resumed_term_goes_on_as_the_uninterrupted_one():
    """Its sums are among the parameters, which a run saves."""
    settings = {"half_life": 0.0, "gradient_share": 0.5}
    whole, resumed = make("a2d-proj", **settings), make("a2d-proj", **settings)
    for update in (1, 2):
        whole.before_update(lambda _, update=update: random_batch(seed=update), TrainingStep(1, update))
    stream = io.BytesIO()
    torch.save([dict(whole.named_parameters()), whole.extra_state()], stream)
    stream.seek(0)
    parameters, extra = torch.load(stream, weights_only=True)
    resumed.load_state_dict(parameters, strict=False)  # but for buffers, which are constants
    resumed.load_extra_state(extra)
    for objective in (whole, resumed):
        objective.before_update(lambda _: random_batch(seed=3), TrainingStep(1, 3))
    assert all(torch.equal(value, dict(resumed.named_parameters())[name]) for name, value in whole.named_parameters())
    assert parts_of(whole, random_batch()) == parts_of(resumed, random_batch())
