"""Who teaches: a callable that gives logits and maps for a batch, without gradient and never part of any state dict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from a2d_cli.config.schema import ModelShape
from a2d_cli.data.batching import Batch
from a2d_cli.model.attention import PLAIN, AttentionMaps, MapForm
from a2d_cli.model.transformer import HiddenStates, Transformer, Vocabularies
from a2d_cli.project.checkpoint import load_weights, weights_of


@dataclass(frozen=True)
class TeacherOutput:
    """What a teacher says of the N positions asked for.

    Its logits are made where they are wanted, a few rows at a time: all of them at once would be the largest tensor
    of a training step.
    """

    logits: Callable[[slice], Tensor]  # rows of the N -> (n, V), without gradient, for the caller to keep or overwrite
    maps: AttentionMaps | None
    hidden: HiddenStates | None = None


@dataclass(frozen=True)
class TeacherShapes:
    """Of one model, or of the members of an ensemble in the order of their maps: known before a teacher is asked."""

    members: tuple[ModelShape, ...]

    @property
    def shape(self) -> ModelShape:
        """Of a teacher that is one model."""
        assert len(self.members) == 1, (
            "several teachers have no shape in common: a term that asks for it says one_teacher = True"
        )
        return self.members[0]

    def num_maps(self, kind: str) -> int:
        """Of all members together."""
        return sum(shape.num_maps(kind) for shape in self.members)


def keep_rows(model: Transformer, src_rows: list[int], tgt_rows: list[int]) -> Transformer:
    """The model over some pieces of its vocabulary, in the order of `rows`; padding stands last in them.

    What it says of these words is what the whole model says, renormalised over them.
    """
    weights = weights_of(model)
    weights["tgt_embedding.weight"] = weights["tgt_embedding.weight"][tgt_rows]
    if not model.vocabularies.joint:
        weights["src_embedding.weight"] = weights["src_embedding.weight"][src_rows]
    if model.output_bias is not None:
        weights["output_bias"] = weights["output_bias"][tgt_rows[:-1]]
    cut = Transformer(model.shape, Vocabularies(len(src_rows), len(tgt_rows), model.vocabularies.joint))
    load_weights(cut, weights, "a teacher's rows")
    return cut.eval()


class Teacher:
    """A trained Transformer, frozen, in evaluation mode.

    Args:
        form: of its maps.
    """

    way = "live"  # how it answers, as run.json has it

    def __init__(self, model: Transformer, form: MapForm = PLAIN):
        self.model, self.form = model.eval().requires_grad_(False), form

    @property
    def shapes(self) -> TeacherShapes:
        return TeacherShapes((self.model.shape,))

    @torch.no_grad()
    def __call__(
        self, batch: Batch, need_maps: bool, need_hidden: bool = False, padding_too: bool = False
    ) -> TeacherOutput:
        """Logits at the N real target positions and, if wanted, all maps and layers' states.

        Args:
            padding_too: logits at all B·T positions instead.
        """
        output = self.model(batch.src, batch.tgt_in, need_maps, need_hidden, self.form)
        states = output.states.flatten(0, 1) if padding_too else batch.real(output.states)  # (N, d)

        @torch.no_grad()
        def logits(rows: slice) -> Tensor:
            return self.model.logits(states[rows])

        return TeacherOutput(logits, output.maps, output.hidden)
