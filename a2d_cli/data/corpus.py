"""A parallel text as token ids, memory-mapped: a corpus of any size costs the memory of the pairs in use.

For `train` of en-de: `train.en.ids` and `train.de.ids`, all ids one after the other (little-endian, 16 bits
where the vocabulary allows, else 32); `*.offsets`, pairs + 1 int64 that say where each sentence begins; and
`train.ids.json`, written last, which tells what the others must be.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from a2d_cli.data.aligned_text import Pair
from a2d_cli.data.tokenizer import Tokenizer
from a2d_cli.data.workers import CHUNK_PAIRS, map_chunks
from a2d_cli.errors import A2DError
from a2d_cli.files import atomic_path, fingerprint, write_json
from a2d_cli.json_files import read_json

FORMAT = 1  # of *.ids.json
_ONE_THREAD_LINES = 256  # for so few the tokenizer takes one thread: in a worker, whose sisters have the other cores


@dataclass(frozen=True)
class SideIndex:
    """What one side's files hold."""

    dtype: Literal["uint16", "uint32"]  # of the ids
    num_tokens: int
    num_unknown: int


@dataclass(frozen=True)
class CorpusIndex:
    num_pairs: int
    text_digest: str  # of the pairs that were encoded
    tokenizer: str  # fingerprint
    src: SideIndex
    tgt: SideIndex


class _Side:
    """Ids of one language."""

    def __init__(self, stem: Path, index: SideIndex, num_pairs: int):
        dtype = np.dtype(index.dtype).newbyteorder("<")
        ids_path, offsets_path = _side_paths(stem)
        self._ids = _map(ids_path, dtype, index.num_tokens)
        self._offsets = _map(offsets_path, np.dtype("<i8"), num_pairs + 1)
        self.lengths = np.diff(self._offsets).astype(np.int32)

    def __getitem__(self, i: int) -> np.ndarray:
        return self._ids[self._offsets[i] : self._offsets[i + 1]]


class ParallelCorpus:
    """Pairs of id sequences, without end marks. Open it with `open`."""

    def __init__(self, src: _Side, tgt: _Side, index: CorpusIndex):
        self._src = src
        self._tgt = tgt
        self.index = index

    @classmethod
    def open(cls, data_dir: Path, name: str, src_lang: str, tgt_lang: str) -> ParallelCorpus:
        """Map the files of `name` (train or valid).

        Raises:
            A2DError: not written yet, cut short, or of a newer format.
        """
        data_dir = Path(data_dir)
        index = _read_index(data_dir / f"{name}.ids.json")
        return cls(
            _Side(data_dir / f"{name}.{src_lang}", index.src, index.num_pairs),
            _Side(data_dir / f"{name}.{tgt_lang}", index.tgt, index.num_pairs),
            index,
        )

    def __len__(self) -> int:
        return self.index.num_pairs

    def src(self, i: int) -> np.ndarray:
        """Ids of source sentence `i`: (S,) uint16 or uint32, a view of the file."""
        return self._src[i]

    def tgt(self, i: int) -> np.ndarray:
        return self._tgt[i]

    @property
    def src_lengths(self) -> np.ndarray:
        """(pairs,) int32, in tokens."""
        return self._src.lengths

    @property
    def tgt_lengths(self) -> np.ndarray:
        return self._tgt.lengths

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits that stand for the pairs and the vocabulary."""
        return fingerprint(asdict(self.index))


class EncodedText:
    """A parallel text as ids in memory, with what `BatchPlan` asks of a corpus."""

    def __init__(self, sources: Sequence[str], references: Sequence[str], tokenizer: Tokenizer):
        self._src = [np.asarray(ids, dtype=np.int64) for ids in tokenizer.encode_src(list(sources))]
        self._tgt = [np.asarray(ids, dtype=np.int64) for ids in tokenizer.encode_tgt(list(references))]
        self.src_lengths = np.array([len(ids) for ids in self._src], dtype=np.int64)
        self.tgt_lengths = np.array([len(ids) for ids in self._tgt], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._src)

    def src(self, i: int) -> np.ndarray:
        return self._src[i]

    def tgt(self, i: int) -> np.ndarray:
        return self._tgt[i]


def evenly_spaced(total: int, wanted: int) -> list[int]:
    """Numbers of at most `wanted` of `total` sentences, all over the text: its head is often of one kind."""
    count = min(wanted, total)
    return [i * total // count for i in range(count)]


def write_corpus(
    data_dir: Path,
    name: str,
    languages: tuple[str, str],
    pairs: Iterable[Pair],
    text_digest: str,
    tokenizer: Tokenizer,
) -> list[Path]:
    """Encode `pairs` on all cores and write the files of `name`; returns their paths.

    Args:
        languages: source and target.
        text_digest: of the pairs (aligned_text.TextStamp).
    """
    index_path = data_dir / f"{name}.ids.json"
    index_path.unlink(missing_ok=True)  # while the others change there is no corpus here
    src_stem, tgt_stem = (data_dir / f"{name}.{lang}" for lang in languages)
    with (
        _side_writer(src_stem, tokenizer.src_vocab_size) as src,
        _side_writer(tgt_stem, tokenizer.tgt_vocab_size) as tgt,
        contextlib.closing(
            map_chunks(_Encoder(tokenizer, _ONE_THREAD_LINES), pairs, _Encoder(tokenizer, CHUNK_PAIRS))
        ) as chunks,
    ):
        for _, (src_ids, tgt_ids) in chunks:
            src.write(src_ids)
            tgt.write(tgt_ids)
    index = CorpusIndex(src.num_sentences, text_digest, tokenizer.fingerprint, src.index(), tgt.index())
    write_json(index_path, {"format": FORMAT, **asdict(index)})
    return [*_side_paths(src_stem), *_side_paths(tgt_stem), index_path]


@dataclass(frozen=True)
class _Ids:
    """Of some lines of one language."""

    ids: np.ndarray  # (tokens,) as they stand in the file
    lengths: np.ndarray  # (lines,) int32, in tokens


@dataclass(frozen=True)
class _Encoder:
    """Both sides of a chunk to ids."""

    tokenizer: Tokenizer
    batch_lines: int  # given to the tokenizer at a time

    def __call__(self, pairs: list[Pair]) -> tuple[_Ids, _Ids]:
        src_lines, tgt_lines = zip(*pairs, strict=True)
        return (
            self._encode(src_lines, self.tokenizer.encode_src, _ids_dtype(self.tokenizer.src_vocab_size)),
            self._encode(tgt_lines, self.tokenizer.encode_tgt, _ids_dtype(self.tokenizer.tgt_vocab_size)),
        )

    def _encode(self, lines: Sequence[str], encode: Callable[[list[str]], list[list[int]]], dtype: np.dtype) -> _Ids:
        batches = (list(lines[start : start + self.batch_lines]) for start in range(0, len(lines), self.batch_lines))
        sentences = [ids for batch in batches for ids in encode(batch)]
        lengths = np.fromiter(map(len, sentences), dtype=np.int32, count=len(sentences))
        return _Ids(np.fromiter(chain.from_iterable(sentences), dtype=dtype, count=lengths.sum()), lengths)


def _ids_dtype(vocab_size: int) -> np.dtype:
    return np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")


def _side_paths(stem: Path) -> tuple[Path, Path]:
    return stem.with_name(stem.name + ".ids"), stem.with_name(stem.name + ".offsets")


@contextlib.contextmanager
def _side_writer(stem: Path, vocab_size: int) -> Iterator[_SideWriter]:
    ids_path, offsets_path = _side_paths(stem)
    with (
        atomic_path(ids_path) as ids_temporary,
        atomic_path(offsets_path) as offsets_temporary,
        open(ids_temporary, "wb") as ids,
        open(offsets_temporary, "wb") as offsets,
    ):
        yield _SideWriter(ids, offsets, _ids_dtype(vocab_size))


class _SideWriter:
    def __init__(self, ids: BinaryIO, offsets: BinaryIO, dtype: np.dtype):
        self._dtype = dtype
        self._ids = ids
        self._offsets = offsets
        self._offsets.write(np.zeros(1, dtype="<i8").tobytes())
        self._num_tokens = 0
        self._num_unknown = 0
        self.num_sentences = 0

    def write(self, lines: _Ids) -> None:
        self._ids.write(lines.ids.tobytes())
        self._offsets.write((self._num_tokens + np.cumsum(lines.lengths, dtype="<i8")).tobytes())
        self._num_tokens += len(lines.ids)
        self._num_unknown += int((lines.ids == Tokenizer.unk).sum())
        self.num_sentences += len(lines.lengths)

    def index(self) -> SideIndex:
        return SideIndex(self._dtype.name, self._num_tokens, self._num_unknown)


def _map(path: Path, dtype: np.dtype, count: int) -> np.ndarray:
    expected = count * dtype.itemsize
    found = path.stat().st_size if path.exists() else 0
    if found != expected:
        raise A2DError(
            f"{path}: {found:,} bytes where {expected:,} were written",
            "the file was cut short or changed: delete it and run 'a2d prepare' again",
        )
    # A plain view: slices of a memmap object cost more than the ids in them.
    return np.asarray(np.memmap(path, dtype=dtype, mode="r")) if count else np.empty(0, dtype=dtype)


def _read_index(path: Path) -> CorpusIndex:
    if not path.exists():
        raise A2DError(f"{path}: no such file: the text is not encoded yet", "run 'a2d prepare' again")
    return read_json(path, "corpus index", CorpusIndex, FORMAT, "delete it and run 'a2d prepare' again")
