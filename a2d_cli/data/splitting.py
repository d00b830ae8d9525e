"""Validation and test pairs taken out of a training text that comes without them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from a2d_cli.config import schema
from a2d_cli.data.aligned_text import Pair
from a2d_cli.data.decontamination import normal_form
from a2d_cli.errors import A2DError

# A component may be 1/50 of a part and no more, so that no part is about one sentence; small ones always may. Where
# those are too few, as in a small corpus with several translations of each sentence, up to half of a part.
_MAX_SHARE_OF_PART = 50
_ALWAYS_SMALL = 4  # pairs


@dataclass(frozen=True)
class Split:
    """Positions of the pairs that leave the training text, ascending int64."""

    valid: np.ndarray
    test: np.ndarray


def split_pairs(pairs: Iterable[Pair], settings: schema.Split) -> Split:
    """Choose the pairs by `settings.by`.

    Raises:
        A2DError: the text is too small for the sizes asked for.
    """
    if settings.by == "every":
        num_pairs = sum(1 for _ in pairs)
        # The usual IWSLT14 preparation takes line 23, 46, 69 ... counted from 1.
        return Split(np.arange(settings.every - 1, num_pairs, settings.every), np.arange(0))
    return _split_components(*_hash_sides(pairs), settings)


def automatic_split(num_pairs: int, need_valid: bool, need_test: bool) -> schema.Split:
    """What is taken where a person gave training text only: 5 %, at most 1,000 pairs, a missing set."""
    size = max(1, min(1000, num_pairs // 20))
    return schema.Split("components", valid_pairs=size * need_valid, test_pairs=size * need_test)


def components(src_keys: np.ndarray, tgt_keys: np.ndarray) -> np.ndarray:
    """Label pairs so that two have the same label if a chain of shared sentences links them.

    The label is the smallest key of the component: it depends on the sentences, not on their order.

    Args:
        src_keys: (pairs,) uint64, equal for equal source sentences.
        tgt_keys: (pairs,) uint64, the same for targets; shares no key with `src_keys`.
    """
    keys, nodes = np.unique(np.concatenate([src_keys, tgt_keys]), return_inverse=True)
    src, tgt = nodes.reshape(2, -1)
    label = np.arange(len(keys))
    # Each round hooks every component onto its smallest neighbour, then points every node at its root.
    while True:
        lowest = np.minimum(label[src], label[tgt])
        hooked = label.copy()
        np.minimum.at(hooked, label[src], lowest)
        np.minimum.at(hooked, label[tgt], lowest)
        while not np.array_equal(hooked, jumped := hooked[hooked]):
            hooked = jumped
        if np.array_equal(hooked, label):
            return keys[label[src]]
        label = hooked


def _hash_sides(pairs: Iterable[Pair]) -> tuple[np.ndarray, np.ndarray]:
    """Eight bytes for each sentence of both sides: (pairs,) uint64 x2."""
    hashes = bytearray()
    for src, tgt in pairs:
        hashes += hashlib.blake2b(normal_form(src).encode(), digest_size=8, person=b"src").digest()
        hashes += hashlib.blake2b(normal_form(tgt).encode(), digest_size=8, person=b"tgt").digest()
    keys = np.frombuffer(hashes, dtype="<u8").reshape(-1, 2)
    return keys[:, 0], keys[:, 1]


def _split_components(src_keys: np.ndarray, tgt_keys: np.ndarray, settings: schema.Split) -> Split:
    labels = components(src_keys, tgt_keys)
    keys, component_of_pair, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    order = np.argsort(_shuffle_keys(keys, settings.seed), kind="stable")
    part_of_component = np.zeros(len(keys), dtype=np.int8)  # 0 train, 1 valid, 2 test
    for part, name, wanted in ((1, "valid", settings.valid_pairs), (2, "test", settings.test_pairs)):
        largest = max(_ALWAYS_SMALL, wanted // _MAX_SHARE_OF_PART)
        free = order[part_of_component[order] == 0]
        ascending = np.sort(sizes[free])
        needed = ascending[: np.searchsorted(ascending.cumsum(), wanted) + 1].max(initial=0)
        candidates = free[sizes[free] <= max(largest, min(needed, wanted // 2))]
        chosen = _choose(candidates, sizes, wanted)
        num_pairs = int(sizes[chosen].sum())
        enough = 2 * int(needed)  # a part of two groups
        if num_pairs < wanted < enough <= len(labels) // 4:
            raise A2DError(
                f"data.split: no {wanted} {name} pairs can be set apart: groups that share no sentence with the others "
                f"hold up to {needed} pairs, more than half of that",
                "give sets of your own, or ask for more: --set data.split.by=components "
                f"--set data.split.valid_pairs={enough} --set data.split.test_pairs={enough}",
            )
        if num_pairs < wanted:
            raise A2DError(
                f"data.split: only {num_pairs} of {wanted} {name} pairs can be set apart so that they share "
                f"no sentence with the training text ({len(labels)} pairs in {len(keys)} groups)",
                "give sets of your own, or ask for fewer: --set data.split.by=components "
                "--set data.split.valid_pairs=N --set data.split.test_pairs=N",
            )
        part_of_component[chosen] = part
    part_of_pair = part_of_component[component_of_pair]
    return Split(np.flatnonzero(part_of_pair == 1), np.flatnonzero(part_of_pair == 2))


def _choose(candidates: np.ndarray, sizes: np.ndarray, wanted: int) -> list[int]:
    """Candidates, in order, that fit into `wanted` pairs; a few pairs more where none fits exactly."""
    chosen, passed_over = [], []
    missing = wanted
    for component in candidates.tolist():
        if missing == 0:
            return chosen
        fits = sizes[component] <= missing
        (chosen if fits else passed_over).append(component)
        missing -= int(sizes[component]) if fits else 0
    if missing and passed_over:
        chosen.append(min(passed_over, key=lambda component: sizes[component]))
    return chosen


def _shuffle_keys(keys: np.ndarray, seed: int) -> np.ndarray:
    """A pseudo-random uint64 for each key (SplitMix64): the same with every machine and version of NumPy."""
    x = keys + np.uint64(seed * 0x9E3779B97F4A7C15 % 2**64)  # array arithmetic wraps around, as it must
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
