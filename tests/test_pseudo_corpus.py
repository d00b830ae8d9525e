"""A teacher's translations on disk: whole shards, whatever broke off the work, and none that are not the teacher's."""

from __future__ import annotations

import contextlib
import gzip
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from listener import Listener
from tiny import quick

from a2d_cli.config.schema import Decoding
from a2d_cli.data.aligned_text import AlignedText
from a2d_cli.decoding.translator import Translation
from a2d_cli.distillation import pseudo_corpus
from a2d_cli.distillation.pseudo_corpus import Candidate, PseudoCorpus, PseudoOrigin
from a2d_cli.errors import A2DError, ConfigError, Interrupted
from a2d_cli.files import lock_folder
from a2d_cli.reporting import Reporter

BATCH = 3


class Killed(BaseException):
    """What no code of ours catches."""


class Spelling:
    """An engine and translator that reads a sentence backwards, then once more for each further translation."""

    name, machine = "abacus", "by hand"

    def __init__(self, nbest: int, batches: int = 1 << 30, translations: dict[str, Translation] | None = None):
        self.engine, self.nbest, self.batches, self.translations = self, nbest, batches, translations or {}
        self.read: list[str] = []

    def translate(self, lines, on_done: Callable[[int], None], on_cut: Callable[[int, int], None]):
        for first in range(0, len(lines), BATCH):
            if self.batches == 0:
                raise Killed
            self.batches -= 1
            self.read += lines[first : first + BATCH]
            on_done(len(lines[first : first + BATCH]))
        for line, source in enumerate(lines):
            if source.startswith("long "):
                on_cut(line, 999)
        return [self.nbest_of(source) for source in lines]

    def nbest_of(self, source: str) -> list[Translation]:
        first = self.translations.get(source, Translation(source[::-1], -0.5))
        return [first, *(Translation(f"{source[::-1]} {rank}", -0.5 - rank) for rank in range(1, self.nbest))]


def corpus_of(folder: Path, sources: list[str], nbest: int = 2, needed: int = 1, **changes) -> PseudoCorpus:
    text = AlignedText(folder / "text.de", folder / "text.en")
    stamp = text.write([(source, f"reference of {source}") for source in sources])
    origin = replace(PseudoOrigin("0123456789abcdef", stamp, "float32", Decoding()), **changes)
    return PseudoCorpus(folder / "pseudo", origin, text, nbest, needed)


def fill(corpus: PseudoCorpus, translator: Spelling, reporter: Reporter | None = None, anew: bool = False) -> None:
    def open_translator(nbest: int) -> Spelling:
        assert nbest == translator.nbest
        return translator

    corpus.fill(open_translator, "a2d pseudo", reporter or Reporter(), anew)


def sources_of(count: int) -> list[str]:
    return [f"s{number}" for number in range(count)]


@pytest.fixture
def five(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pseudo_corpus, "SHARD_LINES", 5)


@given(st.integers(1, 23), st.integers(1, 7), st.integers(1, 3), st.data())
@quick
def test_however_often_it_was_killed_each_sentence_gets_its_own_translations(
    tmp_path_factory, count, size, nbest, data
):
    folder, sources = tmp_path_factory.mktemp("corpus"), sources_of(count)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pseudo_corpus, "SHARD_LINES", size)
        corpus = corpus_of(folder, sources, nbest)
        finished: set[str] = set()
        for batches in [*data.draw(st.lists(st.integers(1, 9), max_size=5)), count]:
            translator = Spelling(nbest, batches)
            with contextlib.suppress(Killed):
                fill(corpus, translator)
            assert not finished & set(translator.read)  # what is finished is not translated again
            shards = corpus.index().shards
            finished = {source for number in shards for source in sources[number * size : (number + 1) * size]}
            if shards:
                patch.setattr(pseudo_corpus, "SHARD_LINES", size + 1)  # a folder that is begun keeps its own
    assert finished == {*sources}
    pairs, translations = zip(*corpus.read(), strict=True)
    assert [src for src, _ in pairs] == sources and pairs[0][1] == "reference of s0"
    spelling = Spelling(nbest)
    told = [[Candidate(each.text, each.score, "whole") for each in spelling.nbest_of(source)] for source in sources]
    assert list(translations) == told
    fill(corpus, Spelling(nbest, batches=0))  # nothing is left to do


def test_a_shard_is_text_with_a_line_a_translation(tmp_path: Path):
    corpus = corpus_of(tmp_path, ["ba be", "bi"])
    fill(corpus, Spelling(2, translations={"bi": Translation(" i\tb\x0b\n\x00ib ", -1 / 3)}))
    lines = gzip.decompress((tmp_path / "pseudo/00000.tsv.gz").read_bytes()).decode()
    assert lines == (
        "1\t1\t-0.5000\twhole\teb ab\n"
        "1\t2\t-1.5000\twhole\teb ab 1\n"
        "2\t1\t-0.3333\twhole\ti b ib\n"
        "2\t2\t-1.5000\twhole\tib 1\n"
    )
    assert sorted(path.name for path in (tmp_path / "pseudo").iterdir()) == [".lock", "00000.tsv.gz", "pseudo.json"]


def test_translations_that_are_not_whole_are_told_and_counted(tmp_path: Path):
    odd = {
        "bu": Translation(" \u200b ", -0.1),
        "bo": Translation("ob ob ob ob ob ob", -0.2),
        "be": Translation("eb", -0.3, is_cut=True),
    }
    corpus = corpus_of(tmp_path, ["ba", "bu", "bo", "be", "long bi"])
    fill(corpus, Spelling(2, translations=odd))
    states = [[each.state for each in candidates] for _, candidates in corpus.read()]
    assert states == [["whole"] * 2, ["empty", "whole"], ["loop", "whole"], ["cut", "whole"], ["cut"] * 2]
    assert corpus.index().not_whole == {"empty": 1, "loop": 1, "cut": 2}


@pytest.mark.usefixtures("five")
def test_what_is_broken_is_not_read_and_is_translated_again(tmp_path: Path):
    sources = sources_of(13)
    corpus = corpus_of(tmp_path, sources)
    fill(corpus, Spelling(2))
    whole = [*corpus.read()]
    digest, shards = corpus.index().digest, sorted((tmp_path / "pseudo").glob("*.gz"))
    assert len(shards) == 3
    other = gzip.compress(gzip.decompress(shards[1].read_bytes()).replace(b"5s", b"5z"), mtime=0)
    shorter = gzip.compress(gzip.decompress(shards[1].read_bytes())[:-2], mtime=0)
    for content, reason in (
        (other, "not the translations that were written"),
        (shorter, "not the translations that were written"),
        (shards[1].read_bytes()[:-9], "cannot be read"),
        (b"", "not the translations that were written"),
        (None, "no such file"),
    ):
        if content is None:
            shards[1].unlink()
        else:
            shards[1].write_bytes(content)
        with pytest.raises(A2DError, match=rf"00001.tsv.gz: {reason}.* \| hint: run 'a2d pseudo'"):
            list(corpus.read())
        translator, listener = Spelling(2), Listener()
        fill(corpus, translator, listener)
        assert listener.lines[0].startswith(f"warning: {shards[1]}: {reason}") and listener.lines[0].endswith(
            ": translated again"
        )
        assert translator.read == sources[5:10]
        assert [*corpus.read()] == whole and corpus.index().digest == digest


@pytest.mark.usefixtures("five")
def test_of_an_unfinished_corpus_nothing_is_learned(tmp_path: Path):
    corpus = corpus_of(tmp_path, sources_of(7))
    with pytest.raises(Killed):
        fill(corpus, Spelling(2, batches=2))
    with pytest.raises(A2DError, match="00001.tsv.gz: not translated yet"):
        list(corpus.read())


def test_translations_of_something_else_are_neither_used_nor_replaced(tmp_path: Path):
    fill(corpus_of(tmp_path, sources_of(7)), Spelling(2))
    before = (tmp_path / "pseudo/pseudo.json").read_bytes()
    for asked, change in (
        (corpus_of(tmp_path, sources_of(11)), "text.num_pairs: 7 -> 11"),
        (
            corpus_of(tmp_path, sources_of(7), teacher="fedcba9876543210"),
            "teacher: 0123456789abcdef -> fedcba9876543210",
        ),
        (
            corpus_of(tmp_path, sources_of(7), decoding=Decoding(length_penalty=0.7)),
            "decoding.length_penalty: 1.0 -> 0.7",
        ),
    ):
        with pytest.raises(
            ConfigError, match=f"was made of another text or with other settings: .*{change}.*a2d pseudo --overwrite"
        ):
            fill(asked, Spelling(2))
    fill(
        corpus_of(tmp_path, sources_of(7), decoding=Decoding(batch_sentences=7)), Spelling(2, batches=0)
    )  # changes nothing
    with pytest.raises(ConfigError, match="holds 2 translations of each sentence, 3 are asked for"):
        fill(corpus_of(tmp_path, sources_of(7), nbest=5, needed=3), Spelling(5))
    assert (tmp_path / "pseudo/pseudo.json").read_bytes() == before
    corpus = corpus_of(tmp_path, sources_of(7), nbest=5, needed=3)
    fill(corpus, Spelling(5), anew=True)
    assert {len(candidates) for _, candidates in corpus.read()} == {5}


def test_what_is_translated_is_kept_until_there_is_a_translator_to_do_it_anew(tmp_path: Path):
    corpus = corpus_of(tmp_path, sources_of(7))
    fill(corpus, Spelling(2))
    before = corpus.index()

    def open_none(nbest: int) -> Spelling:
        raise A2DError("no such device")

    with pytest.raises(A2DError, match="no such device"):
        corpus.fill(open_none, "a2d pseudo", Reporter(), anew=True)
    assert corpus.is_full() and corpus.index() == before
    fill(corpus, Spelling(2), anew=True)
    assert corpus.index() == before


def test_a_training_text_that_has_grown_is_told(tmp_path: Path):
    corpus = corpus_of(tmp_path, sources_of(7))
    fill(corpus, Spelling(2))
    for path in corpus.text.paths:
        with path.open("a", encoding="utf-8") as stream:
            stream.write("more\n")
    with pytest.raises(A2DError, match="are not as 'a2d prepare' wrote them .8 pairs where 7 were written"):
        list(corpus.read())


def test_a_text_that_was_edited_is_refused_before_anything_is_translated(tmp_path: Path):
    corpus = corpus_of(tmp_path, sources_of(7))
    corpus.text.src.write_text("edited\n" * 7, encoding="utf-8")
    with pytest.raises(A2DError, match="are not as 'a2d prepare' wrote them"):
        fill(corpus, Spelling(2, batches=0))


@pytest.mark.usefixtures("five")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_work_behind_a_batch_and_keeps_what_is_finished(tmp_path: Path, number: int):
    class Stopped(Spelling):
        def translate(self, lines, on_done, on_cut):
            if "s5" in lines:
                os.kill(os.getpid(), number)
            return super().translate(lines, on_done, on_cut)

    corpus = corpus_of(tmp_path, sources_of(13))
    translator, handler = Stopped(2), signal.getsignal(number)
    with pytest.raises(Interrupted) as stop:
        fill(corpus, translator)
    assert (stop.value.signal_number, stop.value.hint) == (number, "a2d pseudo")
    assert translator.read == sources_of(8) and [*corpus.index().shards] == [0]
    assert signal.getsignal(number) is handler


def test_two_processes_do_not_translate_the_same(tmp_path: Path):
    corpus = corpus_of(tmp_path, sources_of(3))
    with (
        lock_folder(corpus.folder, "a2d distill --seed 2"),
        pytest.raises(A2DError, match="in use by 'a2d distill --seed 2'"),
    ):
        fill(corpus, Spelling(2))


def test_translations_that_are_there_are_used_beside_other_processes(tmp_path: Path):
    corpus = corpus_of(tmp_path, sources_of(3))
    fill(corpus, Spelling(2))
    with lock_folder(corpus.folder, "a2d distill --seed 2"):
        fill(corpus, Spelling(2, batches=0))
        assert len([*corpus.read()]) == 3


def test_it_says_how_fast_it_was(tmp_path: Path):
    listener = Listener()
    fill(corpus_of(tmp_path, sources_of(11)), Spelling(2), listener)
    (said,) = listener.lines
    assert said.startswith("11 sentences translated in 0 s, ") and said.endswith(
        f" a second (abacus, float32, by hand): {tmp_path}/pseudo"
    )


def test_a_folder_is_named_after_what_people_choose():
    origin = PseudoOrigin("0123456789abcdef", None, "float32", Decoding(beam=7))
    assert origin.folder_name == "01234567-beam7"
    assert replace(origin, quantization="int8").folder_name == "01234567-beam7-int8"
