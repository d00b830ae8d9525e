"""From a corpus to batches: alike in length, cut by a token budget, ordered by (seed, epoch), split among ranks.

Letters: B sentences, S source length, T target length, N real target tokens; the end mark is counted in all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from a2d_cli.data.corpus import ParallelCorpus
from a2d_cli.data.tokenizer import Tokenizer
from a2d_cli.errors import A2DError


@dataclass(frozen=True)
class Batch:
    """Right-padded ids. `tgt_in` is `tgt_out` shifted right, with pad as the start mark."""

    src: Tensor  # (B, S)
    tgt_in: Tensor  # (B, T)
    tgt_out: Tensor  # (B, T)
    tgt_mask: Tensor  # (B, T), True at real targets
    tgt_places: Tensor  # (N,) of these among the B·T: found on the host, so that nobody asks a GPU for N
    indices: np.ndarray | None = None  # (B,) places of the pairs in their corpus, where they come from one

    @property
    def num_tgt_tokens(self) -> int:
        return len(self.tgt_places)

    def real(self, values: Tensor) -> Tensor:
        """Those of (B, T, ...) that stand at real targets: (N, ...)."""
        return values.flatten(0, 1).index_select(0, self.tgt_places)

    def to(self, device: torch.device) -> Batch:
        tensors = self.src, self.tgt_in, self.tgt_out, self.tgt_mask, self.tgt_places
        return Batch(*(move(tensor, device) for tensor in tensors), self.indices)


def move(tensor: Tensor, device: torch.device) -> Tensor:
    """To a device; to a GPU by way of pinned memory, so that the host waits for nothing that runs there."""
    if device.type == "cuda" and not tensor.is_cuda:
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


@dataclass(frozen=True)
class SpecialIds:
    """The ids that frame a sentence."""

    src_pad: int
    tgt_pad: int
    eos: int

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> SpecialIds:
        return cls(tokenizer.src_pad, tokenizer.tgt_pad, tokenizer.eos)


def pad_batch(
    sources: Sequence[np.ndarray], targets: Sequence[np.ndarray], ids: SpecialIds, at_least: tuple[int, int] = (0, 0)
) -> Batch:
    """Frame and pad sentences (ids without end marks).

    Args:
        at_least: so wide, source and target, even if no sentence is.
    """
    src = _pad_rows(sources, ids.src_pad, ids.eos, at_least[0])
    tgt_out = _pad_rows(targets, ids.tgt_pad, ids.eos, at_least[1])
    tgt_in = torch.cat([torch.full((len(targets), 1), ids.tgt_pad), tgt_out[:, :-1]], 1)
    # The end mark is no longer a past token: behind it stand only unread positions.
    tgt_in = tgt_in.masked_fill(tgt_out == ids.tgt_pad, ids.tgt_pad)
    tgt_mask = tgt_out != ids.tgt_pad
    return Batch(src, tgt_in, tgt_out, tgt_mask, torch.from_numpy(np.flatnonzero(tgt_mask)))


def pad_sources(sources: Sequence[Sequence[int]], ids: SpecialIds) -> Tensor:
    """Frame and pad source sentences alone: (B, S)."""
    return _pad_rows([np.asarray(source, dtype=np.int64) for source in sources], ids.src_pad, ids.eos)


def _pad_rows(rows: Sequence[np.ndarray], pad: int, eos: int, at_least: int = 0) -> Tensor:
    padded = np.full((len(rows), max(at_least, *(len(row) + 1 for row in rows))), pad, dtype=np.int64)
    for i, row in enumerate(rows):
        padded[i, : len(row)] = row
        padded[i, len(row)] = eos
    return torch.from_numpy(padded)


@dataclass(frozen=True)
class BatchSettings:
    """max_tokens: target tokens of an update, padding included; max_length: tokens a side, end mark counted."""

    max_tokens: int
    max_sentences: int = 0  # 0 = no limit
    max_length: int = 200


class BatchPlan:
    """Which pairs make which batch: a function of the corpus, the settings, the seed and the epoch alone.

    Args:
        ids: frame the sentences of a batch that is loaded.

    Raises:
        A2DError: no pair is within `max_length` and `max_tokens`.
    """

    def __init__(self, corpus: ParallelCorpus, ids: SpecialIds, settings: BatchSettings, seed: int):
        self.corpus, self.ids, self.settings, self.seed = corpus, ids, settings, seed
        self._src_lengths = np.asarray(corpus.src_lengths, dtype=np.int64) + 1
        self._tgt_lengths = np.asarray(corpus.tgt_lengths, dtype=np.int64) + 1
        longest = np.maximum(self._src_lengths, self._tgt_lengths)
        limit = min(settings.max_length, settings.max_tokens)
        self._usable = np.flatnonzero(longest <= limit)
        self.num_left_out = len(corpus) - len(self._usable)
        if len(self._usable) == 0:
            raise A2DError(
                f"all {len(corpus)} pairs are longer than {limit} tokens a side "
                f"(at most {settings.max_length} a sentence, {settings.max_tokens} a batch)",
                "raise training.max_length and training.max_tokens with --set, or the model's max_positions",
            )

    def epoch(self, epoch: int) -> list[np.ndarray]:
        """Pair indices of every batch, in order; `epoch` counts from 1."""
        rng = np.random.Generator(np.random.Philox(key=[self.seed, epoch]))
        order = rng.permutation(self._usable)
        # A stable sort of a shuffled order: neighbours are alike in length and new in every epoch.
        batches = self._cut(self._by_length(order))
        return [batches[i] for i in rng.permutation(len(batches))]

    def in_order(self) -> list[np.ndarray]:
        """Batches for evaluation: by length, shortest first, the same every time."""
        return self._cut(self._by_length(self._usable))

    @property
    def longest(self) -> int:
        """Tokens of the longest side in use, end mark counted."""
        return int(np.maximum(self._src_lengths, self._tgt_lengths)[self._usable].max())

    def _by_length(self, order: np.ndarray) -> np.ndarray:
        """Sorted by the longer side, then by how much the sides differ: little padding on either.

        The difference rises and falls by turns, so that the last pairs of one length are like the first of the next.
        """
        src, tgt = self._src_lengths[order], self._tgt_lengths[order]
        longer = np.maximum(src, tgt)
        return order[np.lexsort(((src - tgt) * (1 - longer % 2 * 2), longer))]

    def _cut(self, order: np.ndarray) -> list[np.ndarray]:
        batches, first, width, widest = [], 0, 0, self.settings.max_sentences or len(order)
        tgt_lengths = self._tgt_lengths[order]
        for i, length in enumerate(tgt_lengths.tolist()):
            size = i - first
            if size and ((size + 1) * max(width, length) > self.settings.max_tokens or size == widest):
                batches.append(order[first:i])
                first, width = i, 0
            width = max(width, length)
        batches.append(order[first:])
        return batches

    def num_tgt_tokens(self, indices: np.ndarray) -> int:
        """Real target tokens of a batch, end marks counted."""
        return int(self._tgt_lengths[indices].sum())

    def load(self, indices: np.ndarray, whole: np.ndarray | None = None) -> Batch:
        """Read and pad the pairs of one batch.

        Args:
            whole: of a larger one that begins with these: they get its width, so that they are its first rows.
        """
        widths = (0, 0) if whole is None else (self._src_lengths[whole].max(), self._tgt_lengths[whole].max())
        sides = ([side(i) for i in indices] for side in (self.corpus.src, self.corpus.tgt))
        return replace(pad_batch(*sides, self.ids, widths), indices=np.asarray(indices))


def share(indices: np.ndarray, part: int, num_parts: int) -> np.ndarray:
    """The part of a batch that one rank or accumulation step takes: every `num_parts`-th pair.

    The parts of a batch are disjoint and together are the batch, so sums over them are sums over it.
    """
    return indices[part::num_parts]
