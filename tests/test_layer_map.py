"""Layer maps: which teacher layer each student layer learns from."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from a2d_cli.config.schema import ModelShape
from a2d_cli.distillation.layer_map import layer_pairs

DEPTH = st.integers(1, 13)


def pairs(kind: str, num_student: int, num_teacher: int, seed: int = 1) -> tuple[int, ...]:
    """The decoder's, beside encoders of other depths."""
    student = ModelShape(encoder_layers=2, decoder_layers=num_student)
    teacher = ModelShape(encoder_layers=4, decoder_layers=num_teacher)
    return layer_pairs(kind, student, teacher, torch.Generator().manual_seed(seed))["decoder"]


@given(st.sampled_from(["forward", "reverse", "all-to-one", "random"]), DEPTH, DEPTH, st.integers(0, 99))
def test_every_student_layer_has_a_teacher_layer_and_the_seed_says_which(kind, num_student, num_teacher, seed):
    found = pairs(kind, num_student, num_teacher, seed)
    assert len(found) == num_student and set(found) <= set(range(num_teacher))
    assert pairs(kind, num_student, num_teacher, seed) == found


@given(DEPTH, DEPTH)
def test_forward_is_in_order_and_even_and_ends_with_the_last(num_student, num_teacher):
    found = pairs("forward", num_student, num_teacher)
    assert found[-1] == num_teacher - 1
    steps = [later - earlier for earlier, later in pairwise((-1, *found))]
    assert min(steps) >= 0 and max(steps) - min(steps) <= 1
    assert pairs("reverse", num_student, num_teacher) == found[::-1]


@pytest.mark.parametrize(
    ("kind", "num_student", "num_teacher", "expected"),
    [
        ("forward", 2, 6, (2, 5)),
        ("forward", 3, 3, (0, 1, 2)),
        ("forward", 3, 2, (0, 1, 1)),
        ("forward", 1, 5, (4,)),
        ("reverse", 2, 6, (5, 2)),
        ("all-to-one", 3, 5, (4, 4, 4)),
    ],
)
def test_layer_maps_by_hand(kind, num_student, num_teacher, expected):
    assert pairs(kind, num_student, num_teacher) == expected


def test_random_draws_new_layers_with_another_seed_and_for_the_next_who_asks():
    assert len({pairs("random", 5, 7, seed) for seed in range(9)}) > 5
    generator = torch.Generator().manual_seed(1)
    shapes = (ModelShape(encoder_layers=layers, decoder_layers=layers) for layers in (11, 7))
    found = layer_pairs("random", *shapes, generator)
    assert found["encoder"] != found["decoder"]


def test_each_side_is_paired_by_its_own_depths():
    student, teacher = ModelShape(encoder_layers=3, decoder_layers=1), ModelShape(encoder_layers=6, decoder_layers=2)
    found = layer_pairs("forward", student, teacher, torch.Generator())
    assert found == {"encoder": (1, 3, 5), "decoder": (1,)}


def test_an_unknown_map_is_our_own_mistake():
    with pytest.raises(ValueError, match="no layer map 'sideways'"):
        pairs("sideways", 2, 3)
