"""SentencePiece vocabularies with the numbering that every model here is built on.

Row 0 is the end mark, row 1 the unknown piece, the last row padding. Padding is no SentencePiece piece: it is
added behind them, so that the pieces, and the logits over them, are all ids below it. Marian's are alike.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterable
from pathlib import Path

import sentencepiece

from a2d_cli.config import schema
from a2d_cli.data.cleaning import normalise
from a2d_cli.errors import A2DError, ConfigError
from a2d_cli.files import atomic_path

EOS = 0
UNK = 1
_JOINT_FILE = "spm.model"
_SRC_FILE, _TGT_FILE = "spm.src.model", "spm.tgt.model"

# SentencePiece's sums depend on how many threads share the work: a constant makes them the same everywhere.
_TRAINER_THREADS = 16
_MAX_SENTENCE_BYTES = (
    1 << 16
)  # SentencePiece would leave out longer ones without a word; cleaning has bounded them


class Tokenizer:
    """Sentences to ids and back. Ids are without the end mark.

    Args:
        src_model: a serialised SentencePiece model.
        tgt_model: that of the target side; None = one joint model.
    """

    eos = EOS
    unk = UNK

    def __init__(self, src_model: bytes, tgt_model: bytes | None = None):
        self._models = [src_model] if tgt_model is None else [src_model, tgt_model]
        processors = [sentencepiece.SentencePieceProcessor(model_proto=model) for model in self._models]
        self._src, self._tgt = processors[0], processors[-1]

    @property
    def joint(self) -> bool:
        return len(self._models) == 1

    @property
    def src_vocab_size(self) -> int:
        """Embedding rows, padding included."""
        return self._src.get_piece_size() + 1

    @property
    def tgt_vocab_size(self) -> int:
        return self._tgt.get_piece_size() + 1

    @property
    def src_pad(self) -> int:
        return self.src_vocab_size - 1

    @property
    def tgt_pad(self) -> int:
        return self.tgt_vocab_size - 1

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits of the model files: equal if and only if every text gets the same ids."""
        digests = [hashlib.sha256(model).digest() for model in self._models]
        return hashlib.sha256(b"".join(digests)).hexdigest()[:16]

    def encode_src(self, lines: list[str]) -> list[list[int]]:
        return _encode(self._src, lines)

    def encode_tgt(self, lines: list[str]) -> list[list[int]]:
        return _encode(self._tgt, lines)

    def decode_tgt(self, ids: list[list[int]]) -> list[str]:
        """Plain text; an unknown piece becomes ' ⁇ '."""
        return self._tgt.decode(ids) if ids else []

    def save(self, folder: Path) -> list[Path]:
        """Write spm.model, or spm.src.model and spm.tgt.model; returns their paths."""
        names, others = [_JOINT_FILE], [_SRC_FILE, _TGT_FILE]
        if not self.joint:
            names, others = others, names
        for name in others:  # else `load` could not tell which are meant
            (Path(folder) / name).unlink(missing_ok=True)
        for name, model in zip(names, self._models, strict=True):
            with atomic_path(Path(folder) / name) as temporary:
                temporary.write_bytes(model)
        return [Path(folder) / name for name in names]

    @classmethod
    def load(cls, folder: Path) -> Tokenizer:
        """Read what `save` wrote.

        Raises:
            A2DError: a file is missing, cut short or no SentencePiece model of ours.
        """
        folder = Path(folder)
        names = [_SRC_FILE, _TGT_FILE] if (folder / _SRC_FILE).exists() else [_JOINT_FILE]
        return cls(*(_read_model(folder / name) for name in names))


def _encode(processor: sentencepiece.SentencePieceProcessor, lines: list[str]) -> list[list[int]]:
    # SentencePiece shares a list among all cores; for a few lines starting threads costs more than it gives.
    threads = -1 if len(lines) > 256 else 1
    return processor.encode([normalise(line) for line in lines], num_threads=threads) if lines else []


def _read_model(path: Path) -> bytes:
    try:
        model = path.read_bytes()
    except FileNotFoundError:
        raise A2DError(
            f"{path}: no such tokenizer file", "run 'a2d prepare' again, or copy the whole folder"
        ) from None
    try:
        whole = {_TRAINER_SPEC, _NORMALIZER_SPEC} <= _fields(model)
        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        whole = whole and processor.piece_to_id("</s>") == EOS and processor.unk_id() == UNK
    except (RuntimeError, ValueError):
        whole = False
    if not whole:
        raise A2DError(
            f"{path}: cut short, or not a tokenizer of a2d", "run 'a2d prepare' again, or copy it anew"
        )
    return model


_TRAINER_SPEC, _NORMALIZER_SPEC = (
    2,
    3,
)  # field numbers of sentencepiece_model.proto, which stand behind the pieces


def _fields(model: bytes) -> set[int]:
    """Field numbers of a serialised model, all of them length-delimited.

    SentencePiece itself takes a file cut between two pieces for a smaller vocabulary.

    Raises:
        ValueError: the last field is not whole, or this is no such model.
    """
    fields = set()
    position = 0

    def varint() -> int:
        nonlocal position
        value = shift = 0
        while position < len(model):
            byte = model[position]
            position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value
        raise ValueError("ends within a number")

    while position < len(model):
        tag = varint()
        if tag & 7 != 2:
            raise ValueError("not length-delimited")
        length = varint()
        position += length
        fields.add(tag >> 3)
    if position > len(model):
        raise ValueError("ends within a field")
    return fields


def automatic_vocab_size(num_pairs: int) -> int:
    """Embedding rows for `num_pairs`: one for eight pairs up to 4,000, then growing with their power 0.42.

    10,000 pairs: 1,248 · 29,000: 3,624 · 200,000: 8,632 · 1 million: 16,976 · 4.5 million: 31,928.
    Between 1,000 and 32,000. The power law goes through what is usual: IWSLT 8,000 to 10,000, WMT 32,000.
    """
    size = num_pairs / 8 if num_pairs <= 32_000 else 4000 * (num_pairs / 32_000) ** 0.42
    return _multiple_of_8(min(max(size, 1000), 32_000))


def train_tokenizer(
    pairs: Iterable[tuple[str, str]], num_pairs: int, settings: schema.Tokenizer
) -> Tokenizer:
    """Train on an even sample of the pairs: at most `settings.max_training_sentences` sentences a model.

    The text is taken as it is (SentencePiece's `identity` rule; cleaning has made it NFC). The usual rule,
    `nmt_nfkc`, rewrites characters such as … ½ ² ™ and full-width forms, and a translation that cannot hold
    them is scored against references that do.

    Args:
        settings: checked: the size is a multiple of 8.

    Raises:
        ConfigError: a size that the text does not allow (says which does).
    """
    sample = _even_sample(pairs, num_pairs, settings.max_training_sentences // (2 if settings.joint else 1))
    if settings.joint:
        return Tokenizer(_train([line for pair in sample for line in pair], num_pairs, settings))
    src_lines, tgt_lines = zip(*sample, strict=True)
    return Tokenizer(_train(src_lines, num_pairs, settings), _train(tgt_lines, num_pairs, settings))


def _even_sample(pairs: Iterable[tuple[str, str]], num_pairs: int, max_pairs: int) -> list[tuple[str, str]]:
    wanted = min(num_pairs, max(1, max_pairs))
    # floor(i * wanted / num_pairs) steps up exactly `wanted` times, evenly.
    return [
        pair for i, pair in enumerate(pairs, 1) if i * wanted // num_pairs > (i - 1) * wanted // num_pairs
    ]


def _train(lines: Iterable[str], num_pairs: int, settings: schema.Tokenizer) -> bytes:
    if settings.vocab_size == "auto":
        wanted = automatic_vocab_size(num_pairs)
        try:
            return _train_size(lines, wanted, settings)
        except _VocabularyTooLarge as error:
            return _train_size(lines, error.largest, settings)
    try:
        return _train_size(lines, settings.vocab_size, settings)
    except _VocabularyTooLarge as error:
        raise ConfigError(
            f"tokenizer.vocab_size: {settings.vocab_size} is more than this corpus allows: "
            f"at most {error.largest}",
            f"add --set tokenizer.vocab_size={error.largest}, or a smaller one",
        ) from None


class _VocabularyTooLarge(Exception):
    def __init__(self, largest: int):
        super().__init__(largest)
        self.largest = largest


def _train_size(lines: Iterable[str], vocab_size: int, settings: schema.Tokenizer) -> bytes:
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=model,
            vocab_size=vocab_size - 1,  # padding is ours
            model_type=settings.model_type,
            character_coverage=settings.character_coverage,
            normalization_rule_name="identity",
            eos_id=EOS,
            unk_id=UNK,
            bos_id=-1,
            pad_id=-1,
            num_threads=_TRAINER_THREADS,
            max_sentence_length=_MAX_SENTENCE_BYTES,
            minloglevel=2,  # errors come as exceptions
        )
    except RuntimeError as error:
        # Its messages hold "Please set it to a value <= 196." and "required_chars. 8 vs 28. Increase ...".
        if found := re.search(r"value <= (\d+)", str(error)):
            raise _VocabularyTooLarge(_multiple_of_8(int(found[1]) + 1)) from None
        if found := re.search(r"required_chars\. \d+ vs (\d+)", str(error)):
            smallest = _multiple_of_8(int(found[1]) + 8)
            raise ConfigError(
                f"tokenizer.vocab_size: {vocab_size} is too small for the characters of this corpus",
                f"add --set tokenizer.vocab_size={smallest} or more, "
                "or --set tokenizer.character_coverage=0.9995",
            ) from None
        raise A2DError(f"SentencePiece cannot train on this text: {error}") from None
    return model.getvalue()


def _multiple_of_8(size: float) -> int:
    """The largest one that is not above `size`."""
    return int(size) // 8 * 8
