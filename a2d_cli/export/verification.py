"""Proof that an export is the model it was made from, and that quantisation did not harm it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from a2d_cli.decoding.alarms import has_repetition_loop
from a2d_cli.decoding.engine import Engine
from a2d_cli.decoding.translator import Translator
from a2d_cli.errors import A2DError
from a2d_cli.scoring import score

TOLERANCE = 1e-4  # nats: what two float32 engines may differ by in the log-probability of a token
MAX_CHRF_LOSS = 0.5  # points that quantisation may cost
FEW_LOOPS = 0.005  # of the sentences: a single one says nothing


@dataclass(frozen=True)
class Exactness:
    """A float32 export beside its model."""

    sentences: int
    max_difference_nats: float  # of a token's log-probability, forced decoding
    greedy_equal: float  # share of the sentences whose greedy translations are equal to the token


@dataclass(frozen=True)
class Gate:
    """A quantised export beside the float32 one, on validation sentences."""

    sentences: int
    beam: int
    chrf_float: float
    chrf_quantised: float
    bleu_float: float
    bleu_quantised: float
    equal: float  # share of equal translations
    loops_float: int  # translations that repeat themselves
    loops_quantised: int

    @property
    def chrf_loss(self) -> float:
        return self.chrf_float - self.chrf_quantised

    @property
    def max_loops(self) -> float:
        """What chance may add to the float model's (two standard deviations), and one sentence in 200 in any case."""
        return max(self.loops_float + 2 * math.sqrt(self.loops_float), FEW_LOOPS * self.sentences)


def check_exactness(
    exported: Translator, original: Translator, sources: Sequence[str], references: Sequence[str]
) -> Exactness:
    """Compare the log-probabilities of the references, and greedy translations.

    Raises:
        A2DError: they differ by more than TOLERANCE; nothing that differs may be shipped as the same model.
    """
    tokenizer = original.tokenizer
    longest = min(exported.engine.max_tokens, original.engine.max_tokens) - 1
    pairs = [
        (src, tgt)
        for src, tgt in zip(tokenizer.encode_src(list(sources)), tokenizer.encode_tgt(list(references)), strict=True)
        if src and max(len(src), len(tgt)) <= longest
    ]
    if not pairs:
        raise A2DError(
            "no validation pair has words on both sides and fits the model: nothing to prove the export with",
            "prepare with a validation text of usual sentences",
        )
    found, expected = (_log_probs(each.engine, pairs) for each in (exported, original))
    differences = [abs(a - b) for a, b in zip(found, expected, strict=True)]
    # A NaN is larger than nothing: `max` would pass over it.
    difference = math.nan if any(map(math.isnan, differences)) else max(differences)
    if not difference <= TOLERANCE:
        raise A2DError(
            f"the export differs from the model by {difference:.2g} nats in the log-probability of a token "
            f"(at most {TOLERANCE:g} is rounding)",
            "nothing was written; please report this with the model's config.json",
        )
    greedy = replace(original.settings, beam=1, nbest=1)
    texts = [
        [translations[0].text for translations in each.with_settings(greedy).translate(sources)]
        for each in (exported, original)
    ]
    return Exactness(len(pairs), difference, _share_of_equals(*texts))


def _log_probs(engine: Engine, pairs: Sequence[tuple[list[int], list[int]]], batch_sentences: int = 16) -> list[float]:
    flat: list[float] = []
    for first in range(0, len(pairs), batch_sentences):
        sources, targets = zip(*pairs[first : first + batch_sentences], strict=True)
        for log_probs in engine.score_tokens(list(sources), list(targets)):
            flat += log_probs
    return flat


def measure_gate(
    quantised: Translator, exact: Translator, sources: Sequence[str], references: Sequence[str], tgt_lang: str
) -> Gate:
    """Translate with both and compare."""
    before, after = ([best[0].text for best in each.translate(sources)] for each in (exact, quantised))
    (bleu_before, chrf_before), (bleu_after, chrf_after) = (
        score(texts, [list(references)], ("bleu", "chrf"), tgt_lang=tgt_lang) for texts in (before, after)
    )
    loops_before, loops_after = (
        sum(has_repetition_loop(text, source) for text, source in zip(texts, sources, strict=True))
        for texts in (before, after)
    )
    return Gate(
        sentences=len(sources),
        beam=quantised.settings.beam,
        chrf_float=chrf_before.value,
        chrf_quantised=chrf_after.value,
        bleu_float=bleu_before.value,
        bleu_quantised=bleu_after.value,
        equal=_share_of_equals(before, after),
        loops_float=loops_before,
        loops_quantised=loops_after,
    )


def require_passed(gate: Gate, quantization: str) -> None:
    """Refuse a quantised model that translates worse.

    Raises:
        A2DError: says by how much.
    """
    reasons = []
    if gate.chrf_loss > MAX_CHRF_LOSS:
        reasons.append(
            f"chrF2 falls by {gate.chrf_loss:.2f}, from {gate.chrf_float:.2f} to {gate.chrf_quantised:.2f} "
            f"(at most {MAX_CHRF_LOSS:g} is allowed)"
        )
    if gate.loops_quantised > gate.max_loops:
        reasons.append(f"{gate.loops_quantised} translations repeat themselves, with float32 {gate.loops_float} do")
    if reasons:
        raise A2DError(
            f"{quantization} is refused: on {gate.sentences} validation sentences {'; '.join(reasons)}",
            "export with --quantization float32 or int16, or train the model longer",
        )


def gate_facts(gate: Gate) -> dict[str, float]:
    return {**asdict(gate), "chrf_loss": gate.chrf_loss, "max_chrf_loss": MAX_CHRF_LOSS, "max_loops": gate.max_loops}


def _share_of_equals(one: Sequence[str], other: Sequence[str]) -> float:
    return sum(a == b for a, b in zip(one, other, strict=True)) / max(1, len(one))
