"""A teacher that was asked once about every training pair and whose answers are read from disk.

Kept are its last decoder states, which its output layer turns into logits again, or the k likeliest words with the
mass of all others; and its attention maps in half precision, of real tokens alone, the decoder's own without the
future.

Letters: B sentences, S source and T target length, N real target tokens, d width, V vocabulary, C maps of a kind; of
one pair, s source and t target tokens, end mark counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from a2d_cli.data.batching import Batch, BatchPlan, move
from a2d_cli.distillation.teacher_cache import (
    Part,
    TeacherCache,
)
from a2d_cli.distillation.teachers import Teacher, TeacherOutput
from a2d_cli.distillation.terms import real_cells
from a2d_cli.model.attention import KINDS, PLAIN, AttentionMaps, MapForm
from a2d_cli.model.transformer import Transformer

TOP_WORDS_ROWS = 1024  # positions whose words are sorted at once
SURELY_NOT = -1e4  # log-probability of words that do not exist; float16 holds it


@dataclass(frozen=True)
class CacheContents:
    """What a cache holds."""

    states: str = ""  # number format of the last decoder states; empty: they are not kept
    top_k: int = 0  # so many words a position instead; 0: none
    maps: bool = False
    form: MapForm = PLAIN  # of the maps

    def __str__(self) -> str:
        words = f"{self.states} states" if self.states else f"the {self.top_k} likeliest words" if self.top_k else ""
        form = "" if self.form.kind == "plain" else f"{self.form.name} "
        return " and ".join(part for part in (words, f"float16 {form}maps" if self.maps else "") if part)

    def map_part(self, kind: str) -> str:
        """The part that holds the maps of a kind: one for each form, so that forms never mix."""
        return kind if self.form.kind == "plain" else f"{kind}_{self.form.name}"


class CachedTeacher(Teacher):
    """Answers for pairs of the corpus that the cache was made of, at their real target tokens."""

    def __init__(self, model: Transformer, contents: CacheContents, cache: TeacherCache):
        super().__init__(model, contents.form)
        self.contents, self._numbers = contents, cache.open()

    @torch.no_grad()
    def __call__(
        self, batch: Batch, need_maps: bool, need_hidden: bool = False, padding_too: bool = False
    ) -> TeacherOutput:
        """As the live teacher, for pairs of the corpus; never of padding."""
        assert not need_hidden, "a cached teacher keeps no layer but the last"
        assert batch.indices is not None, "a cached teacher knows pairs by their place in the corpus"
        assert not padding_too, "a cached teacher knows nothing of padding"
        return TeacherOutput(self._logits(batch), self._maps(batch) if need_maps else None)

    def _logits(self, batch: Batch) -> Callable[[slice], Tensor]:
        k, num_words = self.contents.top_k, self.model.vocabularies.tgt_pad
        if self.contents.states:
            states = self._read("states", batch).unflatten(0, (-1, self.model.shape.d_model))  # (N, d)
        elif k:
            ids = self._read(f"top{k}_ids", batch).unflatten(0, (-1, k))
            scores = self._read(f"top{k}_scores", batch).unflatten(0, (-1, k + 1))  # the last: of all others together

        @torch.no_grad()
        def logits(rows: slice) -> Tensor:
            assert self.contents.states or k, "the method did not ask for words"
            if self.contents.states:
                return self.model.logits(states[rows].float())
            some = scores[rows].float()
            other = some[:, k:] - math.log(max(num_words - k, 1))  # each of the others, alike
            return other.repeat(1, num_words).scatter_(1, ids[rows].long(), some[:, :k])

        return logits

    def _maps(self, batch: Batch) -> AttentionMaps:
        cells = kept_cells(self.model, batch)

        def padded(kind: str) -> Tensor:
            inside = cells[kind][:, None].expand(-1, self.model.shape.num_maps(kind), -1, -1)  # (B, C, Q, K)
            numbers = self._read(self.contents.map_part(kind), batch).float()
            return numbers.new_zeros(inside.shape).masked_scatter_(inside, numbers)

        return AttentionMaps(*(padded(kind) for kind in KINDS))

    @property
    def way(self) -> str:
        return f"cached, the {self.contents.top_k} likeliest words" if self.contents.top_k else "cached"

    def _read(self, part: str, batch: Batch) -> Tensor:
        """The part's numbers for the batch's pairs, one after the other."""
        numbers = self._numbers[part][batch.indices]
        if numbers.dtype.kind == "u":
            numbers = numbers.astype(np.int32)
        return move(torch.from_numpy(numbers), batch.src.device)


def parts_of(model: Transformer, contents: CacheContents, plan: BatchPlan) -> list[Part]:
    """What each pair takes: s and t count the end mark."""
    s = np.asarray(plan.corpus.src_lengths, dtype=np.int64) + 1
    t = np.asarray(plan.corpus.tgt_lengths, dtype=np.int64) + 1
    parts = []
    if contents.states:
        parts.append(Part("states", contents.states, t * model.shape.d_model))
    if k := contents.top_k:
        ids = "uint16" if model.vocabularies.tgt_size <= 1 << 16 else "uint32"
        parts += [Part(f"top{k}_ids", ids, t * k), Part(f"top{k}_scores", "float16", t * (k + 1))]
    if contents.maps:
        cells = {"encoder_self": s * s, "decoder_self": t * (t + 1) // 2, "cross": t * s}
        parts += [Part(contents.map_part(kind), "float16", model.shape.num_maps(kind) * cells[kind]) for kind in KINDS]
    return parts


@torch.no_grad()
def answers_of(model: Transformer, contents: CacheContents, batch: Batch) -> dict[str, np.ndarray]:
    """The parts' numbers for a batch: the pairs one after the other."""
    output = model(batch.src, batch.tgt_in, contents.maps, form=contents.form)
    states = batch.real(output.states)  # (N, d)
    numbers = {}
    if contents.states:
        numbers["states"] = states.to(getattr(torch, contents.states))
    if k := contents.top_k:
        numbers[f"top{k}_ids"], numbers[f"top{k}_scores"] = _top_words(model, states, k)
    if contents.maps:
        for kind, cells in kept_cells(model, batch).items():
            kept = getattr(output.maps, kind).masked_select(cells[:, None])  # by pair, map, query, key
            numbers[contents.map_part(kind)] = kept.half()
    return {name: tensor.cpu().numpy() for name, tensor in numbers.items()}


def _top_words(model: Transformer, states: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """States (N, d) -> ids of the k likeliest words (N, k); their log-probabilities and that of all others (N, k+1)."""
    ids, scores = [], []
    for rows in states.split(TOP_WORDS_ROWS):
        log_p = model.logits(rows).log_softmax(-1)
        top = log_p.topk(k)
        rest = log_p.scatter(1, top.indices, -math.inf).logsumexp(-1, keepdim=True)
        ids.append(top.indices)
        scores.append(torch.cat([top.values, rest], 1).clamp(min=SURELY_NOT))
    return torch.cat(ids), torch.cat(scores)


def kept_cells(model: Transformer, batch: Batch) -> dict[str, Tensor]:
    """Of the maps, those that are kept: by kind (B, Q, K)."""
    return real_cells(model.src_mask(batch.src), batch.tgt_mask)
