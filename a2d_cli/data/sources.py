"""Where a recipe's texts come from: downloads, a person's own files, or the demo grammar."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from a2d_cli.config.schema import CorpusFiles, Data, Generated, Recipe
from a2d_cli.data.aligned_text import Pair
from a2d_cli.data.download import Fetched, NotToBeHad, fetch
from a2d_cli.data.formats import read_pairs, split_name
from a2d_cli.errors import A2DError
from a2d_cli.files import sha256_file
from a2d_cli.reporting import Progress, Reporter

DEFAULT_TEST = "test"  # name of the test set that a split or the demo grammar makes


@dataclass(frozen=True)
class Source:
    """One text of one set."""

    origin: dict[str, Any]  # how the report names it
    pairs: Iterable[Pair]


@dataclass(frozen=True)
class Sources:
    sets: dict[str, list[Source]]  # train, valid and each test set, where there is a source for it
    downloads: dict[str, Fetched]
    left_out: list[dict[str, str]]  # optional ones that cannot be had: set, src, reason


def open_sources(recipe: Recipe, raw_dir: Path, *, mirror: str | None, reporter: Reporter) -> Sources:
    """Download what is missing, and open every text.

    Raises:
        A2DError: a source that is not optional cannot be had.
    """
    if recipe.data.generated:
        return Sources(_generate(recipe.data.generated, into_german=recipe.tgt_lang == "de"), {}, [])
    downloads, left_out = _fetch_all(recipe.data, raw_dir, mirror, reporter)

    def locate(place: str) -> Path:
        return downloads[place].path if place in downloads else Path(place)

    def source(files: CorpusFiles) -> Source:
        pairs = read_pairs(files, locate, src_lang=recipe.src_lang, tgt_lang=recipe.tgt_lang, reporter=reporter)
        return Source({"src": files.src, "tgt": files.tgt}, pairs)

    sets = {
        name: [source(files) for files in group if (name, files) not in left_out]
        for name, group in _sets(recipe.data).items()
    }
    if not sets["train"]:
        reasons = "; ".join(reason for (name, _), reason in left_out.items() if name == "train")
        raise A2DError(
            f"data.train: every source is left out: {reasons}", "run again when they can be reached, or use --mirror"
        )
    reported = [{"set": name, "src": files.src, "reason": reason} for (name, files), reason in left_out.items()]
    return Sources({name: sources for name, sources in sets.items() if sources}, downloads, reported)


def identify_sources(data: Data) -> dict[str, Any]:
    """A JSON value that is equal for equal sources, without downloading or reading any as text.

    A download is known by its address and checksum, a person's own file by what is in it, wherever it lies.

    Raises:
        A2DError: no such file.
    """

    def identity(files: CorpusFiles, name: str | None) -> str | None:
        if name is None:
            return None
        place, member = split_name(name)
        if download := data.downloads.get(place):
            return f"{download.url} {download.sha256} {member}"
        try:
            _require_file(place)
        except NotToBeHad:
            if files.optional:
                return None
            raise
        return f"{sha256_file(Path(place))} {member}"

    return {
        "sets": {
            name: [
                {**asdict(files), "src": identity(files, files.src), "tgt": identity(files, files.tgt)}
                for files in group
            ]
            for name, group in _sets(data).items()
        },
        "generated": asdict(data.generated) if data.generated else None,
    }


def own_files(data: Data) -> Iterator[Path]:
    """The files of texts that are no downloads."""
    for files in (files for group in _sets(data).values() for files in group):
        for place in (split_name(name)[0] for name in (files.src, files.tgt) if name):
            if place not in data.downloads:
                yield Path(place)


def _sets(data: Data) -> dict[str, tuple[CorpusFiles, ...]]:
    return {"train": data.train, "valid": data.valid, **data.tests}


def _fetch_all(
    data: Data, raw_dir: Path, mirror: str | None, reporter: Reporter
) -> tuple[dict[str, Fetched], dict[tuple[str, CorpusFiles], str]]:
    """Downloads by name; optional sources that cannot be had, by set, with the reason."""
    downloads: dict[str, Fetched] = {}
    left_out: dict[tuple[str, CorpusFiles], str] = {}
    for name, files in ((name, files) for name, group in _sets(data).items() for files in group):
        listener = _ProgressOnly(reporter) if files.optional else reporter
        places = [split_name(side)[0] for side in (files.src, files.tgt) if side]
        try:
            for place in places:
                if place not in data.downloads:
                    _require_file(place)
                elif place not in downloads:
                    downloads[place] = fetch(data.downloads[place], raw_dir, mirror=mirror, reporter=listener)
        except NotToBeHad as error:
            if not files.optional:
                raise
            reporter.warn(f"left out: {files.src} (optional, cannot be had now)")
            left_out[name, files] = error.message
    return downloads, left_out


class _ProgressOnly(Reporter):
    """For what may be missing: one line says so in the end, whatever was tried."""

    def __init__(self, inner: Reporter):
        self._inner = inner

    def progress(self, title: str, total: float | None = None, unit: str = "") -> Progress:
        return self._inner.progress(title, total, unit)


def _require_file(path: str) -> None:
    if not Path(path).is_file():
        raise NotToBeHad(f"{path}: no such file", "check the path")
    if not os.access(path, os.R_OK):
        raise NotToBeHad(f"{path}: cannot be read: permission denied", "let this user read it (chmod)")


def _generate(settings: Generated, into_german: bool) -> dict[str, list[Source]]:
    from a2d_cli.data.demo import corpus as demo_corpus  # a large lexicon, which other corpora need not load

    corpus = demo_corpus.generate(settings)  # (German, English)
    sets = {"train": corpus.train, "valid": corpus.valid, DEFAULT_TEST: corpus.test}
    return {
        name: [
            Source(
                {"src": "demo grammar", "tgt": None},
                [(english, german) for german, english in pairs] if into_german else pairs,
            )
        ]
        for name, pairs in sets.items()
    }
