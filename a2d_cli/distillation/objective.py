"""What a distilled student minimises: cross-entropy, the teacher's words, and terms of both models' maps and states."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from a2d_cli.config.schema import Distillation, Training
from a2d_cli.data.batching import Batch
from a2d_cli.distillation.ensemble import EnsembleTeacher
from a2d_cli.distillation.methods import TERMS, parse_method
from a2d_cli.distillation.released_objective import ReleaseObjective
from a2d_cli.distillation.selection import Selection, all_tokens_nll
from a2d_cli.distillation.teachers import Teacher, TeacherOutput
from a2d_cli.distillation.terms import Term, TermContext, TermInputs
from a2d_cli.distillation.word_level import WordLevelLoss
from a2d_cli.model.transformer import ForwardOutput, Transformer
from a2d_cli.training.losses import SmoothedCrossEntropy
from a2d_cli.training.objective import LossTerms, Objective, TrainingStep
from a2d_cli.training.vocabulary_loss import TokenLoss, vocabulary_loss

CALIBRATION_BATCHES = 16  # the share of one batch swings; the mean of this many holds
CALIBRATION_SENTENCES = 32  # of each batch: the same on every rank, and a bounded cost
SENTENCES_AHEAD = 32  # of each batch, for what looks ahead
NEGLIGIBLE = 0.01  # of λ at update 1: below this the terms are left out, and with them what they need of the models


class GradientNorms(NamedTuple):
    """Of one batch, over the student's weights, before λ."""

    terms: float
    rest: float
    cosine: float  # between the two


class DistillationObjective(Objective):
    """(1-α) CE + α τ² D(p, q) + λ Σ terms: everything is masked, everything is a sum over target tokens.

    λ is set so that the gradient of the terms has a stated share of the rest (`gradient_share`), measured early in the
    run, halves every `half_life` · `max_updates` updates, and is 0 once it is `NEGLIGIBLE`. Terms that are all but
    fulfilled at the start, as between copied layers, get a λ that blows up what is left: there `gradient_share` = 0.
    """

    def __init__(
        self,
        student: Transformer,
        teacher: Teacher | EnsembleTeacher,
        settings: Distillation,
        label_smoothing: float,
        max_updates: int,
        seed: int,
    ):
        super().__init__(student)
        self._teacher = (teacher,)  # in a tuple: a module's attribute would become part of this one's state
        self.settings, self.method = settings, parse_method(settings)
        self.can_be_cut = self.method.can_be_cut
        self.label_smoothing = label_smoothing
        self.half_life_updates = settings.half_life * max_updates
        self.terms = nn.ModuleDict()
        for name in self.method.terms:
            generator = torch.Generator().manual_seed(seed)
            self.terms[name] = TERMS[name](TermContext(student, teacher.shapes, settings, generator))
        self.selection: Selection | None = None
        if self.method.selective:
            self.selection = Selection(settings.selected_fraction, settings.selection_queue)
        self._norms: list[GradientNorms] = []  # of the batches since the calibration began
        self.term_weight = settings.beta  # λ at update 1, before the half-life

    def weight_at(self, update: int) -> float:
        """λ at an update (from 1)."""
        return self.term_weight * self._fading(update) if self._has_terms(update) else 0.0

    def _has_terms(self, update: int) -> bool:
        return len(self.terms) > 0 and self._fading(update) >= NEGLIGIBLE

    def _fading(self, update: int) -> float:
        """What the half-life has left of λ: 1 at update 1."""
        return 0.5 ** ((update - 1) / self.half_life_updates) if self.half_life_updates > 0 else 1.0

    def forward(self, batch: Batch, step: TrainingStep) -> LossTerms:
        rest, of_terms, parts = self._losses(batch, self._has_terms(step.update))
        if of_terms is None:
            # The ranks of a parallel run wait for the gradient of every parameter.
            of_terms = sum(
                (parameter.sum() for parameter in self.terms.parameters() if parameter.requires_grad), start=0.0
            )
        weight = self.weight_at(step.update)
        total = rest + weight * of_terms
        parts = {"loss": total, **parts}
        if self.terms:
            parts["weight"] = total.new_full((), weight * batch.num_tgt_tokens)  # as a sum over tokens, like the others
        return LossTerms(total, {name: value.detach() for name, value in parts.items()})

    def _losses(self, batch: Batch, with_terms: bool) -> tuple[Tensor, Tensor | None, dict[str, Tensor]]:
        """Sums over tokens: the loss of words, the unweighted sum of the terms (or None), and all parts by name."""
        terms = self.terms.values() if with_terms else ()
        output, taught = self._outputs(batch, terms, with_teacher=with_terms or self.method.words)
        loss: TokenLoss = SmoothedCrossEntropy(batch.real(batch.tgt_out), self.label_smoothing)
        if self.method.words:
            settings = self.settings
            threshold = None if self.selection is None else self.selection.threshold
            loss = WordLevelLoss(
                loss, taught.logits, settings.alpha, settings.temperature, settings.divergence, threshold
            )
        parts = vocabulary_loss(batch.real(output.states), *self.model.output_layer, loss)
        rest = parts.pop("loss")
        if not with_terms:
            return rest, None, parts
        inputs = self._inputs(batch, output, taught)
        of_terms = torch.zeros((), device=rest.device)
        for name, term in self.terms.items():
            found = term(inputs)
            of_terms = of_terms + found.total
            prefix = term.part_prefix if len(self.terms) == 1 else f"{_short(name)}_"
            parts |= {f"{prefix}{part}": value for part, value in found.parts.items()}
        return rest, of_terms, parts

    def _outputs(
        self, batch: Batch, terms: Collection[Term], with_teacher: bool
    ) -> tuple[ForwardOutput, TeacherOutput | None]:
        """What both models say of a batch: logits, and the maps and states that the terms use."""
        teacher = self._teacher[0]
        need_maps, need_hidden = (any(getattr(term, use) for term in terms) for use in ("uses_maps", "uses_hidden"))
        output = self.model(batch.src, batch.tgt_in, need_maps, need_hidden, teacher.form)
        return output, teacher(batch, need_maps, need_hidden) if with_teacher else None

    def _inputs(self, batch: Batch, output: ForwardOutput, taught: TeacherOutput) -> TermInputs:
        return TermInputs(batch, output, taught, self.model.src_mask(batch.src))

    def before_update(self, load: Callable[[int], Batch], step: TrainingStep) -> None:
        """Show the update to what looks ahead. Set λ from the gradient norms of the first updates, and once more after
        `calibrate_at_update`."""
        curious = [term for term in self.terms.values() if term.looks_ahead] if self._has_terms(step.update) else []
        if curious or self.selection is not None:
            self._look_ahead(load(SENTENCES_AHEAD).to(self._device), curious)
        if not self._has_terms(step.update) or self.settings.gradient_share <= 0:
            return
        first = self.settings.calibrate_at_update
        if first < step.update <= first + CALIBRATION_BATCHES or step.update <= min(first, CALIBRATION_BATCHES):
            if step.update in (1, first + 1):
                self._norms = []
            self._norms.append(self.gradient_norms(load(CALIBRATION_SENTENCES).to(self._device)))
            terms, rest, _ = self._mean_norms()
            # The half-life has run since update 1: undo it, so that the share holds now.
            faded = terms * self._fading(step.update)
            if faded > 0:
                self.term_weight = self.settings.gradient_share * rest / faded

    @property
    def _device(self) -> torch.device:
        return self.model.tgt_embedding.weight.device

    @torch.no_grad()
    def _look_ahead(self, batch: Batch, terms: Collection[Term]) -> None:
        """What has a memory learns from some sentences of the update before it is cut.

        Ranks and pieces play no part in it.
        """
        with self._without_dropout():
            output, taught = self._outputs(batch, terms, with_teacher=bool(terms))
        for term in terms:
            term.look(self._inputs(batch, output, taught))
        if self.selection is not None:
            self.selection.look(all_tokens_nll(self.model, batch.real(output.states), batch.real(batch.tgt_out)))

    @contextmanager
    def _without_dropout(self) -> Iterator[None]:
        """Nor compiled: a few sentences are not worth another graph, and a compiled one can be run only once."""
        was_training = self.model.training
        self.model.eval()
        try:
            with torch.compiler.set_stance("force_eager"):
                yield
        finally:
            self.model.train(was_training)

    def _mean_norms(self) -> GradientNorms:
        return GradientNorms(*(sum(values) / len(self._norms) for values in zip(*self._norms, strict=True)))

    def gradient_norms(self, batch: Batch) -> GradientNorms:
        """Of a batch's loss sums over the student's weights, dropout off."""
        weights = list(self.model.parameters())
        with self._without_dropout():
            rest, of_terms, _ = self._losses(batch, with_terms=True)
        term_gradients, rest_gradients = (
            torch.autograd.grad(loss, weights, retain_graph=loss is of_terms, allow_unused=True)
            for loss in (of_terms, rest)
        )
        norms = [
            float(torch.stack([g.float().norm() for g in gradients if g is not None]).norm())
            for gradients in (term_gradients, rest_gradients)
        ]
        pairs = zip(term_gradients, rest_gradients, strict=True)
        both = [(a, b) for a, b in pairs if a is not None and b is not None]
        product = float(sum((a.float() * b.float()).sum() for a, b in both))
        return GradientNorms(*norms, product / math.prod(norms) if math.prod(norms) > 0 else 0.0)

    def helper_modules(self) -> dict[str, nn.Module]:
        modules = {f"{term.noun}.{_short(name)}": term.saved for name, term in self.terms.items()}
        return {name: module for name, module in modules.items() if module.state_dict()}

    def extra_state(self) -> dict[str, Any]:
        """λ and the norms it was set by; for the log, what these say: ‖∇terms‖ / ‖∇rest‖ without λ, and the cosine."""
        state = {"term_weight": self.term_weight, "norms": [list(norms) for norms in self._norms]}
        if not self._norms:
            return state
        terms, rest, cosine = self._mean_norms()
        return state | {"gradient_ratio": terms / rest if rest else math.inf, "gradient_cosine": cosine}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        self.term_weight = state["term_weight"]
        self._norms = [GradientNorms(*norms) for norms in state["norms"]]


def objective_of(
    student: Transformer, teacher: Teacher | EnsembleTeacher, settings: Distillation, training: Training
) -> DistillationObjective | ReleaseObjective:
    """What the student minimises by `settings.method`."""
    smoothing, seed = training.label_smoothing, training.seed
    if parse_method(settings).is_released:
        return ReleaseObjective(student, teacher, settings, smoothing, seed)
    return DistillationObjective(student, teacher, settings, smoothing, training.max_updates, seed)


def _short(name: str) -> str:
    return name.removeprefix("a2d-")
