"""Teacher-forced loss and distance to the teacher: their definitions, sentence by sentence."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import ListCorpus, quick, special_ids, tiny_model, tiny_teacher

from a2d_cli.data.batching import pad_batch
from a2d_cli.distillation.fidelity import FidelityTest

LENGTHS = [(5, 3), (2, 7), (11, 1), (3, 3), (0, 2), (7, 13)]
CPU = torch.device("cpu")


def by_definition(model, teacher, text: ListCorpus) -> tuple[float, float]:
    """Means over target tokens, one sentence at a time and in double precision."""
    nll, kl = [], []
    for i in range(len(text)):
        batch = pad_batch([text.src(i)], [text.tgt(i)], special_ids())
        log_q, log_p = (
            each.logits(each(batch.src, batch.tgt_in).states[0]).double().log_softmax(-1)
            for each in (model, teacher.model)
        )
        nll += (-log_q.gather(-1, batch.tgt_out[0][:, None])).flatten().tolist()
        kl += (log_p.exp() * (log_p - log_q)).sum(-1).tolist()
    return sum(nll) / len(nll), sum(kl) / len(kl)


@given(st.integers(0, 99))
@quick
def test_losses_are_their_definitions_however_sentences_are_batched(seed: int):
    teacher, model, text = tiny_teacher(), tiny_model(seed=seed), ListCorpus(LENGTHS, seed)
    found = FidelityTest(text, special_ids(), teacher, 41, CPU)(model)
    with torch.no_grad():
        assert (found.nll, found.kl) == pytest.approx(by_definition(model, teacher, text), rel=1e-5)
    assert found.num_tokens == sum(tgt + 1 for _, tgt in LENGTHS)
    assert found.num_left_out == 0


def test_a_teacher_is_at_no_distance_from_itself():
    teacher = tiny_teacher()
    assert FidelityTest(ListCorpus(LENGTHS), special_ids(), teacher, 41, CPU)(teacher.model).kl == pytest.approx(
        0, abs=1e-6
    )


def test_pairs_that_the_models_cannot_read_are_counted():
    found = FidelityTest(ListCorpus(LENGTHS), special_ids(), tiny_teacher(), 11, CPU)(tiny_model())
    assert found.num_left_out == 2  # of 11 source and of 13 target tokens, end marks counted
    assert found.num_tokens == 4 + 8 + 4 + 3
