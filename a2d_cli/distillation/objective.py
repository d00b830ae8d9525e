"""What a distilled student minimises: cross-entropy, the teacher's words, and the teacher's attention.

Letters: B sentences, S source and T target length, N real target tokens of the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from a2d_cli.config.schema import Distillation
from a2d_cli.data.batching import Batch
from a2d_cli.distillation.alignment import AttentionAlignment, SimplexAlignment
from a2d_cli.distillation.divergences import cell_divergence, row_divergence
from a2d_cli.distillation.release import PointwiseWeights, ReleaseSettings, release_loss
from a2d_cli.distillation.response import Response
from a2d_cli.distillation.teachers import Teacher
from a2d_cli.errors import ConfigError
from a2d_cli.model.attention import AttentionMaps
from a2d_cli.model.transformer import Transformer
from a2d_cli.training.losses import SmoothedCrossEntropy
from a2d_cli.training.objective import LossTerms, Moment, Objective
from a2d_cli.training.vocabulary_loss import TokenLoss, vocabulary_loss

CALIBRATION_BATCHES = 16  # the share of one batch swings; the mean of this many holds
CALIBRATION_SENTENCES = 32  # of each batch: the same on every rank, and a bounded cost
NEGLIGIBLE = 0.01  # of λ at update 1: below this the attention term is left out, and the maps' cost with it


@dataclass(frozen=True)
class Method:
    """A parsed `--method`."""

    words: bool  # the word term
    profiles: tuple[str, ...]  # attention terms: release, paper, masked, simplex
    seq: bool = False  # on the teacher's translations, which are no term: they take the references' place

    @property
    def name(self) -> str:
        """Canonical: `ce`, `word`, `seq`, `seq+a2d-simplex`, `ce+a2d-masked` (attention without the word term)."""
        terms = [f"a2d-{profile}" for profile in self.profiles]
        if terms and not self.words:
            terms = ["ce", *terms]
        elif not terms:
            terms = ["word"] if self.words else [] if self.seq else ["ce"]
        return "+".join(["seq", *terms] if self.seq else terms)

    @property
    def needs_teacher(self) -> bool:
        return self.words or bool(self.profiles)


def parse_method(settings: Distillation) -> Method:
    """Read a method string; `a2d` stands for `a2d-PROFILE`. The loader has checked the names of the terms.

    Raises:
        ConfigError: `release` or `paper` beside another profile: a mean over padding is no sum over tokens.
    """
    terms = [f"a2d-{settings.profile}" if term == "a2d" else term for term in settings.method.split("+")]
    profiles = tuple(term.removeprefix("a2d-") for term in terms if term.startswith("a2d-"))
    if len(profiles) > 1 and {"release", "paper"} & set(profiles):
        raise ConfigError(
            f"distillation.method: '{settings.method}' mixes the released objective with another one",
            "a2d-release and a2d-paper stand alone or with ce; a2d-masked and a2d-simplex can be joined",
        )
    # An a2d term contains the word term, so that `word` is its baseline, unless `ce` says otherwise.
    words = "word" in terms or (bool(profiles) and "ce" not in terms)
    return Method(words, profiles, seq="seq" in terms)


def kind_factors(settings: Distillation) -> dict[str, float]:
    """Weight of each kind of attention that is aligned: decoder kinds count half where both are used."""
    half = 0.5 if settings.decoder_self and settings.cross else 1.0
    factors = {"encoder_self": 1.0, "decoder_self": half, "cross": half}
    return {kind: factor for kind, factor in factors.items() if getattr(settings, kind)}


def make_aligners(
    kinds: dict[str, float], student: Transformer, teacher: Transformer, simplex: bool, seed: int
) -> nn.ModuleDict:
    """One aligner a kind, drawn from a generator of its own."""
    generator = torch.Generator().manual_seed(seed)
    aligner = SimplexAlignment if simplex else AttentionAlignment

    def make(kind: str) -> nn.Module:
        if kind == "encoder_self":
            return aligner(student.num_encoder_maps, teacher.num_encoder_maps, generator)
        return aligner(student.num_decoder_maps, teacher.num_decoder_maps, generator)

    return nn.ModuleDict({kind: make(kind) for kind in kinds})


class DistillationObjective(Objective):
    """(1-α) CE + α τ² D(p, q) + λ Σ_kinds attention terms, every term masked, every term a sum over target tokens.

    λ is set so that the attention gradient has a stated share of the rest (`gradient_share`), measured early in the
    run, halves every `half_life` · `max_updates` updates, and is 0 once it is `NEGLIGIBLE`.
    """

    def __init__(
        self,
        student: Transformer,
        teacher: Teacher,
        settings: Distillation,
        label_smoothing: float,
        max_updates: int,
        seed: int,
    ):
        super().__init__(student)
        self._teacher = (teacher,)  # in a tuple: a module's attribute would become part of this one's state
        self.settings, self.method = settings, parse_method(settings)
        self.label_smoothing = label_smoothing
        self.half_life_updates = settings.half_life * max_updates
        self.kinds = kind_factors(settings)
        self.aligners = nn.ModuleDict(
            {
                profile: make_aligners(self.kinds, student, teacher.model, profile == "simplex", seed)
                for profile in self.method.profiles
            }
        )
        self._norms: list[tuple[float, float]] = []  # measured (attention, rest) gradient norms
        self.attention_weight = settings.beta  # λ at update 1, before the half-life

    def weight_at(self, update: int) -> float:
        """λ at an update (from 1)."""
        return self.attention_weight * self._fading(update) if self._aligns(update) else 0.0

    def _aligns(self, update: int) -> bool:
        return bool(self.method.profiles) and self._fading(update) >= NEGLIGIBLE

    def _fading(self, update: int) -> float:
        """What the half-life has left of λ: 1 at update 1."""
        return 0.5 ** ((update - 1) / self.half_life_updates) if self.half_life_updates > 0 else 1.0

    def forward(self, batch: Batch, moment: Moment) -> LossTerms:
        response, attention, parts = self._terms(batch, self._aligns(moment.update))
        if attention is None:
            # The ranks of a parallel run wait for the gradient of every parameter.
            attention = sum((parameter.sum() for parameter in self.aligners.parameters()), start=0.0)
        total = response + self.weight_at(moment.update) * attention
        parts = {"loss": total, **parts}
        return LossTerms(total, {name: value.detach() for name, value in parts.items()}, batch.num_tgt_tokens)

    def _terms(self, batch: Batch, aligns: bool) -> tuple[Tensor, Tensor | None, dict[str, Tensor]]:
        """Sums over tokens: the response term, the unweighted attention term (or None), and all parts by name."""
        output = self.model(batch.src, batch.tgt_in, need_attention=aligns)
        taught = None
        if aligns or self.method.words:
            taught = self._teacher[0](batch, batch.tgt_mask, need_attention=aligns)
        loss: TokenLoss = SmoothedCrossEntropy(batch.tgt_out[batch.tgt_mask], self.label_smoothing)
        if self.method.words:
            settings = self.settings
            loss = Response(loss, taught.words, settings.alpha, settings.temperature, settings.divergence)
        weights = self.model.tgt_embedding.weight, self.model.output_bias
        parts = vocabulary_loss(output.states[batch.tgt_mask], *weights, loss)
        response = parts.pop("loss")
        if not aligns:
            return response, None, parts
        attention = torch.zeros((), device=response.device)
        for profile in self.method.profiles:
            for kind, term in self._attention_terms(profile, batch, output.maps, taught.maps).items():
                attention = attention + self.kinds[kind] * term
                name = f"attn_{kind}" if len(self.method.profiles) == 1 else f"{profile}_{kind}"
                parts[name] = term
        return response, attention, parts

    def _attention_terms(
        self, profile: str, batch: Batch, student: AttentionMaps, teacher: AttentionMaps
    ) -> dict[str, Tensor]:
        src_mask = self.model.src_mask(batch.src)[:, 0, 0]  # (B, S)
        length = batch.tgt_mask.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=src_mask.device).tril()
        cells = {  # (B, Q, K): query and key both real, and the key not in the future
            "encoder_self": src_mask[:, :, None] & src_mask[:, None, :],
            "decoder_self": batch.tgt_mask[:, :, None] & causal,
            "cross": batch.tgt_mask[:, :, None] & src_mask[:, None, :],
        }
        # A sentence's source rows together weigh as much as its target tokens: the sum stays one over target tokens.
        tokens = batch.tgt_mask.sum(1, keepdim=True) / src_mask.sum(1, keepdim=True)
        rows = {"encoder_self": src_mask * tokens, "decoder_self": batch.tgt_mask, "cross": batch.tgt_mask}
        terms = {}
        for kind, aligner in self.aligners[profile].items():
            target, intermediate = getattr(teacher, kind), aligner(getattr(student, kind))
            if profile == "simplex":
                terms[kind] = row_divergence(target, intermediate, cells[kind], rows[kind], self.settings.row_floor)
            else:
                terms[kind] = cell_divergence(target, intermediate, cells[kind])
        return terms

    def before_update(self, load: Callable[[], Batch], moment: Moment) -> None:
        """Set λ from the gradient norms of the first updates, and once more after `calibrate_at_update`."""
        if not self._aligns(moment.update) or self.settings.gradient_share <= 0:
            return
        first = self.settings.calibrate_at_update
        if first < moment.update <= first + CALIBRATION_BATCHES or moment.update <= min(first, CALIBRATION_BATCHES):
            if moment.update in (1, first + 1):
                self._norms = []
            self._norms.append(self._measure_norms(load()))
            attention, rest = (sum(norms) / len(self._norms) for norms in zip(*self._norms, strict=True))
            # The half-life has run since update 1: undo it, so that the share holds now.
            faded = attention * self._fading(moment.update)
            if faded > 0:
                self.attention_weight = self.settings.gradient_share * rest / faded

    def _measure_norms(self, batch: Batch) -> tuple[float, float]:
        """Gradient norms, over the student's weights, of the attention term and of the rest; dropout off."""
        part = batch.head(CALIBRATION_SENTENCES)
        weights = list(self.model.parameters())
        was_training = self.model.training
        self.model.eval()
        response, attention, _ = self._terms(part, aligns=True)
        norms = []
        for term, keep in ((attention, True), (response, False)):
            gradients = torch.autograd.grad(term, weights, retain_graph=keep, allow_unused=True)
            norms.append(float(torch.stack([g.float().norm() for g in gradients if g is not None]).norm()))
        self.model.train(was_training)
        return norms[0], norms[1]

    def helper_modules(self) -> dict[str, nn.Module]:
        return {f"aligner.{profile}": aligners for profile, aligners in self.aligners.items()}

    def extra_state(self) -> dict[str, Any]:
        return {"attention_weight": self.attention_weight, "norms": [list(pair) for pair in self._norms]}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        self.attention_weight = state["attention_weight"]
        self._norms = [(attention, rest) for attention, rest in state["norms"]]


class ReleaseObjective(Objective):
    """Profiles `release` and `paper`: the released objective, padding and all (distillation/release.py).

    Its one number is the mean that the released code takes backward through; times the batch's tokens it becomes the
    sum that the trainer divides. `gradient_scale: release` leaves that factor out, so that gradients are divided by the
    tokens once more, as the released trainer does. That and `teacher_mix: random` belong to `release`, not to `paper`.
    """

    def __init__(
        self, student: Transformer, teacher: Teacher, settings: Distillation, label_smoothing: float, seed: int
    ):
        super().__init__(student)
        self._teacher = (teacher,)
        method, self.kinds = parse_method(settings), kind_factors(settings)
        self.release_settings = ReleaseSettings(
            alpha=settings.alpha if method.words else 0.0,
            beta=settings.beta,
            decay=settings.decay,
            label_smoothing=label_smoothing,
            student_temperature=settings.temperature,
            teacher_temperature=settings.temperature,
            encoder_self=settings.encoder_self,
            decoder_self=settings.decoder_self,
            cross=settings.cross,
        )
        self.aligners = make_aligners(self.kinds, student, teacher.model, simplex=False, seed=seed)
        as_released = method.profiles == ("release",)
        self.divide_twice = as_released and settings.gradient_scale == "release"
        self.teacher_mixers: nn.ModuleDict | None = None
        if as_released and settings.teacher_mix == "random":
            self.teacher_mixers = make_aligners(self.kinds, teacher.model, teacher.model, False, seed + 1)
            self.teacher_mixers.requires_grad_(False)

    def forward(self, batch: Batch, moment: Moment) -> LossTerms:
        everywhere = torch.ones_like(batch.tgt_mask)
        output = self.model(batch.src, batch.tgt_in, need_attention=True)
        taught = self._teacher[0](batch, everywhere, need_attention=True)
        loss = release_loss(
            self.model.logits(output.states),
            taught.words(slice(None)).unflatten(0, everywhere.shape),
            batch.tgt_out,
            self.model.vocabularies.tgt_pad,
            output.maps,
            taught.maps,
            _weights(self.aligners),
            self.release_settings,
            moment.epoch,
            None if self.teacher_mixers is None else _weights(self.teacher_mixers),
        )
        positions = batch.tgt_out.numel()
        parts = {
            "loss": loss.total * batch.num_tgt_tokens,
            "nll": loss.student_nll * positions,
            "word": loss.word * positions,
            **{f"attn_{kind}": value * batch.num_tgt_tokens for kind, value in loss.attention.items()},
        }
        scale = 1 if self.divide_twice else batch.num_tgt_tokens
        return LossTerms(
            loss.total * scale, {name: value.detach() for name, value in parts.items()}, batch.num_tgt_tokens
        )

    def helper_modules(self) -> dict[str, nn.Module]:
        modules: dict[str, nn.Module] = {"aligner.release": self.aligners}
        if self.teacher_mixers is not None:
            modules["teacher_mixer"] = self.teacher_mixers
        return modules


def _weights(aligners: nn.ModuleDict) -> dict[str, PointwiseWeights]:
    return {kind: PointwiseWeights(aligner.weight, aligner.bias) for kind, aligner in aligners.items()}
