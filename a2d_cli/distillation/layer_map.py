"""Which teacher layer each student layer learns from, if layers are matched one to one, not by a trained alignment."""

from __future__ import annotations

import torch

from a2d_cli.config.schema import ModelShape


def layer_pairs(
    kind: str, student: ModelShape, teacher: ModelShape, generator: torch.Generator
) -> dict[str, tuple[int, ...]]:
    """`encoder` and `decoder`: for each student layer its teacher layer, both from 0.

    Args:
        kind: forward: the last teacher layer of as many even parts as the student has layers (2 of 6: third and last;
            3 of 2: first, second, second); reverse: the same backwards; all-to-one: the last; random: each drawn by
            itself.
        generator: what random draws from. Terms ask before they draw anything else: so all terms of a run pair the same
            layers.
    """
    return {
        "encoder": _side_pairs(kind, student.encoder_layers, teacher.encoder_layers, generator),
        "decoder": _side_pairs(kind, student.decoder_layers, teacher.decoder_layers, generator),
    }


def _side_pairs(kind: str, num_student: int, num_teacher: int, generator: torch.Generator) -> tuple[int, ...]:
    if kind == "all-to-one":
        return (num_teacher - 1,) * num_student
    if kind == "random":
        return tuple(torch.randint(num_teacher, (num_student,), generator=generator).tolist())
    forward = tuple(-(-layer * num_teacher // num_student) - 1 for layer in range(1, num_student + 1))
    if kind == "forward":
        return forward
    if kind == "reverse":
        return forward[::-1]
    raise ValueError(f"no layer map '{kind}'")
