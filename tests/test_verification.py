"""The proof that an export is its model, and the measure of what quantisation costs, on engines that say as told."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import pytest
from sacrebleu.metrics import BLEU, CHRF

from a2d_cli.config.schema import Decoding
from a2d_cli.decoding.engine import Hypothesis, SearchBatch
from a2d_cli.decoding.translator import Translator
from a2d_cli.errors import A2DError
from a2d_cli.export.verification import TOLERANCE, check_exactness, measure_gate

SOURCES = [f"a{'b' * i}c" for i in range(19)]  # all different; more than are scored at once
REFERENCES = [source.upper() for source in SOURCES]


class Letters:
    """A letter is its code point."""

    def encode_src(self, lines: list[str]) -> list[list[int]]:
        return [[ord(letter) for letter in line] for line in lines]

    encode_tgt = encode_src

    def decode_tgt(self, ids: list[list[int]]) -> list[str]:
        return ["".join(map(chr, sentence)) for sentence in ids]


@dataclass
class Engine:
    """Says its source, or what it is told to, with one beam or with any."""

    says: Mapping[str, str] = field(default_factory=dict)
    says_by_beam: Mapping[str, str] = field(default_factory=dict)  # where it keeps more than one hypothesis
    wrong: tuple[str, int] = ("", 0)  # target, token
    by_nats: float = 0.0
    name: str = "told"
    max_tokens: int = 101
    machine: str = "none"

    def search(self, batches: Iterable[SearchBatch], settings: Decoding, **_: bool) -> Iterator[list[list[Hypothesis]]]:
        says = self.says_by_beam if settings.beam > 1 else self.says
        for batch in batches:
            sources = ["".join(map(chr, source)) for source in batch.sources]
            texts = [says.get(source, source) for source in sources]
            yield [[Hypothesis(tuple(map(ord, text)), -1.0)] * settings.nbest for text in texts]

    def score_tokens(self, sources: list[list[int]], targets: list[list[int]]) -> list[list[float]]:
        pairs = zip(sources, targets, strict=True)
        found = [[-0.1 * source[0] - 0.01 * token for token in (*target, 0)] for source, target in pairs]
        for target, log_probs in zip(targets, found, strict=True):
            if "".join(map(chr, target)) == self.wrong[0]:
                log_probs[self.wrong[1]] += self.by_nats
        return found


def translator(engine: Engine, **settings: int) -> Translator:
    return Translator(engine, Letters(), Decoding(**settings))


def exactness(exported: Engine, original: Engine | None = None, **settings: int):
    return check_exactness(
        translator(exported, **settings), translator(original or Engine(), **settings), SOURCES, REFERENCES
    )


@pytest.mark.parametrize("line", [0, 1, 15, 16, 18])
@pytest.mark.parametrize("token", [0, -1])
def test_one_token_of_any_sentence_that_differs_by_more_than_rounding_is_refused(line: int, token: int):
    for by_nats in (2 * TOLERANCE, -2 * TOLERANCE, math.nan):
        with pytest.raises(A2DError, match="the export differs from the model by .* nats in the log-probability"):
            exactness(Engine(wrong=(REFERENCES[line], token), by_nats=by_nats))
    found = exactness(Engine(wrong=(REFERENCES[line], token), by_nats=TOLERANCE / 2))
    assert found.max_difference_nats == pytest.approx(TOLERANCE / 2) and found.sentences == 19


def test_the_share_of_equal_greedy_translations_is_that_of_export_and_model():
    others = dict.fromkeys(SOURCES[:3], "x")
    assert exactness(Engine(says=others)).greedy_equal == pytest.approx(16 / 19)
    assert exactness(Engine(), Engine(says=others)).greedy_equal == pytest.approx(16 / 19)
    assert exactness(Engine(says=others), Engine(says=others)).greedy_equal == 1.0


def test_greedy_translations_are_those_of_one_beam_whatever_the_recipe_decodes_with():
    others = dict.fromkeys(SOURCES, "x")
    assert exactness(Engine(says_by_beam=others), beam=5, nbest=3).greedy_equal == 1.0
    assert exactness(Engine(says=others), beam=5, nbest=3).greedy_equal == 0.0


def test_the_gate_measures_character_and_word_scores_of_both_models_on_all_sentences():
    """Five letters of the reference's first word are enough for chrF, and too few for BLEU, which counts words."""
    references = ["der Hund schläft unter dem Tisch", "die Katze sieht den roten Ball", "das Haus ist sehr alt"]
    sources = ["eins", "zwei", "drei"]
    exact = dict(zip(sources, references, strict=True))
    worse = exact | {"drei": "das Hau is seh al"}
    gate = measure_gate(
        translator(Engine(says=worse, says_by_beam=worse)),
        translator(Engine(says=exact, says_by_beam=exact)),
        sources,
        references,
        "de",
    )
    bleu, chrf = (metric.corpus_score([*worse.values()], [references]).score for metric in (BLEU(), CHRF()))
    assert abs(bleu - chrf) > 5
    assert (gate.chrf_float, gate.bleu_float) == pytest.approx((100.0, 100.0))
    assert (gate.chrf_quantised, gate.bleu_quantised) == pytest.approx((chrf, bleu))
    assert gate.chrf_loss == pytest.approx(100 - chrf)
    assert (gate.sentences, gate.beam, gate.equal) == (3, 5, pytest.approx(2 / 3))
