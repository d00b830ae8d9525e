"""The alignment head: the one that links as the teacher does, whatever the batches and vocabularies."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import EOS, JOINT, SHAPE, SIZE, quick, sentences, special_ids, tiny_model
from torch import Tensor

from a2d_cli.config.schema import ModelShape
from a2d_cli.data.batching import pad_batch
from a2d_cli.distillation.teachers import keep_rows
from a2d_cli.errors import A2DError
from a2d_cli.export.alignment_head import AlignmentHead, Reader, choose_alignment_head

STUDENT, TEACHER = tiny_model(), tiny_model(replace(SHAPE, d_model=14, num_heads=2, decoder_layers=3), seed=5)
IDS = special_ids()
LENGTHS = [(5, 3), (2, 7), (11, 1), (3, 5), (7, 2)]


def text(lengths=LENGTHS, seed: int = 3) -> list[tuple[list[int], list[int]]]:
    sources = sentences([src for src, _ in lengths], SIZE, seed)
    targets = sentences([tgt for _, tgt in lengths], SIZE, seed + 1)
    return [(src.tolist(), tgt.tolist()) for src, tgt in zip(sources, targets, strict=True)]


def choose(student, teachers, pairs, batch_sentences: int = 16) -> AlignmentHead:
    readers = [Reader(model, pairs, IDS) for model in (student, *teachers)]
    return choose_alignment_head(readers[0], readers[1:], batch_sentences=batch_sentences)


class Looking:
    """A model whose head looks at the source position that `where` says; `strength` of its mass, the rest evenly."""

    def __init__(self, layers: int, heads: int, where, strength=lambda layer, head: 0.9):
        self.shape = ModelShape(decoder_layers=layers, num_heads=heads, max_positions=41)
        self.positions = torch.empty(0)
        self.where, self.strength = where, strength

    def __call__(self, src: Tensor, tgt_in: Tensor, need_maps: bool) -> SimpleNamespace:
        assert need_maps
        rows, length, width = src.shape[0], tgt_in.shape[1], src.shape[1]
        cross = torch.zeros(rows, self.shape.num_maps("cross"), length, width)
        for row in range(rows):
            words = int(((src[row] != IDS.src_pad) & (src[row] != EOS)).sum())
            for index in range(self.shape.num_maps("cross")):
                layer, head = divmod(index, self.shape.num_heads)
                for t in range(length):
                    cross[row, index, t] = (1 - self.strength(layer, head)) / width
                    cross[row, index, t, self.where(layer, head, t, words)] += self.strength(layer, head)
        return SimpleNamespace(maps=SimpleNamespace(cross=cross))


def turning(layer: int, head: int, t: int, words: int) -> int:
    """Every head turned by another number of words."""
    return (t + 3 * layer + head) % words


@given(st.integers(0, 2), st.integers(0, 2), st.integers(1, 4))
@quick
def test_the_head_that_links_as_the_teacher_is_found(layer, head, teacher_layers):
    """In the middle layer of the teacher, or what stands for it."""
    turns = 3 * layer + head
    read = max(0, teacher_layers - 2)
    teacher = Looking(teacher_layers, 2, lambda at, h, t, words: (t + turns * (at == read)) % words)
    student = Looking(3, 3, turning)
    pairs = text([(11, 7), (13, 5)])
    assert choose(student, [teacher], pairs) == AlignmentHead(layer, head, 1.0)


def test_the_teachers_heads_vote_with_their_mass():
    teacher = Looking(1, 3, lambda _, head, t, words: (t + head) % words, lambda _, head: (0.2, 0.3, 0.7)[head])
    assert choose(Looking(1, 5, turning), [teacher], text([(11, 7)])).head == 2


def test_the_members_of_an_ensemble_vote_with_the_mass_of_their_mean_however_many_heads_each_has():
    def member(heads: int, turned: int, strength: float) -> Looking:
        return Looking(1, heads, lambda layer, head, t, words: (t + turned) % words, lambda layer, head: strength)

    members = [member(7, 0, 0.5), member(1, 1, 0.4), member(2, 1, 0.3)]
    pairs = text([(11, 7)])
    for order in (members, members[::-1]):
        assert choose(Looking(1, 5, turning), order, pairs).head == 1
    assert [choose(Looking(1, 5, turning), [each], pairs).head for each in members] == [0, 1, 1]
    assert choose(STUDENT, [TEACHER] * 3, text()) == choose(STUDENT, [TEACHER], text())


def test_without_a_teacher_the_models_own_mean_is_the_reference():
    model = Looking(2, 3, lambda layer, head, t, words: (t + (head == 1)) % words if layer == 0 else 0)
    assert choose(model, [], text([(11, 7), (5, 3)])) == AlignmentHead(0, 0, 1.0)


def test_the_end_mark_and_padding_are_no_words_to_look_at():
    """Heads that rest on them are read by what they look at else."""
    teacher = Looking(1, 1, lambda _, head, t, words: t % words)

    class Resting(Looking):
        def __call__(self, src, tgt_in, need_maps):
            output = super().__call__(src, tgt_in, need_maps)
            silent = (src == IDS.src_pad) | (src == EOS)
            output.maps.cross.add_(silent[:, None, None] * 7.0)
            return output

    found = choose(Resting(1, 2, turning), [teacher], text())
    assert found == AlignmentHead(0, 0, 1.0)


def test_agreement_is_the_share_of_target_words():
    """Of 3 + 7 target words the second head links the last three of the longer sentence otherwise; the first, four."""
    teacher = Looking(1, 1, lambda _, head, t, words: 0)
    student = Looking(1, 2, lambda _, head, t, words: int(t >= (3, 4)[head]))
    found = choose(student, [teacher], text([(5, 3), (2, 7)]))
    assert found == AlignmentHead(0, 1, pytest.approx(0.7))


def by_hand(student, teacher, pairs) -> AlignmentHead:
    """Sentence by sentence, in plain loops."""
    equal, tokens = [0] * student.shape.num_maps("cross"), 0
    for src, tgt in pairs:
        batch = pad_batch([src], [tgt], IDS)
        own, maps = (model(batch.src, batch.tgt_in, True).maps.cross[0] for model in (student, teacher))
        layer = teacher.shape.decoder_layers - 2
        mean = maps.unflatten(0, (-1, teacher.shape.num_heads))[layer].mean(0)
        for t in range(len(tgt)):
            expected = int(mean[t, : len(src)].argmax())
            for index in range(len(equal)):
                equal[index] += int(own[index, t, : len(src)].argmax()) == expected
        tokens += len(tgt)
    best = max(range(len(equal)), key=equal.__getitem__)
    return AlignmentHead(*divmod(best, student.shape.num_heads), equal[best] / tokens)


@given(st.integers(0, 10**6), st.integers(1, 7))
@quick
def test_batches_and_their_padding_change_nothing(seed, batch_sentences):
    pairs = text(seed=seed)
    found = choose(STUDENT, [TEACHER], pairs, batch_sentences)
    assert found == by_hand(STUDENT, TEACHER, pairs)


def test_a_teacher_of_another_vocabulary_reads_its_own_ids():
    """Its rows in another order: the same teacher of the same words."""
    order = [EOS, *reversed(range(1, SIZE - 1)), SIZE - 1]
    mixed = keep_rows(TEACHER, order, order)
    pairs = text()
    theirs = [tuple([order.index(i) for i in side] for side in pair) for pair in pairs]
    found = choose_alignment_head(Reader(STUDENT, pairs, IDS), [Reader(mixed, theirs, special_ids(JOINT))])
    assert found == choose(STUDENT, [TEACHER], pairs)


def test_pairs_without_words_or_too_long_for_a_model_are_left_out():
    whole = choose(STUDENT, [TEACHER], text())
    more = [([], [3]), *text(), ([5], []), ([5] * SHAPE.max_positions, [7])]
    assert choose(STUDENT, [TEACHER], more) == whole


def test_no_pair_at_all_is_told():
    with pytest.raises(A2DError, match="no validation pair has words on both sides"):
        choose(STUDENT, [TEACHER], [([], [3])])
