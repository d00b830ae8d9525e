"""word-selective: the teacher's words for the tokens that the student finds hard, the references for all."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_distillation_objective import FIRST, flat_gradient, make, parts_of
from tiny import SHAPE, quick, random_batch, tiny_model, tiny_teacher
from torch import Tensor

from a2d_cli.config.schema import Distillation
from a2d_cli.distillation.methods import parse_method, settings_that_count
from a2d_cli.distillation.selection import Selection, all_tokens_nll
from a2d_cli.errors import ConfigError
from a2d_cli.training.objective import TrainingStep


def looked(values: list[float], fraction: float, capacity: int = 97) -> Selection:
    selection = Selection(fraction, capacity)
    selection.look(torch.tensor(values))
    return selection


def near(values: list[float]) -> int:
    """1 where two values are so close that none stands between them."""
    ordered = sorted(values)
    return int(any(later - earlier < 1e-5 * (1 + later) for earlier, later in pairwise(ordered)))


@given(st.lists(st.floats(0, 20, width=32), min_size=1, max_size=31, unique=True), st.floats(0.01, 0.99))
@quick
def test_the_fraction_of_the_remembered_tokens_is_at_the_threshold_or_above(values, fraction):
    selection = looked(values, fraction)
    expected = max(1, round(fraction * len(values)))
    assert sum(value >= float(selection.threshold) for value in values) == pytest.approx(expected, abs=near(values))


def test_all_tokens_are_hard_where_all_are_asked_for_and_before_any_was_seen():
    assert float(looked([3.0, 1.0, 2.0], 1.0).threshold) == -math.inf
    assert float(Selection(0.5, 7).threshold) == -math.inf


def test_the_oldest_tokens_are_forgotten_first():
    selection = looked([9.0, 8.0, 7.0], 0.5, capacity=5)
    assert selection.recent.tolist() == [-math.inf, -math.inf, 9.0, 8.0, 7.0]
    selection.look(torch.tensor([1.0, 2.0, 3.0]))
    assert selection.recent.tolist() == [8.0, 7.0, 1.0, 2.0, 3.0]
    assert float(selection.threshold) == 5.0  # between 3 and 7: two of five, rounded to even
    selection.look(torch.arange(11.0))
    assert selection.recent.tolist() == [6.0, 7.0, 8.0, 9.0, 10.0]


def test_a_broken_loss_moves_no_threshold():
    selection = looked([math.nan, 3.0, math.inf, 1.0, 2.0, 4.0], 0.5)
    assert float(selection.threshold) == 2.5
    assert float(looked([math.nan], 0.5).threshold) == -math.inf


@torch.no_grad()
def test_the_loss_of_each_token_by_hand():
    student, batch = tiny_model(), random_batch()
    states = student(batch.src, batch.tgt_in).states[batch.tgt_mask]
    targets = batch.tgt_out[batch.tgt_mask]
    found = all_tokens_nll(student, states, targets)
    expected = -student.logits(states).log_softmax(-1).gather(-1, targets[:, None])[:, 0]
    torch.testing.assert_close(found, expected)


# --- the method ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "name", "terms"),
    [
        ("word-selective", "word-selective", ()),
        ("word-selective+a2d", "word-selective+a2d-diagonal", ("a2d-diagonal",)),
        ("amad+word-selective+attn-fixed", "word-selective+amad+attn-fixed", ("amad", "attn-fixed")),
        ("seq+word-selective", "seq+word-selective", ()),
    ],
)
def test_it_takes_the_place_of_word_in_a_method(method, name, terms):
    parsed = parse_method(Distillation(method=method))
    assert (parsed.name, parsed.words, parsed.selective, parsed.terms) == (name, True, True, terms)
    assert parse_method(Distillation(method=name)) == parsed


@pytest.mark.parametrize("method", ["word-selective+a2d-release", "a2d-paper+word-selective"])
def test_the_released_objective_knows_no_selection(method):
    with pytest.raises(ConfigError, match="mixes the released objective with another one"):
        parse_method(Distillation(method=method))


@pytest.mark.parametrize(
    ("method", "counting"),
    [
        ("word-selective", {"selected_fraction", "selection_queue"}),
        ("word", set()),
        ("a2d-simplex", set()),
        ("attn-fixed", {"layer_map"}),
        ("a2d-proj", {"ridge", "gram_decay"}),
        ("amad", set()),
    ],
)
def test_a_run_records_the_settings_of_its_own_terms_alone(method, counting):
    own = {"selected_fraction", "selection_queue", "layer_map", "ridge", "gram_decay"}
    assert settings_that_count(Distillation(method=method)).keys() & own == counting


def test_half_of_the_tokens_learn_the_teachers_words_as_word_does_and_half_the_references_as_ce_does():
    """Of the very tokens that were looked at, dropout off."""
    student, batch = tiny_model(), random_batch(((5, 3), (2, 8), (11, 1)))  # 15 target tokens
    objective = make("word-selective", student, selection_queue=15, selected_fraction=0.4)
    objective.before_update(lambda _: batch, FIRST)
    parts = parts_of(objective, batch)
    assert parts["selected"] == 6
    # By hand: token after token.
    targets = batch.tgt_out[batch.tgt_mask]
    log_q, log_p = (
        model.logits(model(batch.src, batch.tgt_in).states[batch.tgt_mask]).log_softmax(-1)
        for model in (student, tiny_teacher().model)
    )
    nll = -log_q.gather(-1, targets[:, None])[:, 0]
    share = 0.1 / (log_q.shape[-1] - 1)
    ce = (1 - 0.1 - share) * nll - share * log_q.sum(-1)
    word = (log_p.exp() * (log_p - log_q)).sum(-1)
    hard = torch.zeros(len(nll), dtype=torch.bool).index_fill(0, nll.topk(6).indices, True)
    assert parts["word"] == pytest.approx(float(word[hard].detach().sum()), rel=1e-4)
    assert parts["nll"] == pytest.approx(float(nll.detach().sum()), rel=1e-5)
    expected = torch.where(hard, 0.5 * ce + 0.5 * word, ce).sum()
    assert parts["loss"] == pytest.approx(float(expected.detach()), rel=1e-5)
    total, weights = objective(batch, FIRST).total, student.tgt_embedding.weight
    for ours, theirs in zip(*(torch.autograd.grad(x, weights) for x in (total, expected)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("threshold", "method"), [(-math.inf, "word"), (math.inf, "ce")])
def test_between_word_and_ce(threshold: float, method: str):
    """With the settings of α, τ and the divergence."""
    student, batch = tiny_model(), random_batch()
    settings = {"alpha": 0.3, "temperature": 2.0, "divergence": "js"}
    selective, plain = make("word-selective", student, **settings), make(method, student, **settings)
    selective.selection.threshold.fill_(threshold)
    found, expected = (parts_of(objective, batch) for objective in (selective, plain))
    assert found["selected"] == (batch.num_tgt_tokens if method == "word" else 0)
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(flat_gradient(selective, batch), flat_gradient(plain, batch), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_other_terms_are_added_to_it():
    student, teacher = tiny_model(), tiny_teacher()
    alone = parts_of(make("word-selective", student, teacher), random_batch())
    both = parts_of(make("word-selective+amad", student, teacher, beta=3.0), random_batch())
    attention = both["attn_encoder_self"] + 0.5 * both["attn_decoder_self"] + 0.5 * both["attn_cross"]
    assert both["selected"] == alone["selected"]
    assert both["loss"] == pytest.approx(alone["loss"] + 3.0 * attention, rel=1e-5)


# --- looking ahead ------------------------------------------------------------------------------------------


def state_of(objective) -> dict[str, Tensor]:
    return {name: value.detach() for name, value in objective.named_parameters()}


def test_before_an_update_it_looks_at_some_sentences_with_dropout_off_and_leaves_the_model_as_it_was():
    student = tiny_model(replace(SHAPE, dropout=0.3))
    lengths = [(3, 4)] * 37
    selective = make("word-selective+a2d-proj", student)
    selective.train()
    state, before = torch.get_rng_state(), {name: value.clone() for name, value in student.named_parameters()}
    selective.before_update(lambda count: random_batch(lengths[:count]), FIRST)
    assert student.training and torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in student.named_parameters())
    assert (
        int(selective.selection.recent.isfinite().sum()) == random_batch().num_tgt_tokens + 5 * 32
    )  # of `make`, and now
    exact = make("word-selective+a2d-proj", tiny_model())
    exact.before_update(lambda count: random_batch(lengths[:count]), FIRST)
    for name, value in state_of(exact).items():
        assert torch.equal(state_of(selective)[name], value), name


def test_a_resumed_selection_goes_on_as_the_uninterrupted_one():
    whole, resumed = make("word-selective"), make("word-selective")
    whole.before_update(lambda _: random_batch(seed=5), TrainingStep(1, 2))
    stream = io.BytesIO()
    torch.save(dict(whole.named_parameters()), stream)
    stream.seek(0)
    resumed.load_state_dict(torch.load(stream, weights_only=True), strict=False)  # but for buffers, which are constants
    for objective in (whole, resumed):
        objective.before_update(lambda _: random_batch(seed=6), TrainingStep(1, 3))
    theirs = state_of(resumed)
    assert all(torch.equal(value, theirs[name]) for name, value in state_of(whole).items())


def test_selection_goes_on_where_other_terms_have_faded():
    objective = make("word-selective+a2d-proj", half_life=0.01)
    terms = {name: value.clone() for name, value in objective.terms.named_parameters()}
    threshold = float(objective.selection.threshold)
    objective.before_update(lambda _: random_batch(seed=9), TrainingStep(1, 99))
    assert all(torch.equal(value, terms[name]) for name, value in objective.terms.named_parameters())
    assert float(objective.selection.threshold) != threshold
