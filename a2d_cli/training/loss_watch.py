"""Whether a run is still on its path: a smoothed loss, held against the lowest that it ever had."""

from __future__ import annotations

import math
from dataclasses import dataclass

from a2d_cli.training.update_sums import UpdateSums

DIVERGED_NATS = 2.0  # above the lowest smoothed loss: no healthy run climbs that far
DOUBTFUL_NATS = 0.5  # above it: what is saved there is nothing to return to
SMOOTHING_UPDATES = 50  # memory of the smoothed loss


class Diverged(Exception):
    """The loss is no number any more, or far above its lowest."""

    def __init__(self, update: int, what: str):
        super().__init__(what)
        self.update = update


@dataclass
class LossWatch:
    """Nats per target token, of cross-entropy alone: terms of a method may grow by themselves."""

    smoothed: float | None = None  # None: nothing seen yet
    lowest: float = math.inf  # smoothed loss so far

    def see(self, sums: UpdateSums, overflow_is_normal: bool) -> None:
        """Follow one more update.

        Args:
            overflow_is_normal: fp16, whose scaler skips a step of such a gradient.

        Raises:
            Diverged: the loss has left the path.
        """
        loss, norm = sums.terms["nll"] / sums.num_tokens, sums.gradient_norm
        if not math.isfinite(loss) or (not math.isfinite(norm) and not overflow_is_normal):
            raise Diverged(sums.update, f"loss {loss:.3g}, gradient norm {norm:.3g}")
        previous = loss if self.smoothed is None else self.smoothed
        self.smoothed = previous + (loss - previous) / SMOOTHING_UPDATES
        self.lowest = min(self.lowest, self.smoothed)
        if self.smoothed > self.lowest + DIVERGED_NATS:
            raise Diverged(sums.update, f"loss {self.smoothed:.2f} after {self.lowest:.2f}")

    @property
    def is_healthy(self) -> bool:
        """Whether a rewind may lead here. It takes a divergence tens of updates to show in the smoothed loss."""
        return self.smoothed is None or self.smoothed <= self.lowest + DOUBTFUL_NATS
