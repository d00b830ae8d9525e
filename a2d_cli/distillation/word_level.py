"""Word-level distillation (Kim & Rush 2016): (1-α) CE + α τ² D(p, q), a sum over target tokens.

Letters: N target tokens, n of them at a time, V vocabulary; p the teacher's next-token distribution, q the student's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from a2d_cli.distillation.divergences import word_divergence
from a2d_cli.training.losses import SmoothedCrossEntropy
from a2d_cli.training.vocabulary_loss import Predictions, TokenLosses


@dataclass(frozen=True)
class WordLevelLoss:
    """For `vocabulary_loss`; its losses are `loss`, `nll` and `word` (D without the factor τ²).

    With a threshold, α is 0 for the tokens that the student finds easier than that: their `word` is 0, and a loss
    `selected` counts the others.
    """

    cross_entropy: SmoothedCrossEntropy
    teacher_logits: Callable[[slice], Tensor]  # (n, V), made anew by each call
    alpha: float
    temperature: float
    divergence: str
    threshold: Tensor | None = None  # (), of -log q(target)

    def __call__(self, rows: slice, predicted: Predictions) -> TokenLosses:
        ce = self.cross_entropy(rows, predicted)
        teacher = self.teacher_logits(rows).to(predicted.logits.dtype)
        by_hand = self.divergence == "fkl" and self.temperature == 1.0
        word = _forward_kl(teacher, predicted) if by_hand else self._divergence(teacher, predicted.logits)
        alpha, losses = self.alpha, {**ce.losses, **word.losses}
        if self.threshold is not None:
            # Of all tokens, and some of it forgotten: a GPU is never asked how many are hard.
            hard = (ce.losses["nll"] >= self.threshold).to(predicted.logits.dtype)  # (n,)
            alpha, losses = alpha * hard, losses | {"word": losses["word"] * hard, "selected": hard}
        weight = alpha * self.temperature**2
        loss = (1.0 - alpha) * losses["loss"] + weight * losses["word"]
        if self.threshold is None:
            gradient = ce.gradient.mul_(1.0 - alpha).add_(word.gradient, alpha=weight)
        else:
            gradient = ce.gradient.mul_(1.0 - alpha[:, None]).addcmul_(word.gradient, weight[:, None])
        return TokenLosses({**losses, "loss": loss}, gradient)

    def _divergence(self, teacher: Tensor, student: Tensor) -> TokenLosses:
        """Any divergence at any temperature, through autograd."""
        with torch.enable_grad():
            student = student.detach().requires_grad_()
            word = word_divergence(teacher, student, self.temperature, self.divergence)
            (gradient,) = torch.autograd.grad(word.sum(), student)
        return TokenLosses({"word": word.detach()}, gradient)


def _forward_kl(teacher: Tensor, student: Predictions) -> TokenLosses:
    """KL(p‖q) = Σ p · (teacher's - student's logits) - teacher's + student's log-sum-exp; its gradient is q - p."""
    p = teacher.softmax(-1)
    logsumexp = teacher.amax(-1) - p.amax(-1).log()
    word = teacher.sub_(student.logits).mul_(p).sum(-1) + (student.logsumexp - logsumexp)
    return TokenLosses({"word": word}, torch.sub(student.probabilities, p, out=p))
