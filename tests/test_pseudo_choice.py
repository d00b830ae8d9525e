"""From n-best translations to training pairs: which one, what stands in for a broken one, how many pairs that makes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from listener import Listener
from sacrebleu.metrics import CHRF
from small_tokenizers import PAIRS, small_tokenizer
from test_prepare_workers import ONE_BY_ONE, Sharing
from test_pseudo_corpus import Spelling, fill
from tiny import quick

from a2d_cli.config.schema import Decoding
from a2d_cli.data.aligned_text import AlignedText
from a2d_cli.data.corpus import ParallelCorpus, write_corpus
from a2d_cli.decoding.translator import Translation
from a2d_cli.distillation.pseudo_choice import TeacherText, choose
from a2d_cli.distillation.pseudo_corpus import Candidate, PseudoCorpus, PseudoOrigin
from a2d_cli.distillation.pseudo_text import Encoding

REFERENCE = "A dog runs through the snow."
N_BEST = [
    Candidate("The hound is running in snow.", -0.3, "whole"),
    Candidate("A dog runs through the", -0.4, "cut"),
    Candidate("A dog is running through the snow.", -0.5, "whole"),
    Candidate("A dog in the snow.", -0.6, "whole"),
]


def test_the_closest_is_the_one_with_the_most_of_the_references_characters():
    # Sentence chrF, n-grams of 1 to 6: of the whole ones the third shares "A dog", "run", "through the snow.".
    assert choose(N_BEST, REFERENCE, "closest") == "A dog is running through the snow."
    assert choose(N_BEST, REFERENCE, "best") == "The hound is running in snow."
    assert choose(N_BEST[:2], REFERENCE, "closest") == "The hound is running in snow."  # the only whole one
    assert choose([*N_BEST, Candidate(REFERENCE, -9.0, "whole")], REFERENCE, "closest") == REFERENCE


@pytest.mark.parametrize("texts", [("bb", "cc"), ("cc", "bb"), ("a bb", "a cc", "dd")])
def test_of_equally_close_ones_the_likeliest_is_taken(texts: tuple[str, ...]):
    n_best = [Candidate(text, -0.1 * number, "whole") for number, text in enumerate(texts)]
    assert choose(n_best, "a ee", "closest") == texts[0]


def test_where_none_is_whole_none_is_chosen():
    assert choose(N_BEST[1:2], REFERENCE, "closest") is None
    assert choose(N_BEST[1:], REFERENCE, "best") is None  # the best is not whole, and no other is the best


WORDS = st.lists(st.sampled_from(["ba", "be", "bi", "bo", "bu", "ab"]), min_size=1, max_size=7).map(" ".join)


@given(st.lists(WORDS, min_size=1, max_size=5), WORDS)
@quick
def test_no_whole_translation_is_closer_than_the_closest(texts, reference):
    chosen = choose([Candidate(text, -1.0, "whole") for text in texts], reference, "closest")
    scores = [CHRF().sentence_score(text, [reference]).score for text in texts]
    assert chosen == texts[scores.index(max(scores))]  # of equals the likeliest


# --- the pairs

TEXT = [(src, tgt) for src, tgt in PAIRS[:17] if src and tgt]
LANGUAGES = ("de", "en")


def teacher_text(
    folder: Path, translations: dict[str, Translation], nbest: int = 1, choice: str = "best", both: bool = False
) -> TeacherText:
    text = AlignedText(folder / "train.de", folder / "train.en")
    origin = PseudoOrigin("0123456789abcdef", text.write(TEXT), "float32", Decoding())
    corpus = PseudoCorpus(folder / "pseudo", origin, text, nbest, nbest)
    return TeacherText(corpus, choice, both, lambda: fill(corpus, Spelling(nbest, translations=translations)))


def encoded(
    folder: Path, taught: TeacherText, held_out: dict | None = None
) -> tuple[list[tuple[list[int], list[int]]], dict[str, int]]:
    encoding = Encoding(folder / "ids", LANGUAGES, held_out or {"valid": []}, small_tokenizer("separate"))
    counts = taught.encode(encoding, Listener())
    return ids_of(ParallelCorpus.open(folder / "ids", "train", *LANGUAGES)), counts


def ids_of(corpus: ParallelCorpus) -> list[tuple[list[int], list[int]]]:
    return [(corpus.src(i).tolist(), corpus.tgt(i).tolist()) for i in range(len(corpus))]


def ids_of_pairs(pairs: list[tuple[str, str]]) -> list[tuple[list[int], list[int]]]:
    tokenizer = small_tokenizer("separate")
    sources, targets = zip(*pairs, strict=True)
    return [*zip(tokenizer.encode_src(list(sources)), tokenizer.encode_tgt(list(targets)), strict=True)]


PERFECT = {src: Translation(tgt, -0.1) for src, tgt in TEXT}
BROKEN = {TEXT[2][0]: Translation("", 0.0), TEXT[5][0]: Translation("bu " * 9, -1.0)}


def test_a_perfect_teacher_teaches_what_the_references_teach(tmp_path: Path):
    stamp = "0" * 16
    write_corpus(tmp_path / "data", "train", LANGUAGES, TEXT, stamp, small_tokenizer("separate"))
    references = ids_of(ParallelCorpus.open(tmp_path / "data", "train", *LANGUAGES))
    ids, counts = encoded(tmp_path, teacher_text(tmp_path, PERFECT))
    assert ids == references == ids_of_pairs(TEXT)
    assert counts == {"read": 17, "kept": 17, "in the reference's very words": 17}


def test_each_source_has_its_teachers_translation(tmp_path: Path):
    ids, counts = encoded(tmp_path, teacher_text(tmp_path, {}))
    assert ids == ids_of_pairs([(src, src[::-1]) for src, _ in TEXT])
    assert counts == {"read": 17, "kept": 17, "in the teacher's words": 17}


def test_the_reference_stands_in_for_what_is_not_whole(tmp_path: Path):
    ids, counts = encoded(tmp_path, teacher_text(tmp_path, BROKEN))
    assert ids == ids_of_pairs([(src, tgt if src in BROKEN else src[::-1]) for src, tgt in TEXT])
    assert counts == {"read": 17, "kept": 17, "in the teacher's words": 15, "not whole: empty": 1, "not whole: loop": 1}


def test_beside_the_references_each_source_stands_twice_but_for_those_without_a_whole_translation(tmp_path: Path):
    ids, counts = encoded(tmp_path, teacher_text(tmp_path, BROKEN, both=True))
    assert counts["kept"] == 2 * 15 + 2
    pairs = [pair for src, tgt in TEXT for pair in ([] if src in BROKEN else [(src, src[::-1])]) + [(src, tgt)]]
    assert ids == ids_of_pairs(pairs)


def test_the_closest_of_the_first_n_is_taken(tmp_path: Path):
    src = TEXT[3][0]
    far = {src: Translation("zzzz", -0.1)}
    ids, _ = encoded(tmp_path, teacher_text(tmp_path, far, nbest=2, choice="closest"))
    assert ids[3] == ids_of_pairs([(src, f"{src[::-1]} 1")])[0]


def test_no_translation_of_a_held_out_sentence_is_learned(tmp_path: Path):
    held_out = {"valid": [("sa", TEXT[4][0][::-1].upper())], "test": [("se", TEXT[7][0][::-1]), ("si", "so")]}
    ids, counts = encoded(tmp_path, teacher_text(tmp_path, {}), held_out)
    assert ids == ids_of_pairs([(src, src[::-1]) for i, (src, _) in enumerate(TEXT) if i not in (4, 7)])
    assert counts == {"read": 17, "kept": 15, "valid": 1, "test": 1, "in the teacher's words": 17}


def test_the_texts_digest_tells_translations_apart(tmp_path: Path):
    digests = set()
    for name, translations, options in (
        ("own", {}, {}),
        ("broken", BROKEN, {}),
        ("both", {}, {"both": True}),
        ("closest", {}, {"choice": "closest", "nbest": 2}),
    ):
        folder = tmp_path / name
        folder.mkdir()
        encoded(folder, teacher_text(folder, translations, **options))
        digests.add(ParallelCorpus.open(folder / "ids", "train", *LANGUAGES).index.text_digest)
    assert len(digests) == 4


def test_the_texts_digest_tells_references_apart_where_they_stand_in_it(tmp_path: Path):
    for choice, both, num_digests in (("best", False, 1), ("best", True, 2), ("closest", False, 2)):
        digests = set()
        for number in range(2):
            folder = tmp_path / f"{choice}{both}{number}"
            folder.mkdir()
            text = teacher_text(folder, {}, choice=choice, both=both)
            origin = replace(text.corpus.origin, text=replace(text.corpus.origin.text, digest=f"other{number}"))
            corpus = PseudoCorpus(text.corpus.folder, origin, text.corpus.text, 2, 1)
            digests.add(replace(text, corpus=corpus, fill=lambda: None).digest())
        assert len(digests) == num_digests


def test_it_is_told_how_many_translations_were_replaced(tmp_path: Path):
    listener = Listener()
    encoding = Encoding(tmp_path / "ids", LANGUAGES, {"valid": []}, small_tokenizer("separate"))
    teacher_text(tmp_path, {**PERFECT, **BROKEN}).encode(encoding, listener)
    assert listener.lines[-1] == (
        f"{tmp_path}/pseudo: 17 sentences; 15 translations are the reference's very words; "
        "for 2 that are not whole the reference stands in"
    )


def test_a_broken_shard_is_never_encoded(tmp_path: Path):
    taught = teacher_text(tmp_path, {})
    encoded(tmp_path, taught)
    (tmp_path / "pseudo/00000.tsv.gz").write_bytes(b"")
    np.testing.assert_equal(encoded(tmp_path, taught)[0], ids_of_pairs([(src, src[::-1]) for src, _ in TEXT]))


@pytest.mark.parametrize("choice", ["best", "closest"])
def test_what_decides_the_text_is_known_before_it_is_made(tmp_path: Path, choice: str):
    taught = teacher_text(tmp_path, {}, nbest=2, choice=choice, both=True)
    facts = taught.facts()
    encoded(tmp_path, taught)
    assert taught.facts() == facts
    assert {key: facts[key] for key in ("quantization", "choice", "nbest", "with_references")} == {
        "quantization": "float32",
        "choice": choice,
        "nbest": 2,
        "with_references": True,
    }


@pytest.mark.parametrize("choice", ["best", "closest"])
def test_the_choice_is_the_same_on_several_cores(tmp_path: Path, choice: str):
    alone, shared = (
        encoded_in(tmp_path / name, sharing, choice)
        for name, sharing in (("alone", ONE_BY_ONE), ("shared", Sharing(cores=3, chunk_pairs=2, alone_pairs=5)))
    )
    assert alone == shared and alone[1]["kept"] == len(TEXT)


def encoded_in(folder: Path, sharing: Sharing, choice: str):
    folder.mkdir()
    with sharing.in_threads():
        return encoded(folder, teacher_text(folder, PERFECT | BROKEN, nbest=3, choice=choice))
