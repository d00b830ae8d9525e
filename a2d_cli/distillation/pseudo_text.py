"""A text whose target side a teacher wrote, in the place of the training text: anything that translates can teach."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from a2d_cli.config.schema import CorpusFiles
from a2d_cli.data.aligned_text import Pair
from a2d_cli.data.cleaning import Tally, clean_held_out
from a2d_cli.data.corpus import write_corpus
from a2d_cli.data.decontamination import Decontamination
from a2d_cli.data.formats import read_pairs
from a2d_cli.data.tokenizer import Tokenizer
from a2d_cli.errors import A2DError, ConfigError
from a2d_cli.files import fingerprint, sha256_file
from a2d_cli.reporting import Reporter

_PROGRESS_PAIRS = 1000  # between two movements of the bar


@dataclass(frozen=True)
class Encoding:
    """Where the ids of a text go, and what must not stand in it."""

    folder: Path
    languages: tuple[str, str]
    held_out: Mapping[str, list[Pair]]  # the validation set, `valid`, and the test sets by name
    tokenizer: Tokenizer


class TaughtText(Protocol):
    """What a run learns from in place of the training text."""

    def encode(self, encoding: Encoding, reporter: Reporter) -> dict[str, int]:
        """Write the ids of the pairs as `train`; returns how many were read and kept, and what became of the others."""
        ...


@dataclass(frozen=True)
class PseudoText:
    """Two plain files, one sentence a line: sources, and what a teacher made of them."""

    src: Path
    hyp: Path

    @functools.cached_property
    def fingerprint(self) -> str:
        """Sixteen hex digits of both files' bytes.

        Raises:
            ConfigError: a file is not there.
        """
        for path in (self.src, self.hyp):
            if not path.is_file():
                raise ConfigError(f"--pseudo: no such file: {path}", f"the current folder is {Path.cwd()}")
        return fingerprint([sha256_file(self.src), sha256_file(self.hyp)])

    def encode(self, encoding: Encoding, reporter: Reporter) -> dict[str, int]:
        """As `encode_pairs`, of the two files.

        Raises:
            A2DError: the files have not as many lines, are no UTF-8, or nothing of them is left.
        """
        src_lang, tgt_lang = encoding.languages
        files = CorpusFiles(str(self.src), str(self.hyp))
        pairs = read_pairs(files, Path, src_lang=src_lang, tgt_lang=tgt_lang, reporter=reporter)
        return encode_pairs(pairs, f"{self.src} and {self.hyp}", self.fingerprint, encoding, reporter)


def encode_pairs(
    pairs: Iterable[Pair], origin: str, digest: str, encoding: Encoding, reporter: Reporter
) -> dict[str, int]:
    """Write the ids of the pairs, normalised, as `train`.

    Empty lines are dropped, and so are pairs of which a side stands in a held-out set.

    Args:
        origin: where the pairs come from, for messages.
        digest: what stands for the pairs.

    Returns:
        How many pairs were read and kept, were empty, and stand in which set.

    Raises:
        A2DError: nothing is left.
    """
    cleaning = Tally()
    tests = {name: held_out for name, held_out in encoding.held_out.items() if name != "valid"}
    decontamination = Decontamination(encoding.held_out.get("valid", []), tests)
    leaks = decontamination.train_tally

    def kept() -> Iterator[Pair]:
        with reporter.progress("encode the pseudo text", None, "pairs") as progress:
            for pair in decontamination.filter(clean_held_out(pairs, cleaning)):
                yield pair
                if leaks.num_kept % _PROGRESS_PAIRS == 0:
                    progress.advance(_PROGRESS_PAIRS)
        if leaks.num_kept == 0:
            raise A2DError(
                f"{origin}: none of {cleaning.num_read} pairs is left "
                f"({cleaning.num_dropped.get('empty', 0)} with an empty side, {leaks.num_read} in a held-out set)",
                "check that these are the training text's sources and their translations",
            )

    write_corpus(encoding.folder, "train", encoding.languages, kept(), digest, encoding.tokenizer)
    counts = {"read": cleaning.num_read, "kept": leaks.num_kept, **cleaning.num_dropped, **leaks.num_dropped}
    dropped = " · ".join(f"{name} {count:,}" for name, count in counts.items() if name not in ("read", "kept"))
    reporter.info(f"pseudo text: {counts['kept']:,} of {counts['read']:,} pairs; dropped: {dropped or 'nothing'}")
    return counts
