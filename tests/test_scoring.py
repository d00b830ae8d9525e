import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU, CHRF, TER
from sacrebleu.significance import PairedTest
from scored_texts import paired

from a2d_cli.errors import A2DError, ConfigError
from a2d_cli.scoring import bleu_tokenizer, check_lines, compare, mean_of, resample, score

WORDS = ["the", "a", "dog", "cat", "house", "runs", "sleeps", "under", ",", ".", "7", "Straße", "学生", "É"]
SACREBLEU = {"bleu": BLEU, "chrf": CHRF, "chrf++": lambda: CHRF(word_order=2), "ter": TER}

lines = st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join)


@st.composite
def corpora(draw):
    """Hypotheses and one or two references of the same length; empty lines, extreme cases and all."""
    count = draw(st.integers(1, 7))
    column = st.lists(lines, min_size=count, max_size=count)
    return draw(column), draw(st.lists(column, min_size=1, max_size=2))


def noisy(references, drop, seed=3):
    """References with a share of the words left out."""
    generator = np.random.default_rng(seed)
    return [" ".join(word for word in line.split() if generator.random() > drop) for line in references]


def sentences(count=60, seed=5):
    generator = np.random.default_rng(seed)
    return [" ".join(generator.choice(WORDS, size=generator.integers(4, 13))) for _ in range(count)]


@given(corpora())
@settings(max_examples=40, deadline=None)
def test_numbers_and_signatures_are_those_of_sacrebleu(corpus):
    hypotheses, references = corpus
    for ours, make in zip(score(hypotheses, references, list(SACREBLEU)), SACREBLEU.values(), strict=True):
        metric = make()
        theirs = metric.corpus_score(hypotheses, references)
        assert (ours.name, ours.value) == (theirs.name, pytest.approx(theirs.score, abs=1e-9))
        assert ours.signature == metric.get_signature().format()
        assert ours.confidence is None
        json.dumps(asdict(ours), allow_nan=False)


def test_verbose_part_is_that_of_sacrebleu():
    references = sentences()
    hypotheses = noisy(references, 0.2)
    bleu, chrf = score(hypotheses, [references])
    assert BLEU().corpus_score(hypotheses, [references]).format().endswith(f" {bleu.verbose}")
    assert "BP = " in bleu.verbose and chrf.verbose == ""


@pytest.mark.parametrize("name", SACREBLEU)
def test_confidence_interval_is_that_of_sacrebleu(name):
    references = sentences()
    hypotheses = noisy(references, 0.2)
    (ours,) = score(hypotheses, [references], [name], bootstrap=97)
    metric = SACREBLEU[name]()
    theirs = metric.corpus_score(hypotheses, [references], n_bootstrap=97)
    assert ours.value == pytest.approx(theirs.score)
    assert ours.signature == metric.get_signature().format()
    low, high = ours.confidence
    assert (high - low) / 2 == pytest.approx(theirs._ci)
    assert low < ours.value < high


@pytest.mark.parametrize("name", SACREBLEU)
def test_p_value_and_signature_are_those_of_sacrebleu(name):
    references = sentences()
    baseline, system = noisy(references, 0.2), noisy(references, 0.15, seed=4)
    named = [("Baseline: a", baseline), ("b", system)]
    signatures, results = PairedTest(named, {name: SACREBLEU[name]()}, [references], "bs", n_samples=211)()
    ours = paired(baseline, system, [references], name, n=211)
    theirs = results[ours.name]
    assert ours.delta == pytest.approx(theirs[1].score - theirs[0].score)
    assert ours.p_value == theirs[1].p_value
    assert sorted(ours.signature.split("|")) == sorted(signatures[ours.name].format().split("|"))


def test_equal_systems_do_not_differ():
    references = sentences()
    result = paired(noisy(references, 0.2), noisy(references, 0.2), [references], n=100)
    assert (result.delta, result.low, result.high, result.p_value) == (0, 0, 0, 1)


def test_a_clearly_better_system_is_told_apart_and_the_test_is_antisymmetric():
    references = sentences()
    worse, better = noisy(references, 0.4), noisy(references, 0.05)
    result = paired(worse, better, [references], n=200)
    assert result.p_value < 0.05
    assert 0 < result.low < result.delta < result.high
    mirrored = paired(better, worse, [references], n=200)
    assert (mirrored.delta, mirrored.low, mirrored.high) == (-result.delta, -result.high, -result.low)
    assert mirrored.p_value == result.p_value
    json.dumps(asdict(result), allow_nan=False)


def test_resamples_depend_on_the_seed_alone(monkeypatch):
    references = sentences()
    texts = noisy(references, 0.3), noisy(references, 0.2), [references]
    first = paired(*texts, n=50)
    np.random.seed(99)
    np.random.random(7)
    assert paired(*texts, n=50) == first
    assert paired(*texts, n=50, seed=12345) == first
    monkeypatch.setenv("SACREBLEU_SEED", "7")
    other = paired(*texts, n=50)
    assert other == paired(*texts, n=50, seed=7)
    assert "seed:7" in other.signature and other.low != first.low


def test_only_resamples_of_one_test_set_are_pairs():
    references = sentences()
    one, other = resample(references, [references], n=5), resample(references[:-1], [references[:-1]], n=5)
    with pytest.raises(ValueError, match="no pairs"):
        compare(one, other)
    with pytest.raises(ValueError, match="no pairs"):
        compare(one, resample(references, [references], n=7))


def test_target_language_chooses_the_tokenizer_of_bleu():
    assert "tok:zh" in score(["学生 睡觉"], [["学生 跑步"]], tgt_lang="zh")[0].signature
    assert "tok:13a" in score(["a b"], [["a c"]], tgt_lang="de")[0].signature


def test_missing_tokenizer_says_what_to_install(monkeypatch):
    monkeypatch.setattr("sacrebleu.tokenizers.tokenizer_ja_mecab.MeCab", None)
    with pytest.raises(A2DError, match=r"BLEU for 'ja'.*pip install 'sacrebleu\[ja\]'"):
        score(["a"], [["a"]], ["bleu"], tgt_lang="ja")


@pytest.mark.parametrize(
    ("hypotheses", "references", "message"),
    [
        (["a"] * 99, [["a"] * 100], "different numbers of lines: the hypotheses 99, reference 1 100"),
        (["a"] * 3, [["a"] * 3, ["a"] * 4], "lines: the hypotheses 3, reference 2 4"),
        ([], [[]], "the hypotheses: no lines to score"),
        (["a"], [[]], "reference 1: no lines"),
        (["a"], [], "no reference"),
    ],
)
def test_texts_that_do_not_fit_are_refused(hypotheses, references, message):
    for call in (score, resample):
        with pytest.raises(A2DError, match=message):
            call(hypotheses, references)


def test_line_counts_are_named():
    check_lines({"out.txt": 2, "ref.txt": 2})
    with pytest.raises(A2DError, match="lines: out.txt 2, ref.txt 3"):
        check_lines({"out.txt": 2, "ref.txt": 3})


@pytest.mark.parametrize(("name", "nearest"), [("blue", "bleu"), ("BLEU", "bleu"), ("chrf2", "chrf"), ("tre", "ter")])
def test_unknown_metric_names_the_nearest(name, nearest):
    with pytest.raises(ConfigError, match=rf"unknown metric '{name}'.*did you mean '{nearest}'"):
        score(["a"], [["a"]], [name])


def test_unknown_metric_far_from_all_lists_them():
    with pytest.raises(ConfigError, match=r"unknown metric 'xyz'.*hint: metrics are bleu, chrf"):
        score(["a"], [["a"]], ["xyz"])


def test_a_seed_that_is_no_number_is_refused(monkeypatch):
    monkeypatch.setenv("SACREBLEU_SEED", "often")
    with pytest.raises(ConfigError, match="SACREBLEU_SEED is 'often'"):
        resample(["a"], [["a"]])


@pytest.mark.parametrize(("lang", "tokenizer"), [("zh_Hans", "zh"), ("zh-TW", "zh"), ("de_AT", "13a"), ("", "13a")])
def test_bleu_cuts_a_language_with_a_region_as_that_language(lang, tokenizer):
    (found,) = score(["我们下午三点见面。"], [["我们今天下午三点见面。"]], ("bleu",), tgt_lang=lang)
    assert f"tok:{tokenizer}|" in found.signature and bleu_tokenizer(lang) == tokenizer


def test_the_mean_of_systems_keeps_what_their_common_sentences_leave_open():
    """Of two systems with the same weak sentences the mean is as uncertain as each; of opposite ones less."""
    references = [f"w{i} w{i + 1} w{i + 2} w{i + 3} w{i + 4}" for i in range(40)]
    lost = ["x" if i % 2 else line for i, line in enumerate(references)]
    others_lost = [line if i % 2 else "x" for i, line in enumerate(references)]
    one, other = (resample(lines, [references]) for lines in (lost, others_lost))
    whole = resample(references, [references])
    alike, opposite = mean_of([one, one]), mean_of([one, other])
    assert alike.score.value == pytest.approx(one.score.value) and (alike.values == one.values).all()

    def width(baseline, system) -> float:
        found = compare(baseline, system)
        return found.high - found.low

    assert width(alike, whole) == pytest.approx(width(one, whole)) and width(opposite, whole) < 0.5 * width(one, whole)


def test_the_mean_of_systems_is_the_mean_of_their_scores_and_of_each_draw():
    references = sentences()
    worse = noisy(references[:20], 0.5) + references[20:]
    one, other = (resample(lines, [references], n=7) for lines in (references, worse))
    mean = mean_of([one, other])
    assert other.score.value < one.score.value - 5
    assert mean.score.value == pytest.approx((one.score.value + other.score.value) / 2)
    assert mean.values == pytest.approx((one.values + other.values) / 2)
