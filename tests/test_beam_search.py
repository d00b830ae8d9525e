"""Beam search against an enumeration of every sequence: the model is a table of next-token probabilities."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from a2d_cli.config.schema import Decoding
from a2d_cli.decoding.beam_search import beam_search
from a2d_cli.decoding.engine import Hypothesis

V, EOS, START = 3, 0, 99
Prefix = tuple[int, ...]


class Table:
    """A random language model: for each sentence, the next log-probabilities of every prefix."""

    def __init__(self, seed: int, vocabulary: int = V):
        self.seed, self.vocabulary = seed, vocabulary

    def next(self, sentence: int, prefix: Prefix) -> Tensor:
        number = hash((self.seed, sentence, *prefix)) % 2**31
        return (2 * torch.randn(self.vocabulary, generator=torch.Generator().manual_seed(number))).log_softmax(-1)


@dataclass(frozen=True)
class PrefixCache:
    """What each hypothesis has read so far, and the number of each sentence."""

    prefixes: tuple[Prefix, ...]  # N·W
    sentences: tuple[int, ...]  # N

    def select(self, rows: Tensor, sentences: Tensor | None) -> PrefixCache:
        kept = self.sentences if sentences is None else tuple(self.sentences[i] for i in sentences.tolist())
        return PrefixCache(tuple(self.prefixes[i] for i in rows.tolist()), kept)


def search(table: Table, limits: list[int], sentences: list[int] | None = None, **kwargs) -> list[list[Hypothesis]]:
    sentences = sentences or list(range(len(limits)))
    exact_length = kwargs.pop("exact_length", False)
    wanted = Decoding(**kwargs)

    def step(tokens: Tensor, cache: PrefixCache) -> tuple[Tensor, PrefixCache]:
        prefixes = tuple((*p, t) if t != START else p for p, t in zip(cache.prefixes, tokens.tolist(), strict=True))
        beam = len(prefixes) // len(cache.sentences)
        assert beam == wanted.beam
        scores = [table.next(cache.sentences[row // beam], prefix) for row, prefix in enumerate(prefixes)]
        return torch.stack(scores), PrefixCache(prefixes, cache.sentences)

    cache = PrefixCache(((),) * (len(limits) * wanted.beam), tuple(sentences))
    return beam_search(step, cache, torch.tensor(limits), START, EOS, wanted, exact_length)


def every_sequence(table: Table, sentence: int, limit: int, length_penalty: float) -> list[Hypothesis]:
    """All that end within `limit` tokens, best first."""
    found, open_prefixes = [], [((), 0.0)]
    for length in range(1, limit + 1):
        longer = []
        for prefix, log_prob in open_prefixes:
            scores = table.next(sentence, prefix).tolist()
            found.append(Hypothesis(prefix, (log_prob + scores[EOS]) / length**length_penalty))
            longer += [((*prefix, t), log_prob + scores[t]) for t in range(table.vocabulary) if t != EOS]
        open_prefixes = longer
    return sorted(found, key=lambda h: -h.score)


def assert_same(found: list[Hypothesis], expected: list[Hypothesis]) -> None:
    assert [h.tokens for h in found] == [h.tokens for h in expected]
    assert [h.score for h in found] == pytest.approx([h.score for h in expected], abs=1e-5)


def greedy(table: Table, sentence: int, limit: int) -> Hypothesis:
    prefix, log_prob = (), 0.0
    while True:
        scores = table.next(sentence, prefix)
        token = EOS if len(prefix) + 1 == limit else int(scores.argmax())
        log_prob += float(scores[token])
        if token == EOS:
            return Hypothesis(prefix, log_prob / (len(prefix) + 1))
        prefix = (*prefix, token)


def textbook(table: Table, sentence: int, limit: int, beam: int, length_penalty: float) -> Hypothesis:
    """Extend, sort, book the ends among the best `beam`, go on with the best `beam` others until as many have ended."""
    alive, ended = [((), 0.0)], []
    for length in range(1, limit + 1):
        extended = []
        for prefix, log_prob in alive:
            for token, score in enumerate(table.next(sentence, prefix).tolist()):
                if token == EOS or length < limit:
                    extended.append(((*prefix, token), log_prob + score))
        extended.sort(key=lambda each: -each[1])
        ended += [(each, length) for each in extended[:beam] if each[0][-1] == EOS]
        alive = [each for each in extended if each[0][-1] != EOS][:beam]
        if len(ended) >= beam or not alive:
            break
    found = [Hypothesis(tokens[:-1], log_prob / length**length_penalty) for (tokens, log_prob), length in ended]
    return max(found, key=lambda hypothesis: hypothesis.score)


few = settings(max_examples=25, deadline=None)
seeds, limit_lists = st.integers(0, 10**6), st.lists(st.integers(1, 4), min_size=1, max_size=3)


@given(seeds, limit_lists, st.sampled_from([0.0, 0.6, 1.0, 2.0]))
@few
def test_a_beam_that_holds_every_sequence_finds_what_enumeration_finds(seed, limits, length_penalty):
    table, beam = Table(seed), 17  # more than the 1 + 2 + 4 + 8 sequences of at most 4 tokens
    found = search(table, limits, beam=beam, nbest=beam, length_penalty=length_penalty)
    for sentence, limit in enumerate(limits):
        assert_same(found[sentence], every_sequence(table, sentence, limit, length_penalty))


@given(seeds, st.integers(1, 7))
@few
def test_a_beam_of_one_is_greedy(seed, limit):
    table = Table(seed, vocabulary=5)
    assert_same(search(table, [limit], beam=1)[0], [greedy(table, 0, limit)])


@given(seeds, st.lists(st.integers(1, 9), min_size=1, max_size=3), st.sampled_from([0.0, 1.0]))
@few
def test_the_one_translation_of_a_beam_of_four_is_that_of_the_textbook(seed, limits, length_penalty):
    table = Table(seed, vocabulary=7)
    found = search(table, limits, beam=4, nbest=1, length_penalty=length_penalty)
    for sentence, limit in enumerate(limits):
        assert_same(found[sentence], [textbook(table, sentence, limit, 4, length_penalty)])


@given(seeds, st.lists(st.integers(1, 7), min_size=2, max_size=5), st.integers(1, 5))
@few
def test_a_batch_gives_what_its_sentences_give_one_by_one(seed, limits, beam):
    """Sentences finish at different times and leave the batch; those that stay notice nothing."""
    table = Table(seed, vocabulary=7)
    together = search(table, limits, beam=beam, nbest=beam)
    for sentence, limit in enumerate(limits):
        (alone,) = search(table, [limit], [sentence], beam=beam, nbest=beam)
        assert_same(together[sentence], alone)


@given(seeds, limit_lists, st.integers(1, 6), st.sampled_from([0.0, 1.0]))
@few
def test_n_best_are_sorted_distinct_and_scored_as_they_say(seed, limits, beam, length_penalty):
    table = Table(seed, vocabulary=5)
    for sentence, found in enumerate(search(table, limits, beam=beam, nbest=beam, length_penalty=length_penalty)):
        assert 1 <= len(found) <= beam
        scores = [h.score for h in found]
        assert scores == sorted(scores, reverse=True)
        assert len({h.tokens for h in found}) == len(found)
        for hypothesis in found:
            log_prob = sum(
                float(table.next(sentence, hypothesis.tokens[:i])[token])
                for i, token in enumerate((*hypothesis.tokens, EOS))
            )
            length = len(hypothesis.tokens) + 1  # the end mark counts
            assert hypothesis.score == pytest.approx(log_prob / length**length_penalty, abs=1e-5)
            assert EOS not in hypothesis.tokens and length <= limits[sentence]


def repeats(tokens: Prefix, size: int) -> bool:
    n_grams = [tokens[i : i + size] for i in range(len(tokens) - size + 1)]
    return len(set(n_grams)) < len(n_grams)


@given(seeds, limit_lists, st.integers(1, 3))
@few
def test_without_repetition_a_wide_beam_finds_the_best_of_what_repeats_nothing(seed, limits, size):
    table, beam = Table(seed), 17
    found = search(table, limits, beam=beam, nbest=beam, no_repeat_ngram=size)
    for sentence, limit in enumerate(limits):
        allowed = [h for h in every_sequence(table, sentence, limit, 1.0) if not repeats(h.tokens, size)]
        assert_same(found[sentence], allowed)


@given(seeds, st.lists(st.integers(1, 19), min_size=1, max_size=3), st.integers(1, 5), st.integers(1, 4))
@few
def test_no_output_holds_an_n_gram_twice_where_that_is_forbidden(seed, limits, beam, size):
    found = search(Table(seed, vocabulary=5), limits, beam=beam, nbest=beam, no_repeat_ngram=size)
    assert all(found) and not any(repeats(h.tokens, size) for hypotheses in found for h in hypotheses)


@given(seeds, limit_lists, st.integers(1, 5))
@few
def test_a_forbidden_n_gram_longer_than_the_limit_changes_nothing(seed, limits, beam):
    table = Table(seed, vocabulary=5)
    free, guarded = (search(table, limits, beam=beam, nbest=beam, no_repeat_ngram=n) for n in (0, max(limits)))
    assert free == guarded


@given(seeds, limit_lists)
@few
def test_of_exact_length_a_wide_beam_finds_the_best_of_that_length(seed, limits):
    table, beam = Table(seed), 17
    found = search(table, limits, beam=beam, nbest=beam, exact_length=True)
    for sentence, limit in enumerate(limits):
        of_length = [h for h in every_sequence(table, sentence, limit, 1.0) if len(h.tokens) == limit - 1]
        assert_same(found[sentence], of_length)


@given(seeds, st.lists(st.integers(1, 13), min_size=1, max_size=3), st.integers(1, 5))
@few
def test_outputs_of_exact_length_fill_their_limits(seed, limits, beam):
    found = search(Table(seed, vocabulary=7), limits, beam=beam, nbest=beam, exact_length=True)
    for hypotheses, limit in zip(found, limits, strict=True):
        assert hypotheses and all(len(h.tokens) == limit - 1 for h in hypotheses)


def fixed(*rows: list[float]):
    """A step function whose probabilities depend on the step alone: `rows[t]`, the last one for good."""
    steps = iter(range(99))

    def step(tokens: Tensor, cache: PrefixCache) -> tuple[Tensor, PrefixCache]:
        row = torch.tensor(rows[min(next(steps), len(rows) - 1)]).log()
        return row.repeat(len(tokens), 1), cache

    return step


def first(step, limit: int, **kwargs) -> list[Hypothesis]:
    cache = PrefixCache(((),) * kwargs["beam"], (0,))
    return beam_search(step, cache, torch.tensor([limit]), START, EOS, Decoding(**kwargs))[0]


def test_the_length_penalty_counts_the_end_mark():
    (best,) = first(fixed([0.1, 0.9], [0.8, 0.2]), 5, beam=1, length_penalty=1.0)
    assert best.tokens == (1,)
    assert best.score == pytest.approx((math.log(0.9) + math.log(0.8)) / 2)


def test_at_the_longest_length_the_end_mark_is_forced():
    (best,) = first(fixed([0.01, 0.99]), 4, beam=1)
    assert best.tokens == (1, 1, 1)
    assert best.score == pytest.approx((3 * math.log(0.99) + math.log(0.01)) / 4)


def test_an_end_outside_the_beam_does_not_count():
    found = first(fixed([0.2, 0.5, 0.3], [0.9, 0.05, 0.05]), 5, beam=2, nbest=2)
    assert [h.tokens for h in found] == [(1,), (2,)]  # the end at once, third of three, is never booked


def test_impossible_tokens_make_no_hypotheses():
    found = first(fixed([0.0, 1.0, 0.0], [1.0, 0.0, 0.0]), 5, beam=3, nbest=3)
    assert [h.tokens for h in found] == [(1,)]
    assert found[0].score == pytest.approx(0.0)


def test_hypotheses_that_end_leave_their_places_to_others():
    """Two of three end at once; the worst of the three that go on in their places wins in the end."""
    table = {
        (): [0.01, 0.4, 0.3, 0.29],
        (1,): [0.97, 0.01, 0.01, 0.01],
        (2,): [0.97, 0.01, 0.01, 0.01],
        (3,): [0.001, 0.5, 0.3, 0.199],
        (3, 3): [1.0, 0.0, 0.0, 0.0],
    }

    class Known(Table):
        def next(self, sentence: int, prefix: Prefix) -> Tensor:
            return torch.tensor(table.get(prefix, [0.1, 0.3, 0.3, 0.3])).log()

    (found,) = search(Known(0), [5], beam=3, nbest=3, length_penalty=0.0)
    assert [h.tokens for h in found] == [(1,), (2,), (3, 3)]
