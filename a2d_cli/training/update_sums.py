"""What updates did: sums on their way from the device, as numbers, and over a line of the log."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class UpdateSums:
    """What one update did, over all ranks."""

    update: int
    terms: dict[str, float]  # loss terms by name: sums over the target tokens
    num_tokens: int
    gradient_norm: float  # before clipping, of the mean loss
    told_to_stop: bool


class LaunchedUpdate:
    """An update that the device may still be at.

    Args:
        terms: sums by name.
        gradient_norm, told_to_stop: of all ranks alike; how many ranks were told to stop.
    """

    def __init__(
        self, update: int, terms: dict[str, Tensor], num_tokens: int, gradient_norm: Tensor, told_to_stop: Tensor
    ):
        self.update, self.names, self.num_tokens = update, tuple(terms), num_tokens
        numbers = torch.stack([*terms.values(), gradient_norm, told_to_stop])
        self._numbers = numbers.to("cpu", non_blocking=True)  # from a GPU: into pinned memory, and nobody waits
        self._arrived = torch.cuda.Event() if numbers.is_cuda else None
        if self._arrived is not None:
            self._arrived.record()

    def sums(self) -> UpdateSums:
        """Its numbers, once they are there."""
        if self._arrived is not None:
            self._arrived.synchronize()
        *terms, norm, told_to_stop = self._numbers.tolist()
        named = dict(zip(self.names, terms, strict=True))
        return UpdateSums(self.update, named, self.num_tokens, norm, told_to_stop > 0)


@dataclass
class LogWindow:
    """Sums over the updates since the last line of metrics.jsonl."""

    terms: dict[str, float] = field(default_factory=dict)
    num_tokens: int = 0
    updates: int = 0
    gradient_norms: float = 0.0
    overflows: int = 0  # updates whose gradient fp16 could not hold, and which took no step: not in `gradient_norms`
    begun_s: float = 0.0  # training time at its first update

    def add(self, sums: UpdateSums) -> None:
        for name, value in sums.terms.items():
            self.terms[name] = self.terms.get(name, 0.0) + value
        self.num_tokens += sums.num_tokens
        self.updates += 1
        if math.isfinite(sums.gradient_norm):
            self.gradient_norms += sums.gradient_norm
        else:
            self.overflows += 1

    @property
    def mean_gradient_norm(self) -> float | None:
        """None: every gradient overflowed."""
        counted = self.updates - self.overflows
        return self.gradient_norms / counted if counted else None
