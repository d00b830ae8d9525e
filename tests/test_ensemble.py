"""Several teachers as one: the mean of their probabilities, and all their maps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_distillation_objective import FIRST, flat_gradient, make, parts_of
from test_teacher_cache import every_batch, plan_of, remember
from tiny import SHAPE, LargestTensor, random_batch, special_ids, tiny_model, tiny_teacher

from a2d_cli.config.schema import Distillation
from a2d_cli.distillation.cache_filling import MAPS_TOLERANCE, WORDS_TOLERANCE_NATS
from a2d_cli.distillation.cached_teacher import CachedTeacher
from a2d_cli.distillation.ensemble import EnsembleTeacher
from a2d_cli.distillation.fidelity import FidelityTest
from a2d_cli.distillation.methods import parse_method
from a2d_cli.distillation.teachers import Teacher, TeacherShapes
from a2d_cli.errors import ConfigError
from a2d_cli.model.attention import KINDS
from a2d_cli.model.transformer import Vocabularies
from a2d_cli.training import vocabulary_loss


def members() -> tuple[Teacher, Teacher]:
    """Of other sizes."""
    return tiny_teacher(num_heads=2, layers=3), tiny_teacher(num_heads=7, layers=1, seed=8)


def log_p(teacher, batch) -> torch.Tensor:
    return teacher(batch, False).logits(slice(None)).log_softmax(-1)


def test_its_probabilities_are_the_mean_of_the_members():
    one, other = members()
    batch = random_batch()
    found = EnsembleTeacher([one, other])(batch, False)
    mean = (log_p(one, batch).exp() + log_p(other, batch).exp()) / 2
    torch.testing.assert_close(found.logits(slice(None)).exp(), mean)
    torch.testing.assert_close(found.logits(slice(2, 5)).exp(), mean[2:5])
    assert found.maps is None and not found.logits(slice(None)).requires_grad
    kept = found.logits(slice(None))
    found.logits(slice(None)).zero_()  # the caller's own
    torch.testing.assert_close(found.logits(slice(None)), kept)


def test_three_members_weigh_alike():
    teachers = [tiny_teacher(seed=seed) for seed in (1, 2, 3)]
    batch = random_batch()
    mean = sum(log_p(teacher, batch).exp() for teacher in teachers) / 3
    torch.testing.assert_close(log_p(EnsembleTeacher(teachers), batch).exp(), mean)


def test_its_maps_are_those_of_the_first_then_those_of_the_second():
    one, other = members()
    ensemble, batch = EnsembleTeacher([one, other]), random_batch()
    maps = ensemble(batch, True).maps
    assert ensemble.shapes.num_maps("encoder_self") == maps.encoder_self.shape[1] == 2 * 3 + 7 * 1
    assert ensemble.shapes.num_maps("cross") == maps.cross.shape[1] == 2 * 4 + 7 * 2
    assert ensemble.shapes == TeacherShapes((one.model.shape, other.model.shape))
    for kind in KINDS:
        apart = [getattr(each(batch, True).maps, kind) for each in (one, other)]
        torch.testing.assert_close(getattr(maps, kind), torch.cat(apart, 1))


@pytest.mark.parametrize("method", ["word", "ce+a2d-masked", "a2d-simplex", "a2d-proj", "amad"])
def test_the_same_teacher_twice_teaches_what_it_teaches_alone(method: str):
    student, teacher = tiny_model(), tiny_teacher()
    alone, twice = (make(method, student, each) for each in (teacher, EnsembleTeacher([teacher, teacher])))
    with torch.no_grad():
        for (name, term), other in zip(alone.terms.items(), twice.terms.values(), strict=True):
            assert name == method.removeprefix("ce+")
            for own, doubled in zip(term.parameters(), other.parameters(), strict=True):
                if own.shape != doubled.shape:
                    doubled.copy_(torch.cat([own, own]))  # (C_T, ...) of both
        expected, found = parts_of(alone, random_batch()), parts_of(twice, random_batch())
    for name, value in expected.items():
        scale = (
            2 if name.startswith("attn_") and method == "ce+a2d-masked" else 1
        )  # a sum over teacher maps; else a mean
        assert name == "loss" or found[name] == pytest.approx(scale * value, rel=1e-4, abs=1e-5), name


def test_gradients_reach_the_aligner_of_every_member():
    objective = make("a2d-simplex", tiny_model(), EnsembleTeacher(members()))
    flat_gradient(objective, random_batch())
    for kind, aligner in objective.terms["a2d-simplex"].aligners.items():
        (gradient,) = (parameter.grad for parameter in aligner.parameters())
        assert gradient.shape[0] == (13 if kind == "encoder_self" else 22)
        assert (gradient.abs().sum(-1) > 0).all()


def test_no_tensor_holds_all_tokens_scores_of_an_ensemble(monkeypatch: pytest.MonkeyPatch):
    words = 2003
    monkeypatch.setattr(vocabulary_loss, "FEWEST_TOKENS", 5)
    monkeypatch.setitem(vocabulary_loss.LOGITS_AT_ONCE, "cpu", 4000)
    vocabularies = Vocabularies(words + 1, words + 1)
    student, *teachers = (tiny_model(vocabularies=vocabularies, seed=seed) for seed in (1, 7, 8))
    objective = make("word", student, EnsembleTeacher([Teacher(each) for each in teachers]))
    batch = random_batch([(5, 7)] * 31, vocabularies)
    with LargestTensor() as largest:
        objective(batch, FIRST).total.backward()
    assert largest.numel < batch.num_tgt_tokens * words / 20


def test_members_may_be_live_or_cached(tmp_path: Path):
    one, other = members()
    cached, _ = remember(tmp_path, members()[1], teacher="other", teacher_place="runs/other/best", num_teachers=2)
    assert isinstance(cached, CachedTeacher)
    live, mixed = EnsembleTeacher([one, other]), EnsembleTeacher([one, cached])
    for batch in every_batch(plan_of()):
        exact, told = log_p(live, batch), log_p(mixed, batch)
        assert ((exact.exp() * (exact - told).abs()).sum(-1) < WORDS_TOLERANCE_NATS).all()
        ours, theirs = (each(batch, True).maps.cross for each in (mixed, live))
        real = (batch.tgt_mask[:, :, None] & one.model.src_mask(batch.src)[:, None])[:, None]
        torch.testing.assert_close(ours * real, theirs * real, rtol=0, atol=MAPS_TOLERANCE)


def test_the_distance_to_an_ensemble_can_be_measured():
    text = plan_of().corpus
    one, other = members()
    ensemble = EnsembleTeacher([one, other])
    found = FidelityTest(text, special_ids(), ensemble, 41, torch.device("cpu"))(one.model)
    alone = FidelityTest(text, special_ids(), one, 41, torch.device("cpu"))(one.model)
    assert found.kl > 0.01 > abs(alone.kl) and found.nll == pytest.approx(alone.nll)


@pytest.mark.parametrize(
    ("method", "named"),
    [
        ("hidden", "hidden"),
        ("attn-fixed", "attn-fixed"),
        ("word+copy-layers", "copy-layers"),
        ("seq+word", "seq"),
        ("a2d-release", "a2d-release"),
        ("ce+a2d-paper", "a2d-paper"),
    ],
)
def test_what_takes_one_teacher_refuses_several(method: str, named: str):
    with pytest.raises(ConfigError) as caught:
        parse_method(Distillation(method=method, teacher="a,b"))
    assert caught.value.message == f"distillation.teacher: 'a,b' are several teachers, {named} takes one"
    assert caught.value.hint.startswith("an ensemble teaches words and aligned attention: name one teacher")
    parse_method(Distillation(method=method, teacher="a"))


def test_one_shape_can_be_asked_of_a_teacher_that_is_one_model():
    assert Teacher(tiny_model()).shapes.shape == SHAPE
    shapes = (SHAPE, replace(SHAPE, num_heads=2))
    assert (TeacherShapes(shapes).num_maps("encoder_self"), TeacherShapes(shapes).num_maps("cross")) == (3 * 7, 2 * 7)
