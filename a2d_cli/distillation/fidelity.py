"""How well a model knows a text's references, and how far its words are from the teacher's: both teacher-forced."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from a2d_cli.data.batching import BatchPlan, BatchSettings, SpecialIds
from a2d_cli.data.corpus import EncodedText
from a2d_cli.distillation.ensemble import EnsembleTeacher
from a2d_cli.distillation.teachers import Teacher
from a2d_cli.distillation.word_level import WordLevelLoss
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
        plan = BatchPlan(text, ids, BatchSettings(max(_BATCH_TOKENS, max_length), max_length=max_length), seed=0)
        self._device, self._num_left_out = device, plan.num_left_out
        self._batches = [plan.load(indices).to(device) for indices in plan.in_order()]
        # What is kept of the teacher is a state a token; its logits are made again for each model.
        self._said = [teacher(batch, need_maps=False) for batch in self._batches]

    @torch.no_grad()
    def __call__(self, model: Transformer) -> Fidelity:
        model = model.to(self._device).eval()
        nll = kl = 0.0
        num_tokens = 0
        for batch, said in zip(self._batches, self._said, strict=True):
            references = SmoothedCrossEntropy(batch.real(batch.tgt_out), smoothing=0.0)
            loss = WordLevelLoss(references, said.logits, alpha=1.0, temperature=1.0, divergence="fkl")
            states = batch.real(model(batch.src, batch.tgt_in).states)
            sums = vocabulary_loss(states, *model.output_layer, loss)
            nll += float(sums["nll"])
            kl += float(sums["word"])
            num_tokens += batch.num_tgt_tokens
        return Fidelity(nll / num_tokens, kl / num_tokens, num_tokens, self._num_left_out)
