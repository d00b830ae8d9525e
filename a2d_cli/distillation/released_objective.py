"""The released objective as something that trains: profiles `release` and `paper`."""

from __future__ import annotations

import torch
from torch import nn

from a2d_cli.config.schema import Distillation
from a2d_cli.data.batching import Batch
from a2d_cli.distillation.aligned_attention import make_aligners
from a2d_cli.distillation.methods import parse_method
from a2d_cli.distillation.release import ReleaseSettings, release_loss
from a2d_cli.distillation.teachers import Teacher
from a2d_cli.distillation.terms import kind_factors
from a2d_cli.model.transformer import Transformer
from a2d_cli.training.objective import LossTerms, Objective, TrainingStep


class ReleaseObjective(Objective):
    """Profiles `release` and `paper`: the released objective, padding and all (distillation/release.py).

    Its one number is the mean that the released code takes backward through; times the batch's tokens it becomes the
    sum that the trainer divides. `gradient_scale: release` leaves that factor out, so that gradients are divided by the
    tokens once more, as the released trainer does. That and `teacher_mix: random` belong to `release`, not to `paper`.

    Attention is a sum over a batch's sentences beside a mean over its tokens: k pieces of an update would give it 1/k
    of its weight.
    """

    can_be_cut = False

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
        self.aligners = make_aligners(self.kinds, student.shape, teacher.shapes, torch.Generator().manual_seed(seed))
        as_released = method.terms == ("a2d-release",)
        self.divide_twice = as_released and settings.gradient_scale == "release"
        self.teacher_mixers: nn.ModuleDict | None = None
        if as_released and settings.teacher_mix == "random":
            own = torch.Generator().manual_seed(seed + 1)
            self.teacher_mixers = make_aligners(self.kinds, teacher.shapes, teacher.shapes, own)
            self.teacher_mixers.requires_grad_(False)

    def forward(self, batch: Batch, step: TrainingStep) -> LossTerms:
        output = self.model(batch.src, batch.tgt_in, need_maps=True)
        taught = self._teacher[0](batch, need_maps=True, padding_too=True)
        loss = release_loss(
            self.model.logits(output.states),
            taught.logits(slice(None)).unflatten(0, batch.tgt_out.shape),
            batch.tgt_out,
            self.model.vocabularies.tgt_pad,
            output.maps,
            taught.maps,
            self.aligners,
            self.release_settings,
            step.epoch,
            self.teacher_mixers,
        )
        positions = batch.tgt_out.numel()
        parts = {
            "loss": loss.total * batch.num_tgt_tokens,
            "nll": loss.student_nll * positions,
            "word": loss.word * positions,
            **{f"attn_{kind}": value * batch.num_tgt_tokens for kind, value in loss.attention.items()},
        }
        scale = 1 if self.divide_twice else batch.num_tgt_tokens
        return LossTerms(loss.total * scale, {name: value.detach() for name, value in parts.items()})

    def helper_modules(self) -> dict[str, nn.Module]:
        modules: dict[str, nn.Module] = {"aligner.release": self.aligners}
        if self.teacher_mixers is not None:
            modules["teacher_mixer"] = self.teacher_mixers
        return modules
