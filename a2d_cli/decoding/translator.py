"""Sentences in, sentences out: tokens, batches by length, search, text in input order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from a2d_cli.config.schema import Decoding
from a2d_cli.data.tokenizer import Tokenizer
from a2d_cli.decoding.engine import Engine, Hypothesis, SearchBatch
from a2d_cli.decoding.word_alignment import word_links


@dataclass(frozen=True)
class Translation:
    text: str
    score: float  # Σ log p / length ** length_penalty
    alignment: tuple[tuple[int, int], ...] | None = None  # (source word, target word), from 0, white-space words
    is_cut: bool = False  # as long as it may be: the limit ended it


EMPTY = Translation("", 0.0)


class Translator:
    """Translates with one model.

    Args:
        align: with word alignments, from the engine's alignment head.
    """

    def __init__(self, engine: Engine, tokenizer: Tokenizer, settings: Decoding, align: bool = False):
        self.engine, self.tokenizer, self.settings, self.align = engine, tokenizer, settings, align
        self.max_source_tokens = min(settings.max_source_tokens, engine.max_tokens - 1)
        is_model = engine.max_tokens - 1 < settings.max_source_tokens
        self.source_limit = "the model's max_positions" if is_model else "decoding.max_source_tokens"

    def with_settings(self, settings: Decoding) -> Translator:
        return Translator(self.engine, self.tokenizer, settings, self.align)

    def translate(
        self,
        lines: Sequence[str],
        on_done: Callable[[int], None] | None = None,
        on_cut: Callable[[int, int], None] | None = None,
    ) -> list[list[Translation]]:
        """The `nbest` translations of each line, best first, in input order; empty lines stay empty.

        Args:
            on_done: told how many lines each finished batch held.
            on_cut: told (line index, its tokens) where a line is longer than `max_source_tokens` and is cut.
        """
        sources = self.tokenizer.encode_src(list(lines))
        for i, source in enumerate(sources):
            if len(source) > self.max_source_tokens:
                if on_cut:
                    on_cut(i, len(source))
                sources[i] = source[: self.max_source_tokens]
        empty = Translation("", 0.0, ()) if self.align else EMPTY
        results = [[empty] * self.settings.nbest for _ in lines]
        order = sorted((i for i, source in enumerate(sources) if source), key=lambda i: -len(sources[i]))
        size = self.settings.batch_sentences
        chunks = [order[first : first + size] for first in range(0, len(order), size)]
        batches = (self._batch([sources[i] for i in chunk]) for chunk in chunks)
        found = self.engine.search(batches, self.settings, align=self.align)
        for chunk, hypotheses in zip(chunks, found, strict=True):
            texts = self._texts([lines[i] for i in chunk], [sources[i] for i in chunk], hypotheses)
            for i, translations in zip(chunk, texts, strict=True):
                # A tiny vocabulary or length limit may hold fewer than nbest: the line count must not tell.
                filler = replace(empty, score=translations[-1].score)
                results[i] = translations + [filler] * (self.settings.nbest - len(translations))
            if on_done:
                on_done(len(chunk))
        return results

    def _batch(self, sources: list[list[int]]) -> SearchBatch:
        return SearchBatch(sources, [self._limit(source) for source in sources])

    def _limit(self, source: list[int]) -> int:
        """The most tokens of its translation, end mark counted."""
        limit = int(len(source) * self.settings.max_length_ratio + self.settings.max_length_extra)
        return max(1, min(limit, self.engine.max_tokens))

    def _texts(
        self, lines: list[str], sources: list[list[int]], found: list[list[Hypothesis]]
    ) -> list[list[Translation]]:
        texts = iter(self.tokenizer.decode_tgt([list(h.tokens) for hypotheses in found for h in hypotheses]))
        return [
            [Translation(next(texts), h.score, self._links(line, h), len(h.tokens) + 1 >= limit) for h in hypotheses]
            for line, limit, hypotheses in zip(lines, map(self._limit, sources), found, strict=True)
        ]

    def _links(self, line: str, hypothesis: Hypothesis) -> tuple[tuple[int, int], ...] | None:
        if hypothesis.attended is None:
            return None
        src = self.tokenizer.cut_src(line)  # not by id: what a cut vocabulary does not know may begin a word
        tgt = [self.tokenizer.tgt_pieces[i] for i in hypothesis.tokens]
        return word_links(src, tgt, hypothesis.attended)
