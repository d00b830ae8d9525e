"""Terms that compare softened or value-norm-weighted maps: both models' in the same form."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_distillation_objective import make, parts_of
from test_teacher_cache import every_batch, folder_in, plan_of, remember
from tiny import part_of, quick, random_batch, tiny_model, tiny_teacher

from a2d_cli.distillation.cache_filling import MAPS_TOLERANCE
from a2d_cli.distillation.ensemble import EnsembleTeacher
from a2d_cli.distillation.objective import DistillationObjective
from a2d_cli.distillation.teachers import Teacher
from a2d_cli.model.attention import KINDS, PLAIN, MapForm

FORMS = [MapForm("softened", 3.0), MapForm("value-norm")]
in_each_form = pytest.mark.parametrize("form", FORMS, ids=[form.name for form in FORMS])


def objective(form: MapForm, method: str = "ce+a2d-simplex", student=None, **settings) -> DistillationObjective:
    return make(method, student or tiny_model(), Teacher(tiny_teacher().model, form), **settings)


@in_each_form
@pytest.mark.parametrize("method", ["a2d-simplex", "a2d-masked", "attn-fixed", "a2d-proj"])
@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=2, max_size=4), st.integers(0, 99))
@quick
@torch.no_grad()
def test_a_batch_is_the_sum_over_its_sentences_in_every_form(form: MapForm, method: str, lengths, seed: int):
    taught, batch = objective(form, method), random_batch(lengths, seed=seed)
    alone = [parts_of(taught, part_of(batch, row)) for row in range(len(lengths))]
    for name, value in parts_of(taught, batch).items():
        assert value == pytest.approx(sum(parts[name] for parts in alone), rel=1e-3, abs=1e-4), name


@in_each_form
@torch.no_grad()
def test_both_models_maps_are_of_the_form(form: MapForm):
    """Equal models have nothing to align in any form: that is so only if both are read in the same."""
    taught = make("ce+attn-fixed", tiny_model(), Teacher(tiny_model(), form), row_floor=0.0)
    parts = parts_of(taught, random_batch())
    assert all(abs(parts[f"attn_{kind}"]) < 1e-4 for kind in KINDS)
    plain, other = (parts_of(objective(each), random_batch()) for each in (PLAIN, form))
    assert all(plain[f"attn_{kind}"] != pytest.approx(other[f"attn_{kind}"], rel=1e-3) for kind in KINDS)
    assert plain["nll"] == other["nll"]


@in_each_form
def test_its_gradient_reaches_queries_keys_and_the_values_that_it_weighs(form: MapForm):
    taught = objective(form)
    taught._losses(random_batch(), True)[1].backward()
    attention = taught.model.decoder_layers[-1].cross_attention
    assert (attention.q_proj.weight.grad != 0).any() and (attention.k_proj.weight.grad != 0).any()
    weighs = form.kind == "value-norm"
    assert (attention.out_proj.weight.grad is not None and bool((attention.out_proj.weight.grad != 0).any())) is weighs
    assert all(p.grad is None or p.grad.isfinite().all() for p in taught.parameters())


@in_each_form
def test_one_hot_attention_keeps_losses_and_gradients_finite_in_every_form(form: MapForm):
    student = tiny_model()
    with torch.no_grad():
        for name, parameter in student.named_parameters():
            if "q_proj" in name or "k_proj" in name:
                parameter.mul_(100)
    taught = objective(form, student=student)
    taught._losses(random_batch(), True)[1].backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in taught.parameters())


@in_each_form
def test_an_ensembles_maps_have_the_form_of_its_members(form: MapForm):
    ensemble = EnsembleTeacher([Teacher(tiny_teacher(seed=seed).model, form) for seed in (1, 2)])
    assert ensemble.form == form
    batch = random_batch()
    alone = tiny_teacher(seed=2).model(batch.src, batch.tgt_in, True, form=form).maps.cross
    torch.testing.assert_close(ensemble(batch, True).maps.cross[:, alone.shape[1] :], alone)


@in_each_form
def test_a_cache_holds_the_form_and_forms_never_mix(tmp_path: Path, form: MapForm):
    remember(tmp_path)
    cached, said = remember(tmp_path, Teacher(tiny_teacher().model, form))
    assert cached.form == form and f"float16 states and float16 {form.name} maps of 10 pairs" in said[0]
    names = {path.name for path in folder_in(tmp_path).glob("*.float16")}
    assert names == {"states.float16", *(f"{kind}{end}.float16" for kind in KINDS for end in ("", f"_{form.name}"))}
    live = Teacher(tiny_teacher().model, form)
    for batch in every_batch(plan_of()):
        ours, theirs = (each(batch, True).maps for each in (cached, live))
        src = live.model.src_mask(batch.src)
        real = {"encoder_self": (src, src), "decoder_self": (batch.tgt_mask,) * 2, "cross": (batch.tgt_mask, src)}
        for kind, (queries, keys) in real.items():
            inside = (queries[:, :, None] & keys[:, None, :])[:, None]
            torch.testing.assert_close(
                getattr(ours, kind) * inside, getattr(theirs, kind) * inside, rtol=0, atol=MAPS_TOLERANCE
            )
    assert "(0.00 MB to be filled" in remember(tmp_path)[1][0]  # the plain ones are where they were
