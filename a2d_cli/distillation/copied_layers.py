"""A student that starts from its teacher's weights: evenly spaced layers, and embeddings if both have the same pieces.

After Shleifer & Rush (2020), whose layers are chosen by hand for each depth; here the last copied layer is the
teacher's last, unless it is the only one.
"""

from __future__ import annotations

import torch
from torch import nn

from a2d_cli.config.schema import ModelShape
from a2d_cli.errors import ConfigError
from a2d_cli.model.transformer import Transformer

EQUAL = ("d_model", "num_heads", "ffn_dim", "norm", "activation")  # without these a layer is another function


def spaced_layers(num_student: int, num_teacher: int) -> tuple[int, ...]:
    """The teacher layers that become a student's, from 0: first, last, and others evenly between; alone, the first."""
    return tuple(round(layer * (num_teacher - 1) / max(num_student - 1, 1)) for layer in range(num_student))


def check_copying(student: ModelShape, teacher: ModelShape) -> None:
    """Raises ConfigError: the student cannot hold the teacher's layers (names all values that must change)."""
    unlike = [key for key in EQUAL if getattr(student, key) != getattr(teacher, key)]
    depths = ("encoder_layers", "decoder_layers")
    unlike += [key for key in depths if getattr(student, key) > getattr(teacher, key)]
    if unlike:
        told = ", ".join(f"{key} is {getattr(student, key)}, the teacher's {getattr(teacher, key)}" for key in unlike)
        changes = ",".join(f"{key}={getattr(teacher, key)}" for key in unlike)
        raise ConfigError(
            f"copy-layers: the student's {told}",
            f"its layers are some of the teacher's: add --student {changes}, or leave copy-layers out",
        )


@torch.no_grad()
def copy_layers(student: Transformer, teacher: Transformer, same_pieces: bool) -> None:
    """Overwrite the student's weights.

    Args:
        same_pieces: the rows of both vocabularies mean the same: embeddings and, where both have one, the output bias
            go along.
    """
    for side in ("encoder", "decoder"):
        own, given = (getattr(model, f"{side}_layers") for model in (student, teacher))
        for layer, source in zip(own, spaced_layers(len(own), len(given)), strict=True):
            _copy(layer, given[source])
        _copy(getattr(student, f"{side}_norm"), getattr(teacher, f"{side}_norm"))
    if same_pieces:
        _copy(student.src_embedding, teacher.src_embedding)
        _copy(student.tgt_embedding, teacher.tgt_embedding)
        if student.output_bias is not None and teacher.output_bias is not None:
            student.output_bias.copy_(teacher.output_bias)


def _copy(into: nn.Module, source: nn.Module) -> None:
    for own, given in zip(into.parameters(), source.parameters(), strict=True):
        own.copy_(given)
