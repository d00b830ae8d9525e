"""The 2×2 {cells, rows} × {conv, simplex}, and the controls: a2d with one thing taken away."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_distillation_objective import flat_gradient, make, parts_of
from tiny import SHAPE, LargestTensor, quick, random_batch, tiny_model, tiny_teacher

from a2d_cli.distillation.aligned_attention import as_rows, donors_of
from a2d_cli.distillation.alignment import EVEN_SHARE, diagonal_mixture
from a2d_cli.distillation.divergences import row_divergence, uniform_rows
from a2d_cli.distillation.ensemble import EnsembleTeacher
from a2d_cli.distillation.teachers import Teacher

KINDS = ("encoder_self", "decoder_self", "cross")


def masked_rows(batch: int, maps: int, queries: int, keys: int) -> tuple[torch.Tensor, torch.Tensor]:
    cells = torch.rand(batch, queries, keys) < 0.6
    cells[..., 0] = True
    scores = torch.randn(batch, maps, queries, keys).masked_fill(~cells[:, None], float("-inf"))
    return scores.softmax(-1), cells


def test_distributions_stay_as_they_are_when_made_rows():
    maps, cells = masked_rows(3, 5, 7, 11)
    torch.testing.assert_close(as_rows(maps, cells), maps)


def test_rows_are_the_positive_part_over_its_sum():
    maps = torch.tensor([2.0, -5.0, 6.0, 8.0]).view(1, 1, 1, 4)
    cells = torch.tensor([True, True, True, False]).view(1, 1, 4)
    torch.testing.assert_close(as_rows(maps, cells).flatten(), torch.tensor([0.25, 0.0, 0.75, 0.0]))


def test_a_row_without_a_positive_cell_keeps_the_divergence_finite():
    cells = torch.ones(1, 1, 3, dtype=torch.bool)
    maps = torch.full((1, 1, 1, 3), -1.0, requires_grad=True)
    target = torch.tensor([0.5, 0.5, 0.0]).view(1, 1, 1, 3)
    loss = row_divergence(target, as_rows(maps, cells), cells, torch.ones(1, 1), 1e-3)
    loss.backward()
    assert loss.isfinite() and maps.grad.isfinite().all()


def test_uniform_rows_look_everywhere_alike_where_they_may():
    maps, cells = masked_rows(2, 3, 5, 7)
    uniform = uniform_rows(cells).expand_as(maps)
    torch.testing.assert_close(uniform.sum(-1), torch.ones(2, 3, 5))
    assert (uniform[~cells[:, None].expand_as(uniform)] == 0).all()
    assert uniform[0, 1, 2].unique().numel() <= 2


def cells_of(lengths: list[tuple[int, int]]) -> torch.Tensor:
    """(B, 3, 3) of real queries and keys."""
    queries, keys = (torch.arange(3) < length[:, None] for length in torch.tensor(lengths).unbind(1))
    return queries[:, :, None] & keys[:, None, :]


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=9))
@quick
def test_a_donor_is_another_sentence_of_the_same_lengths_and_nobodys_twice(lengths):
    cells = cells_of(lengths)
    donors, has_donor = donors_of(cells)
    assert [lengths[i] for i in donors.tolist()] == lengths
    assert sorted(donors.tolist()) == list(range(len(lengths)))  # a permutation
    assert has_donor.tolist() == [lengths.count(length) > 1 for length in lengths]
    assert all(i != donor for i, donor in enumerate(donors.tolist()) if has_donor[i])


def test_donors_are_found_without_comparing_every_cell():
    cells = cells_of([(2, 3)] * 53).repeat(1, 7, 7)
    with LargestTensor() as largest:
        donors_of(cells)
    assert largest.numel <= 2 * 53 * 53


class Swapping(Teacher):
    """Shows each of two sentences the other's maps."""

    def __call__(self, batch, where, need_maps, need_hidden=False):
        maps = self.model(batch.src.flip(0), batch.tgt_in.flip(0), need_maps=True).maps
        return replace(super().__call__(batch, where, need_maps, need_hidden), maps=maps)


@torch.no_grad()
def test_shuffled_learns_from_another_sentences_maps():
    student, teacher = tiny_model(), tiny_teacher()
    shuffled = make("a2d-shuffled", student, teacher)
    simplex = make("a2d-simplex", student, Swapping(teacher.model))
    pair = random_batch(((5, 3), (5, 3)))
    assert parts_of(shuffled, pair) == pytest.approx(parts_of(simplex, pair), rel=1e-5)


@torch.no_grad()
def test_a_sentence_without_a_partner_teaches_shuffled_no_attention():
    parts = parts_of(make("a2d-shuffled"), random_batch(((5, 3), (2, 7))))
    assert [parts[f"attn_{kind}"] for kind in KINDS] == [0.0, 0.0, 0.0]
    assert parts["word"] > 0


def test_a_frozen_alignment_does_not_move_and_is_no_mean_of_all_heads():
    objective = make("a2d-frozen")
    flat_gradient(objective, random_batch())
    frozen = list(objective.terms.parameters())
    assert frozen and all(not p.requires_grad and p.grad is None for p in frozen)
    for aligner in objective.terms["a2d-frozen"].aligners.values():
        assert float(aligner.mixture.max(-1).values.mean()) > 1.5 / aligner.mixture.shape[1]
    assert any((p.grad != 0).any() for p in objective.model.parameters())


def test_trained_mixtures_have_the_temperature_asked_for_and_a_frozen_one_none():
    def shares(method: str, temperature: float) -> torch.Tensor:
        aligner = make(method, mixture_temperature=temperature).terms[method].aligners["cross"]
        with torch.no_grad():
            aligner.scores[0, 0] += 1.0
        return aligner.mixture[0].detach()

    assert shares("a2d-simplex", 0.1)[0] > 0.99
    assert shares("a2d-simplex", 1.0)[0] < 0.9
    torch.testing.assert_close(shares("a2d-frozen", 0.1), shares("a2d-frozen", 1.0))


@pytest.mark.parametrize("method", ["a2d-diagonal", "a2d-diagonal-frozen"])
def test_a_diagonal_start_pairs_heads_by_depth_and_place(method: str):
    student, teachers = tiny_model(), [tiny_teacher(), tiny_teacher(num_heads=5, layers=3, seed=11)]
    term = make(method, student, EnsembleTeacher(teachers)).terms[method]
    for kind, aligner in term.aligners.items():
        expected = torch.cat([diagonal_mixture(kind, SHAPE, teacher.model.shape) for teacher in teachers])
        torch.testing.assert_close(aligner.mixture, (1 - EVEN_SHARE) * expected + EVEN_SHARE / expected.shape[1])
        assert aligner.scores.requires_grad == (method == "a2d-diagonal")


@pytest.mark.parametrize("method", ["a2d-cells-simplex", "a2d-rows-conv", "a2d-frozen", "a2d-uniform"])
def test_its_gradient_reaches_the_student(method):
    objective = make(method, alpha=1.0)
    objective._losses(random_batch(), True)[1].backward()
    assert any(
        (p.grad != 0).any() for name, p in objective.model.named_parameters() if "q_proj" in name and p.grad is not None
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("method", ["a2d-masked", "a2d-simplex", "a2d-diagonal", "a2d-cells-simplex", "a2d-rows-conv"])
def test_every_teacher_head_learns_from_the_start(method, seed):
    """Rows are the positive part of a convolution: a head that began below 0 everywhere would never learn."""
    objective = make(f"ce+{method}", teacher=tiny_teacher(seed=seed + 7))
    objective._losses(random_batch(seed=seed), True)[1].backward()
    for kind, aligner in objective.terms[method].aligners.items():
        scores = aligner.scores if hasattr(aligner, "scores") else aligner.weight
        assert (scores.grad != 0).any(1).all(), kind


@torch.no_grad()
def test_on_convex_weights_the_convolution_by_rows_is_the_simplex():
    student, teacher = tiny_model(), tiny_teacher()
    simplex, conv = make("a2d-simplex", student, teacher), make("a2d-rows-conv", student, teacher)
    for kind in KINDS:
        aligner = conv.terms["a2d-rows-conv"].aligners[kind]
        aligner.weight.copy_(simplex.terms["a2d-simplex"].aligners[kind].mixture)
        aligner.bias.zero_()
    expected, found = parts_of(simplex, random_batch()), parts_of(conv, random_batch())
    assert found == pytest.approx(expected, rel=1e-5)


@torch.no_grad()
def test_uniform_targets_take_no_notice_of_the_teachers_attention():
    student = tiny_model(replace(SHAPE, num_heads=2))
    parts = [parts_of(make("ce+a2d-uniform", student, tiny_teacher(seed=seed)), random_batch()) for seed in (1, 2)]
    assert parts[0] == pytest.approx(parts[1])


def test_controls_are_compared_on_the_same_first_mixtures():
    """Shuffled and uniform begin with the alignment of what they control: only the targets differ."""
    for whole, prefix in (("a2d-simplex", "a2d"), ("a2d-diagonal", "a2d-diagonal")):
        first = make(whole).terms[whole].state_dict()
        for control in (f"{prefix}-shuffled", f"{prefix}-uniform"):
            state = make(control).terms[control].state_dict()
            assert all(torch.equal(state[name], value) for name, value in first.items())
