"""sacrebleu's scores with their signatures, confidence intervals and paired bootstrap tests."""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

from a2d_cli.errors import A2DError, ConfigError

if TYPE_CHECKING:
    import numpy as np
    from sacrebleu.metrics.base import Metric

METRICS = ("bleu", "chrf", "chrf++", "ter")
RESAMPLES = 1000  # of a paired test


@dataclass(frozen=True)
class Score:
    """A corpus score as sacrebleu gives it; without its signature it would not be one."""

    name: str  # sacrebleu's: BLEU, chrF2, chrF2++, TER
    value: float  # percent
    signature: str
    verbose: str = ""  # BLEU: n-gram precisions, brevity penalty, lengths
    confidence: tuple[float, float] | None = None  # 95 % bootstrap interval


@dataclass(frozen=True, eq=False)
class ResampledScore:
    """A score, and the same score on bootstrap resamples of the test set.

    The resamples follow from the seed and the number of lines alone, so those of two systems are pairs.
    """

    score: Score
    values: np.ndarray  # (resamples,)
    num_lines: int


@dataclass(frozen=True)
class PairedResult:
    """How much a system differs from a baseline on the same test set (paired bootstrap).

    `p_value` is sacrebleu's, to the digit. It errs on the small side: of pairs of equal systems some 10 % have
    p < 0.05, and some 5 % an interval without 0, which is what counts.
    """

    name: str  # of the metric
    delta: float  # system - baseline
    low: float  # 95 % interval of delta
    high: float
    p_value: float
    signature: str


def score(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    metrics: Iterable[str] = ("bleu", "chrf"),
    bootstrap: int = 0,
    tgt_lang: str = "",
) -> list[Score]:
    """Score a corpus, one `Score` a metric in the order asked.

    Args:
        references: one list of lines a reference, each as long as `hypotheses`.
        bootstrap: number of resamples for a confidence interval; 0 = none.
        tgt_lang: lets BLEU choose its tokenizer (zh, ja, ko); otherwise 13a.

    Raises:
        ConfigError: unknown metric.
        A2DError: no lines, or different numbers of lines.
    """
    if bootstrap:
        resampled = [resample(hypotheses, references, name, bootstrap, tgt_lang=tgt_lang) for name in metrics]
        return [result.score for result in resampled]
    _check(hypotheses, references)
    scores = []
    for metric in [_metric(name, tgt_lang) for name in metrics]:
        result = metric.corpus_score(hypotheses, references)
        scores.append(_as_score(result, metric.get_signature().format()))
    return scores


def resample(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    metric: str = "bleu",
    n: int = RESAMPLES,
    seed: int | None = None,
    tgt_lang: str = "",
) -> ResampledScore:
    """Score a corpus and `n` bootstrap resamples of it, with the very resamples that sacrebleu draws.

    Args:
        seed: default is SACREBLEU_SEED, else 12345, as in sacrebleu.

    Raises:
        ConfigError, A2DError: as `score`.
    """
    import numpy as np

    _check(hypotheses, references)
    scorer = _metric(metric, tgt_lang)
    seed = _default_seed() if seed is None else seed
    # What sacrebleu's own tests add up, line by line; float32 as there, so that p agrees to the digit.
    lines = scorer._extract_corpus_statistics(hypotheses, references)
    whole = scorer._aggregate_and_compute(lines)
    statistics = np.array(lines, dtype="float32")  # (lines, statistics)
    generator = np.random.default_rng(seed)
    values = np.empty(n)
    for i in range(n):
        drawn = generator.choice(len(statistics), size=len(statistics), replace=True)
        values[i] = scorer._compute_score_from_stats(statistics[drawn].sum(0)).score
    signature = scorer.get_signature()
    signature.update("bs", n)
    signature.update("seed", str(seed))
    return ResampledScore(_as_score(whole, signature.format(), _interval(values)), values, len(statistics))


def mean_of(scores: Sequence[ResampledScore]) -> ResampledScore:
    """The mean score of systems that were resampled alike, draw by draw: what their test set's sentences leave open.

    Systems of several seeds share the sentences: however many they are, that uncertainty does not average out.
    """
    import numpy as np

    values = np.mean([each.values for each in scores], axis=0)
    score = replace(scores[0].score, value=fmean(each.score.value for each in scores), confidence=_interval(values))
    return replace(scores[0], score=score, values=values)


def compare(baseline: ResampledScore, system: ResampledScore) -> PairedResult:
    """The paired bootstrap test between two systems that were resampled alike on one test set."""
    if baseline.score.signature != system.score.signature or baseline.num_lines != system.num_lines:
        raise ValueError("resamples of different metrics, seeds or test sets are no pairs")
    delta = system.score.value - baseline.score.value
    differences = system.values - baseline.values
    if differences.any():
        sizes = abs(differences)
        exceed = int((sizes - sizes.mean() > abs(delta)).sum())
        p_value = (exceed + 1) / (len(sizes) + 1)
    else:
        p_value = 1.0  # sacrebleu's count would call two equal systems significantly different
    return PairedResult(system.score.name, delta, *_interval(differences), p_value, system.score.signature)


def check_lines(counts: dict[str, int]) -> None:
    """Refuse texts that cannot be held against each other line by line.

    Args:
        counts: lines by the name of the text; the first is the hypotheses.

    Raises:
        A2DError: an empty text, or two texts of different length (names both counts).
    """
    for name, count in counts.items():
        if count == 0:
            raise A2DError(f"{name}: no lines to score", "write one translation a line")
    (first, expected), *others = counts.items()
    for name, count in others:
        if count != expected:
            raise A2DError(
                f"different numbers of lines: {first} {expected}, {name} {count}",
                "a hypothesis file has one line for each line of the reference, empty ones included",
            )


def _check(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    if not references:
        raise ConfigError("no reference to score against", "name at least one reference")
    numbered = {f"reference {number}": len(lines) for number, lines in enumerate(references, 1)}
    check_lines({"the hypotheses": len(hypotheses), **numbered})


def check_tokenizer(tgt_lang: str) -> None:
    """Raises A2DError: BLEU's tokenizer of this language is not installed."""
    _metric("bleu", tgt_lang)


def bleu_tokenizer(tgt_lang: str) -> str:
    """What stands behind `tok:` in the signature, or how that begins."""
    return {"zh": "zh", "ja": "ja-mecab", "ko": "ko-mecab"}.get(_base_language(tgt_lang), "13a")


def _base_language(tag: str) -> str:
    """zh of zh_Hans and zh-TW: sacrebleu knows no regions."""
    return re.split("[_-]", tag)[0].lower()


def _metric(name: str, tgt_lang: str) -> Metric:
    from sacrebleu.metrics import BLEU, CHRF, TER

    if name == "bleu":
        language = _base_language(tgt_lang)
        try:
            return BLEU(trg_lang=language)
        except RuntimeError:  # sacrebleu's tokenizers of Japanese and Korean need packages of their own
            raise A2DError(
                f"BLEU for '{tgt_lang}' needs a tokenizer that is not installed",
                f"pip install 'sacrebleu[{language}]'",
            ) from None
    if name == "chrf":
        return CHRF()
    if name == "chrf++":
        return CHRF(word_order=2)
    if name == "ter":
        return TER()
    nearest = difflib.get_close_matches(name.lower(), METRICS, n=1, cutoff=0.5)
    question = f"did you mean '{nearest[0]}'? " if nearest else ""
    raise ConfigError(f"unknown metric '{name}'", f"{question}metrics are {', '.join(METRICS)}")


def _as_score(result: Any, signature: str, confidence: tuple[float, float] | None = None) -> Score:
    verbose = json.loads(result.format(signature=signature, is_json=True)).get("verbose_score", "")
    return Score(result.name, float(result.score), signature, verbose, confidence)


def _interval(values: np.ndarray) -> tuple[float, float]:
    """Sacrebleu's 95 % interval: a fortieth cut off at either end."""
    ordered = sorted(values.tolist())
    cut = len(ordered) // 40
    return ordered[cut], ordered[-1 - cut]


def _default_seed() -> int:
    text = os.environ.get("SACREBLEU_SEED", "12345")
    try:
        return int(text)
    except ValueError:
        raise ConfigError(
            f"SACREBLEU_SEED is '{text}', expected a whole number", "unset it for sacrebleu's 12345"
        ) from None
