"""Splits share no sentence, have the size asked for, and depend on the text and the seed alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from a2d_cli.config.schema import Split
from a2d_cli.data.decontamination import normal_form
from a2d_cli.data.splitting import automatic_split, components, split_pairs
from a2d_cli.errors import A2DError

relaxed = settings(deadline=None)  # a busy machine is no failure

KEYS = st.lists(st.tuples(st.integers(0, 12), st.integers(13, 25)), min_size=1, max_size=37)


def brute_force_components(edges):
    groups = []
    for edge in edges:
        touching = [group for group in groups if group & set(edge)]
        groups = [group for group in groups if not group & set(edge)] + [set(edge).union(*touching)]
    return [min(next(group for group in groups if edge[0] in group)) for edge in edges]


@relaxed
@given(KEYS)
def test_components_are_those_of_the_graph(edges):
    src, tgt = np.array(edges, dtype=np.uint64).T
    assert components(src, tgt).tolist() == brute_force_components(edges)


def test_a_long_chain_is_one_component():
    n = 5003
    src = np.random.default_rng(7).permutation(n).astype(np.uint64)
    tgt = np.roll(src, 1) + np.uint64(n)  # links each source to the next one's target
    chain = components(np.concatenate([src, src]), np.concatenate([src + np.uint64(n), tgt]))
    assert set(chain.tolist()) == {0}


def corpus(num_pairs, num_sentences):
    """Some sentences have several translations, one has very many."""
    numbers = np.random.default_rng(3).integers(0, num_sentences, num_pairs).tolist()
    return [(f"Satz {n}", f"sentence {i % 3} of {n}") for i, n in enumerate(numbers)] + [
        ("Ja .", f"yes {i}") for i in range(41)
    ]


@relaxed
@given(st.integers(0, 2**40), st.integers(0, 17), st.integers(0, 17), st.integers(50, 130))
def test_parts_share_no_sentence_and_have_their_size(seed, num_valid, num_test, num_sentences):
    pairs = corpus(101, num_sentences)
    split = split_pairs(pairs, Split("components", num_valid, num_test, seed=seed))
    assert num_valid <= len(split.valid) <= num_valid + 3  # exactly, but for what makes a group whole
    assert num_test <= len(split.test) <= num_test + 3
    leaving = {*split.valid.tolist(), *split.test.tolist()}
    assert len(leaving) == len(split.valid) + len(split.test)
    parts = [[pairs[i] for i in split.valid], [pairs[i] for i in split.test]]
    parts.append([pair for i, pair in enumerate(pairs) if i not in leaving])
    for side in (0, 1):
        sentences = [normal_form(pair[side]) for part in parts for pair in {p[side]: p for p in part}.values()]
        assert len(sentences) == len(set(sentences))
    assert ("Ja .", "yes 0") in parts[2]  # the giant stays in the training text


@relaxed
@given(st.randoms(use_true_random=False))
def test_the_split_depends_on_the_sentences_not_on_their_order(random):
    pairs = corpus(101, 97)
    shuffled = random.sample(pairs, len(pairs))
    settings = Split("components", 7, 11)
    chosen, again = split_pairs(pairs, settings), split_pairs(shuffled, settings)
    assert {pairs[i] for i in chosen.test} == {shuffled[i] for i in again.test}
    assert {pairs[i] for i in chosen.valid} == {shuffled[i] for i in again.valid}


@relaxed
@given(st.integers(0, 99), st.integers(0, 99))
def test_another_seed_chooses_others(seed, other):
    assume(seed != other)
    first, second = (split_pairs(corpus(301, 10**6), Split("components", 0, 53, seed=s)) for s in (seed, other))
    assert first.test.tolist() != second.test.tolist()


@pytest.mark.parametrize("side", [0, 1])
def test_sentences_that_differ_in_case_or_spacing_alone_go_to_one_part(side: int):
    pairs = [pair for i in range(40) for pair in ((f"Ein Satz {i}", f"x{i}"), (f"ein  SATZ {i}", f"y{i}"))]
    split = split_pairs([pair if side == 0 else pair[::-1] for pair in pairs], Split("components", 8, 8))
    for part in (split.valid.tolist(), split.test.tolist()):
        assert len(part) == 8 and part == [i for first in part[::2] for i in (first, first + 1)]
        assert all(first % 2 == 0 for first in part[::2])


def test_a_size_that_no_groups_add_up_to_is_passed_by_a_pair():
    pairs = [(f"s{i // 2}", f"t{i}") for i in range(40)]
    split = split_pairs(pairs, Split("components", 3, 4))
    assert (len(split.valid), len(split.test)) == (4, 4)


def test_every_counts_lines_from_one():
    pairs = [(f"s{i}", f"t{i}") for i in range(1, 71)]
    split = split_pairs(iter(pairs), Split("every", every=23))
    assert [pairs[i][0] for i in split.valid] == ["s23", "s46", "s69"]
    assert split.test.size == 0


def test_too_few_groups_is_an_error_that_says_how_many_can_be_had():
    pairs = [("a", f"{i}") for i in range(19)] + [("b", "x"), ("c", "y")]
    with pytest.raises(A2DError) as error:
        split_pairs(pairs, Split("components", 5, 5))
    assert "only 2 of 5 valid pairs" in str(error.value)
    assert "data.split.valid_pairs" in str(error.value)


def test_several_translations_of_each_sentence_leave_groups_enough():
    pairs = [(f"s{i}", f"t{i}.{variant}") for i in range(200) for variant in range(5)]
    split = split_pairs(pairs, automatic_split(len(pairs), True, True))
    assert (len(split.valid), len(split.test)) == (50, 50)
    sources = [{pairs[i][0] for i in part} for part in (split.valid, split.test)]
    assert [len(part) for part in sources] == [10, 10] and not sources[0] & sources[1]
    told = r"no 7 valid pairs .* hold up to 5 pairs, more .*sets of your own, or ask for more: .*valid_pairs=10 "
    with pytest.raises(A2DError, match=told):
        split_pairs(pairs, Split("components", 7, 7))  # one sentence would be most of a part
    assert len(split_pairs(pairs, Split("components", 10, 10)).valid) == 10


@pytest.mark.parametrize(("num_pairs", "size"), [(7, 1), (4000, 200), (20_000, 1000), (4_500_000, 1000)])
def test_automatic_sizes(num_pairs, size):
    assert automatic_split(num_pairs, True, True) == Split("components", size, size)
    assert automatic_split(num_pairs, False, True) == Split("components", 0, size)
