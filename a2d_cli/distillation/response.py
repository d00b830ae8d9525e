"""What references and a teacher's words ask of a student: (1-α) CE + α τ² D(p, q), a sum over target tokens.

Letters: N target tokens, n of them at a time, V vocabulary; p the teacher's words, q the student's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from a2d_cli.distillation.divergences import word_divergence
from a2d_cli.distillation.selection import token_nll
from a2d_cli.training.losses import SmoothedCrossEntropy
from a2d_cli.training.vocabulary_loss import Scores, TokenSums


@dataclass(frozen=True)
class Response:
    """For `vocabulary_loss`; its sums are `loss`, `nll` and `word` (D without the factor τ²)."""

    cross_entropy: SmoothedCrossEntropy
    words: Callable[[slice], Tensor]  # the teacher's scores (n, V), made anew by each call
    alpha: float
    temperature: float
    divergence: str

    def __call__(self, rows: slice, scores: Scores) -> TokenSums:
        ce = self.cross_entropy(rows, scores)
        teacher = self.words(rows).to(scores.values.dtype)
        by_hand = self.divergence == "fkl" and self.temperature == 1.0
        word = _forward_kl(teacher, scores) if by_hand else self._divergence(teacher, scores.values)
        weight = self.alpha * self.temperature**2
        loss = (1.0 - self.alpha) * ce.sums["loss"] + weight * word.sums["word"]
        gradient = ce.gradient.mul_(1.0 - self.alpha).add_(word.gradient, alpha=weight)
        return TokenSums({**ce.sums, **word.sums, "loss": loss}, gradient)

    def _divergence(self, teacher: Tensor, student: Tensor) -> TokenSums:
        """Any divergence at any temperature, through autograd."""
        with torch.enable_grad():
            student = student.detach().requires_grad_()
            word = word_divergence(teacher, student, self.temperature, self.divergence)
            (gradient,) = torch.autograd.grad(word, student)
        return TokenSums({"word": word.detach()}, gradient)


@dataclass(frozen=True)
class SelectiveResponse:
    """`Response` where the student's loss is at the threshold or above; the references alone elsewhere.

    Its sum `word` is over these tokens alone, and `selected` is their number.
    """

    response: Response
    threshold: Tensor  # (), of -log q(target)

    def __call__(self, rows: slice, scores: Scores) -> TokenSums:
        references = self.response.cross_entropy
        targets = references.targets[rows]
        hard = token_nll(scores, targets) >= self.threshold  # (n,)

        def part(tokens: Tensor) -> tuple[SmoothedCrossEntropy, Scores]:
            some = Scores(scores.values[tokens], scores.probabilities[tokens], scores.normalisers[tokens])
            return replace(references, targets=targets[tokens]), some

        ce, some = part(~hard)
        untaught = ce(slice(None), some)
        ce, some = part(hard)
        words = self.response.words
        taught = replace(self.response, cross_entropy=ce, words=lambda _: words(rows)[hard])(slice(None), some)
        gradient = torch.empty_like(scores.probabilities)
        gradient[hard], gradient[~hard] = taught.gradient, untaught.gradient
        sums = {name: value + untaught.sums.get(name, 0.0) for name, value in taught.sums.items()}
        return TokenSums({**sums, "selected": hard.sum().to(gradient.dtype)}, gradient)


def _forward_kl(teacher: Tensor, student: Scores) -> TokenSums:
    """KL(p‖q) = Σ p · (teacher's - student's scores) - teacher's + student's log-sum-exp; its gradient is q - p."""
    p = teacher.softmax(-1)
    normalisers = teacher.amax(-1) - p.amax(-1).log()
    word = teacher.sub_(student.values).mul_(p).sum() + (student.normalisers - normalisers).sum()
    return TokenSums({"word": word}, torch.sub(student.probabilities, p, out=p))
