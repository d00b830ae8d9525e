"""A text whose target side a teacher wrote: it takes the place of the training text, and anything that translates can teach."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from a2d_cli.config.schema import CorpusFiles
from a2d_cli.data.cleaning import Tally, clean_held_out
from a2d_cli.data.corpus import write_corpus
from a2d_cli.data.decontamination import Decontamination, Pair
from a2d_cli.data.formats import read_pairs
from a2d_cli.data.tokenizer import Tokenizer
from a2d_cli.errors import A2DError, ConfigError
from a2d_cli.files import fingerprint, sha256_file
from a2d_cli.reporting import Reporter

_PROGRESS_PAIRS = 1000  # between two movements of the bar


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

    def encode(
        self,
        folder: Path,
        languages: tuple[str, str],
        held_out: Mapping[str, list[Pair]],
        tokenizer: Tokenizer,
        reporter: Reporter,
    ) -> dict[str, int]:
        """Write the ids of the pairs, normalised, as `train` into `folder`.

        Empty lines are dropped, and so are pairs of which a side stands in a held-out set.

        Args:
            held_out: the validation set, `valid`, and the test sets by name.

        Returns:
            How many pairs were read and kept, were empty, and stand in which set.

        Raises:
            A2DError: the files have not as many lines, are no UTF-8, or nothing of them is left.
        """
        cleaning = Tally()
        tests = {name: pairs for name, pairs in held_out.items() if name != "valid"}
        decontamination = Decontamination(held_out.get("valid", []), tests)
        leaks = decontamination.train_tally
        files = CorpusFiles(str(self.src), str(self.hyp))

        def pairs() -> Iterator[Pair]:
            read = read_pairs(files, Path, src_lang=languages[0], tgt_lang=languages[1], reporter=reporter)
            with reporter.progress("encode the pseudo text", None, "pairs") as progress:
                for pair in decontamination.filter(clean_held_out(read, cleaning)):
                    yield pair
                    if leaks.num_kept % _PROGRESS_PAIRS == 0:
                        progress.advance(_PROGRESS_PAIRS)
            if leaks.num_kept == 0:
                raise A2DError(
                    f"{self.src} and {self.hyp}: none of {cleaning.num_read} pairs is left "
                    f"({cleaning.num_dropped.get('empty', 0)} with an empty side, {leaks.num_read} in a held-out set)",
                    "check that these are the training text's sources and their translations",
                )

        write_corpus(folder, "train", languages, pairs(), self.fingerprint, tokenizer)
        counts = {"read": cleaning.num_read, "kept": leaks.num_kept, **cleaning.num_dropped, **leaks.num_dropped}
        dropped = " · ".join(f"{name} {count:,}" for name, count in counts.items() if name not in ("read", "kept"))
        reporter.info(f"pseudo text: {counts['kept']:,} of {counts['read']:,} pairs; dropped: {dropped or 'nothing'}")
        return counts
