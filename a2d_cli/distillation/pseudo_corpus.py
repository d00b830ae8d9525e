"""A teacher's translations of a training text, in shards whole or not there: a killed step goes on where it was.

A folder holds 00000.tsv.gz, 00001.tsv.gz, … and pseudo.json, which says whose translations of which text they are and
lists the finished shards with their counts and hashes. Columns: line of the training text (from 1), rank (from 1, the
best first), score, state (of STATES), translation.
"""

from __future__ import annotations

import gzip
import hashlib
import time
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, TypedDict

import msgspec

from a2d_cli.config.keys import differences
from a2d_cli.config.schema import Decoding
from a2d_cli.data.aligned_text import AlignedText, StampFacts, TextStamp
from a2d_cli.data.cleaning import normalise
from a2d_cli.decoding.alarms import has_repetition_loop
from a2d_cli.decoding.translator import Translation, Translator
from a2d_cli.errors import A2DError, ConfigError, Interrupted
from a2d_cli.files import LOCK, atomic_path, disk_errors, fingerprint, lock_folder, remove_leftovers, write_json
from a2d_cli.json_files import read_json
from a2d_cli.reporting import Reporter
from a2d_cli.training.interruption import Interruption

FORMAT = 1  # of pseudo.json and the shards
INFO = "pseudo.json"
SHARD_LINES = 2000  # sentences of a shard: sorted by length and held in memory together, and lost by a kill
Positive = Annotated[int, msgspec.Meta(ge=1)]
WHOLE = "whole"
# Cut: the source was too long to be read, or the translation did not end by itself.
STATES = (WHOLE, "empty", "loop", "cut")


class OriginFacts(TypedDict):
    """A `PseudoOrigin` as JSON has it."""

    teacher: str
    text: StampFacts
    quantization: str
    decoding: dict[str, Any]


@dataclass(frozen=True)
class PseudoOrigin:
    """All that decides what the translations are."""

    teacher: str  # hash of its weights
    text: TextStamp
    quantization: str  # of the teacher's weights while it translates
    decoding: Decoding

    @property
    def folder_name(self) -> str:
        quantised = "" if self.quantization == "float32" else f"-{self.quantization}"
        return f"{self.teacher[:8]}-beam{self.decoding.beam}{quantised}"

    def facts(self) -> OriginFacts:
        decoding = asdict(self.decoding)
        del decoding["nbest"], decoding["batch_sentences"]  # which change no translation
        return {
            "teacher": self.teacher,
            "text": asdict(self.text),
            "quantization": self.quantization,
            "decoding": decoding,
        }


@dataclass(frozen=True)
class Candidate:
    """One translation of a sentence, on one line."""

    text: str
    score: float
    state: str  # of STATES


@dataclass(frozen=True)
class Shard:
    """What a finished shard holds."""

    lines: int
    translations: int
    sha256: str  # of the text, uncompressed
    not_whole: dict[str, int]  # how many of the best translations are in which state


@dataclass(frozen=True)
class PseudoIndex:
    """What pseudo.json says."""

    origin: OriginFacts
    nbest: Positive  # translations of each sentence
    shard_lines: Positive
    shards: dict[int, Shard]  # by number

    @property
    def digest(self) -> str:
        """Sixteen hex digits of all translations."""
        return fingerprint([shard.sha256 for _, shard in sorted(self.shards.items())])

    @property
    def not_whole(self) -> dict[str, int]:
        return dict(sum((Counter(shard.not_whole) for shard in self.shards.values()), Counter()))


def read_index(path: Path) -> PseudoIndex:
    """Raises A2DError: cut short, damaged or of a newer format."""
    return read_json(path, "list of translations", PseudoIndex, FORMAT)


class PseudoCorpus:
    """The translations of one origin in one folder.

    Args:
        text: what is translated.
        nbest: translations kept of each sentence, if the folder is begun now; one that was begun keeps its number.
        needed: how many it must hold.
    """

    def __init__(self, folder: Path, origin: PseudoOrigin, text: AlignedText, nbest: int, needed: int):
        self.folder, self.origin, self.text, self.nbest, self.needed = folder, origin, text, nbest, needed

    def fill(
        self, open_translator: Callable[[int], Translator], command: str, reporter: Reporter, anew: bool = False
    ) -> None:
        """Translate the sentences whose shards are missing or are not as they were written.

        Args:
            open_translator: gives one that finds so many translations of each sentence; called only where some are
                missing.
            command: what goes on after an interruption.
            anew: all of them, whatever the folder holds; which is deleted once there is a translator.

        Raises:
            ConfigError: the folder holds translations of another origin, or too few of each sentence.
            A2DError: another process works there; the training text is not what was prepared; the disk is full.
            Interrupted: SIGINT, SIGTERM or SIGHUP came; what is finished is kept.
        """
        if not anew and self.is_full():
            return  # without holding the folder: who only reads keeps nobody out
        with lock_folder(self.folder, command):
            remove_leftovers(self.folder)
            index = self._new_index() if anew else self._own_index()
            missing = self._missing(index, reporter)
            if missing:
                deque(self.text.read(self.origin.text), maxlen=0)  # before hours are spent on a text that was changed
                translator = open_translator(index.nbest)
                if anew:
                    self._clear()
                self._fill(index, missing, translator, command, reporter)

    def _clear(self) -> None:
        """Delete what stands in the folder, which is locked."""
        with disk_errors(self.folder):
            (self.folder / INFO).unlink(missing_ok=True)
            for path in self.folder.iterdir():
                if path.name != LOCK:
                    path.unlink()

    def read(self) -> Iterator[tuple[tuple[str, str], list[Candidate]]]:
        """Each pair of the training text, in order, with the translations of its source, best first.

        Raises:
            A2DError: a shard is missing or is not as it was written; the training text is not what was prepared.
        """
        index = self.index()
        numbers = range(self._num_shards(index))
        translations = (each for number in numbers for each in self._load(index, number))
        pairs = self.text.read(self.origin.text)
        yield from zip(pairs, translations, strict=False)
        deque(pairs, maxlen=0)  # its end tells whether it is what was prepared

    def index(self) -> PseudoIndex:
        """What stands in the folder; of one that is not begun, what it will be."""
        path = self.folder / INFO
        if not path.exists():
            return self._new_index()
        return read_index(path)

    def _new_index(self) -> PseudoIndex:
        return PseudoIndex(self.origin.facts(), self.nbest, SHARD_LINES, {})

    def to_json(self) -> dict[str, Any]:
        index = self.index()
        counts = {"sentences": self.origin.text.num_pairs, "nbest": index.nbest, "not_whole": index.not_whole}
        return {"folder": str(self.folder), **index.origin, **counts, "digest": index.digest}

    def is_full(self) -> bool:
        """Whether every sentence is translated."""
        return not self._missing(self._own_index(), Reporter())

    def _own_index(self) -> PseudoIndex:
        """What stands in the folder, and is of this origin."""
        index = self.index()
        changes = [f"{key}: {values}" for key, values in differences(index.origin, self.origin.facts()).items()]
        anew = "translate anew with 'a2d pseudo --overwrite'"
        if changes:
            raise ConfigError(
                f"{self.folder} was made of another text or with other settings: {'; '.join(changes)}",
                f"ask for what it was made of, or {anew}",
            )
        if index.nbest < self.needed:
            raise ConfigError(
                f"{self.folder} holds {index.nbest} translations of each sentence, {self.needed} are asked for",
                f"lower distillation.pseudo_nbest, or {anew}",
            )
        return index

    def _missing(self, index: PseudoIndex, reporter: Reporter) -> set[int]:
        """Numbers of the shards that must be made."""
        missing = set(range(self._num_shards(index)))
        for number in sorted(index.shards):
            try:
                self._content(index, number)
            except A2DError as error:
                reporter.warn(f"{error.message}: translated again")
            else:
                missing.discard(number)
        return missing

    def _fill(
        self, index: PseudoIndex, missing: set[int], translator: Translator, command: str, reporter: Reporter
    ) -> None:
        todo = sum(self._num_lines(index, number) for number in missing)
        total, begun_s = self.origin.text.num_pairs, time.monotonic()
        interruption = Interruption()
        with interruption.noted(), reporter.progress("translate the training text", total, "sentences") as bar:
            bar.advance(total - todo)

            def on_done(count: int) -> None:
                bar.advance(count)
                if interruption.number:
                    raise Interrupted(interruption.number, command)

            sources = (src for src, _ in self.text.read(self.origin.text))
            for number in range(self._num_shards(index)):
                lines = list(islice(sources, index.shard_lines))
                if number in missing:
                    shard = self._write(index, number, _translate(translator, lines, on_done))
                    index = replace(index, shards={**index.shards, number: shard})
                    write_json(self.folder / INFO, {"format": FORMAT, **asdict(index)})
        took_s = time.monotonic() - begun_s
        how = f"{translator.engine.name}, {self.origin.quantization}, {translator.engine.machine}"
        reporter.info(
            f"{todo:,} sentences translated in {took_s:.0f} s, {todo / took_s:.0f} a second ({how}): {self.folder}"
        )

    def _write(self, index: PseudoIndex, number: int, translations: list[list[Candidate]]) -> Shard:
        rows = [
            f"{line}\t{rank}\t{each.score:.4f}\t{each.state}\t{each.text}\n"
            for line, candidates in enumerate(translations, number * index.shard_lines + 1)
            for rank, each in enumerate(candidates, 1)
        ]
        content = "".join(rows).encode()
        with atomic_path(self._path(number)) as temporary:
            temporary.write_bytes(gzip.compress(content, compresslevel=6, mtime=0))
        states = Counter(candidates[0].state for candidates in translations)
        del states[WHOLE]
        return Shard(len(translations), len(rows), hashlib.sha256(content).hexdigest(), dict(states))

    def _load(self, index: PseudoIndex, number: int) -> Iterator[list[Candidate]]:
        """The translations of each sentence of a shard."""
        rows = [row.split("\t") for row in self._content(index, number).decode().split("\n")[:-1]]
        first_line = number * index.shard_lines + 1
        for line, begin in enumerate(range(0, len(rows), index.nbest), first_line):
            candidates = rows[begin : begin + index.nbest]
            if any(row[0] != str(line) for row in candidates):
                raise self._broken(number, f"holds other lines than {line}, where {line} belongs")
            yield [Candidate(text, float(score), state) for _, _, score, state, text in candidates]

    def _content(self, index: PseudoIndex, number: int) -> bytes:
        """A shard's text, which is as it was written.

        Raises:
            A2DError: it is not, or not there.
        """
        shard = index.shards.get(number)
        if shard is None:
            raise self._broken(number, "not translated yet")
        try:
            content = gzip.decompress(self._path(number).read_bytes())
        except FileNotFoundError:
            raise self._broken(number, "no such file") from None
        except (OSError, EOFError, zlib.error) as error:
            raise self._broken(number, f"cannot be read ({error})") from None
        lines = self._num_lines(index, number)
        counts = (lines, lines * index.nbest, lines * index.nbest)
        if (shard.lines, shard.translations, content.count(b"\n")) != counts or hashlib.sha256(
            content
        ).hexdigest() != shard.sha256:
            raise self._broken(number, "not the translations that were written")
        return content

    def _num_shards(self, index: PseudoIndex) -> int:
        return -(-self.origin.text.num_pairs // index.shard_lines)

    def _num_lines(self, index: PseudoIndex, number: int) -> int:
        return min(index.shard_lines, self.origin.text.num_pairs - number * index.shard_lines)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:05d}.tsv.gz"

    def _broken(self, number: int, reason: str) -> A2DError:
        return A2DError(f"{self._path(number)}: {reason}", "run 'a2d pseudo': it translates what is missing")


def _translate(translator: Translator, sources: list[str], on_done: Callable[[int], None]) -> list[list[Candidate]]:
    cut_sources: set[int] = set()
    found = translator.translate(sources, on_done=on_done, on_cut=lambda line, _: cut_sources.add(line))
    return [
        [_candidate(source, translation, line in cut_sources) for translation in translations]
        for line, (source, translations) in enumerate(zip(sources, found, strict=True))
    ]


def _candidate(source: str, translation: Translation, source_is_cut: bool) -> Candidate:
    text = normalise(translation.text)
    state = WHOLE
    if not text:
        state = "empty"
    elif has_repetition_loop(text, source):
        state = "loop"
    elif source_is_cut or translation.is_cut:
        state = "cut"
    return Candidate(text, translation.score, state)
