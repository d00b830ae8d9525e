"""What alignment modules have learned, measured: against loops written out, and where the answer is known."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_distillation_objective import FIRST, make
from tiny import SHAPE, part_of, quick, random_batch, tiny_model, tiny_teacher

from a2d_cli.config.schema import ModelShape
from a2d_cli.distillation import inspection
from a2d_cli.distillation.alignment import AttentionAlignment, SimplexAlignment
from a2d_cli.distillation.ensemble import EnsembleTeacher
from a2d_cli.distillation.inspection import (
    Head,
    InspectedAligner,
    gradient_share,
    head_maps,
    heads_of,
    measure_alignments,
    strongest,
    term_inputs_of,
)
from a2d_cli.distillation.teachers import Teacher
from a2d_cli.model.attention import KINDS

STUDENT_MAPS = {"encoder_self": 15, "decoder_self": 10, "cross": 10}  # of tiny.SHAPE
TEACHER_MAPS = {"encoder_self": 6, "decoder_self": 8, "cross": 8}  # of tiny_teacher()


def aligner(simplex: bool, num_teacher_maps: int, num_student_maps: int, weight: torch.Tensor | None = None):
    """Drawn, or of a given π or W."""
    kind = SimplexAlignment if simplex else AttentionAlignment
    made = kind(num_student_maps, num_teacher_maps, torch.Generator().manual_seed(5))
    if weight is not None:
        with torch.no_grad():
            (made.scores if simplex else made.weight).copy_(weight.clamp(min=1e-30).log() if simplex else weight)
            if not simplex:
                made.bias.zero_()
    return made


def drawn(kind: str, simplex: bool = True, by_rows: bool = False) -> InspectedAligner:
    made = aligner(simplex, TEACHER_MAPS[kind], STUDENT_MAPS[kind])
    if simplex:
        with torch.no_grad():
            made.scores.mul_(20.0)
    return InspectedAligner("drawn", kind, made, by_rows)


def measure(aligned: InspectedAligner, *batches, student=None, teacher=None):
    (found,) = measure_alignments(student or tiny_model(), teacher or tiny_teacher(), [aligned], batches)
    return found


def test_all_of_a_mixture_has_moved_where_it_is_on_another_head_than_at_the_start():
    first, second = torch.eye(10)[:1].repeat(8, 1), torch.eye(10)[1:2].repeat(8, 1)
    now = aligner(True, 8, 10, second)
    for start, moved in ((first, 1.0), (second, 0.0), ((first + second) / 2, 0.5)):
        found = measure(InspectedAligner("moved", "cross", now, start=start), random_batch())
        assert [one.moved for one in found.stand_ins] == pytest.approx([moved] * 8)


# --- properties


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("simplex", "by_rows"), [(True, False), (False, False), (False, True)])
def test_the_identity_between_equal_models_leaves_no_residual(
    kind: str, simplex: bool, by_rows: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(inspection, "ROW_FLOOR", 0.0)
    student = tiny_model()
    count = STUDENT_MAPS[kind]
    same = InspectedAligner("same", kind, aligner(simplex, count, count, torch.eye(count)), by_rows)
    found = measure(same, random_batch(), student=student, teacher=Teacher(tiny_model()))
    for one in found.stand_ins:
        assert one.residual == pytest.approx(0.0, abs=1e-4)
        assert one.single_residual == pytest.approx(0.0, abs=1e-5)
        assert one.single == one.teacher
        assert one.effective_heads == pytest.approx(1.0)
        assert one.uniform_residual > 0.01
        assert strongest(one, found.student_heads, 1) == [(one.teacher, pytest.approx(1.0))]


@pytest.mark.parametrize("kind", KINDS)
@given(st.lists(st.tuples(st.integers(1, 11), st.integers(1, 7)), min_size=2, max_size=3))
@quick
def test_neither_padding_nor_batches_change_a_measure(kind: str, lengths: list[tuple[int, int]]):
    batch = random_batch(lengths)
    together = measure(drawn(kind), batch).stand_ins
    alone = measure(drawn(kind), *(part_of(batch, row) for row in range(len(lengths)))).stand_ins
    for one, other in zip(together, alone, strict=True):
        for value in ("residual", "single_residual", "uniform_residual"):
            assert getattr(one, value) == pytest.approx(getattr(other, value), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_mixture_of_one_head_is_as_far_as_that_head(kind: str):
    batch = random_batch()
    single = measure(drawn(kind), batch).stand_ins
    residuals = []  # by student head, then teacher head
    for index in range(STUDENT_MAPS[kind]):
        weight = torch.zeros(TEACHER_MAPS[kind], STUDENT_MAPS[kind])
        weight[:, index] = 1.0
        alone = InspectedAligner("one", kind, aligner(True, *weight.shape, weight))
        residuals.append([one.residual for one in measure(alone, batch).stand_ins])
    heads = heads_of(kind, (SHAPE,))
    for number, one in enumerate(single):
        distances = [each[number] for each in residuals]
        assert one.single_residual == pytest.approx(min(distances), rel=1e-4)
        assert one.single == heads[distances.index(min(distances))]


def test_a_constant_added_to_a_convolution_counts_only_where_rows_are_compared():
    batch = random_batch()
    for by_rows in (False, True):
        aligned = drawn("cross", simplex=False, by_rows=by_rows)
        before = [one.residual for one in measure(aligned, batch).stand_ins]
        with torch.no_grad():
            aligned.aligner.bias.add_(0.5)
        after = [one.residual for one in measure(aligned, batch).stand_ins]
        assert (after == pytest.approx(before, rel=1e-5)) is not by_rows


@pytest.mark.parametrize("simplex", [True, False])
def test_magnitudes_of_shares_sum_to_one(simplex: bool):
    for one in measure(drawn("cross", simplex), random_batch()).stand_ins:
        assert sum(map(abs, one.shares)) == pytest.approx(1.0, rel=1e-5)
        assert 1.0 <= one.effective_heads <= STUDENT_MAPS["cross"]
        assert (min(one.shares) < 0) is not simplex


# --- small cases by hand


@pytest.mark.parametrize("kind", KINDS)
def test_residuals_are_means_over_real_rows(kind: str, monkeypatch: pytest.MonkeyPatch):
    """With loops instead of products of matrices."""
    batch, student, teacher, aligned, floor = random_batch(), tiny_model(), tiny_teacher(), drawn(kind), 0.01
    monkeypatch.setattr(inspection, "ROW_FLOOR", floor)
    inputs = term_inputs_of(student, teacher, batch)
    cells = inputs.cells[kind]
    taught, made = getattr(inputs.teacher.maps, kind), aligned.intermediate(getattr(inputs.student.maps, kind), cells)
    for number, one in enumerate(measure(aligned, batch).stand_ins):
        found, uniform = [], []
        for b, q in cells.any(-1).nonzero().tolist():
            keys = cells[b, q].nonzero().flatten().tolist()
            rows = [(float(taught[b, number, q, k]), float(made[b, number, q, k])) for k in keys]
            found.append(sum(t * math.log(t / ((1 - floor) * s + floor / len(keys))) for t, s in rows if t > 0))
            uniform.append(sum(t * math.log(t * len(keys)) for t, _ in rows if t > 0))
        assert one.residual == pytest.approx(sum(found) / len(found), rel=1e-4)
        assert one.uniform_residual == pytest.approx(sum(uniform) / len(uniform), rel=1e-4, abs=1e-6)


def test_effective_heads_are_the_exponential_of_the_entropy():
    weight = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.25, -0.5, 0.25]])
    student, teacher = (
        tiny_model(replace(SHAPE, d_model=12, num_heads=3, encoder_layers=1), seed=seed) for seed in (1, 2)
    )
    conv = InspectedAligner("conv", "encoder_self", aligner(False, 3, 3, weight))
    found = measure(conv, random_batch(), student=student, teacher=Teacher(teacher)).stand_ins
    assert [one.effective_heads for one in found] == pytest.approx([2.0, 1.0, 2.0**1.5])
    assert [one.shares for one in found] == [(0.5, 0.5, 0.0), (1.0, 0.0, 0.0), (0.25, -0.5, 0.25)]


def test_heads_are_named_from_one_by_layer_and_by_member_of_an_ensemble():
    first, second = (
        ModelShape(num_heads=2, encoder_layers=2, decoder_layers=1),
        ModelShape(num_heads=3, encoder_layers=1),
    )
    assert [str(head) for head in heads_of("encoder_self", (first,))] == ["1.1", "1.2", "2.1", "2.2"]
    assert [str(head) for head in heads_of("cross", (first,))] == ["1.1", "1.2"]
    names = [str(head) for head in heads_of("encoder_self", (first, second))]
    assert names == ["1:1.1", "1:1.2", "1:2.1", "1:2.2", "2:1.1", "2:1.2", "2:1.3"]


def test_the_heads_of_an_ensemble_are_measured_like_those_of_its_members():
    batch, members = random_batch(), (tiny_teacher(seed=3), tiny_teacher(num_heads=1, layers=1, seed=5))
    counts = [6, 1]
    weight = torch.rand(sum(counts), STUDENT_MAPS["encoder_self"])
    weight /= weight.sum(-1, keepdim=True)
    together = measure(
        InspectedAligner("x", "encoder_self", aligner(True, *weight.shape, weight)),
        batch,
        teacher=EnsembleTeacher(members),
    )
    residuals = []
    for member, part in zip(members, weight.split(counts), strict=True):
        alone = measure(InspectedAligner("x", "encoder_self", aligner(True, *part.shape, part)), batch, teacher=member)
        residuals += [one.residual for one in alone.stand_ins]
    assert [one.residual for one in together.stand_ins] == pytest.approx(residuals, rel=1e-5)


def test_the_maps_of_a_sentence_are_those_of_the_models():
    student, teacher, aligned = tiny_model(), tiny_teacher(), drawn("cross")
    batch = random_batch(((5, 3),))
    worst, best = head_maps(student, teacher, aligned, batch, [Head(4, 2), Head(1, 1)])
    assert (worst.teacher, best.teacher) == (Head(4, 2), Head(1, 1))
    inputs = term_inputs_of(student, teacher, batch)
    torch.testing.assert_close(torch.tensor(worst.teacher_rows), inputs.teacher.maps.cross[0, 7])
    strong, weak, _ = best.students
    assert strong.share >= weak.share
    index = (strong.head.layer - 1) * SHAPE.num_heads + strong.head.head - 1
    torch.testing.assert_close(torch.tensor(strong.rows), inputs.student.maps.cross[0, index])
    for rows in (worst.teacher_rows, worst.intermediate_rows, strong.rows):
        assert (len(rows), len(rows[0])) == (4, 6)  # end marks counted
        assert [sum(row) for row in rows] == pytest.approx([1.0] * 4, abs=1e-5)
    (one,) = [one for one in measure(aligned, batch).stand_ins if one.teacher == Head(4, 2)]
    assert worst.residual == pytest.approx(one.residual)


# --- the gradient


def gradient_per_token(objective, batch) -> torch.Tensor:
    weights = list(objective.model.parameters())
    gradients = torch.autograd.grad(objective.eval()(batch, FIRST).total, weights, allow_unused=True)
    parts = [torch.zeros_like(w) if g is None else g for w, g in zip(weights, gradients, strict=True)]
    return torch.cat([part.flatten() for part in parts]) / batch.num_tgt_tokens


@pytest.mark.parametrize("method", ["a2d-simplex", "a2d-masked", "a2d-proj"])
def test_the_share_of_the_gradient_is_that_of_the_weighed_terms(method: str):
    student, teacher, batches = tiny_model(), tiny_teacher(), [random_batch(seed=3), random_batch(seed=4)]
    whole, rest = (make(method, student, teacher, beta=weight) for weight in (0.7, 0.0))
    rest.load_state_dict(whole.state_dict())
    found = gradient_share(whole, 0.175, batches)
    of_rest = [gradient_per_token(rest, batch) for batch in batches]
    of_terms = [gradient_per_token(whole, batch) - each for batch, each in zip(batches, of_rest, strict=True)]
    share = 0.25 * sum(each.norm() for each in of_terms) / sum(each.norm() for each in of_rest)
    cosines = [torch.cosine_similarity(*pair, dim=0) for pair in zip(of_terms, of_rest, strict=True)]
    assert (found.weight, found.num_batches) == (0.175, 2)
    assert found.share == pytest.approx(float(share), rel=1e-3)
    assert found.cosine == pytest.approx(float(sum(cosines) / 2), abs=1e-3)


def test_terms_without_weight_have_no_share_of_the_gradient():
    found = gradient_share(make("a2d-simplex", tiny_model(), tiny_teacher()), 0.0, [random_batch()])
    assert (found.weight, found.share) == (0.0, 0.0)
