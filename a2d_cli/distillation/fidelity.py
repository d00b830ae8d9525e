"""How well a model knows a text's references, and how far its words are from the teacher's: both teacher-forced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from a2d_cli.data.batching import BatchPlan, BatchSettings, SpecialIds
from a2d_cli.data.tokenizer import Tokenizer
from a2d_cli.distillation.ensemble import EnsembleTeacher
from a2d_cli.distillation.response import Response
from a2d_cli.distillation.teachers import Teacher
from a2d_cli.model.transformer import Transformer
from a2d_cli.training.losses import SmoothedCrossEntropy
from a2d_cli.training.vocabulary_loss import vocabulary_loss

_BATCH_TOKENS = 4096


@dataclass(frozen=True)
class Fidelity:
    """Means over target tokens, end marks counted."""

    nll: float  # nats, without label smoothing
    kl: float  # KL(teacher ‖ model), nats
    num_tokens: int
    num_left_out: int  # pairs too long for the models


class EncodedText:
    """A parallel text as ids in memory, with what `BatchPlan` asks of a corpus."""

    def __init__(self, sources: Sequence[str], references: Sequence[str], tokenizer: Tokenizer):
        self._src = [np.asarray(ids, dtype=np.int64) for ids in tokenizer.encode_src(list(sources))]
        self._tgt = [np.asarray(ids, dtype=np.int64) for ids in tokenizer.encode_tgt(list(references))]
        self.src_lengths = np.array([len(ids) for ids in self._src], dtype=np.int64)
        self.tgt_lengths = np.array([len(ids) for ids in self._tgt], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._src)

    def src(self, i: int) -> np.ndarray:
        return self._src[i]

    def tgt(self, i: int) -> np.ndarray:
        return self._tgt[i]


class FidelityTest:
    """A text and what the teacher says of each of its words, asked once; a call judges a model of the same vocabulary.

    Args:
        max_length: tokens a side, end mark counted, that teacher and models can read.
    """

    def __init__(
        self,
        text: EncodedText,
        ids: SpecialIds,
        teacher: Teacher | EnsembleTeacher,
        max_length: int,
        device: torch.device,
    ):
        plan = BatchPlan(text, BatchSettings(max(_BATCH_TOKENS, max_length), max_length=max_length), seed=0)
        self._device, self._num_left_out = device, plan.num_left_out
        self._batches = [plan.load(indices, ids).to(device) for indices in plan.in_order()]
        # What is kept of the teacher is a state a token; its scores over the vocabulary are made again for each model.
        self._said = [teacher(batch, batch.tgt_mask, need_attention=False) for batch in self._batches]

    @torch.no_grad()
    def __call__(self, model: Transformer) -> Fidelity:
        model = model.to(self._device).eval()
        nll = kl = 0.0
        num_tokens = 0
        for batch, said in zip(self._batches, self._said, strict=True):
            references = SmoothedCrossEntropy(batch.real(batch.tgt_out), smoothing=0.0)
            loss = Response(references, said.words, alpha=1.0, temperature=1.0, divergence="fkl")
            states = batch.real(model(batch.src, batch.tgt_in).states)
            sums = vocabulary_loss(states, model.tgt_embedding.weight, model.output_bias, loss)
            nll += float(sums["nll"])
            kl += float(sums["word"])
            num_tokens += batch.num_tgt_tokens
        return Fidelity(nll / num_tokens, kl / num_tokens, num_tokens, self._num_left_out)
