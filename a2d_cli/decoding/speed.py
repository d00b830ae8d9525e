"""What translating costs: processor time and wall time, for each sentence and each token written."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from a2d_cli.config.schema import Decoding
from a2d_cli.data.tokenizer import Tokenizer
from a2d_cli.decoding.engine import Engine, Hypothesis, SearchBatch
from a2d_cli.decoding.translator import Translator


@dataclass(frozen=True)
class TimedPass:
    """A text translated once, from characters to characters."""

    sentences: int
    tokens: int  # of the translations, end marks not counted
    cpu_s: float  # of all threads of the process
    wall_s: float
    latencies_s: tuple[float, ...]  # wall time of each sentence where they came one by one, else empty


@dataclass(frozen=True)
class Speed:
    """Medians of several passes. A CPU second is one core at work for a second, whatever else the machine does."""

    sentences_per_cpu_s: float
    tokens_per_cpu_s: float
    sentences_per_s: float
    tokens_per_s: float
    latency_p50_s: float | None  # of one sentence; None where they were translated in batches
    latency_p95_s: float | None

    @classmethod
    def of(cls, passes: Sequence[TimedPass]) -> Speed:
        one_by_one = all(each.latencies_s for each in passes)
        return cls(
            sentences_per_cpu_s=median(each.sentences / each.cpu_s for each in passes),
            tokens_per_cpu_s=median(each.tokens / each.cpu_s for each in passes),
            sentences_per_s=median(each.sentences / each.wall_s for each in passes),
            tokens_per_s=median(each.tokens / each.wall_s for each in passes),
            latency_p50_s=median(percentile(each.latencies_s, 50) for each in passes) if one_by_one else None,
            latency_p95_s=median(percentile(each.latencies_s, 95) for each in passes) if one_by_one else None,
        )


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that `percent` of the values do not exceed (nearest rank)."""
    return sorted(values)[max(0, math.ceil(percent * len(values) / 100) - 1)]


def time_translation(
    engine: Engine,
    tokenizer: Tokenizer,
    settings: Decoding,
    lines: Sequence[str],
    length_ratio: float | None = None,
) -> TimedPass:
    """Translate `lines`, none of them empty: all at hand at once, or one after the other where a batch is one sentence.

    Args:
        length_ratio: as `CountingEngine`.
    """
    counting = CountingEngine(engine, length_ratio)
    translator = Translator(counting, tokenizer, settings)
    translator.translate(lines[: settings.batch_sentences])  # to warm up
    counting.tokens = 0
    one_by_one = settings.batch_sentences == 1
    walls_s = []
    cpu_began_s = time.process_time()
    for part in [[line] for line in lines] if one_by_one else [lines]:
        began_s = time.perf_counter()
        translator.translate(part)
        walls_s.append(time.perf_counter() - began_s)
    cpu_s = time.process_time() - cpu_began_s
    return TimedPass(len(lines), counting.tokens, cpu_s, sum(walls_s), tuple(walls_s) if one_by_one else ())


class CountingEngine:
    """An engine that counts the tokens of its best outputs, and can be made to write a given number of them.

    Args:
        length_ratio: tokens of an output, end mark counted, for each source token; None: as many as the model finds
            right. An untrained model ends its outputs anywhere, and its speed would be that of their lengths.
    """

    def __init__(self, engine: Engine, length_ratio: float | None = None):
        self._engine, self._length_ratio = engine, length_ratio
        self.name, self.max_tokens, self.machine = engine.name, engine.max_tokens, engine.machine
        self.tokens = 0

    def search(
        self,
        batches: Iterable[SearchBatch],
        settings: Decoding,
        *,
        align: bool = False,
        exact_length: bool = False,
    ) -> Iterator[list[list[Hypothesis]]]:
        if self._length_ratio is not None:
            batches, exact_length = map(self._of_one_length, batches), True
        for found in self._engine.search(batches, settings, align=align, exact_length=exact_length):
            self.tokens += sum(len(hypotheses[0].tokens) for hypotheses in found)
            yield found

    def _of_one_length(self, batch: SearchBatch) -> SearchBatch:
        """The same number of steps a sentence, so that engines that know one limit a batch do no more than others."""
        src_tokens = sum(map(len, batch.sources)) / len(batch.sources)
        limit = min(max(round(self._length_ratio * src_tokens), 2), self.max_tokens)
        return SearchBatch(batch.sources, [limit] * len(batch.sources))
