"""Adam with a warm-up, an inverse square root and, if wanted, a cool-down to zero."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from a2d_cli.config.schema import Training


def learning_rate(update: int, settings: Training) -> float:
    """Rate of an update (from 1): linear to `lr` at `warmup_updates`, then lr·√(warmup/update).

    With `inverse_sqrt_cooldown`, times a factor that falls linearly to zero in the last `cooldown_fraction` of the run.
    """
    warmup = max(settings.warmup_updates, 1)
    rate = settings.lr * min(update / warmup, (warmup / update) ** 0.5)
    if settings.schedule == "inverse_sqrt_cooldown":
        cooldown_updates = settings.cooldown_fraction * settings.max_updates
        left = settings.max_updates - update + 1
        if cooldown_updates > 0:
            rate *= min(1.0, left / cooldown_updates)
    return rate


def make_adam(parameters: Iterable[nn.Parameter], settings: Training) -> torch.optim.AdamW:
    return torch.optim.AdamW(
        parameters,
        lr=settings.lr,
        betas=(settings.adam_beta1, settings.adam_beta2),
        eps=settings.adam_eps,
        weight_decay=settings.weight_decay,
        fused=True,
    )
