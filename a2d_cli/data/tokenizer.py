"""SentencePiece vocabularies with the numbering that every model here is built on.

Row 0 is the end mark, row 1 the unknown piece, the last row padding. Padding is no SentencePiece piece: it is
added behind them, so that the pieces, and the logits over them, are all ids below it. Marian's are alike.

The models trained here have that numbering in themselves. For others a list of pieces gives it: that of a model
trained elsewhere, whose two SentencePiece models may share one list, or of a vocabulary that was cut.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypedDict

import sentencepiece

from a2d_cli.config import schema
from a2d_cli.data.aligned_text import Pair
from a2d_cli.data.cleaning import normalise
from a2d_cli.errors import A2DError, ConfigError
from a2d_cli.files import atomic_path, write_json
from a2d_cli.json_files import read_json

EOS = 0
UNK = 1
FORMAT = 1  # of pieces.json
_JOINT_FILE = "spm.model"
_SRC_FILE, _TGT_FILE = "spm.src.model", "spm.tgt.model"
_PIECES_FILE = "pieces.json"
_WORD_START = "\u2581"  # SentencePiece's mark of a space
_BYTE = re.compile("<0x[0-9A-F]{2}>")  # what a model with byte fallback spells unknown characters in

# SentencePiece's sums depend on how many threads share the work: a constant makes them the same everywhere.
_TRAINER_THREADS = 16
# SentencePiece would leave out longer ones without a word: the reason why `Cleaning.max_characters` has a limit.
_MAX_SENTENCE_BYTES = 1 << 16
_CHUNK_PAIRS = 20_000  # tokenised at a time, on all cores


class Tokenizer:
    """Sentences to ids and back. Ids are without the end mark.

    Args:
        src_model: a serialised SentencePiece model.
        tgt_model: that of the target side; None = the same.
        pieces: pieces in id order, the end mark and the unknown piece first, without padding: one list for both
            sides, or the source's and the target's. None = the models number them themselves.
    """

    eos = EOS
    unk = UNK

    def __init__(self, src_model: bytes, tgt_model: bytes | None = None, pieces: Sequence[Sequence[str]] | None = None):
        self._models = [src_model] if tgt_model is None else [src_model, tgt_model]
        self._lists = [list(each) for each in pieces or ()]
        self.joint = len(self._lists or self._models) == 1  # one vocabulary for both languages
        lists = self._lists or [None]
        self._src = _Vocabulary(self._models[0], lists[0])
        one = len(self._models) == len(lists) == 1
        self._tgt = self._src if one else _Vocabulary(self._models[-1], lists[-1])

    @property
    def src_pieces(self) -> list[str]:
        """Every piece in id order; padding, which is none, stands behind them."""
        return self._src.pieces

    @property
    def tgt_pieces(self) -> list[str]:
        return self._tgt.pieces

    @property
    def src_vocab_size(self) -> int:
        """Embedding rows, padding included."""
        return len(self.src_pieces) + 1

    @property
    def tgt_vocab_size(self) -> int:
        return len(self.tgt_pieces) + 1

    @property
    def src_pad(self) -> int:
        return self.src_vocab_size - 1

    @property
    def tgt_pad(self) -> int:
        return self.tgt_vocab_size - 1

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits of models and lists: equal if and only if every text gets the same ids."""
        lists = [json.dumps(pieces).encode() for pieces in self._lists]
        digests = [hashlib.sha256(content).digest() for content in (*self._models, *lists)]
        return hashlib.sha256(b"".join(digests)).hexdigest()[:16]

    def encode_src(self, lines: list[str]) -> list[list[int]]:
        return self._src.encode(lines)

    def cut_src(self, line: str) -> list[str]:
        """The pieces behind the ids of `encode_src`, as they stand in the text: also those that no list holds."""
        return self._src.cut(line)

    def encode_tgt(self, lines: list[str]) -> list[list[int]]:
        return self._tgt.encode(lines)

    def decode_tgt(self, ids: list[list[int]]) -> list[str]:
        """Plain text; an unknown piece becomes ' ⁇ '."""
        return self._tgt.decode(ids)

    def trimmed(self, pairs: Iterable[Pair]) -> Tokenizer:
        """The vocabulary cut to the pieces that occur in `pairs`, and all that are one character or one byte.

        Text is cut into pieces as before; those left out are unknown. The first of them in the list, the most
        frequent ones where it is sorted, fill the vocabulary up to a multiple of 8 rows.
        """
        src_seen: set[int] = set()
        tgt_seen: set[int] = set()
        iterator = iter(pairs)
        while chunk := list(islice(iterator, _CHUNK_PAIRS)):
            src_seen.update(i for ids in self.encode_src([src for src, _ in chunk]) for i in ids)
            tgt_seen.update(i for ids in self.encode_tgt([tgt for _, tgt in chunk]) for i in ids)
        if self.joint:
            lists = [_cut(self.src_pieces, src_seen | tgt_seen)]
        else:
            lists = [_cut(self.src_pieces, src_seen), _cut(self.tgt_pieces, tgt_seen)]
        return Tokenizer(*self._models, pieces=lists)

    def rows_in(self, whole: Tokenizer) -> tuple[list[int], list[int]] | None:
        """The rows of `whole` that are this vocabulary's, source and target, padding included.

        None: this one was not cut from `whole`; the two cut text differently or know other pieces.
        """
        if (self._models, self.joint) != (whole._models, whole.joint):
            return None
        rows = []
        for own, other in ((self.src_pieces, whole.src_pieces), (self.tgt_pieces, whole.tgt_pieces)):
            row_of = {piece: row for row, piece in enumerate(other)}
            if not row_of.keys() >= set(own):
                return None
            rows.append([*(row_of[piece] for piece in own), len(other)])
        return rows[0], rows[1]

    def save(self, folder: Path) -> list[Path]:
        """Write spm.model, or spm.src.model and spm.tgt.model, and pieces.json if lists number the pieces.

        Returns:
            The paths written.
        """
        folder = Path(folder)
        models = dict(
            zip((_SRC_FILE, _TGT_FILE) if len(self._models) == 2 else (_JOINT_FILE,), self._models, strict=True)
        )
        names = [*models, _PIECES_FILE] if self._lists else [*models]
        for name in {_JOINT_FILE, _SRC_FILE, _TGT_FILE, _PIECES_FILE} - {*names}:  # else `load` would mix the two
            (folder / name).unlink(missing_ok=True)
        for name, model in models.items():
            with atomic_path(folder / name) as temporary:
                temporary.write_bytes(model)
        if self._lists:
            write_json(folder / _PIECES_FILE, {"format": FORMAT, "pieces": self._lists})
        return [folder / name for name in names]

    @classmethod
    def beside(cls, checkpoint: Path) -> Tokenizer:
        """That of a checkpoint folder: in it, or in the run folder around it. Raises as `load`."""
        return cls.load(checkpoint if any(checkpoint.glob("spm.*model")) else checkpoint.parent)

    @classmethod
    def load(cls, folder: Path) -> Tokenizer:
        """Read what `save` wrote.

        Raises:
            A2DError: a file is missing, cut short or no SentencePiece model of ours.
        """
        folder = Path(folder)
        names = [_SRC_FILE, _TGT_FILE] if (folder / _SRC_FILE).exists() else [_JOINT_FILE]
        pieces = _read_pieces(folder / _PIECES_FILE) if (folder / _PIECES_FILE).exists() else None
        return cls(*(_read_model(folder / name, numbered=pieces is None) for name in names), pieces=pieces)


class _Vocabulary:
    """One side: a SentencePiece model, which cuts text into pieces, and the numbering of the pieces."""

    def __init__(self, model: bytes, pieces: list[str] | None):
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        self._id_of: dict[str, int] | None = None  # None: the model's own numbering
        if pieces is None:
            self.pieces: list[str] = self._processor.id_to_piece(list(range(self._processor.get_piece_size())))
        else:
            self.pieces = pieces
            # A text can spell the end mark, and must not end by it.
            self._id_of = {piece: i for i, piece in enumerate(pieces) if i != EOS}

    def encode(self, lines: list[str]) -> list[list[int]]:
        if not lines:
            return []
        lines = [normalise(line) for line in lines]
        threads = _num_threads(lines)
        if self._id_of is None:
            return self._processor.encode(lines, num_threads=threads)
        codes = [self._language_code(line) for line in lines]
        texts = [line[len(code) :] for line, code in zip(lines, codes, strict=True)]
        # As pieces and not as the model's ids: of what the model does not know, the list may know some.
        cut = self._processor.encode(texts, out_type=str, num_threads=threads)
        return [
            [self._id_of.get(piece, UNK) for piece in ([code, *pieces] if code else pieces)]
            for code, pieces in zip(codes, cut, strict=True)
        ]

    def cut(self, line: str) -> list[str]:
        line = normalise(line)
        code = self._language_code(line) if self._id_of else ""
        return [*[code] * bool(code), *self._processor.encode(line[len(code) :], out_type=str)]

    def _language_code(self, line: str) -> str:
        """The >>xx<< that a sentence for a multilingual model begins with: one piece, which its spm does not know."""
        code = re.match(">>[^<>]+<<", line)
        return code[0] if code and code[0] in self._id_of else ""

    def decode(self, ids: list[list[int]]) -> list[str]:
        if self._id_of is None:
            return self._processor.decode(ids, num_threads=_num_threads(ids)) if ids else []
        texts = (self._processor.decode([self.pieces[i] for i in sentence]) if sentence else "" for sentence in ids)
        # Pieces of the list that this side's model does not know keep their mark.
        return [text.replace(_WORD_START, " ").strip() for text in texts]


def _num_threads(lines: Sequence[object]) -> int:
    """SentencePiece shares a list among all cores; for a few lines starting threads costs more than it gives."""
    return -1 if len(lines) > 256 else 1


def _cut(pieces: list[str], seen: set[int]) -> list[str]:
    def stays(i: int) -> bool:
        return i <= UNK or i in seen or len(pieces[i].lstrip(_WORD_START)) <= 1 or bool(_BYTE.fullmatch(pieces[i]))

    kept = [i for i in range(len(pieces)) if stays(i)]
    others = (i for i in range(len(pieces)) if not stays(i))
    missing = -(len(kept) + 1) % 8
    return [pieces[i] for i in sorted([*kept, *islice(others, missing)])]


def is_whole_model(model: bytes) -> bool:
    """Whether this is a serialised SentencePiece model to its last byte."""
    try:
        sentencepiece.SentencePieceProcessor(model_proto=model)
        return {_TRAINER_SPEC, _NORMALIZER_SPEC} <= _fields(model)
    except (RuntimeError, ValueError):
        return False


def _read_model(path: Path, numbered: bool) -> bytes:
    """`numbered`: with our numbering in itself."""
    try:
        model = path.read_bytes()
    except FileNotFoundError:
        raise A2DError(f"{path}: no such tokenizer file", "run 'a2d prepare' again, or copy the whole folder") from None
    if not is_whole_model(model) or (numbered and not _is_numbered(model)):
        raise A2DError(f"{path}: cut short, or not a tokenizer of a2d", "run 'a2d prepare' again, or copy it anew")
    return model


def _is_numbered(model: bytes) -> bool:
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    return processor.piece_to_id("</s>") == EOS and processor.unk_id() == UNK


class PieceLists(TypedDict):
    """pieces.json: of both languages, or of each."""

    pieces: list[list[str]]


def _read_pieces(path: Path) -> list[list[str]]:
    lists = read_json(path, "list of pieces", PieceLists, FORMAT)["pieces"]
    if len(lists) not in (1, 2) or not all(len(set(pieces)) == len(pieces) > UNK for pieces in lists):
        raise A2DError(f"{path}: not one or two lists of different pieces", "copy the file anew, with its folder")
    return lists


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


def train_tokenizer(pairs: Iterable[Pair], num_pairs: int, settings: schema.Tokenizer) -> Tokenizer:
    """Train on an even sample of the pairs: at most `settings.max_training_sentences` sentences a model.

    The text is taken as it is (SentencePiece's `identity` rule; cleaning has made it NFC). The usual rule,
    `nmt_nfkc`, rewrites characters such as … ½ ² ™ and full-width forms, and a translation that cannot hold
    them is scored against references that do.

    Args:
        pairs: read once for each training, so that no copy of the sample stays beside SentencePiece's own.
        settings: checked: the size is a multiple of 8.

    Raises:
        ConfigError: a size that the text does not allow (says which does).
    """
    sides = [(0, 1)] if settings.joint else [(0,), (1,)]
    max_pairs = settings.max_training_sentences // len(sides[0])
    return Tokenizer(*(_train(_Sample(pairs, num_pairs, max_pairs, each), num_pairs, settings) for each in sides))


@dataclass(frozen=True)
class _Sample:
    """Lines of at most `max_pairs` pairs, spread evenly; of both sides, or of one."""

    pairs: Iterable[Pair]
    num_pairs: int
    max_pairs: int
    sides: tuple[int, ...]

    def __iter__(self) -> Iterator[str]:
        wanted = min(self.num_pairs, max(1, self.max_pairs))
        for i, pair in enumerate(self.pairs, 1):
            # floor(i * wanted / num_pairs) steps up exactly `wanted` times, evenly.
            if i * wanted // self.num_pairs > (i - 1) * wanted // self.num_pairs:
                for side in self.sides:
                    yield pair[side]


def _train(lines: Iterable[str], num_pairs: int, settings: schema.Tokenizer) -> bytes:
    if settings.vocab_size != "auto":
        return _train_size(lines, settings.vocab_size, settings)
    try:
        return _train_size(lines, automatic_vocab_size(num_pairs), settings)
    except _ImpossibleSize as error:
        nearest = error.nearest
    try:
        return _train_size(lines, nearest, settings)
    except _ImpossibleSize:
        raise A2DError(
            "the training text is too small for so many characters: no size of a vocabulary fits it",
            "give more text, or leave rare characters out: --set tokenizer.character_coverage=0.98",
        ) from None


class _ImpossibleSize(ConfigError):
    """The text asks for fewer pieces, or for more; `nearest` would do."""

    def __init__(self, message: str, hint: str, nearest: int):
        super().__init__(message, hint)
        self.nearest = nearest


def _train_size(lines: Iterable[str], vocab_size: int, settings: schema.Tokenizer) -> bytes:
    model = io.BytesIO()
    problems: list[Exception] = []  # of the text: SentencePiece would tell them in its own way

    def read() -> Iterator[str]:
        try:
            yield from lines
        except Exception as error:
            problems.append(error)
            raise

    train = partial(
        sentencepiece.SentencePieceTrainer.train,
        sentence_iterator=read(),
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
    try:
        _run_beside(train)
    except (RuntimeError, SystemError) as error:
        if problems:
            raise problems[0] from None
        # Its messages hold "Please set it to a value <= 196." and "required_chars. 8 vs 28. Increase ...".
        if found := re.search(r"value <= (\d+)", str(error)):
            largest = _multiple_of_8(int(found[1]) + 1)
            if largest < 8:
                raise A2DError("the training text is too small for a vocabulary", "give more text") from None
            raise _ImpossibleSize(
                f"tokenizer.vocab_size: {vocab_size} is more than this corpus allows: at most {largest}",
                f"add --set tokenizer.vocab_size={largest}, or a smaller one",
                largest,
            ) from None
        if found := re.search(r"required_chars\. \d+ vs (\d+)", str(error)):
            smallest = _multiple_of_8(int(found[1]) + 8)
            raise _ImpossibleSize(
                f"tokenizer.vocab_size: {vocab_size} is too small for the characters of this corpus",
                f"add --set tokenizer.vocab_size={smallest} or more, or --set tokenizer.character_coverage=0.9995",
                smallest,
            ) from None
        raise A2DError(f"SentencePiece cannot train on this text: {error}") from None
    return model.getvalue()


def _run_beside(action: Callable[[], None]) -> None:
    """Run in a thread, so that Ctrl-C is heard in this one: within SentencePiece nobody hears it for minutes.

    Raises:
        KeyboardInterrupt: at once; the thread ends with the process.
    """
    errors: list[Exception] = []

    def run() -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001  # raised again in the thread that waits
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


def _multiple_of_8(size: float) -> int:
    """The largest one that is not above `size`."""
    return int(size) // 8 * 8
