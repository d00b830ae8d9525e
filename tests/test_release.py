"""The released objective: golden values with gradients, a case by hand, its formula spelt out, its switches."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tiny import part_of, random_batch, tiny_model, tiny_teacher

from a2d_cli.config.schema import Distillation
from a2d_cli.distillation.release import Pointwise, ReleaseSettings, release_loss
from a2d_cli.distillation.released_objective import ReleaseObjective
from a2d_cli.distillation.teachers import Teacher
from a2d_cli.model.attention import KINDS, AttentionMaps
from a2d_cli.training.objective import TrainingStep

GOLDEN = Path(__file__).parent / "golden_release.json"  # what the published code computes of random tensors
GOLDEN_KINDS = {"enc": "encoder_self", "dself": "decoder_self", "dcross": "cross"}


# --- golden values ------------------------------------------------------------------------------------------


def relative_error(found: torch.Tensor, expected) -> float:
    expected = torch.as_tensor(expected, dtype=torch.float64).view(found.shape)
    return float((found.detach() - expected).abs().max() / expected.abs().max().clamp(min=1e-6))


def golden_case(case: dict, result: dict) -> dict[str, float]:
    """Relative errors by name of losses and gradients."""
    shapes = {name: case[name] for name in "BSTV"}
    b, s, t, v = shapes.values()
    cells = {"enc": (s, s), "dself": (t, t), "dcross": (t, s)}
    num_student, num_teacher = case["student_channels"], case["teacher_channels"]

    def maps(values: dict, channels: int) -> dict[str, torch.Tensor]:
        return {GOLDEN_KINDS[key]: torch.tensor(values[key]).view(b, channels, *cells[key]) for key in GOLDEN_KINDS}

    def convolutions(values: dict, channels: int) -> dict[str, Pointwise]:
        return {
            GOLDEN_KINDS[key]: SimpleNamespace(
                weight=torch.tensor(each["weight"]).view(num_teacher, channels), bias=torch.tensor(each["bias"])
            )
            for key, each in values.items()
        }

    student_logits = torch.tensor(case["student_logits"]).view(b, t, v).requires_grad_()
    student_maps = maps(case["student_maps"], num_student)
    aligners = convolutions(case["student_conv"], num_student)
    leaves = [*student_maps.values(), *(x for each in aligners.values() for x in (each.weight, each.bias))]
    for leaf in leaves:
        leaf.requires_grad_()
    config, decoder = result["config"], result["config"]["decoder_kd"]
    loss = release_loss(
        student_logits,
        torch.tensor(case["teacher_logits"]).view(b, t, v),
        torch.tensor(case["target"]),
        case["pad"],
        AttentionMaps(**student_maps),
        AttentionMaps(**maps(case["teacher_maps"], num_teacher)),
        aligners,
        ReleaseSettings(
            config["alpha"],
            config["beta"],
            config["decay"],
            config["eps"],
            config["student_temp"],
            config["teacher_temp"],
            decoder_self=decoder and config["self_kd"],
            cross=decoder and config["cross_kd"],
        ),
        config["epoch"],
        convolutions(case["teacher_conv"], num_teacher) if result["teacher_conv_applied"] else None,
    )
    loss.total.backward()

    found = {
        "total_loss": loss.total,
        "golden_loss": loss.cross_entropy,
        "kd_loss": loss.word,
        "nll_loss_student": loss.student_nll,
        "attn_loss": loss.attention.get("encoder_self"),
        "decoder_self_attn_loss": loss.attention.get("decoder_self"),
        "decoder_cross_attn_loss": loss.attention.get("cross"),
    }
    assert {name for name in found if result[name] is None} == {name for name in found if found[name] is None}
    errors = {name: relative_error(value, result[name]) for name, value in found.items() if value is not None}
    gradients = result["grad"]
    errors["student_logits"] = relative_error(student_logits.grad, gradients["student_logits"])
    for key, each in gradients["conv"].items():
        kind = GOLDEN_KINDS[key]
        if each["weight"] is None:
            assert aligners[kind].weight.grad is None
            continue
        errors[f"{kind} weight"] = relative_error(aligners[kind].weight.grad, each["weight"])
        # The true gradient of a bias is 0: a softmax takes no notice of a constant.
        assert (aligners[kind].bias.grad - torch.tensor(each["bias"])).abs().max() < 1e-5
    for key, values in (gradients.get("student_maps") or {}).items():
        errors[f"{key} maps"] = relative_error(student_maps[GOLDEN_KINDS[key]].grad, torch.tensor(values))
    return errors


def test_losses_and_gradients_are_the_released_codes():
    cases = [(case, result) for case in json.loads(GOLDEN.read_text())["cases"] for result in case["results"]]
    assert cases
    for case, result in cases:
        for name, error in golden_case(case, result).items():
            assert error < 1e-5, (case["seed"], result["name"], name)


# --- the formula --------------------------------------------------------------------------------------------


def test_a_case_by_hand():
    """One real and one padded position, two words, one map of two cells a kind."""
    ln = math.log
    logits = torch.tensor([[[0.0, ln(3)], [5.0, -5.0]]])  # q = (1/4, 3/4), then padding
    teacher_logits = torch.tensor([[[1.0, 1.0], [3.0, 7.0]]])  # p = (1/2, 1/2)
    targets, pad = torch.tensor([[1, 2]]), 2
    flat = torch.tensor([[[[0.0, 0.0]]]])  # over cells (1/2, 1/2)
    steep = torch.tensor([[[[ln(3), 0.0]]]])  # over cells (3/4, 1/4)
    twice = SimpleNamespace(weight=torch.tensor([[2.0]]), bias=torch.tensor([7.0]))
    loss = release_loss(
        logits,
        teacher_logits,
        targets,
        pad,
        student_maps=AttentionMaps(flat, steep / 2, steep / 2),
        teacher_maps=AttentionMaps(steep, steep, flat),
        aligners=dict.fromkeys(KINDS, twice),
        settings=ReleaseSettings(alpha=0.25, beta=3.0, decay=0.5),
        epoch=3,
    )
    cross_entropy = (0.9 * ln(4 / 3) + 0.1 * ln(4)) / 2
    word = (0.5 * ln(4) + 0.5 * ln(4 / 3)) / 2
    encoder_self, cross = 0.75 * ln(1.5) + 0.25 * ln(0.5), 0.5 * ln(4 / 3)
    strength = 3.0 * 0.5**2
    assert float(loss.cross_entropy) == pytest.approx(cross_entropy)
    assert float(loss.word) == pytest.approx(word)
    assert float(loss.student_nll) == pytest.approx(ln(4 / 3) / 2)
    assert float(loss.attention["encoder_self"]) == pytest.approx(strength * encoder_self)
    assert float(loss.attention["decoder_self"]) == pytest.approx(0.0, abs=1e-6)
    assert float(loss.attention["cross"]) == pytest.approx(strength * cross / 2)
    attention = strength * (encoder_self + cross / 2)
    assert float(loss.total) == pytest.approx(0.75 * cross_entropy + 0.25 * word + attention, rel=1e-5)


def both_models(**settings):
    """Student, teacher and the objective between them."""
    student, teacher = tiny_model(), tiny_teacher()
    distillation = replace(Distillation(method="a2d-release", decay=0.9), **settings)
    return student, teacher, ReleaseObjective(student, teacher, distillation, label_smoothing=0.1, seed=1)


def written_out(objective: ReleaseObjective, teacher, batch, epoch: int, settings: Distillation) -> float:
    """The loss of a batch, per target token: the formula in loops, in double precision."""
    output = objective.model(batch.src, batch.tgt_in, need_maps=True)
    taught = teacher.model(batch.src, batch.tgt_in, need_maps=True)
    log_q = objective.model.logits(output.states).double().log_softmax(-1)
    log_p = teacher.model.logits(taught.states).double().log_softmax(-1)
    vocabulary, share = log_q.shape[-1], 0.1 / (log_q.shape[-1] - 1)
    ce = word = 0.0
    for b, t in batch.tgt_mask.nonzero().tolist():
        nll = [-float(log_q[b, t, v]) for v in range(vocabulary)]
        ce += (1 - 0.1 - share) * nll[int(batch.tgt_out[b, t])] + share * sum(nll)
        word += sum(math.exp(float(log_p[b, t, v])) * nll[v] for v in range(vocabulary))
    positions = batch.tgt_out.numel()
    loss = ((1 - settings.alpha) * ce + settings.alpha * word) / positions
    both = settings.decoder_self and settings.cross
    for kind, factor in (
        ("encoder_self", 1.0),
        ("decoder_self", 0.5 if both else 1.0),
        ("cross", 0.5 if both else 1.0),
    ):
        if not getattr(settings, kind):
            continue
        weight, bias = objective.aligners[kind].weight.double(), objective.aligners[kind].bias.double()
        for b in range(len(batch.src)):
            for c in range(len(weight)):
                teacher_map, student_maps = (
                    getattr(taught.maps, kind)[b, c].double(),
                    getattr(output.maps, kind)[b].double(),
                )
                intermediate = bias[c] + sum(weight[c, k] * student_maps[k] for k in range(len(student_maps)))
                p, q = (x.flatten().softmax(0) for x in (teacher_map, intermediate))
                divergence = float((p * (p / q).log()).sum())
                loss += factor * settings.beta * settings.decay ** (epoch - 1) * divergence
    return loss


@pytest.mark.parametrize("kinds", [(True, True, True), (True, True, False), (False, False, True), (True, False, False)])
@pytest.mark.parametrize(("profile", "epoch"), [("release", 1), ("release", 4), ("paper", 3)])
@torch.no_grad()
def test_the_objective_is_the_formula_written_out(epoch, kinds, profile):
    encoder_self, decoder_self, cross = kinds
    settings = Distillation(
        method=f"a2d-{profile}",
        alpha=0.3,
        beta=1.7,
        encoder_self=encoder_self,
        decoder_self=decoder_self,
        cross=cross,
    )
    _, teacher, objective = both_models(**vars(settings))
    batch = random_batch()
    expected = written_out(objective, teacher, batch, epoch, settings)
    terms = objective(batch, TrainingStep(epoch, 1))
    assert float(terms.total) / batch.num_tgt_tokens == pytest.approx(expected, rel=1e-4)
    assert float(terms.parts["loss"]) == pytest.approx(float(terms.total))
    assert {name.removeprefix("attn_") for name in terms.parts} - {"loss", "nll", "word"} == {
        kind for kind, on in zip(KINDS, kinds, strict=True) if on
    }


@torch.no_grad()
def test_ce_in_front_leaves_the_words_out():
    _, teacher, objective = both_models(method="ce+a2d-release", alpha=0.3)
    batch = random_batch()
    expected = written_out(objective, teacher, batch, 1, Distillation(alpha=0.0))
    terms = objective(batch, TrainingStep(1, 1))
    assert float(terms.total) / batch.num_tgt_tokens == pytest.approx(expected, rel=1e-4)


@torch.no_grad()
def test_the_attention_terms_fade_by_the_epoch():
    _, _, objective = both_models(decay=0.9)
    first, third = (objective(random_batch(), TrainingStep(epoch, 1)).parts for epoch in (1, 3))
    for kind in KINDS:
        assert float(third[f"attn_{kind}"]) == pytest.approx(0.81 * float(first[f"attn_{kind}"]))
    assert float(third["word"]) == float(first["word"])


@torch.no_grad()
def test_padding_and_neighbours_do_change_it_as_in_the_released_code():
    _, _, objective = both_models()
    batch, step = random_batch(), TrainingStep(1, 1)
    together = float(objective(batch, step).total)
    alone = sum(float(objective(part_of(batch, row), step).total) for row in range(3))
    assert together != pytest.approx(alone, rel=1e-2)


# --- switches -----------------------------------------------------------------------------------------------


def gradients(objective) -> torch.Tensor:
    """Of the trainer's loss: the sum over tokens, divided by them."""
    objective.zero_grad()
    batch = random_batch()
    (objective(batch, TrainingStep(1, 1)).total / batch.num_tgt_tokens).backward()
    return torch.cat([p.grad.flatten() for p in objective.parameters() if p.grad is not None])


def test_the_released_gradient_scale_divides_by_the_tokens_once_more():
    tokens = random_batch().num_tgt_tokens
    once, twice = (gradients(both_models(gradient_scale=scale)[2]) for scale in ("mean", "release"))
    torch.testing.assert_close(twice * tokens, once, rtol=1e-4, atol=1e-6)


def test_the_logged_loss_does_not_depend_on_the_gradient_scale():
    mean, release = (
        both_models(gradient_scale=scale)[2](random_batch(), TrainingStep(1, 1)) for scale in ("mean", "release")
    )
    assert float(mean.parts["loss"]) == pytest.approx(float(release.parts["loss"]))


def test_the_random_teacher_mix_is_drawn_once_kept_and_never_trained():
    student, teacher, objective = both_models(teacher_mix="random")
    assert set(objective.helper_modules()) == {"aligner.release", "teacher_mixer"}
    for kind, mixer in objective.teacher_mixers.items():
        count = teacher.model.shape.num_maps(kind)
        assert mixer.weight.shape == (count, count)
    gradients(objective)
    assert all(p.grad is None and not p.requires_grad for p in objective.teacher_mixers.parameters())
    again = ReleaseObjective(student, teacher, Distillation(method="a2d-release", teacher_mix="random"), 0.1, seed=1)
    other = ReleaseObjective(student, teacher, Distillation(method="a2d-release", teacher_mix="random"), 0.1, seed=2)
    drawn = [each.teacher_mixers["cross"].weight for each in (objective, again, other)]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


def test_the_random_teacher_mix_is_no_copy_of_the_aligners_where_their_sizes_agree():
    settings = Distillation(method="a2d-release", teacher_mix="random")
    objective = ReleaseObjective(tiny_model(), Teacher(tiny_model(seed=9)), settings, 0.1, seed=1)
    for kind, mixer in objective.teacher_mixers.items():
        aligner = objective.aligners[kind]
        assert mixer.weight.shape == aligner.weight.shape and not torch.equal(mixer.weight, aligner.weight)


@torch.no_grad()
def test_the_random_teacher_mix_convolves_the_teachers_maps():
    _, teacher, objective = both_models(teacher_mix="random")
    batch = random_batch()
    output = objective.model(batch.src, batch.tgt_in, need_maps=True)
    taught = teacher.model(batch.src, batch.tgt_in, need_maps=True)
    mixed = {
        kind: torch.nn.functional.conv2d(getattr(taught.maps, kind), mixer.weight[:, :, None, None], mixer.bias)
        for kind, mixer in objective.teacher_mixers.items()
    }
    expected = release_loss(
        objective.model.logits(output.states),
        teacher.model.logits(taught.states),
        batch.tgt_out,
        objective.model.vocabularies.tgt_pad,
        output.maps,
        AttentionMaps(**mixed),
        objective.aligners,
        ReleaseSettings(),
        epoch=1,
    )
    terms = objective(batch, TrainingStep(1, 1))
    assert float(terms.total) / batch.num_tgt_tokens == pytest.approx(float(expected.total), rel=1e-5)


def test_the_released_switches_belong_to_release_alone():
    _, _, paper = both_models(method="a2d-paper", teacher_mix="random", gradient_scale="release")
    _, _, plain = both_models(method="a2d-release")
    assert paper.teacher_mixers is None
    torch.testing.assert_close(gradients(paper), gradients(plain))
