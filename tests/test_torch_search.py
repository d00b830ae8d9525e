"""The torch engine beside the search of a textbook: no cache, no batch, a full pass for each step of each sentence."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import EOS, JOINT, sentences, special_ids, tiny_model

from a2d_cli.config.schema import Decoding
from a2d_cli.decoding.engine import Hypothesis, SearchBatch
from a2d_cli.decoding.torch_engine import TorchEngine
from a2d_cli.model.transformer import Transformer

CLOSE = 1e-5  # of scores
MODELS = [tiny_model(seed=seed) for seed in (1, 2, 3)]
# The same examples always: where two candidates are as good as equal, rounding decides between them.
few = settings(max_examples=13, deadline=None, derandomize=True)
texts = st.lists(st.tuples(st.integers(1, 11), st.integers(1, 13)), min_size=1, max_size=5)  # (source tokens, limit)


def search(model: Transformer, batch: SearchBatch, exact_length: bool = False, **wanted) -> list[list[Hypothesis]]:
    engine = TorchEngine(model, special_ids())
    (found,) = engine.search([batch], Decoding(**wanted), exact_length=exact_length)
    return found


@torch.no_grad()
def textbook_search(model: Transformer, source: list[int], limit: int, settings: Decoding) -> list[Hypothesis]:
    src = torch.tensor([[*source, EOS]])
    alive: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
    finished: list[Hypothesis] = []
    for length in range(1, limit + 1):
        candidates = []
        for prefix, log_prob in alive:
            states = model(src, torch.tensor([[JOINT.tgt_pad, *prefix]])).states[0, -1]
            scores = model.logits(states).log_softmax(-1).tolist()
            candidates += [
                (log_prob + score, prefix, token)
                for token, score in enumerate(scores)
                if token == EOS or length < limit
            ]
        candidates = sorted(candidates, reverse=True)[: 2 * settings.beam]
        finished += [
            Hypothesis(prefix, log_prob / length**settings.length_penalty)
            for log_prob, prefix, token in candidates[: settings.beam]
            if token == EOS
        ]
        alive = [((*prefix, token), log_prob) for log_prob, prefix, token in candidates if token != EOS]
        alive = alive[: settings.beam]
        if len(finished) >= settings.beam:
            break
    return sorted(finished, key=lambda h: -h.score)[: settings.nbest]


def random_text(lengths: list[tuple[int, int]], seed: int) -> SearchBatch:
    sources = sentences([src for src, _ in lengths], JOINT.src_size, seed)
    return SearchBatch([source.tolist() for source in sources], [limit for _, limit in lengths])


def assert_same(found: list[Hypothesis], expected: list[Hypothesis]) -> None:
    assert [h.tokens for h in found] == [h.tokens for h in expected]
    assert [h.score for h in found] == pytest.approx([h.score for h in expected], abs=CLOSE)


@given(st.sampled_from(MODELS), texts, st.integers(1, 5), st.sampled_from([0.0, 0.6, 1.0]), st.integers(0, 10**6))
@few
def test_a_batch_finds_what_a_textbook_search_finds_sentence_by_sentence(model, lengths, beam, length_penalty, seed):
    batch = random_text(lengths, seed)
    wanted = Decoding(beam=beam, nbest=beam, length_penalty=length_penalty)
    found = search(model, batch, beam=beam, nbest=beam, length_penalty=length_penalty)
    for source, limit, hypotheses in zip(batch.sources, batch.limits, found, strict=True):
        assert_same(hypotheses, textbook_search(model, source, limit, wanted))


@given(
    st.sampled_from(MODELS),
    texts,
    st.integers(1, 5),
    st.integers(0, 3),
    st.booleans(),
    st.randoms(use_true_random=False),
)
@few
def test_what_a_sentence_becomes_does_not_depend_on_its_batch(model, lengths, beam, no_repeat, exact_length, random):
    batch = random_text(lengths, seed=7)
    wanted = {"beam": beam, "nbest": beam, "no_repeat_ngram": no_repeat, "exact_length": exact_length}
    together = search(model, batch, **wanted)
    order = random.sample(range(len(lengths)), len(lengths))
    shuffled = search(model, SearchBatch([batch.sources[i] for i in order], [batch.limits[i] for i in order]), **wanted)
    for i, hypotheses in enumerate(together):
        (alone,) = search(model, SearchBatch([batch.sources[i]], [batch.limits[i]]), **wanted)
        assert_same(hypotheses, alone)
        assert_same(shuffled[order.index(i)], alone)


def test_searches_of_one_engine_do_not_touch_each_other():
    """One sentence and many, narrow and wide: whatever layouts of its weights the engine keeps."""
    engine = TorchEngine(MODELS[0], special_ids())
    many = random_text([(5, 11), (2, 7), (7, 13)], seed=5)
    one = SearchBatch(many.sources[:1], many.limits[:1])
    jobs = [(one, 1), (many, 3), (one, 1), (many, 1), (one, 3), (many, 3)]
    for batch, beam in jobs:
        (found,) = engine.search([batch], Decoding(beam=beam))
        for hypotheses, expected in zip(found, search(MODELS[0], batch, beam=beam), strict=True):
            assert_same(hypotheses, expected)


@pytest.mark.parametrize("beam", [1, 3])
def test_a_step_in_which_nothing_ends_waits_for_the_device_once(monkeypatch, beam):
    waits = []
    for name in ("tolist", "item", "nonzero", "__bool__", "__int__", "__float__", "__index__"):
        usual = getattr(torch.Tensor, name)
        monkeypatch.setattr(
            torch.Tensor, name, lambda *given, usual=usual, **named: waits.append(usual) or usual(*given, **named)
        )

    def num_waits(limit: int) -> int:
        waits.clear()
        search(MODELS[0], SearchBatch([[2, 3, 5], [7, 11]], [limit] * 2), exact_length=True, beam=beam)
        return len(waits)

    assert num_waits(13) - num_waits(8) == 5
