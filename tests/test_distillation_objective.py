"""Distillation: sums that padding and cutting leave alone, a teacher out of reach, the attention weight."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import (
    JOINT,
    SHAPE,
    LargestTensor,
    ListCorpus,
    part_of,
    quick,
    random_batch,
    special_ids,
    tiny_model,
    tiny_teacher,
)

from a2d_cli.config.rules import ATTENTION_TERMS, METHOD_TERMS
from a2d_cli.config.schema import Distillation
from a2d_cli.data.batching import BatchPlan, BatchSettings, share
from a2d_cli.distillation import released_objective
from a2d_cli.distillation.alignment import SimplexAlignment
from a2d_cli.distillation.inspection import gradient_share
from a2d_cli.distillation.methods import RELEASED as RELEASED_METHODS
from a2d_cli.distillation.methods import TERMS, parse_method, settings_that_count
from a2d_cli.distillation.objective import CALIBRATION_BATCHES, DistillationObjective, GradientNorms
from a2d_cli.distillation.released_objective import ReleaseObjective
from a2d_cli.distillation.teachers import Teacher, TeacherOutput
from a2d_cli.distillation.terms import TermContext, kind_factors
from a2d_cli.errors import ConfigError
from a2d_cli.model.transformer import Transformer, Vocabularies
from a2d_cli.project.checkpoint import weights_hash
from a2d_cli.training import vocabulary_loss
from a2d_cli.training.objective import Objective, TrainingStep, TranslationObjective

ATTENTION = ["a2d-masked", "a2d-simplex", "ce+a2d-simplex", "a2d-masked+a2d-simplex", "attn-fixed", "amad"]
FACTORS = ["a2d-cells-simplex", "a2d-rows-conv"]  # with a2d-masked and a2d-simplex: {cells, rows} × {conv, simplex}
INVARIANT = [
    "ce",
    "word",
    *ATTENTION,
    *FACTORS,
    "a2d-diagonal",
    "a2d-frozen",
    "a2d-uniform",
    "a2d-proj",
    "word-selective",
    "hidden",
]
RELEASED = ["a2d-release", "a2d-paper"]
FIRST = TrainingStep(1, 1)


def make(method: str, student: Transformer | None = None, teacher: Teacher | None = None, **settings) -> Objective:
    student, teacher = student or tiny_model(), teacher or tiny_teacher()
    distillation = replace(Distillation(method=method, gradient_share=0.0), **settings)
    parsed = parse_method(distillation)
    if not parsed.needs_teacher:
        return TranslationObjective(student, 0.1)
    if parsed.is_released:
        return ReleaseObjective(student, teacher, distillation, 0.1, seed=1)
    objective = DistillationObjective(student, teacher, distillation, 0.1, max_updates=100, seed=1)
    if distillation.gradient_share == 0.0:
        # What looks ahead has seen something, and nothing is calibrated.
        objective.before_update(lambda _: random_batch(), FIRST)
    return objective


def parts_of(objective: Objective, batch) -> dict[str, float]:
    return {name: float(value) for name, value in objective(batch, FIRST).parts.items()}


def flat_gradient(objective: Objective, *batches) -> torch.Tensor:
    objective.zero_grad()
    for batch in batches:
        objective(batch, FIRST).total.backward()
    return torch.cat([p.grad.flatten() for p in objective.parameters() if p.grad is not None])


# --- methods ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "name", "words", "terms"),
    [
        ("ce", "ce", False, ()),
        ("word", "word", True, ()),
        ("a2d", "a2d-diagonal", True, ("a2d-diagonal",)),
        ("a2d-masked", "a2d-masked", True, ("a2d-masked",)),
        ("word+a2d-masked", "a2d-masked", True, ("a2d-masked",)),
        ("ce+a2d-release", "ce+a2d-release", False, ("a2d-release",)),
        ("a2d-masked+a2d", "a2d-masked+a2d-diagonal", True, ("a2d-masked", "a2d-diagonal")),
    ],
)
def test_a_method_is_read(method, name, words, terms):
    parsed = parse_method(Distillation(method=method))
    assert (parsed.name, parsed.words, parsed.terms) == (name, words, terms)


def test_every_term_has_a_name_that_a_recipe_may_use():
    others = {"ce", "word", "word-selective", "seq", "a2d", "copy-layers"}
    assert others | {*TERMS, *RELEASED_METHODS} == set(METHOD_TERMS)
    with_maps = {name for name in (*TERMS, *RELEASED_METHODS) if parse_method(Distillation(method=name)).needs_maps}
    assert with_maps | {"a2d"} == set(ATTENTION_TERMS)


class WatchedSettings:
    """They remember which of them were asked for."""

    def __init__(self, settings: Distillation):
        self._settings, self.read = settings, set()

    def __getattr__(self, name: str):
        self.read.add(name)
        return getattr(self._settings, name)


@pytest.mark.parametrize("method", TERMS)
def test_a_term_reads_the_settings_that_count_and_no_others(method):
    settings = Distillation(method=method)
    watched, student, teacher = WatchedSettings(settings), tiny_model(), tiny_teacher()
    TERMS[method](TermContext(student, teacher.shapes, watched, torch.Generator()))
    of_the_objective = {
        "half_life",
        "gradient_share",
        "calibrate_at_update",
        "map_form",
        "alpha",
        "temperature",
        "divergence",
    }
    assert watched.read == settings_that_count(settings).keys() - of_the_objective - {"method"}


@pytest.mark.parametrize("method", RELEASED_METHODS)
def test_the_released_objective_reads_the_settings_that_count_and_no_others(method, monkeypatch):
    settings = Distillation(method=method)
    monkeypatch.setattr(released_objective, "parse_method", lambda _: parse_method(settings))
    watched, student, teacher = WatchedSettings(settings), tiny_model(), tiny_teacher()
    ReleaseObjective(student, teacher, watched, 0.1, seed=1)
    assert watched.read == settings_that_count(settings).keys() - {"method"}


@pytest.mark.parametrize("method", ["a2d-release+a2d-simplex", "a2d-masked+a2d-paper"])
def test_the_released_objective_is_not_mixed_with_repaired_ones(method):
    with pytest.raises(ConfigError) as caught:
        parse_method(Distillation(method=method))
    assert caught.value.message == f"distillation.method: '{method}' mixes the released objective with another one"
    assert caught.value.hint.startswith("a2d-release and a2d-paper stand alone or with ce")


@pytest.mark.parametrize(
    ("off", "factors"),
    [
        ((), {"encoder_self": 1.0, "decoder_self": 0.5, "cross": 0.5}),
        (("cross",), {"encoder_self": 1.0, "decoder_self": 1.0}),
        (("encoder_self", "decoder_self"), {"cross": 1.0}),
    ],
)
def test_decoder_kinds_count_half_where_both_are_used(off, factors):
    settings = Distillation(**dict.fromkeys(off, False))
    assert kind_factors(settings) == factors
    objective = make("a2d-simplex", **dict.fromkeys(off, False))
    parts = objective(random_batch(), FIRST).parts
    assert {name for name in parts if name.startswith("attn_")} == {f"attn_{kind}" for kind in factors}


@pytest.mark.parametrize("seed", [1, 2])
def test_the_students_initial_weights_depend_on_the_seed_alone(seed):
    hashes, states = set(), []
    teacher = tiny_teacher()
    for method in (*INVARIANT, *RELEASED):
        torch.manual_seed(seed)
        student = Transformer(SHAPE, JOINT)
        objective = make(method, student, teacher, teacher_mix="random")
        hashes.add(weights_hash(objective.model))
        states.append(torch.get_rng_state())
    assert len(hashes) == 1
    assert all(torch.equal(state, states[0]) for state in states)


def test_what_a_term_draws_follows_the_seed():
    def drawn(seed: int) -> torch.Tensor:
        settings = Distillation(method="a2d-simplex")
        objective = DistillationObjective(tiny_model(), tiny_teacher(), settings, 0.1, max_updates=100, seed=seed)
        return torch.cat([parameter.detach().flatten() for parameter in objective.terms.parameters()])

    assert torch.equal(drawn(1), drawn(1)) and not torch.equal(drawn(1), drawn(2))


def test_terms_of_drawn_layers_pair_the_same_ones():
    seen = set()
    for seed in range(1, 6):
        for order in ("attn-fixed+hidden", "hidden+attn-fixed"):
            settings = Distillation(method=order, layer_map="random")
            terms = DistillationObjective(tiny_model(), tiny_teacher(), settings, 0.1, 100, seed).terms
            assert terms["attn-fixed"].pairs == terms["hidden"].pairs
            seen.add(str(terms["hidden"].pairs))
    assert len(seen) > 1


def test_a_teacher_that_was_training_teaches_as_it_is_used():
    shape = replace(SHAPE, dropout=0.5)
    teacher = Teacher(tiny_model(shape).train())
    batch = random_batch()
    told, again = (teacher(batch, need_maps=False).logits(slice(None)) for _ in range(2))
    assert not teacher.model.training and torch.equal(told, again)


# --- sums ---------------------------------------------------------------------------------------------------


any_lengths = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=2, max_size=4)


@pytest.mark.parametrize(
    "method",
    ["ce", "word", "a2d-masked+a2d-simplex", "attn-fixed+amad+a2d-proj", "word-selective", "ce+hidden"],
)
@given(lengths=any_lengths, seed=st.integers(0, 99))
@quick
def test_every_term_of_a_batch_is_the_sum_over_its_sentences(method, lengths, seed):
    """So neither padding nor the other sentences change it."""
    assert_sum_over_sentences(method, lengths, seed)


@pytest.mark.parametrize("method", [*FACTORS, "a2d-frozen", "a2d-uniform"])
@given(lengths=any_lengths, seed=st.integers(0, 99))
@settings(max_examples=5, deadline=None)
def test_variants_of_aligned_attention_are_the_sum_over_sentences(method, lengths, seed):
    """Few examples: they share the way of a2d-masked and a2d-simplex."""
    assert_sum_over_sentences(method, lengths, seed)


@torch.no_grad()
def assert_sum_over_sentences(method, lengths, seed):
    objective, batch = make(method), random_batch(lengths, seed=seed)
    together = parts_of(objective, batch)
    alone = [parts_of(objective, part_of(batch, row)) for row in range(len(lengths))]
    for name, value in together.items():
        assert value == pytest.approx(sum(parts[name] for parts in alone), rel=1e-4, abs=1e-4), name


@pytest.mark.parametrize("method", INVARIANT)
def test_accumulating_parts_is_one_batch(method):
    num_parts, corpus = 3, ListCorpus([(5, 3), (2, 7), (11, 1), (4, 4), (3, 6), (1, 2), (8, 5)])
    plan = BatchPlan(corpus, special_ids(), BatchSettings(1000), seed=1)
    (indices,) = plan.epoch(1)
    parts = [plan.load(share(indices, part, num_parts)) for part in range(num_parts)]
    whole, objective = plan.load(indices), make(method)
    expected = parts_of(objective, whole)
    for name, value in expected.items():
        assert sum(parts_of(objective, part)[name] for part in parts) == pytest.approx(value, rel=1e-4), name
    assert sum(part.num_tgt_tokens for part in parts) == whole.num_tgt_tokens == plan.num_tgt_tokens(indices)
    gradient = flat_gradient(objective, whole)
    assert float((flat_gradient(objective, *parts) - gradient).norm() / gradient.norm()) < 1e-4


@pytest.mark.parametrize(
    ("alpha", "temperature", "divergence"),
    [(0.0, 1.0, "fkl"), (0.3, 2.0, "fkl"), (0.7, 0.5, "js"), (1.0, 3.0, "rkl")],
)
@torch.no_grad()
def test_the_word_term_is_weighed_by_alpha_and_the_squared_temperature(alpha, temperature, divergence):
    student = tiny_model()
    ce = parts_of(make("ce", student), random_batch())
    parts = parts_of(make("word", student, alpha=alpha, temperature=temperature, divergence=divergence), random_batch())
    expected = (1 - alpha) * ce["loss"] + alpha * temperature**2 * parts["word"]
    assert parts["loss"] == pytest.approx(expected, rel=1e-5)
    assert parts["nll"] == pytest.approx(ce["nll"])


@torch.no_grad()
def test_attention_terms_are_added_with_their_weight_to_the_response_term():
    student, teacher = tiny_model(), tiny_teacher()
    word = parts_of(make("word", student, teacher), random_batch())["loss"]
    ce = parts_of(make("ce", student), random_batch())["loss"]
    for method, rest in (("a2d-masked", word), ("a2d-simplex", word), ("ce+a2d-masked", ce)):
        parts = parts_of(make(method, student, teacher, beta=3.0), random_batch())
        attention = parts["attn_encoder_self"] + 0.5 * parts["attn_decoder_self"] + 0.5 * parts["attn_cross"]
        assert parts["loss"] == pytest.approx(rest + 3.0 * attention, rel=1e-5)
        assert parts["weight"] == pytest.approx(3.0 * random_batch().num_tgt_tokens)
        assert ("word" in parts) == (rest is word)
    both = parts_of(make("a2d-masked+a2d-simplex", student, teacher), random_batch())
    assert {"masked_cross", "simplex_cross"} <= both.keys()


@torch.no_grad()
def test_simplex_terms_by_hand():
    """Mean over teacher maps of row KLs; a sentence's source rows weigh together as its target tokens do."""
    student, teacher = tiny_model(), tiny_teacher()
    objective = make("a2d-simplex", student, teacher, row_floor=0.1)
    batch = random_batch(((5, 3), (2, 7)))
    ours, theirs = (m(batch.src, batch.tgt_in, need_maps=True).maps for m in (student, teacher.model))
    expected = dict.fromkeys(("encoder_self", "decoder_self", "cross"), 0.0)
    for b, (src, tgt) in enumerate(((6, 4), (3, 8))):  # end marks counted
        for kind in expected:
            aligner = objective.terms["a2d-simplex"].aligners[kind]
            assert isinstance(aligner, SimplexAlignment)
            mixed, target = aligner(getattr(ours, kind)), getattr(theirs, kind)
            for query in range(src if kind == "encoder_self" else tgt):
                keys = query + 1 if kind == "decoder_self" else src
                p = target[b, :, query, :keys].double()
                q = 0.9 * mixed[b, :, query, :keys].double() + 0.1 / keys
                row = float(torch.xlogy(p, p / q).sum(-1).mean())
                expected[kind] += row * (tgt / src if kind == "encoder_self" else 1.0)
    parts = parts_of(objective, batch)
    for kind, value in expected.items():
        assert parts[f"attn_{kind}"] == pytest.approx(value, rel=1e-4)


@pytest.mark.parametrize("profile", ["masked", "simplex"])
@torch.no_grad()
def test_equal_models_through_identity_aligners_have_nothing_to_align(profile):
    student = tiny_model()
    objective = make(f"a2d-{profile}", student, Teacher(tiny_model()), row_floor=0.0)
    for aligner in objective.terms[f"a2d-{profile}"].aligners.values():
        for name, parameter in aligner.named_parameters():
            identity = 0.0 if name == "bias" else torch.eye(len(parameter)) * (1 if profile == "masked" else 100)
            parameter.copy_(torch.as_tensor(identity))
    parts = parts_of(objective, random_batch())
    for name in ("word", "attn_encoder_self", "attn_decoder_self", "attn_cross"):
        assert abs(parts[name]) < 1e-4


# --- teacher, student, aligners -----------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["word", *ATTENTION, *RELEASED])
def test_the_teacher_is_out_of_reach(method):
    teacher = tiny_teacher()
    before, parameters = weights_hash(teacher.model), set(map(id, teacher.model.parameters()))
    objective = make(method, teacher=teacher).train()
    flat_gradient(objective, random_batch())
    assert not any(module.training for module in teacher.model.modules())
    assert all(p.grad is None and not p.requires_grad for p in teacher.model.parameters())
    assert parameters.isdisjoint(map(id, objective.parameters()))
    assert set(objective.state_dict()) == {
        f"{place}.{name}" for place, module in objective.named_children() for name in module.state_dict()
    }
    assert {place for place, _ in objective.named_children()} <= {"model", "terms", "aligners", "teacher_mixers"}
    objective.to(torch.float64).float()
    assert weights_hash(teacher.model) == before


@pytest.mark.parametrize("method", [*ATTENTION, *RELEASED])
def test_gradients_reach_student_and_aligners(method):
    objective = make(method)
    flat_gradient(objective, random_batch())
    for name, parameter in objective.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        if not name.endswith("bias"):  # a key's bias, and an aligner's, moves no softmax
            assert (parameter.grad != 0).any(), name


@pytest.mark.parametrize("method", ATTENTION)
def test_attention_alone_moves_queries_and_keys_of_every_layer(method):
    student = tiny_model()
    (terms,) = [make(method, student, alpha=1.0)._losses(random_batch(), True)[1]]
    terms.backward()
    layers = [layer.self_attention for layer in (*student.encoder_layers, *student.decoder_layers)]
    for attention in (*layers, *(layer.cross_attention for layer in student.decoder_layers)):
        assert (attention.q_proj.weight.grad != 0).any() and (attention.k_proj.weight.grad != 0).any()


@given(
    st.sampled_from(["a2d-masked", "a2d-simplex", "a2d-release"]),
    st.integers(1, 7),
    st.integers(1, 3),
    st.sampled_from([1, 2, 5]),
    st.integers(1, 3),
)
@quick
def test_any_numbers_of_heads_and_layers_fit_together(method, teacher_heads, teacher_layers, heads, layers):
    shape = replace(SHAPE, num_heads=heads, encoder_layers=layers, decoder_layers=4 - layers)
    student, teacher = tiny_model(shape), tiny_teacher(teacher_heads, teacher_layers)
    objective = make(method, student, teacher)
    terms = objective(random_batch(), FIRST)
    terms.total.backward()
    assert terms.total.isfinite()
    for module in objective.helper_modules().values():
        encoder, decoder = (next(module[kind].parameters()).shape for kind in ("encoder_self", "decoder_self"))
        assert encoder == (teacher_heads * teacher_layers, heads * layers)
        assert decoder == (teacher_heads * (teacher_layers + 1), heads * (4 - layers))


@pytest.mark.parametrize("method", [*INVARIANT, *RELEASED])
def test_one_hot_attention_keeps_losses_and_gradients_finite(method):
    student = tiny_model()
    with torch.no_grad():
        for name, parameter in student.named_parameters():
            if "q_proj" in name or "k_proj" in name:
                parameter.mul_(100)
    maps = student(random_batch().src, random_batch().tgt_in, need_maps=True).maps
    assert float(maps.cross.detach().max()) == 1.0
    objective = make(method, student)
    assert flat_gradient(objective, random_batch()).isfinite().all()
    assert all(value.isfinite() for value in objective(random_batch(), FIRST).parts.values())


@pytest.mark.parametrize("method", [*INVARIANT, *RELEASED])
@torch.no_grad()
def test_half_precision_gives_nearly_the_same_losses_in_single(method):
    objective, batch = make(method), random_batch()
    exact = parts_of(objective, batch)
    with torch.autocast("cpu", torch.bfloat16):
        terms = objective(batch, FIRST)
    assert terms.total.dtype == torch.float32
    for name, value in terms.parts.items():
        assert value.dtype == torch.float32
        assert float(value) == pytest.approx(exact[name], rel=0.1, abs=0.1), name


# --- the attention weight -----------------------------------------------------------------------------------


def measured_share(objective: DistillationObjective, batch, update: int) -> float:
    """‖λ · attention gradient‖ / ‖the rest‖ over the student's weights, from totals that the trainer sees."""

    def gradient(weight: float) -> torch.Tensor:
        objective.term_weight = weight
        total = objective(batch, TrainingStep(1, update)).total
        found = torch.autograd.grad(total, list(objective.model.parameters()))
        return torch.cat([g.flatten() for g in found])

    weight = objective.term_weight
    with_attention, rest = gradient(weight), gradient(0.0)
    objective.term_weight = weight
    return float((with_attention - rest).norm() / rest.norm())


@pytest.mark.parametrize("method", ATTENTION)
@pytest.mark.parametrize("update", [1, 51])
def test_calibration_gives_the_attention_gradient_its_share(method, update):
    """At update 51 the half-life has already run: the share holds then, not at update 1."""
    objective, batch = make(method, gradient_share=0.4, half_life=0.2), random_batch()
    objective.before_update(lambda _: batch, TrainingStep(1, update))
    assert measured_share(objective, batch, update) == pytest.approx(0.4, rel=1e-3)


def test_calibration_tells_the_ratio_and_the_angle_of_the_gradients():
    objective, batch = make("a2d-simplex", gradient_share=0.4, half_life=0.0), random_batch()
    assert "gradient_ratio" not in objective.extra_state()
    objective.before_update(lambda _: batch, FIRST)
    told = objective.extra_state()
    assert told["gradient_ratio"] == pytest.approx(0.4 / objective.term_weight)
    measured = gradient_share(objective, objective.term_weight, [batch])
    assert told["gradient_cosine"] == pytest.approx(measured.cosine, abs=1e-3)


def test_calibration_averages_over_batches():
    objective = make("a2d-simplex", gradient_share=0.5, half_life=0.0)
    batches = [random_batch(seed=seed) for seed in range(CALIBRATION_BATCHES)]
    for update, batch in enumerate(batches, start=51):
        objective.before_update(lambda _, batch=batch: batch, TrainingStep(1, update))
    shares = [measured_share(objective, batch, 1) for batch in batches]
    assert min(shares) < 0.5 < max(shares)
    assert sum(shares) / len(shares) == pytest.approx(0.5, abs=0.1)


def test_the_second_calibration_forgets_the_first():
    objective = make("a2d-simplex", gradient_share=0.5, half_life=0.0)
    for first, terms, rest in ((1, 2.0, 300.0), (51, 3.0, 7.0)):
        objective.gradient_norms = lambda _, terms=terms, rest=rest: GradientNorms(terms, rest, 0.5)
        for update in range(first, first + CALIBRATION_BATCHES):
            objective.before_update(lambda _: random_batch(), TrainingStep(1, update))
            assert objective.term_weight == pytest.approx(0.5 * rest / terms)


def test_calibration_looks_only_when_it_is_due():
    objective, batch, looked = make("a2d-simplex", gradient_share=0.5, calibrate_at_update=23), random_batch(), []
    objective.gradient_norms = lambda head: GradientNorms(2.0, 3.0, 0.5)
    for update in range(1, 60):
        objective.before_update(lambda _, update=update: (looked.append(update), batch)[1], TrainingStep(1, update))
    assert looked == [*range(1, 17), *range(24, 40)]


@pytest.mark.parametrize(("method", "share"), [("word", 0.5), ("a2d-simplex", 0.0)])
def test_without_attention_or_share_nothing_is_calibrated(method, share):
    objective = make(method, gradient_share=share, beta=7.0)
    objective.before_update(lambda _: pytest.fail("read a batch"), FIRST)
    assert objective.term_weight == 7.0


def test_calibration_leaves_the_model_as_it_was():
    student = tiny_model(replace(SHAPE, dropout=0.3))
    objective = make("a2d-simplex", student, gradient_share=0.5).train()
    state, before = torch.get_rng_state(), weights_hash(student)
    objective.before_update(lambda _: random_batch(), FIRST)
    assert student.training and weights_hash(student) == before
    assert all(p.grad is None for p in objective.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_calibration_does_not_go_through_what_is_compiled():
    """Of which Inductor lets the gradient be taken only once, and calibration takes two."""
    graphs = []

    def keep(graph, inputs):
        graphs.append(graph)
        return graph.forward

    plain, compiled = (make("a2d-simplex", gradient_share=0.1) for _ in range(2))
    compiled.model.compile(backend=keep)
    for objective in (plain, compiled):
        objective.before_update(lambda _: random_batch(), FIRST)
    assert graphs == [] and compiled.term_weight == plain.term_weight
    compiled(random_batch(), FIRST)
    assert len(graphs) == 1
    torch._dynamo.reset()


def test_a_share_needs_no_beta():
    objective = make("a2d-masked", gradient_share=0.5, beta=0.0)
    for update in (1, 2):
        objective.before_update(lambda _: random_batch(), TrainingStep(1, update))
    assert measured_share(objective, random_batch(), 2) == pytest.approx(0.5, rel=1e-3)


def test_the_weight_halves_with_every_half_life():
    objective = make("a2d-simplex", beta=8.0, half_life=0.2)  # of 100 updates
    assert [objective.weight_at(update) for update in (1, 21, 41, 81)] == pytest.approx([8.0, 4.0, 2.0, 0.5])
    constant = make("a2d-simplex", beta=8.0, half_life=0.0)
    assert constant.weight_at(1) == constant.weight_at(99) == 8.0


def test_the_weight_acts_on_the_loss_of_its_update():
    objective, batch = make("a2d-simplex", beta=8.0, half_life=0.2), random_batch()
    first, later, never = (float(objective(batch, TrainingStep(1, update)).parts["loss"]) for update in (1, 21, 10**6))
    assert first - never == pytest.approx(2 * (later - never), rel=1e-3)


def test_calibration_looks_at_the_first_thirty_two_sentences():
    """Half as many, or more, would give another weight."""
    corpus = ListCorpus([(1 + i % 5, 1 + i % 7) for i in range(40)])
    plan = BatchPlan(corpus, special_ids(), BatchSettings(1000), seed=1)

    def weight_of(pairs) -> float:
        objective = make("a2d-simplex", gradient_share=0.5)
        objective.before_update(lambda count: plan.load(pairs[:count]), FIRST)
        return objective.term_weight

    expected = weight_of(np.arange(40))
    assert weight_of(np.arange(32)) == pytest.approx(expected, rel=1e-4)
    assert weight_of(np.arange(31)) != pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_cosine_that_is_told_is_negative_where_the_terms_pull_against_the_rest(sign: int):
    objective = make("a2d-simplex", gradient_share=0.5)
    losses = objective._losses

    def along_one_line(batch, with_terms: bool):
        rest, _, parts = losses(batch, with_terms)
        return rest, sign * 2 * rest, parts

    objective._losses = along_one_line
    objective.before_update(lambda _: random_batch(), FIRST)
    told = objective.extra_state()
    assert told["gradient_cosine"] == pytest.approx(sign, abs=1e-5)
    assert told["gradient_ratio"] == pytest.approx(2.0)


# --- what is left out -----------------------------------------------------------------------------------------


class Watched(Teacher):
    """Counts what it is asked for."""

    def __init__(self, teacher: Teacher):
        super().__init__(teacher.model)
        self.calls: list[bool] = []  # with attention?
        self.num_words = 0

    def __call__(self, batch, need_maps, need_hidden=False):
        output = super().__call__(batch, need_maps, need_hidden)
        self.calls.append(need_maps)

        def words(rows):
            found = output.logits(rows)
            self.num_words += len(found)
            return found

        return TeacherOutput(words, output.maps, output.hidden)


LAST_ALIGNED = 133  # 0.5 ** (132 / 20) > 0.01 > 0.5 ** (133 / 20)


@pytest.mark.parametrize("method", ["a2d-simplex", "ce+a2d-masked"])
def test_attention_is_left_out_once_its_weight_is_negligible(method):
    teacher = Watched(tiny_teacher())
    objective, batch = make(method, teacher=teacher, beta=8.0, half_life=0.2), random_batch()
    rest = parts_of(make("word" if method == "a2d-simplex" else "ce", objective.model), batch)["loss"]
    before, after = (objective(batch, TrainingStep(1, LAST_ALIGNED + more)) for more in (0, 1))
    weight = 8.0 * 0.5 ** (132 / 20)
    attention = sum(
        (0.5 if name != "attn_encoder_self" else 1.0) * float(value)
        for name, value in before.parts.items()
        if name.startswith("attn_")
    )
    assert float(before.parts["loss"]) == pytest.approx(rest + weight * attention, rel=1e-5)  # exact until then
    assert float(after.parts["loss"]) == pytest.approx(rest, rel=1e-5)
    assert objective.weight_at(LAST_ALIGNED) == pytest.approx(weight)
    assert objective.weight_at(LAST_ALIGNED + 1) == 0.0
    assert before.parts.keys() - after.parts.keys() == {"attn_encoder_self", "attn_decoder_self", "attn_cross"}
    assert teacher.calls == ([True, False] if method == "a2d-simplex" else [True])


def test_every_parameter_has_a_gradient_where_attention_is_left_out():
    """Else the ranks of a parallel run would wait for it."""
    objective = make("a2d-simplex", half_life=0.2)
    objective(random_batch(), TrainingStep(1, LAST_ALIGNED + 1)).total.backward()
    assert all(p.grad is not None for p in objective.parameters())
    assert all((p.grad == 0).all() for p in objective.terms.parameters())


def test_what_is_left_out_is_not_calibrated():
    objective = make("a2d-simplex", gradient_share=0.5, half_life=0.01, calibrate_at_update=50)
    objective.before_update(lambda _: pytest.fail("read a batch"), TrainingStep(1, 51))


@pytest.mark.parametrize(("method", "asked"), [("a2d-simplex", True), ("word", True), ("ce+a2d-simplex", False)])
def test_only_a_word_term_asks_for_the_teachers_words(method, asked):
    teacher, batch = Watched(tiny_teacher()), random_batch()
    make(method, teacher=teacher)(batch, FIRST)
    assert teacher.num_words == (batch.num_tgt_tokens if asked else 0)


@pytest.mark.parametrize("method", ["word", "a2d-masked+a2d-simplex"])
def test_no_tensor_holds_all_tokens_scores_neither_students_nor_teachers(method, monkeypatch):
    words = 2003
    monkeypatch.setattr(vocabulary_loss, "FEWEST_TOKENS", 5)
    monkeypatch.setitem(vocabulary_loss.LOGITS_AT_ONCE, "cpu", 4000)
    vocabularies = Vocabularies(words + 1, words + 1)
    student, teacher = (tiny_model(vocabularies=vocabularies, seed=seed) for seed in (1, 7))
    objective, batch = make(method, student, Teacher(teacher)), random_batch([(5, 7)] * 31, vocabularies)
    with LargestTensor() as largest:
        objective(batch, FIRST).total.backward()
    assert largest.numel < batch.num_tgt_tokens * words / 20


def test_a_resumed_objective_calibrates_on():
    whole = make("a2d-simplex", gradient_share=0.5)
    batches = [random_batch(seed=seed) for seed in range(5)]
    for update, batch in enumerate(batches[:3], start=1):
        whole.before_update(lambda _, batch=batch: batch, TrainingStep(1, update))
    stream = io.BytesIO()
    torch.save(whole.extra_state(), stream)
    stream.seek(0)
    resumed = make("a2d-simplex", gradient_share=0.5)
    resumed.load_extra_state(torch.load(stream, weights_only=True))
    assert resumed.extra_state() == whole.extra_state()
    for objective in (whole, resumed):
        for update, batch in enumerate(batches[3:], start=4):
            objective.before_update(lambda _, batch=batch: batch, TrainingStep(1, update))
    assert resumed.extra_state() == whole.extra_state()
