"""Batches: every pair once an epoch, within the budget, little padding, and a function of (seed, epoch)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import EOS, SEPARATE, SIZE, ListCorpus, quick, special_ids

from a2d_cli.data.batching import BatchPlan, BatchSettings, SpecialIds, pad_batch, pad_sources, share
from a2d_cli.errors import A2DError

PAD = SIZE - 1
lengths = st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=60)
budgets = st.builds(
    BatchSettings,
    max_tokens=st.integers(31, 200),
    max_sentences=st.integers(0, 7),
    max_length=st.integers(31, 40),
)


def realistic(num_pairs: int, mean_length: float, spread: float = 0.45) -> ListCorpus:
    """Log-normal lengths, as of news or talks; the sides differ by a fifth."""
    rng = np.random.default_rng(1)
    tgt = np.clip(rng.lognormal(np.log(mean_length), spread, num_pairs), 1, 150).astype(int)
    src = np.clip((tgt * rng.lognormal(0, 0.2, num_pairs)).round(), 1, 150).astype(int)
    return ListCorpus(list(zip(src, tgt, strict=True)))


# --- the plan -----------------------------------------------------------------------------------------------


@given(lengths, budgets, st.integers(0, 9), st.integers(1, 9))
@quick
def test_an_epoch_holds_every_pair_once_within_the_budget(lengths, settings, seed, epoch):
    plan = BatchPlan(ListCorpus(lengths), special_ids(), settings, seed)
    for batches in (plan.epoch(epoch), plan.in_order()):
        assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
        for indices in batches:
            widest = max(lengths[i][1] + 1 for i in indices)  # the end mark counts
            assert len(indices) * widest <= settings.max_tokens
            assert len(indices) <= (settings.max_sentences or len(lengths))


@given(lengths, st.integers(2, 31))
@quick
def test_pairs_with_a_side_over_the_limit_are_left_out_and_counted(lengths, max_length):
    fitting = {i for i, pair in enumerate(lengths) if max(pair) + 1 <= max_length}
    settings = BatchSettings(max_tokens=100, max_length=max_length)
    if not fitting:
        with pytest.raises(A2DError, match="longer than"):
            BatchPlan(ListCorpus(lengths), special_ids(), settings, seed=1)
        return
    plan = BatchPlan(ListCorpus(lengths), special_ids(), settings, seed=1)
    assert set(np.concatenate(plan.epoch(1)).tolist()) == fitting
    assert plan.num_left_out == len(lengths) - len(fitting)


def test_a_corpus_of_too_long_pairs_says_which_limits_they_exceed():
    with pytest.raises(A2DError) as caught:
        BatchPlan(ListCorpus([(7, 5), (2, 11)]), special_ids(), BatchSettings(max_tokens=5, max_length=200), seed=1)
    assert caught.value.message == ("all 2 pairs are longer than 5 tokens a side (at most 200 a sentence, 5 a batch)")
    assert (
        caught.value.hint
        == "raise training.max_length and training.max_tokens with --set, or the model's max_positions"
    )


def as_lists(batches: list[np.ndarray]) -> list[list[int]]:
    return [indices.tolist() for indices in batches]


def test_the_order_is_a_function_of_seed_and_epoch():
    corpus, settings = realistic(997, 7), BatchSettings(101)
    plan, again = (BatchPlan(corpus, special_ids(), settings, seed=3) for _ in range(2))
    for epoch in (2, 1, 2):  # whatever was asked for before
        assert as_lists(plan.epoch(epoch)) == as_lists(again.epoch(epoch))
    assert as_lists(plan.epoch(1)) != as_lists(plan.epoch(2))
    assert as_lists(plan.epoch(1)) != as_lists(BatchPlan(corpus, special_ids(), settings, seed=4).epoch(1))
    assert as_lists(plan.in_order()) == as_lists(again.in_order())


def test_other_pairs_meet_in_other_epochs():
    plan = BatchPlan(realistic(997, 7), special_ids(), BatchSettings(101), seed=3)
    first, second = ({frozenset(batch) for batch in as_lists(plan.epoch(epoch))} for epoch in (1, 2))
    assert len(first & second) < 0.3 * len(first)


def test_long_and_short_batches_alternate_by_chance():
    plan = BatchPlan(realistic(997, 7), special_ids(), BatchSettings(101), seed=3)
    sizes = np.array([len(indices) for indices in plan.epoch(1)], dtype=float)
    assert abs(np.corrcoef(sizes[1:], sizes[:-1])[0, 1]) < 0.3


@pytest.mark.parametrize(
    ("num_pairs", "mean_length", "spread", "max_tokens", "share"),
    [
        (11003, 11, 0.45, 2000, 0.94),
        (19001, 22, 0.45, 4096, 0.93),
        (28993, 15, 0.38, 2000, 0.97),  # as of Multi30k
    ],
)
def test_nearly_all_of_a_batch_are_real_tokens(num_pairs, mean_length, spread, max_tokens, share):
    corpus = realistic(num_pairs, mean_length, spread)
    real, padded = np.zeros(2), np.zeros(2)
    for indices in BatchPlan(corpus, special_ids(), BatchSettings(max_tokens), seed=1).epoch(1):
        for side, lengths in enumerate((corpus.src_lengths, corpus.tgt_lengths)):
            real[side] += lengths[indices].sum() + len(indices)
            padded[side] += (lengths[indices].max() + 1) * len(indices)
    assert (real / padded > share).all(), real / padded


# --- shares -------------------------------------------------------------------------------------------------


@given(st.integers(0, 40), st.integers(1, 11))
def test_shares_are_disjoint_even_and_together_the_batch(size, num_parts):
    indices = np.arange(100, 100 + size)
    parts = [share(indices, part, num_parts) for part in range(num_parts)]
    assert sorted(np.concatenate(parts).tolist()) == indices.tolist()
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_share_of_a_share_is_a_share():
    """Pieces of a rank's part: rank · pieces + piece of ranks · pieces, as the trainer cuts."""
    indices = np.arange(23)
    parts = [share(indices, rank * 3 + piece, 6) for rank in range(2) for piece in range(3)]
    assert sorted(np.concatenate(parts).tolist()) == indices.tolist()


# --- padding ------------------------------------------------------------------------------------------------


def test_a_batch_by_hand():
    batch = pad_batch([[3, 4, 5], [6]], [[7], [8, 9]], SpecialIds(PAD, PAD, EOS))
    assert batch.src.tolist() == [[3, 4, 5, EOS], [6, EOS, PAD, PAD]]
    assert batch.tgt_out.tolist() == [[7, EOS, PAD], [8, 9, EOS]]
    assert batch.tgt_in.tolist() == [[PAD, 7, PAD], [PAD, 8, 9]]  # shifted, pad first, nothing behind the end
    assert batch.tgt_mask.tolist() == [[True, True, False], [True, True, True]]
    assert batch.num_tgt_tokens == 5
    assert all(t.dtype == torch.int64 for t in (batch.src, batch.tgt_in, batch.tgt_out))


def test_each_side_has_its_own_pad():
    batch = pad_batch([[3], [3, 4]], [[5], [5, 6]], special_ids(SEPARATE))
    assert batch.src[0].tolist() == [3, EOS, SEPARATE.src_pad]
    assert batch.tgt_out[0].tolist() == [5, EOS, SEPARATE.tgt_pad]


@given(lengths)
@quick
def test_a_loaded_batch_holds_the_pairs_it_names(lengths):
    corpus = ListCorpus(lengths)
    plan = BatchPlan(corpus, special_ids(), BatchSettings(200), seed=1)
    for indices in plan.epoch(1):
        batch = plan.load(indices)
        assert batch.num_tgt_tokens == plan.num_tgt_tokens(indices) == int(batch.tgt_mask.sum())
        for row, i in enumerate(indices):
            assert batch.src[row].tolist()[: lengths[i][0] + 1] == [*corpus.src(i), EOS]
            real = batch.tgt_mask[row]
            assert batch.tgt_out[row][real].tolist() == [*corpus.tgt(i), EOS]
            assert batch.tgt_in[row][real].tolist() == [PAD, *corpus.tgt(i)]
            assert (batch.tgt_in[row][~real] == PAD).all() and (batch.tgt_out[row][~real] == PAD).all()


def test_the_first_pairs_of_a_batch_are_its_first_rows():
    plan = BatchPlan(ListCorpus([(2, 3), (3, 2), (7, 5)]), special_ids(), BatchSettings(200), seed=1)
    whole, first = plan.load(np.arange(3)), plan.load(np.arange(2), whole=np.arange(3))
    assert first.src.shape == (2, 8) and first.tgt_out.shape == (2, 6) and first.indices.tolist() == [0, 1]
    for name in ("src", "tgt_in", "tgt_out", "tgt_mask"):
        assert torch.equal(getattr(first, name), getattr(whole, name)[:2])
    assert first.tgt_places.tolist() == whole.tgt_places[: 4 + 3].tolist()


def test_sources_alone_are_padded_alike():
    assert pad_sources([[3, 4], []], special_ids()).tolist() == [[3, 4, EOS], [EOS, PAD, PAD]]


def test_a_moved_batch_is_the_same_batch():
    batch = pad_batch([[3], [3, 4]], [[5], [5, 6]], special_ids())
    moved = batch.to(torch.device("cpu"))
    assert all(
        torch.equal(getattr(moved, name), getattr(batch, name))
        for name in ("src", "tgt_in", "tgt_out", "tgt_mask", "tgt_places")
    )
    assert moved.num_tgt_tokens == batch.num_tgt_tokens


def test_real_values_are_those_where_the_mask_is_true():
    batch = pad_batch([[3], [1, 2], [5]], [[4, 1], [2], [3, 3, 1]], special_ids())
    values = torch.arange(batch.tgt_out.numel() * 5.0).view(*batch.tgt_out.shape, 5)
    assert torch.equal(batch.real(values), values[batch.tgt_mask])
    assert torch.equal(batch.real(batch.tgt_out), batch.tgt_out[batch.tgt_mask])
    assert batch.num_tgt_tokens == len(batch.tgt_places) == int(batch.tgt_mask.sum())
