"""Layer maps: which teacher layer each student layer learns from."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from a2d_cli.distillation.layer_map import layer_pairs

DEPTH = st.integers(1, 13)


def pairs(kind: str, num_student: int, num_teacher: int, seed: int = 1) -> tuple[int, ...]:
    return layer_pairs(kind, num_student, num_teacher, torch.Generator().manual_seed(seed))


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
    assert layer_pairs("random", 11, 7, generator) != layer_pairs("random", 11, 7, generator)


def test_an_unknown_map_is_our_own_mistake():
    with pytest.raises(ValueError, match="no layer map 'sideways'"):
        pairs("sideways", 2, 3)
