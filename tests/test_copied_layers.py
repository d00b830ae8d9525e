"""Students that start from layers of their teacher."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import JOINT, SEPARATE, SHAPE, quick, random_batch, tiny_model

from a2d_cli.config.schema import Distillation
from a2d_cli.distillation.copied_layers import check_copying, copy_layers, spaced_layers
from a2d_cli.distillation.methods import parse_method
from a2d_cli.errors import ConfigError
from a2d_cli.model.transformer import Vocabularies

DEEP = replace(SHAPE, encoder_layers=5, decoder_layers=7)


@given(st.integers(1, 12), st.integers(0, 12))
@quick
def test_layers_are_spaced_evenly_from_the_first_to_the_last(num_student: int, more: int):
    chosen, num_teacher = spaced_layers(num_student, num_student + more), num_student + more
    assert chosen[0] == 0 and (num_student == 1 or chosen[-1] == num_teacher - 1)
    gaps = {after - before for before, after in pairwise(chosen)}
    assert not gaps or (min(gaps) >= 1 and max(gaps) - min(gaps) <= 1)


@pytest.mark.parametrize(
    ("num_student", "num_teacher", "chosen"),
    [(1, 6, (0,)), (2, 6, (0, 5)), (3, 6, (0, 2, 5)), (3, 7, (0, 3, 6)), (4, 4, (0, 1, 2, 3))],
)
def test_layers_by_hand(num_student: int, num_teacher: int, chosen: tuple[int, ...]):
    assert spaced_layers(num_student, num_teacher) == chosen


@pytest.mark.parametrize("norm", ["post", "pre"])
@pytest.mark.parametrize("vocabularies", [JOINT, SEPARATE])
def test_a_student_of_equal_depth_becomes_its_teacher(norm: str, vocabularies: Vocabularies):
    shape = replace(SHAPE, norm=norm, output_bias=True)
    student, teacher = (tiny_model(shape, vocabularies, seed) for seed in (1, 7))
    copy_layers(student, teacher, same_pieces=True)
    batch = random_batch(vocabularies=vocabularies)
    said = [model.logits(model(batch.src, batch.tgt_in).states) for model in (student, teacher)]
    torch.testing.assert_close(*said)


def test_the_chosen_layers_are_copied_and_no_weight_is_shared():
    student, teacher = tiny_model(), tiny_model(DEEP, seed=7)
    copy_layers(student, teacher, same_pieces=True)
    for side, chosen in (("encoder_layers", (0, 2, 4)), ("decoder_layers", (0, 6))):
        for layer, source in zip(getattr(student, side), chosen, strict=True):
            for own, given_ in zip(layer.parameters(), getattr(teacher, side)[source].parameters(), strict=True):
                assert torch.equal(own, given_) and own.data_ptr() != given_.data_ptr()
    assert torch.equal(student.tgt_embedding.weight, teacher.tgt_embedding.weight)
    assert all(parameter.requires_grad for parameter in student.parameters())


def test_other_pieces_keep_their_own_embeddings():
    student, teacher = tiny_model(), tiny_model(DEEP, Vocabularies(31, 31), seed=7)
    before = student.tgt_embedding.weight.clone()
    copy_layers(student, teacher, same_pieces=False)
    assert torch.equal(student.tgt_embedding.weight, before)
    assert torch.equal(
        student.encoder_layers[2].feed_forward.fc1.weight, teacher.encoder_layers[4].feed_forward.fc1.weight
    )


@pytest.mark.parametrize(
    ("key", "own", "given_"),
    [
        ("d_model", 20, 10),
        ("num_heads", 1, 5),
        ("ffn_dim", 17, 13),
        ("norm", "pre", "post"),
        ("activation", "gelu", "relu"),
    ],
)
def test_what_must_be_equal_is_told_with_both_values(key: str, own: object, given_: object):
    with pytest.raises(ConfigError) as caught:
        check_copying(replace(SHAPE, **{key: own}), DEEP)
    assert caught.value.message == f"copy-layers: the student's {key} is {own}, the teacher's {given_}"
    told = f"its layers are some of the teacher's: add --student {key}={given_}, or leave copy-layers out"
    assert caught.value.hint == told


def test_a_student_deeper_than_its_teacher_is_refused():
    check_copying(SHAPE, DEEP)
    with pytest.raises(ConfigError) as caught:
        check_copying(replace(SHAPE, decoder_layers=8), DEEP)
    assert caught.value.message == "copy-layers: the student's decoder_layers is 8, the teacher's 7"
    assert "add --student decoder_layers=7," in caught.value.hint


def test_all_that_must_change_is_told_at_once():
    with pytest.raises(ConfigError) as caught:
        check_copying(replace(SHAPE, d_model=20, num_heads=2, decoder_layers=8), DEEP)
    assert "add --student d_model=10,num_heads=5,decoder_layers=7," in caught.value.hint


@pytest.mark.parametrize(
    ("method", "name", "asks"),
    [
        ("copy-layers", "ce+copy-layers", False),
        ("ce+copy-layers", "ce+copy-layers", False),
        ("copy-layers+word", "word+copy-layers", True),
        ("a2d+copy-layers", "a2d-diagonal+copy-layers", True),
        ("seq+copy-layers", "seq+copy-layers", False),
        ("copy-layers+ce+hidden", "ce+hidden+copy-layers", True),
        ("a2d-release+copy-layers", "a2d-release+copy-layers", True),
    ],
)
def test_copying_is_part_of_a_methods_name_and_no_term(method: str, name: str, asks: bool):
    parsed = parse_method(Distillation(method=method))
    assert (parsed.name, parsed.asks_teacher) == (name, asks)
    assert parsed.copies_layers and parsed.needs_teacher and "copy-layers" not in parsed.terms
    assert parse_method(Distillation(method=name)) == parsed
