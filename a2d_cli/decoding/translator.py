"""Sentences in, sentences out: tokens, batches by length, search, text in input order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from a2d_cli.config.schema import Decoding
from a2d_cli.data.batching import SpecialIds, pad_sources
from a2d_cli.data.tokenizer import Tokenizer
from a2d_cli.decoding.beam_search import SearchSettings, beam_search
from a2d_cli.model.transformer import Transformer


@dataclass(frozen=True)
class Translation:
    text: str
    score: float  # Σ log p / length ** length_penalty


EMPTY = Translation("", 0.0)


class Translator:
    """Translates with one model."""

    def __init__(self, model: Transformer, tokenizer: Tokenizer, settings: Decoding):
        self.model, self.tokenizer, self.settings = model, tokenizer, settings
        self.search = SearchSettings(settings.beam, settings.nbest, settings.length_penalty)
        self.ids = SpecialIds(tokenizer.src_pad, tokenizer.tgt_pad, tokenizer.eos)
        self.max_source_tokens = min(settings.max_source_tokens, model.shape.max_positions - 1)

    @torch.inference_mode()
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
        results: list[list[Translation]] = [[EMPTY] * self.settings.nbest for _ in lines]
        order = sorted((i for i, source in enumerate(sources) if source), key=lambda i: -len(sources[i]))
        for first in range(0, len(order), self.settings.batch_sentences):
            chunk = order[first : first + self.settings.batch_sentences]
            for i, translations in zip(chunk, self._translate_batch([sources[i] for i in chunk]), strict=True):
                results[i] = translations
            if on_done:
                on_done(len(chunk))
        return results

    def _translate_batch(self, sources: list[list[int]]) -> list[list[Translation]]:
        device = self.model.positions.device
        src = pad_sources(sources, self.ids).to(device)
        lengths = torch.tensor([len(source) for source in sources], device=device)
        limits = (lengths * self.settings.max_length_ratio + self.settings.max_length_extra).long()
        limits = limits.clamp(1, self.model.shape.max_positions)
        cache = self.model.start_decoding(src, self.search.beam)
        found = beam_search(self.model.decode_step, cache, limits, self.ids.tgt_pad, self.ids.eos, self.search)
        texts = self.tokenizer.decode_tgt([list(h.tokens) for hypotheses in found for h in hypotheses])
        remaining = iter(texts)
        results = []
        for hypotheses in found:
            translations = [Translation(next(remaining), h.score) for h in hypotheses]
            # A tiny vocabulary or length limit may hold fewer than nbest: the line count must not tell.
            results.append(translations + [EMPTY] * (self.settings.nbest - len(translations)))
        return results
