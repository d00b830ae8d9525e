"""No sentence of a held-out set stands in the training text, whatever the sets are."""

from __future__ import annotations

import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st

from a2d_cli.data.decontamination import Decontamination, normal_form

relaxed = settings(deadline=None)  # a busy machine is no failure

# Few sentences, so that leaks are many; with spellings that are the same in normal form.
SENTENCES = st.sampled_from(["a", "A", " a", "b", "ß", "SS", "zu\u0308g", "ZÜG", "c  d", "c d", "e", "f", "g"])
PAIRS = st.lists(st.tuples(SENTENCES, SENTENCES), max_size=13)


def sides(pairs):
    return [{normal_form(pair[side]) for pair in pairs} for side in (0, 1)]


def share_a_sentence(some, others):
    return any(a & b for a, b in zip(sides(some), sides(others), strict=True))


def decontaminate(train, valid, tests, reduced=()):
    decontamination = Decontamination(valid, tests, reduced)
    kept = list(decontamination.filter(train))
    return kept, decontamination.held_out(), decontamination


def test_normal_form():
    assert normal_form(" Zu\u0308g \tSTRASSE") == normal_form("züg straße") == "züg strasse"
    small = "\u0390"  # whose lower case has one code point, and whose upper case has three in any form
    assert normal_form(small) == normal_form(small.upper())


@relaxed
@given(st.text(st.one_of(st.sampled_from("aÄß \t\u0308\u00a0\u200b"), st.characters(exclude_categories=["Cs"]))))
def test_most_sentences_take_a_shorter_way_to_their_normal_form(sentence):
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", sentence).casefold())
    assert normal_form(sentence) == " ".join(folded.split())


@relaxed
@given(PAIRS, PAIRS, PAIRS, PAIRS, st.sets(st.sampled_from(["first", "second"])))
def test_no_leak_remains(train, valid, first, second, reduced):
    tests = {"first": first, "second": second}
    kept, held_out, work = decontaminate(train, valid, tests, sorted(reduced))
    for pairs in [held_out.valid, *held_out.tests.values()]:
        assert not share_a_sentence(kept, pairs)
    for name, pairs in held_out.tests.items():
        assert not share_a_sentence(held_out.valid, pairs)
        if name not in reduced:
            assert pairs == tests[name]  # a test set stays whole unless it is to be reduced
    # Nothing is lost without being counted, and what is kept keeps its order.
    for tally, before, after in [
        (work.train_tally, train, kept),
        (work.valid_tally, valid, held_out.valid),
        *((tally, tests[name], held_out.tests[name]) for name, tally in work.test_tallies.items()),
    ]:
        assert (tally.num_read, tally.num_kept) == (len(before), len(after))
        assert sum(tally.num_dropped.values()) == len(before) - len(after)
        remaining = iter(before)
        assert all(pair in remaining for pair in after)


@relaxed
@given(PAIRS, PAIRS, PAIRS)
def test_nothing_is_removed_without_reason(train, valid, test):
    kept, held_out, _ = decontaminate(train, valid, {"test": test})
    removed = [pair for pair in train if pair not in kept]
    assert all(share_a_sentence([pair], held_out.valid + test) for pair in removed)


def test_either_side_is_a_leak_and_each_set_is_counted():
    train = [("a", "x"), ("y", "B"), ("c", "z"), ("z", "c")]
    kept, held_out, work = decontaminate(train, [("a", "1"), ("2", "b")], {"t": [("c", "3")]})
    assert kept == [("z", "c")]  # the same word on the other side is another language
    assert len(held_out.valid) == 2
    assert work.train_tally.num_dropped == {"valid": 2, "t": 1}
    assert work.train_tally.samples["t"] == [("c", "z")]


def test_a_reduced_test_gives_way_to_train_and_valid():
    train, valid = [("a", "x"), ("b", "y")], [("c", "z")]
    test = [("A", "1"), ("2", "y"), ("c", "3"), ("4", "5")]
    kept, held_out, work = decontaminate(train, valid, {"t": test}, ["t"])
    assert (kept, held_out.valid, held_out.tests) == (train, valid, {"t": [("4", "5")]})
    assert work.test_tallies["t"].num_dropped == {"train": 2, "valid": 1}
