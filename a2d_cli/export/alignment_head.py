"""Which cross-attention head aligns words: the one whose links are most often those of the teacher.

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


def choose_alignment_head(
    student: Transformer,
    teacher: Transformer | None,
    pairs: Sequence[Pair],
    ids: SpecialIds,
    *,
    teacher_pairs: Sequence[Pair] | None = None,
    teacher_ids: SpecialIds | None = None,
    batch_sentences: int = 16,
) -> AlignmentHead:
    """Link every target token to the source token that a head looks at most, and compare with the reference.

    The reference is the mean of the heads of the teacher's last but one decoder layer, the layer whose mean aligns
    best in Garg et al. (2019); without a teacher the model's own.

    Args:
        pairs: validation text; a few hundred pairs tell the heads apart.
        teacher_pairs, teacher_ids: the same text in the teacher's ids, where its vocabulary is another. Both must cut
            it into the same number of pieces, as a vocabulary and one trimmed from it do.

    Raises:
        A2DError: no pair has words on both sides and fits the models.
    """
    reference = teacher or student
    longest = min(student.shape.max_positions, reference.shape.max_positions) - 1
    both = [
        (pair, other)
        for pair, other in zip(pairs, teacher_pairs or pairs, strict=True)
        if all(pair) and max(map(len, pair)) <= longest
    ]
    if not both:
        raise A2DError("no validation pair has words on both sides: no alignment head can be chosen")
    equal = torch.zeros(student.num_decoder_maps, dtype=torch.long)
    num_tokens = 0
    for first in range(0, len(both), batch_sentences):
        own, others = zip(*both[first : first + batch_sentences], strict=True)
        links = _cross_attention(student, own, ids).argmax(-1)  # (N, L·H)
        expected = _reference_links(reference, others, teacher_ids or ids)  # (N,)
        equal += (links == expected[:, None]).sum(0)
        num_tokens += len(links)
    best = int(equal.argmax())
    return AlignmentHead(*divmod(best, student.shape.num_heads), float(equal[best]) / num_tokens)


def _reference_links(model: Transformer, pairs: Sequence[Pair], ids: SpecialIds) -> Tensor:
    """(N,) source positions."""
    shape = model.shape
    maps = _cross_attention(model, pairs, ids).unflatten(1, (shape.decoder_layers, shape.num_heads))
    return maps[:, max(0, shape.decoder_layers - 2)].mean(1).argmax(-1)


@torch.inference_mode()
def _cross_attention(model: Transformer, pairs: Sequence[Pair], ids: SpecialIds) -> Tensor:
    """(N, L·H, S) of the pairs' target tokens, on the CPU; -1 at source positions that hold no word."""
    sources, targets = zip(*pairs, strict=True)
    batch = pad_batch(sources, targets, ids).to(model.positions.device)
    maps = model(batch.src, batch.tgt_in, need_attention=True).maps.cross  # (B, L·H, T, S)
    # Where a head rests on the end mark it says nothing; and the end mark of the target has no counterpart.
    words = (batch.src != ids.src_pad) & (batch.src != ids.eos)
    maps = maps.masked_fill(~words[:, None, None], -1.0).transpose(1, 2)
    return maps[batch.tgt_mask & (batch.tgt_out != ids.eos)].cpu()
