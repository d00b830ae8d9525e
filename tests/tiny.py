"""Small models, batches and corpora for the tests of the numerical core, in different prime sizes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from hypothesis import settings
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from a2d_cli.config.schema import ModelShape
from a2d_cli.data.batching import Batch, SpecialIds, pad_batch
from a2d_cli.distillation.teachers import Teacher
from a2d_cli.model.transformer import Transformer, Vocabularies

SIZE = 23  # embedding rows of a joint vocabulary, pad included
JOINT = Vocabularies(SIZE, SIZE)
SEPARATE = Vocabularies(19, SIZE, joint=False)
SHAPE = ModelShape(
    d_model=10, num_heads=5, ffn_dim=13, encoder_layers=3, decoder_layers=2, dropout=0.0, max_positions=41
)
EOS = 0

quick = settings(max_examples=20, deadline=None)  # a busy machine may take seconds over a first call


def tiny_model(shape: ModelShape = SHAPE, vocabularies: Vocabularies = JOINT, seed: int = 1) -> Transformer:
    """In evaluation mode, with every bias, norm and map away from its even start."""
    torch.manual_seed(seed)
    model = Transformer(shape, vocabularies).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        for embedding in (model.src_embedding, model.tgt_embedding):
            embedding.weight[embedding.padding_idx] = 0.0
    return model


def tiny_teacher(num_heads: int = 2, layers: int = 3, seed: int = 7) -> Teacher:
    """Wider than the student, with other numbers of heads and layers."""
    shape = ModelShape(
        d_model=14 if num_heads in (1, 2, 7) else 2 * num_heads,
        num_heads=num_heads,
        ffn_dim=17,
        encoder_layers=layers,
        decoder_layers=layers + 1,
        max_positions=41,
    )
    return Teacher(tiny_model(shape, seed=seed))


def sentences(lengths: Sequence[int], size: int, seed: int) -> list[np.ndarray]:
    """Random ids between the end mark and pad."""
    rng = np.random.default_rng(seed)
    return [rng.integers(1, size - 1, length) for length in lengths]


def special_ids(vocabularies: Vocabularies = JOINT) -> SpecialIds:
    return SpecialIds(vocabularies.src_pad, vocabularies.tgt_pad, EOS)


def random_batch(
    lengths: Sequence[tuple[int, int]] = ((5, 3), (2, 7), (11, 1)),
    vocabularies: Vocabularies = JOINT,
    seed: int = 3,
) -> Batch:
    """Pairs of the given (source, target) lengths, end marks not counted."""
    sources = sentences([src for src, _ in lengths], vocabularies.src_size, seed)
    targets = sentences([tgt for _, tgt in lengths], vocabularies.tgt_size, seed + 1)
    return pad_batch(sources, targets, special_ids(vocabularies))


def part_of(batch: Batch, row: int) -> Batch:
    """One sentence of a batch, alone and without padding."""
    src_length = int((batch.src[row] != SIZE - 1).sum())
    tgt_length = int(batch.tgt_mask[row].sum())
    tgt = (slice(row, row + 1), slice(tgt_length))
    return Batch(
        batch.src[row : row + 1, :src_length],
        batch.tgt_in[tgt],
        batch.tgt_out[tgt],
        batch.tgt_mask[tgt],
        torch.arange(tgt_length),
    )


class ListCorpus:
    """A parallel text in memory, with the interface of ParallelCorpus."""

    def __init__(self, lengths: Sequence[tuple[int, int]], seed: int = 5, size: int = SIZE):
        self._src = sentences([src for src, _ in lengths], size, seed)
        self._tgt = sentences([tgt for _, tgt in lengths], size, seed + 1)
        self.src_lengths = np.array([src for src, _ in lengths], dtype=np.int32)
        self.tgt_lengths = np.array([tgt for _, tgt in lengths], dtype=np.int32)

    def __len__(self) -> int:
        return len(self._src)

    def src(self, i: int) -> np.ndarray:
        return self._src[i]

    def tgt(self, i: int) -> np.ndarray:
        return self._tgt[i]


class LargestTensor(TorchDispatchMode):
    """Within a block: how many values the largest tensor holds that an operation makes."""

    def __init__(self) -> None:
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        self.numel = max([self.numel, *(each.numel() for each in tree_leaves(made) if isinstance(each, torch.Tensor))])
        return made
