"""What training minimises: an objective turns a batch into sums over target tokens.

The trainer divides once, by the target tokens of the whole update.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from a2d_cli.data.batching import Batch, BatchPlan
from a2d_cli.model.transformer import Transformer
from a2d_cli.reporting import Reporter
from a2d_cli.training.distributed import World
from a2d_cli.training.losses import SmoothedCrossEntropy
from a2d_cli.training.vocabulary_loss import vocabulary_loss


@dataclass(frozen=True)
class TrainingStep:
    """Which update of the run; both count from 1."""

    epoch: int
    update: int


@dataclass(frozen=True)
class LossTerms:
    """Sums, never means: the trainer divides by the tokens of the whole update, over ranks and pieces."""

    total: Tensor  # (), what backward starts from
    parts: dict[str, Tensor]  # detached sums by name, for the log


@dataclass(frozen=True)
class RunContext:
    """What a run trains on and where; its objective may depend on this, besides the model."""

    plan: BatchPlan
    device: torch.device
    world: World
    reporter: Reporter
    resume_hint: str  # the command that goes on after an interruption


class Objective(nn.Module):
    """A model and how it is judged. Helper modules of a loss live here, beside the model and never in it."""

    can_be_cut = True  # an update may be shared out in pieces and to ranks: sums over tokens do not change by that

    def __init__(self, model: Transformer):
        super().__init__()
        self.model = model

    def forward(self, batch: Batch, step: TrainingStep) -> LossTerms:
        raise NotImplementedError

    def before_update(self, load: Callable[[int], Batch], step: TrainingStep) -> None:
        """A chance to look at an update's first pairs before it is cut into shares.

        Args:
            load: reads so many of them, on the host.
        """

    def helper_modules(self) -> dict[str, nn.Module]:
        """Trainable modules beside the model (aligners), by name: saved beside it, never inside."""
        return {}

    def extra_state(self) -> dict[str, Any]:
        """Plain values that a resumed run needs."""
        return {}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """The reverse of `extra_state`."""


class TranslationObjective(Objective):
    """Label-smoothed cross-entropy against the references."""

    def __init__(self, model: Transformer, label_smoothing: float):
        super().__init__(model)
        self.label_smoothing = label_smoothing

    def forward(self, batch: Batch, step: TrainingStep) -> LossTerms:
        states = batch.real(self.model(batch.src, batch.tgt_in).states)  # (N, d)
        loss = SmoothedCrossEntropy(batch.real(batch.tgt_out), self.label_smoothing)
        sums = vocabulary_loss(states, *self.model.output_layer, loss)
        parts = {name: value.detach() for name, value in sums.items()}
        return LossTerms(sums["loss"], parts)
