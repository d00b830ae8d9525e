"""Which cross-attention head aligns words: the one whose links are most often those of the teacher, or teachers.

Letters: B sentences, T target positions, S source positions, L layers, H heads, N target tokens of a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from a2d_cli.data.batching import SpecialIds, pad_batch
from a2d_cli.errors import A2DError
from a2d_cli.model.transformer import Transformer

Pair = tuple[list[int], list[int]]  # a source and a target sentence in ids, without end marks


@dataclass(frozen=True)
class AlignmentHead:
    """A head of the cross-attention."""

    layer: int  # from 0
    head: int  # from 0
    agreement: float  # share of target tokens that it links to the source token of the reference


@dataclass(frozen=True)
class Reader:
    """A model, and validation text in its own ids; a few hundred pairs tell the heads apart."""

    model: Transformer
    pairs: Sequence[Pair]
    ids: SpecialIds


def choose_alignment_head(
    student: Reader, teachers: Sequence[Reader] = (), *, batch_sentences: int = 16
) -> AlignmentHead:
    """Link every target token to the source token that a head looks at most, and compare with the reference.

    The reference is the mean of the heads of the teacher's last but one decoder layer, the layer whose mean aligns
    best in Garg et al. (2019); of an ensemble the mean of its members' means; without a teacher the model's own.

    Args:
        teachers: of the same text. Their vocabularies must cut it into the same number of pieces as the student's, as a
            vocabulary and one trimmed from it do.

    Raises:
        A2DError: no pair has words on both sides and fits the models.
    """
    references = teachers or (student,)
    longest = min(reader.model.shape.max_positions for reader in (student, *references)) - 1
    chosen = [i for i, pair in enumerate(student.pairs) if all(pair) and max(map(len, pair)) <= longest]
    if not chosen:
        raise A2DError("no validation pair has words on both sides: no alignment head can be chosen")
    equal = torch.zeros(student.model.shape.num_maps("cross"), dtype=torch.long)
    num_tokens = 0
    for first in range(0, len(chosen), batch_sentences):
        rows = chosen[first : first + batch_sentences]
        links = _cross_attention(student, rows).argmax(-1)  # (N, L·H)
        expected = sum(_mean_map(reference, rows) for reference in references).argmax(-1)  # (N,)
        equal += (links == expected[:, None]).sum(0)
        num_tokens += len(links)
    best = int(equal.argmax())
    return AlignmentHead(*divmod(best, student.model.shape.num_heads), float(equal[best]) / num_tokens)


def _mean_map(reader: Reader, rows: Sequence[int]) -> Tensor:
    """(N, S) of the last but one decoder layer."""
    shape = reader.model.shape
    maps = _cross_attention(reader, rows).unflatten(1, (shape.decoder_layers, shape.num_heads))
    return maps[:, max(0, shape.decoder_layers - 2)].mean(1)


@torch.inference_mode()
def _cross_attention(reader: Reader, rows: Sequence[int]) -> Tensor:
    """(N, L·H, S) of these pairs' target tokens, on the CPU; -1 at source positions that hold no word."""
    model, ids = reader.model, reader.ids
    sources, targets = zip(*(reader.pairs[row] for row in rows), strict=True)
    batch = pad_batch(sources, targets, ids).to(model.positions.device)
    maps = model(batch.src, batch.tgt_in, need_maps=True).maps.cross  # (B, L·H, T, S)
    # Where a head rests on the end mark it says nothing; and the end mark of the target has no counterpart.
    words = (batch.src != ids.src_pad) & (batch.src != ids.eos)
    maps = maps.masked_fill(~words[:, None, None], -1.0).transpose(1, 2)
    return maps[batch.tgt_mask & (batch.tgt_out != ids.eos)].cpu()
