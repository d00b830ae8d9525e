"""The tokenizer: its numbering, that it gives text back, and what it says when it cannot be made or read."""

from __future__ import annotations

import random
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a2d_cli.config import schema
from a2d_cli.data import tokenizer as tokenizer_module
from a2d_cli.data.cleaning import normalise
from a2d_cli.data.tokenizer import EOS, UNK, Tokenizer, automatic_vocab_size, train_tokenizer
from a2d_cli.errors import A2DError, ConfigError

relaxed = settings(deadline=None)  # a busy machine is no failure

NOUNS = ["Hund", "Mann", "Baum", "Vogel", "Zug", "Kühlschrank", "Straßenbahn"]
ALPHABET = sorted({character for noun in NOUNS for character in noun} | set("derhatn 0123456789.…½"))
PAIRS = [
    (f"der {NOUNS[i % 7]} hat {i} {NOUNS[i * 3 % 7]} … ½.", f"the {NOUNS[i % 7].lower()} has {i}.") for i in range(301)
]


def train(**settings):
    return train_tokenizer(PAIRS, len(PAIRS), schema.Tokenizer(**{"vocab_size": 128, **settings}))


@pytest.fixture(scope="module")
def tokenizer():
    return train()


@pytest.fixture(scope="module")
def two_models():
    return train(joint=False, vocab_size=64)


def test_numbering(tokenizer):
    assert (tokenizer.eos, tokenizer.unk) == (EOS, UNK) == (0, 1)
    assert tokenizer.src_vocab_size == tokenizer.tgt_vocab_size == 128
    assert tokenizer.src_pad == tokenizer.tgt_pad == 127  # behind every piece
    ids = [i for line in tokenizer.encode_src([src for src, _ in PAIRS]) for i in line]
    assert min(ids) > 1 and max(ids) < 127
    assert tokenizer.encode_tgt(["的"])[0][-1] == UNK


@relaxed
@given(st.lists(st.text(ALPHABET, max_size=30), max_size=5))
def test_text_comes_back(tokenizer, lines):
    assert tokenizer.decode_tgt(tokenizer.encode_tgt(lines)) == [normalise(line) for line in lines]


def test_what_is_scored_is_not_rewritten(tokenizer):
    (ids,) = tokenizer.encode_tgt(["½ …"])
    assert tokenizer.decode_tgt([ids]) == ["½ …"]  # NFKC would give "1⁄2 ..."


def test_equal_text_gets_equal_ids_however_it_is_composed(tokenizer):
    line = "der Kühlschrank hat 7."
    assert tokenizer.encode_src([unicodedata.normalize("NFD", line) + "\u200b \r"]) == tokenizer.encode_src([line])


def test_a_long_list_is_encoded_as_its_lines(tokenizer):
    lines = [src for src, _ in PAIRS]
    assert tokenizer.encode_src(lines) == [tokenizer.encode_src([line])[0] for line in lines]
    assert tokenizer.encode_src([]) == tokenizer.decode_tgt([]) == []


def test_training_is_deterministic_and_the_fingerprint_tells_models_apart(tokenizer, two_models):
    assert train().fingerprint == tokenizer.fingerprint
    others = [train(vocab_size=120), train(model_type="bpe"), two_models]
    assert len({tokenizer.fingerprint, *(other.fingerprint for other in others)}) == 4


def test_saved_and_loaded(tokenizer, two_models, tmp_path):
    for model, names in [
        (tokenizer, ["spm.model"]),
        (two_models, ["spm.src.model", "spm.tgt.model"]),
        (tokenizer, ["spm.model"]),
    ]:
        assert [path.name for path in model.save(tmp_path)] == names
        assert sorted(path.name for path in tmp_path.iterdir()) == names  # the other kind does not stay beside it
        loaded = Tokenizer.load(tmp_path)
        assert (loaded.fingerprint, loaded.joint) == (model.fingerprint, model.joint)


def test_two_models(two_models):
    assert not two_models.joint
    assert two_models.src_vocab_size == two_models.tgt_vocab_size == 64
    assert UNK in two_models.encode_tgt(["Straßenbahn"])[0]
    assert UNK not in two_models.encode_src(["Straßenbahn"])[0]


def test_the_sample_is_bounded_and_even():
    # 5 of the 100 pairs are seen, the last of each 20: a letter that stands in others only stays unknown.
    pairs = [("der Hund sieht" if i % 20 == 0 else "xylophon", "the dog sees") for i in range(1, 101)]
    tokenizer = train_tokenizer(pairs, 100, schema.Tokenizer(max_training_sentences=10))
    assert UNK not in tokenizer.encode_src(["der Hund sieht"])[0]
    assert UNK in tokenizer.encode_src(["xylophon"])[0]


class Streamed:
    """Pairs as they come from a file: one at a time, and anew each time."""

    def __iter__(self):
        yield from PAIRS


@pytest.mark.parametrize("joint", [True, False])
def test_a_text_that_streams_trains_as_one_in_memory_does(joint):
    settings = schema.Tokenizer(
        vocab_size="auto", joint=joint, max_training_sentences=211
    )  # more than there is: trained twice
    streamed, listed = (train_tokenizer(pairs, len(PAIRS), settings) for pairs in (Streamed(), PAIRS))
    assert streamed.fingerprint == listed.fingerprint


def test_what_is_wrong_with_the_text_is_told_while_training():
    def pairs():
        yield from PAIRS
        raise A2DError("the text was changed")

    with pytest.raises(A2DError, match="the text was changed"):
        train_tokenizer(pairs(), len(PAIRS), schema.Tokenizer(vocab_size=128))


@pytest.mark.parametrize("model_type", ["unigram", "bpe"])
def test_a_vocabulary_beyond_the_corpus(model_type):
    with pytest.raises(ConfigError) as error:
        train(vocab_size=8000, model_type=model_type)
    assert "tokenizer.vocab_size: 8000 is more than this corpus allows: at most" in str(error.value)
    largest = int(error.value.hint.split("=")[1].split(",")[0])
    assert f"--set tokenizer.vocab_size={largest}" in error.value.hint
    assert train(vocab_size=largest, model_type=model_type).src_vocab_size == largest
    assert train(vocab_size="auto", model_type=model_type).src_vocab_size == largest  # `auto` takes what there is


def test_a_vocabulary_smaller_than_the_alphabet():
    with pytest.raises(ConfigError) as error:
        train(vocab_size=16)
    assert "tokenizer.vocab_size: 16 is too small for the characters of this corpus" in str(error.value)
    smallest = int(error.value.hint.split("vocab_size=")[1].split()[0])
    assert train(vocab_size=smallest).src_vocab_size == smallest


def test_the_automatic_size_holds_the_alphabet():
    letters = [chr(0x4E00 + i) for i in range(1500)]
    pairs = [("".join(letters[i : i + 30]), f"line {i}") for i in range(0, 1500, 10)]
    found = train_tokenizer(pairs, len(pairs), schema.Tokenizer())
    assert found.src_vocab_size > 1500 > automatic_vocab_size(len(pairs))
    ids = found.encode_src([pairs[0][0]])[0]
    assert UNK not in ids


def test_a_text_that_no_size_fits_is_told_as_such(monkeypatch):
    """Few lines of many characters: 600 pieces are the most, and too few."""
    asked = []

    def train_size(lines, vocab_size, settings):
        asked.append(vocab_size)
        raise tokenizer_module._ImpossibleSize("", "", 600)

    monkeypatch.setattr(tokenizer_module, "_train_size", train_size)
    with pytest.raises(A2DError, match="too small for so many characters: no size .*character_coverage=0.98"):
        train_tokenizer([("一", "二")], 1, schema.Tokenizer())
    assert asked == [1000, 600]


def test_a_text_without_a_vocabulary_is_too_small():
    with pytest.raises(A2DError, match="the training text is too small for a vocabulary .*more text"):
        train_tokenizer([("a", "a")], 1, schema.Tokenizer())


@pytest.mark.parametrize(
    ("num_pairs", "size"),
    [
        (100, 1000),
        (10_000, 1248),
        (29_000, 3624),
        (200_000, 8632),
        (1_000_000, 16_976),
        (4_500_000, 31_928),
        (10**9, 32_000),
    ],
)
def test_automatic_size(num_pairs, size):
    assert automatic_vocab_size(num_pairs) == size


@relaxed
@given(st.integers(1, 10**8), st.integers(1, 10**8))
def test_automatic_size_grows_with_the_corpus(few, many):
    few, many = sorted((few, many))
    assert automatic_vocab_size(few) <= automatic_vocab_size(many)
    assert automatic_vocab_size(few) % 8 == 0


# --- numbered by a list


def renumbered(tokenizer, seed=3):
    """The same vocabulary in another order, given by a list."""
    ordinary = tokenizer.src_pieces[2:]
    random.Random(seed).shuffle(ordinary)
    return Tokenizer(*tokenizer._models, pieces=[["</s>", "<unk>", *ordinary]])


def pieces_of(tokenizer, lines):
    return [[tokenizer.src_pieces[i] for i in ids] for ids in tokenizer.encode_src(lines)]


@relaxed
@given(st.lists(st.text(ALPHABET + list("的</s>"), max_size=30), max_size=5))
def test_a_list_changes_numbers_and_nothing_else(tokenizer, lines):
    other = renumbered(tokenizer)
    assert other.joint and (other.src_pad, other.tgt_pad) == (tokenizer.src_pad, tokenizer.tgt_pad)
    assert pieces_of(other, lines) == pieces_of(tokenizer, lines)
    if lines:
        assert EOS not in other.encode_tgt(lines)[0]
    texts = [text.strip() for text in tokenizer.decode_tgt(tokenizer.encode_tgt(lines))]
    assert other.decode_tgt(other.encode_tgt(lines)) == texts


def test_pieces_stand_in_the_order_of_their_ids(tokenizer, two_models):
    line = "der Hund hat 7."
    for model in (tokenizer, two_models, renumbered(tokenizer)):
        assert model.src_pieces[:2] == model.tgt_pieces[:2] == ["</s>", "<unk>"]
        assert (len(model.src_pieces), len(model.tgt_pieces)) == (model.src_pad, model.tgt_pad)
        assert "".join(pieces_of(model, [line])[0]).replace("▁", " ").strip() == line


@relaxed
@given(st.lists(st.sampled_from(PAIRS), min_size=1, max_size=5), st.sampled_from(PAIRS), st.booleans())
def test_a_trimmed_vocabulary_keeps_what_the_text_uses(tokenizer, two_models, pairs, other, joint):
    whole = tokenizer if joint else two_models
    trimmed = whole.trimmed(pairs)
    assert trimmed.joint == joint and trimmed.src_vocab_size % 8 == trimmed.tgt_vocab_size % 8 == 0
    assert pieces_of(trimmed, [src for src, _ in pairs]) == pieces_of(whole, [src for src, _ in pairs])
    targets = [tgt for _, tgt in pairs]
    assert trimmed.decode_tgt(trimmed.encode_tgt(targets)) == whole.decode_tgt(whole.encode_tgt(targets))
    kept = set(trimmed.src_pieces)
    assert {piece for piece in whole.src_pieces if len(piece.strip("▁")) <= 1} <= kept <= set(whole.src_pieces)
    (cut,), (uncut,) = pieces_of(trimmed, [other[0]]), pieces_of(whole, [other[0]])
    assert cut == [piece if piece in kept else "<unk>" for piece in uncut]


def test_the_rows_of_a_cut_vocabulary_lead_back(tokenizer, two_models):
    for whole in (tokenizer, two_models, renumbered(tokenizer)):
        trimmed = whole.trimmed(PAIRS[:2])
        src_rows, tgt_rows = trimmed.rows_in(whole)
        assert [whole.src_pieces[row] for row in src_rows[:-1]] == trimmed.src_pieces
        assert [whole.tgt_pieces[row] for row in tgt_rows[:-1]] == trimmed.tgt_pieces
        assert (src_rows[-1], tgt_rows[-1]) == (whole.src_pad, whole.tgt_pad)
        assert whole.rows_in(trimmed) is None
        assert trimmed.rows_in(train(model_type="bpe")) is None


def test_a_list_is_saved_with_the_models(tokenizer, two_models, tmp_path):
    for model, names in [
        (two_models.trimmed(PAIRS[:3]), ["pieces.json", "spm.src.model", "spm.tgt.model"]),
        (tokenizer.trimmed(PAIRS[:3]), ["pieces.json", "spm.model"]),
        (tokenizer, ["spm.model"]),
    ]:
        assert sorted(path.name for path in model.save(tmp_path)) == names
        assert sorted(path.name for path in tmp_path.iterdir()) == names
        loaded = Tokenizer.load(tmp_path)
        assert (loaded.fingerprint, loaded.joint) == (model.fingerprint, model.joint)
        assert (loaded.src_pieces, loaded.tgt_pieces) == (model.src_pieces, model.tgt_pieces)


def test_the_fingerprint_tells_lists_apart(tokenizer):
    others = [renumbered(tokenizer), renumbered(tokenizer, 4), tokenizer.trimmed(PAIRS[:2])]
    assert len({tokenizer.fingerprint, *(other.fingerprint for other in others)}) == 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"format": 1, "pieces": [["</s>", "<unk>", "a"', "not a list of pieces of a2d"),
        ('{"format": 2, "pieces": []}', "format 2 is newer than this a2d reads"),
        ('{"format": 1, "pieces": []}', "not one or two lists of different pieces"),
        ('{"format": 1, "pieces": [["</s>", "<unk>", "a", "a"]]}', "not one or two lists of different pieces"),
        ('{"format": 1, "pieces": [["</s>", 1]]}', "not a list of pieces of a2d: Expected `str`, got `int`"),
    ],
)
def test_a_list_that_cannot_be_read(tokenizer, tmp_path, content, message):
    tokenizer.trimmed(PAIRS[:2]).save(tmp_path)
    (tmp_path / "pieces.json").write_text(content, encoding="utf-8")
    with pytest.raises(A2DError, match=rf"pieces\.json: {message}"):
        Tokenizer.load(tmp_path)


def test_a_text_cannot_spell_the_end_mark(tokenizer):
    pairs = [(f"ein Baum hat {i}", f"one tree at {i}") for i in range(301)]
    # Of letters that it does not know SentencePiece makes one piece: here all of the mark's.
    few = train_tokenizer(pairs, len(pairs), schema.Tokenizer(vocab_size=40))
    assert "</s>" in few.cut_src("ein </s>")
    for model in (few, renumbered(few), few.trimmed(pairs[:3]), tokenizer, renumbered(tokenizer)):
        for line in ("</s>", "der </s> Hund", "Hund</s>"):
            assert EOS not in model.encode_src([line])[0] + model.encode_tgt([line])[0]


def test_a_trimmed_vocabulary_is_filled_up_with_the_first_pieces_of_the_list(tokenizer):
    num_filled = []
    for num_pairs in (1, 2, 3, 5):
        kept = tokenizer.trimmed(PAIRS[:num_pairs]).src_pieces
        seen = {piece for pair in PAIRS[:num_pairs] for pieces in pieces_of(tokenizer, list(pair)) for piece in pieces}
        unused = [piece for piece in tokenizer.src_pieces[2:] if piece not in seen and len(piece.strip("▁")) > 1]
        filled = [piece for piece in kept if piece in unused]
        assert filled == unused[: len(filled)]
        num_filled.append(len(filled))
    assert 0 < max(num_filled) < 8 < len(unused)


# --- files that cannot be read


def test_missing_file(tmp_path):
    with pytest.raises(A2DError, match=r"spm\.model: no such tokenizer file .*a2d prepare"):
        Tokenizer.load(tmp_path)


@pytest.mark.parametrize("kept", [0, 0.01, 0.3, 0.5, 0.8, 0.9, 0.999])
def test_cut_short(tokenizer, tmp_path, kept):
    (path,) = tokenizer.save(tmp_path)
    model = path.read_bytes()
    path.write_bytes(model[: int(len(model) * kept)])
    with pytest.raises(A2DError, match=r"spm\.model: cut short, or not a tokenizer of a2d"):
        Tokenizer.load(tmp_path)


def test_a_foreign_file(tmp_path):
    (tmp_path / "spm.model").write_text("not a model")
    with pytest.raises(A2DError, match="not a tokenizer of a2d"):
        Tokenizer.load(tmp_path)
