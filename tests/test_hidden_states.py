"""Hidden states matched layer by layer: what is compared, with what weight, and what a layer's scale has to say."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from test_distillation_objective import FIRST, flat_gradient, make, parts_of
from tiny import SHAPE, random_batch, tiny_model, tiny_teacher

from a2d_cli.distillation.layer_map import layer_pairs
from a2d_cli.distillation.teachers import Teacher
from a2d_cli.project.checkpoint import weights_hash

LAYER_MAPS = ["forward", "reverse", "all-to-one", "random"]
LENGTHS = ((5, 3), (2, 7))  # end marks not counted


def term_of(objective):
    return objective.terms["hidden"]


def equal_width_teacher(layers: int = 5) -> Teacher:
    return Teacher(tiny_model(replace(SHAPE, encoder_layers=layers, decoder_layers=layers, num_heads=2), seed=7))


@torch.no_grad()
def test_a_student_that_is_its_teacher_has_nothing_to_match():
    objective = make("hidden", tiny_model(), Teacher(tiny_model()))
    assert len(list(objective.terms.parameters())) == 0 and objective.helper_modules() == {}
    parts = parts_of(objective, random_batch())
    assert parts["hidden_encoder"] == pytest.approx(0, abs=1e-5) and parts["hidden_decoder"] == pytest.approx(
        0, abs=1e-5
    )


@pytest.mark.parametrize("kind", LAYER_MAPS)
@pytest.mark.parametrize("width", [SHAPE.d_model, 14])
@torch.no_grad()
def test_the_term_by_hand(kind: str, width: int):
    """Token by token: mean over the student's layers of the mean square over the width.

    A sentence's source rows weigh as its target tokens do.
    """
    student = tiny_model()
    teacher = equal_width_teacher() if width == SHAPE.d_model else tiny_teacher(layers=5)
    objective, batch = make("hidden", student, teacher, layer_map=kind), random_batch(LENGTHS)
    term = term_of(objective)
    ours, theirs = (m(batch.src, batch.tgt_in, need_hidden=True).hidden for m in (student, teacher.model))
    parts = parts_of(objective, batch)
    for side in ("encoder", "decoder"):
        expected = 0.0
        own, target, pairs = getattr(ours, side), getattr(theirs, side), term.pairs[side]
        assert len(pairs) == len(own)
        for b, (src, tgt) in enumerate(((6, 4), (3, 8))):
            for position in range(src if side == "encoder" else tgt):
                for layer, teacher_layer in enumerate(pairs):
                    x, y = own[layer][b, position], target[teacher_layer][b, position]
                    if width != SHAPE.d_model:
                        projection = term.projections[side][layer]
                        x = projection.weight @ x + projection.bias
                    x, y = ((v - v.mean()) / (v.var(unbiased=False) + 1e-5).sqrt() for v in (x, y))
                    weight = tgt / src if side == "encoder" else 1.0
                    expected += float((x - y).square().mean()) * weight / len(pairs)
        assert parts[f"hidden_{side}"] == pytest.approx(expected, rel=1e-4)


@torch.no_grad()
def test_neither_scale_nor_mean_of_a_state_counts():
    """As no reader of it notices them."""
    objective, batch = make("ce+hidden", tiny_model(), equal_width_teacher()), random_batch()
    before = parts_of(objective, batch)
    term = term_of(objective)
    normalised = Teacher.__call__

    class Louder(Teacher):
        def __call__(self, *given):
            output = normalised(self, *given)
            louder = (
                tuple(3 * state + 5 for state in states) for states in (output.hidden.encoder, output.hidden.decoder)
            )
            return replace(output, hidden=type(output.hidden)(*louder))

    louder = make("ce+hidden", objective.model, Louder(equal_width_teacher().model))
    assert term_of(louder).pairs == term.pairs
    assert parts_of(louder, batch) == pytest.approx(before, rel=1e-3)


@pytest.mark.parametrize("kind", LAYER_MAPS)
def test_layers_are_paired_by_the_map_and_the_seed(kind: str):
    teacher = tiny_teacher(layers=5)
    term = term_of(make("hidden", tiny_model(), teacher, layer_map=kind))
    assert term.pairs == layer_pairs(kind, SHAPE, teacher.model.shape, torch.Generator().manual_seed(1))


def test_gradients_reach_every_layer_and_every_projection():
    objective = make("hidden", tiny_model(), tiny_teacher(), alpha=1.0)
    objective._losses(random_batch(), True)[1].backward()
    for layer in (*objective.model.encoder_layers, *objective.model.decoder_layers):
        assert all((p.grad != 0).any() for name, p in layer.named_parameters() if name.endswith("fc1.weight"))
    projections = list(objective.terms.parameters())
    assert len(projections) == 2 * (SHAPE.encoder_layers + SHAPE.decoder_layers)
    assert all((p.grad != 0).any() for p in projections)


def test_the_teachers_layers_get_no_gradient_and_no_map_is_asked_for():
    class Watched(Teacher):
        def __call__(self, batch, need_maps, need_hidden=False):
            assert need_hidden and not need_maps
            return super().__call__(batch, need_maps, need_hidden)

    teacher = Watched(tiny_teacher().model)
    objective = make("hidden", tiny_model(), teacher)
    flat_gradient(objective, random_batch())
    assert all(p.grad is None for p in teacher.model.parameters())


def test_projections_are_saved_beside_the_student_and_drawn_from_their_own_generator():
    student, teacher = tiny_model(), tiny_teacher()
    before, state = weights_hash(student), torch.get_rng_state()
    objectives = [make("hidden", student, teacher) for _ in range(2)]
    assert weights_hash(student) == before and torch.equal(torch.get_rng_state(), state)
    (name,) = objectives[0].helper_modules()
    assert name == "projection.hidden"
    states = [objective.helper_modules()[name].state_dict() for objective in objectives]
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())
    assert states[0]["encoder.0.weight"].shape == (14, SHAPE.d_model)


@torch.no_grad()
def test_its_part_is_weighed_like_any_other_terms():
    student, teacher = tiny_model(), tiny_teacher()
    word = parts_of(make("word", student, teacher), random_batch())["loss"]
    parts = parts_of(make("hidden", student, teacher, beta=3.0), random_batch())
    assert parts["loss"] == pytest.approx(word + 3.0 * (parts["hidden_encoder"] + parts["hidden_decoder"]), rel=1e-5)
    both = make("hidden+a2d-simplex", student, teacher)(random_batch(), FIRST).parts
    assert {"hidden_encoder", "hidden_decoder", "simplex_cross"} <= both.keys()
