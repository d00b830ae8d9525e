"""Attention learned through an alignment module: from all student heads to all teacher heads (Jin et al. 2024).

Two choices make four terms: the module (a convolution, or convex mixtures), and what is compared (all cells of a map
at once, as published, or its rows, which are distributions). A fifth begins with mixtures of the student's heads at
the same depth and place instead of random ones. The controls take one thing away; a frozen random mixture is also one
of few heads, for as even a mixture as `simplex` begins with says nothing of which head stands in for which.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from a2d_cli.config.schema import ModelShape
from a2d_cli.distillation.alignment import AttentionAlignment, SimplexAlignment, diagonal_mixture
from a2d_cli.distillation.divergences import cell_divergence, row_divergence, uniform_rows
from a2d_cli.distillation.teachers import TeacherShapes
from a2d_cli.distillation.terms import Maps, MapTerm, TermContext

FROZEN_SPREAD = 2.0  # of a frozen mixture's scores: a few heads stand in for each, instead of the mean of all
Control = Literal["", "frozen", "shuffled", "uniform"]


@dataclass(frozen=True)
class Profile:
    """How intermediate maps are made and compared with the teacher's."""

    simplex: bool  # convex mixtures; else a convolution
    rows: bool  # row by row; else all cells of a map at once
    diagonal: bool = False  # mixtures begin with the student's heads at the same depth and place; else by chance
    control: Control = ""

    @property
    def reads(self) -> tuple[str, ...]:
        """As of `Term`."""
        is_trained = self.simplex and self.control != "frozen"
        return (*["mixture_temperature"] * is_trained, *["row_floor"] * self.rows)


PROFILES = {
    "masked": Profile(simplex=False, rows=False),
    "simplex": Profile(simplex=True, rows=True),
    "diagonal": Profile(simplex=True, rows=True, diagonal=True),
    "cells-simplex": Profile(simplex=True, rows=False),
    "rows-conv": Profile(simplex=False, rows=True),
}


def make_aligners(
    kinds: dict[str, float],
    student: ModelShape | TeacherShapes,
    teacher: TeacherShapes,
    generator: torch.Generator,
    temperature: float | None = None,
) -> nn.ModuleDict:
    """One aligner a kind: convex mixtures of that temperature; None: convolutions."""

    def make(kind: str) -> nn.Module:
        sizes = student.num_maps(kind), teacher.num_maps(kind)
        if temperature is None:
            return AttentionAlignment(*sizes, generator)
        return SimplexAlignment(*sizes, generator, temperature)

    return nn.ModuleDict({kind: make(kind) for kind in kinds})


class AlignedAttention(MapTerm):
    """Sum over kinds of D(teacher's maps, intermediate maps)."""

    noun = "aligner"

    def __init__(self, context: TermContext, profile: Profile):
        settings = context.settings
        super().__init__(context)
        self.profile = profile
        is_frozen = profile.control == "frozen"
        if profile.rows:
            self.row_floor = settings.row_floor
        temperature = (1.0 if is_frozen else settings.mixture_temperature) if profile.simplex else None
        own = context.student.shape
        self.aligners = make_aligners(self.kinds, own, context.teacher, context.generator, temperature)
        self.aligners.requires_grad_(not is_frozen)
        for kind, aligner in self.aligners.items():
            if profile.diagonal:
                aligner.start_at(torch.cat([diagonal_mixture(kind, own, shape) for shape in context.teacher.members]))
            elif is_frozen:
                aligner.scores.normal_(std=FROZEN_SPREAD, generator=context.generator)
            elif profile.rows and not profile.simplex:
                aligner.start_positive()

    @property
    def saved(self) -> nn.Module:
        return self.aligners

    def divergence(self, kind: str, maps: Maps) -> Tensor:
        target, cells, weights = maps.teacher, maps.cells, maps.row_weights
        if self.profile.control == "uniform":
            target = uniform_rows(cells).expand_as(target)
        elif self.profile.control == "shuffled":
            donors, has_donor = donors_of(cells)
            target = target[donors]
            weights = weights * has_donor[:, None]
        intermediate = self.aligners[kind](maps.student)
        if not self.profile.rows:
            return cell_divergence(target, intermediate, cells)
        if not self.profile.simplex:
            intermediate = as_rows(intermediate, cells)
        return row_divergence(target, intermediate, cells, weights, self.row_floor)


def aligned(profile: Profile) -> type[AlignedAttention]:
    """By a profile, a class of its own: what a method asks of a term before there are models stands on its class."""

    class OfProfile(AlignedAttention):
        reads = profile.reads
        can_be_cut = profile.control != "shuffled"  # donors are found among the sentences at hand

        def __init__(self, context: TermContext):
            super().__init__(context, profile)

    return OfProfile


def as_rows(maps: Tensor, cells: Tensor) -> Tensor:
    """The positive part of (B, C, Q, K), every row divided by its sum over the cells (B, Q, K).

    Distributions stay as they are.
    """
    positive = maps.clamp(min=0.0) * cells[:, None]
    return positive / positive.sum(-1, keepdim=True).clamp(min=1e-6)


def donors_of(cells: Tensor) -> tuple[Tensor, Tensor]:
    """For each sentence another one with the same cells (B, Q, K), in a circle.

    Indices (B,), and whether there is one (B,).
    """
    lengths = torch.stack([cells.any(2).sum(1), cells.any(1).sum(1)], 1)  # (B, 2): they fix the cells
    same = (lengths[:, None] == lengths).all(-1)  # (B, B)
    count, position = len(same), torch.arange(len(same), device=same.device)
    # How far ahead, around the circle, each of the same kind stands; itself stands farthest.
    ahead = (position[None, :] - position[:, None] - 1) % count
    donors = torch.where(same, ahead, count).argmin(1)
    return donors, donors != position
