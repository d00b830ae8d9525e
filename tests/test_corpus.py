"""Ids on disk are the ids that were written; files that are not are refused."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from a2d_cli.config import schema
from a2d_cli.data import aligned_text as aligned_text_module
from a2d_cli.data import workers
from a2d_cli.data.aligned_text import AlignedText, TextStamp
from a2d_cli.data.corpus import ParallelCorpus, write_corpus
from a2d_cli.data.tokenizer import train_tokenizer
from a2d_cli.errors import A2DError

PAIRS = [(f"Satz {i} von {i * 7 % 101}", f"sentence {i}" * (i % 5)) for i in range(113)]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(PAIRS, len(PAIRS), schema.Tokenizer(vocab_size=64))


def write(folder, pairs, tokenizer):
    write_corpus(folder, "train", ("de", "en"), pairs, "digest", tokenizer)
    return ParallelCorpus.open(folder, "train", "de", "en")


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.lists(st.tuples(st.text("Satzvon ü0123", max_size=9), st.text("sent 7", max_size=9)), max_size=11))
def test_round_trip(tmp_path, tokenizer, pairs):
    corpus = write(tmp_path, iter(pairs), tokenizer)
    src, tgt = (
        tokenizer.encode_src([pair[0] for pair in pairs]),
        tokenizer.encode_tgt([pair[1] for pair in pairs]),
    )
    assert len(corpus) == len(pairs)
    assert [corpus.src(i).tolist() for i in range(len(pairs))] == src
    assert [corpus.tgt(i).tolist() for i in range(len(pairs))] == tgt
    assert corpus.src_lengths.tolist() == [len(ids) for ids in src]
    assert corpus.tgt_lengths.tolist() == [len(ids) for ids in tgt]
    assert corpus.src_lengths.dtype == np.int32
    assert corpus.index.src.num_unknown == sum(ids.count(tokenizer.unk) for ids in src)


def test_chunks_change_nothing(tmp_path, tokenizer, monkeypatch):
    whole = write(tmp_path / "whole", PAIRS, tokenizer)
    monkeypatch.setattr(workers, "CHUNK_PAIRS", 17)
    pieces = write(tmp_path / "pieces", PAIRS, tokenizer)
    files = sorted(path.name for path in (tmp_path / "whole").iterdir())
    assert len(files) == 5
    for name in files:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "pieces" / name).read_bytes()
    assert whole.fingerprint == pieces.fingerprint


def test_chunks_give_the_bytes_of_one_line_at_a_time(tmp_path, tokenizer, monkeypatch):
    monkeypatch.setattr(workers, "CHUNK_PAIRS", 7)
    write(tmp_path, iter(PAIRS), tokenizer)
    for lang, side, encode in (("de", 0, tokenizer.encode_src), ("en", 1, tokenizer.encode_tgt)):
        lines = [encode([pair[side]])[0] for pair in PAIRS]
        ids, lengths = [i for line in lines for i in line], [len(line) for line in lines]
        assert (tmp_path / f"train.{lang}.ids").read_bytes() == np.array(ids, dtype="<u2").tobytes()
        offsets = np.cumsum([0, *lengths], dtype="<i8")
        assert (tmp_path / f"train.{lang}.offsets").read_bytes() == offsets.tobytes()


@pytest.mark.parametrize("error", [KeyboardInterrupt, A2DError("the text was changed")])
def test_a_text_that_breaks_off_leaves_no_corpus(tmp_path, tokenizer, monkeypatch, error):
    def pairs():
        yield from PAIRS[:23]
        raise error

    monkeypatch.setattr(workers, "CHUNK_PAIRS", 7)
    write(tmp_path, PAIRS[:5], tokenizer)
    with pytest.raises(error if isinstance(error, type) else A2DError):
        write(tmp_path, pairs(), tokenizer)
    assert not (tmp_path / "train.ids.json").exists()
    assert not list(tmp_path.glob(".*.tmp"))


def test_what_goes_wrong_while_encoding_is_told(tmp_path, tokenizer, monkeypatch):
    def fail(lines):
        raise A2DError("no such line")

    monkeypatch.setattr(tokenizer, "encode_tgt", fail)
    with pytest.raises(A2DError, match="no such line"):
        write(tmp_path, PAIRS, tokenizer)
    assert list(tmp_path.iterdir()) == []


def test_ids_are_small_where_the_vocabulary_is(tmp_path, tokenizer):
    corpus = write(tmp_path, PAIRS, tokenizer)
    assert corpus.src(0).dtype == np.uint16
    index = json.loads((tmp_path / "train.ids.json").read_text())
    assert (tmp_path / "train.de.ids").stat().st_size == 2 * index["src"]["num_tokens"]


def test_a_large_vocabulary_takes_32_bits(tmp_path):
    class ManyPieces:
        src_vocab_size = tgt_vocab_size = 70_000
        fingerprint = "many"

        def encode_src(self, lines):
            return [[69_998, 2] for _ in lines]

        encode_tgt = encode_src

    assert write(tmp_path, [("a", "b")], ManyPieces()).src(0).tolist() == [69_998, 2]


def test_the_fingerprint_stands_for_text_and_vocabulary(tmp_path, tokenizer):
    other = train_tokenizer(PAIRS, len(PAIRS), schema.Tokenizer(vocab_size=56))
    first = write(tmp_path / "a", PAIRS, tokenizer).fingerprint
    assert first != write(tmp_path / "b", PAIRS, other).fingerprint
    write_corpus(tmp_path / "c", "train", ("de", "en"), PAIRS, "other", tokenizer)
    assert first != ParallelCorpus.open(tmp_path / "c", "train", "de", "en").fingerprint


def test_not_written_yet(tmp_path):
    with pytest.raises(A2DError, match=r"train\.ids\.json: no such file.*a2d prepare"):
        ParallelCorpus.open(tmp_path, "train", "de", "en")


@pytest.mark.parametrize("name", ["train.de.ids", "train.en.offsets"])
def test_a_file_cut_short_is_named(tmp_path, tokenizer, name):
    write(tmp_path, PAIRS, tokenizer)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[:-2])
    with pytest.raises(A2DError, match=rf"{name}: {len(data) - 2:,} bytes where {len(data):,} were written"):
        ParallelCorpus.open(tmp_path, "train", "de", "en")
    (tmp_path / name).unlink()
    with pytest.raises(A2DError, match=rf"{name}: 0 bytes"):
        ParallelCorpus.open(tmp_path, "train", "de", "en")


def test_a_newer_format_is_refused(tmp_path, tokenizer):
    write(tmp_path, PAIRS, tokenizer)
    path = tmp_path / "train.ids.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(A2DError, match="format 2 is newer"):
        ParallelCorpus.open(tmp_path, "train", "de", "en")
    path.write_text('{"format": 1, "num_pairs": 3}')
    with pytest.raises(A2DError, match="not a corpus index"):
        ParallelCorpus.open(tmp_path, "train", "de", "en")


# --- The text between the steps


def test_aligned_text_round_trip(tmp_path):
    text = AlignedText(tmp_path / "a.de", tmp_path / "a.en")
    pairs = [("ein Satz", "a sentence"), ("", "ü"), ("zwei", "")]
    stamp = text.write(iter(pairs))
    assert stamp.num_pairs == 3
    assert list(text.read(stamp)) == pairs
    assert (tmp_path / "a.en").read_bytes() == "a sentence\nü\n\n".encode()


@pytest.mark.parametrize("block_pairs", [1, 2, 113, 1000])
def test_aligned_text_is_the_same_in_blocks_of_any_size(tmp_path, monkeypatch, block_pairs):
    monkeypatch.setattr(aligned_text_module, "_BLOCK_PAIRS", block_pairs)
    text = AlignedText(tmp_path / "a.de", tmp_path / "a.en")
    stamp = text.write(iter(PAIRS))
    digest = hashlib.sha256()
    for src, tgt in PAIRS:
        digest.update(f"{src}\n{tgt}\n".encode())
    assert stamp == TextStamp(len(PAIRS), digest.hexdigest()[:16])
    assert text.src.read_bytes() == "".join(f"{src}\n" for src, _ in PAIRS).encode()
    assert text.tgt.read_bytes() == "".join(f"{tgt}\n" for _, tgt in PAIRS).encode()
    assert list(text.read(stamp)) == PAIRS


@pytest.mark.parametrize("changed", ["ein Satz\n", "ein Satz\nzwei\ndrei\n", "ein Satz\nvier\n", b"ein Satz\n\xff\n"])
def test_aligned_text_that_was_changed_is_refused(tmp_path, changed):
    text = AlignedText(tmp_path / "a.de", tmp_path / "a.en")
    stamp = text.write([("ein Satz", "a sentence"), ("zwei", "two")])
    text.src.write_bytes(changed if isinstance(changed, bytes) else changed.encode())
    with pytest.raises(A2DError, match=r"a\.de and a\.en are not as 'a2d prepare' wrote them"):
        list(text.read(stamp))


def test_aligned_text_that_is_missing(tmp_path):
    with pytest.raises(A2DError, match=r"a\.de: no such file"):
        list(AlignedText(tmp_path / "a.de", tmp_path / "a.en").read(TextStamp(1, "")))


def test_an_interrupted_write_leaves_nothing(tmp_path):
    def pairs():
        yield "a", "b"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        AlignedText(tmp_path / "a.de", tmp_path / "a.en").write(pairs())
    assert list(tmp_path.iterdir()) == []
