"""Exact permutation tests, Holm's correction, intervals, detectable differences: properties, then cases by hand."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a2d_cli.comparison import (
    ALPHA,
    PairedTest,
    Sample,
    claim,
    detectable_difference,
    holm,
    paired_tests,
    seeds_for_significance,
    sign_flip_p_value,
    smallest_p_value,
    t_cdf,
    t_quantile,
    t_test_power,
)

quick = settings(max_examples=50, deadline=None)
few = st.lists(st.integers(-7, 7), min_size=1, max_size=9)  # small whole numbers: many sums are equal
probabilities = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=7)


def by_enumeration(differences: list[int]) -> float:
    flips = list(itertools.product((1, -1), repeat=len(differences)))
    sums = [abs(sum(sign * value for sign, value in zip(flip, differences, strict=True))) for flip in flips]
    return sum(each >= abs(sum(differences)) for each in sums) / len(flips)


# --- the sign-flip test


@given(few)
@quick
def test_p_is_the_share_of_all_sign_choices_that_are_as_far_from_zero(differences: list[int]):
    assert sign_flip_p_value(differences) == by_enumeration(differences)


@given(few, st.randoms())
@quick
def test_p_does_not_depend_on_which_method_is_called_the_baseline_nor_on_the_unit_nor_on_the_order(differences, random):
    p_value = sign_flip_p_value(differences)
    shuffled = random.sample(differences, len(differences))
    assert sign_flip_p_value([-each for each in differences]) == p_value
    assert sign_flip_p_value([each / 7 for each in shuffled]) == p_value


@given(st.lists(st.integers(1, 2**20), min_size=1, max_size=7))
@quick
def test_where_the_methods_are_one_p_is_below_a_level_no_oftener_than_the_level_says(sizes: list[int]):
    """Over all sign choices, each equally likely, P(p ≤ a) ≤ a; and p takes its smallest value as often as it says."""
    p_values = [
        sign_flip_p_value([sign * size for sign, size in zip(flip, sizes, strict=True)])
        for flip in itertools.product((1, -1), repeat=len(sizes))
    ]
    for level in set(p_values):
        assert sum(p_value <= level for p_value in p_values) / len(p_values) <= level
    assert min(p_values) == smallest_p_value(len(sizes)) == 2 / 2 ** len(sizes)


@pytest.mark.parametrize(
    ("differences", "p_value"),
    [
        ([1.0], 1.0),
        ([0.5, 0.3], 2 / 4),
        ([1.0, 2.0, 3.0], 2 / 8),
        ([1.0, -2.0, 3.0], 6 / 8),  # |sums| are 6, 4, 2 and 0, two sign choices each
        ([0.0, 0.0, 0.0], 1.0),
        ([0.1, 0.2, -0.3], 1.0),  # 0.1 + 0.2 - 0.3 is not 0 in floating point
        ([0.0, 2.0, 1.0], 4 / 8),
        ([1.0] * 30, 2 / 2**30),
    ],
)
def test_p_by_hand(differences: list[float], p_value: float):
    assert sign_flip_p_value(differences) == p_value


@pytest.mark.parametrize(("methods", "seeds"), [(1, 6), (2, 7), (3, 7), (4, 8), (7, 9)])
def test_the_fewest_seeds_that_can_be_significant(methods: int, seeds: int):
    assert seeds_for_significance(methods) == seeds
    assert methods * smallest_p_value(seeds) <= 0.05 < methods * smallest_p_value(seeds - 1)


# --- Holm


@given(probabilities)
@quick
def test_holm_lies_between_the_raw_p_and_bonferroni_and_keeps_the_order(p_values: list[float]):
    adjusted = holm(p_values)
    for raw, corrected in zip(p_values, adjusted, strict=True):
        assert raw <= corrected <= min(1.0, len(p_values) * raw) + 1e-12
    in_order = [corrected for _, corrected in sorted(zip(p_values, adjusted, strict=True))]
    assert in_order == sorted(adjusted)


@given(probabilities, st.randoms())
@quick
def test_holm_does_not_depend_on_the_order_of_the_methods(p_values: list[float], random):
    places = random.sample(range(len(p_values)), len(p_values))
    assert holm([p_values[i] for i in places]) == [holm(p_values)[i] for i in places]


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        ([], []),
        ([0.03], [0.03]),
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.25, 0.25, 0.25], [0.75, 0.75, 0.75]),
        ([0.6, 0.9], [1.0, 1.0]),
    ],
)
def test_holm_by_hand(p_values: list[float], adjusted: list[float]):
    assert holm(p_values) == pytest.approx(adjusted)


# --- Student's t and its power


@pytest.mark.parametrize(
    ("p", "nu", "t"),  # from any printed table
    [(0.975, 1, 12.706), (0.975, 2, 4.303), (0.975, 3, 3.182), (0.975, 4, 2.776), (0.975, 9, 2.262), (0.95, 30, 1.697)],
)
def test_quantiles_of_t_are_those_of_the_tables(p: float, nu: int, t: float):
    assert t_quantile(p, nu) == pytest.approx(t, abs=5e-4)


@given(st.floats(-9.0, 9.0), st.integers(1, 29))
@quick
def test_the_distribution_of_t_is_the_integral_of_its_density(t: float, nu: int):
    scale = math.exp(math.lgamma((nu + 1) / 2) - math.lgamma(nu / 2)) / math.sqrt(nu * math.pi)
    steps = 600
    areas = [scale * (1 + ((i + 0.5) * t / steps) ** 2 / nu) ** (-(nu + 1) / 2) * t / steps for i in range(steps)]
    assert t_cdf(t, nu) == pytest.approx(0.5 + math.fsum(areas), abs=1e-4)
    assert t_cdf(-t, nu) == pytest.approx(1 - t_cdf(t, nu))


@given(st.integers(1, 39), st.floats(0.0, 5.0), st.floats(0.1, 2.0))
@settings(max_examples=15, deadline=None)
def test_without_a_difference_power_is_the_level_and_it_grows_with_the_difference(nu: int, shift: float, more: float):
    assert t_test_power(0.0, nu) == pytest.approx(0.05, abs=1e-4)
    assert t_test_power(shift, nu) < t_test_power(shift + more, nu)


def test_the_detectable_difference_shrinks_with_seeds_and_grows_with_their_spread():
    by_seeds = [detectable_difference(0.5, n) for n in range(6, 23)]
    assert by_seeds == sorted(by_seeds, reverse=True)
    by_methods = [detectable_difference(0.5, 8, m) for m in range(1, 7)]
    assert by_methods == sorted(by_methods)
    assert detectable_difference(1.5, 7) == pytest.approx(3 * detectable_difference(0.5, 7))
    assert detectable_difference(0.0, 7) == 0.0


@given(st.integers(1, 12), st.integers(1, 9))
@quick
def test_a_difference_can_be_detected_where_some_difference_could_be_claimed(n: int, num_methods: int):
    clear = paired_tests(Sample((0.0,) * n), {str(i): Sample((1.0,) * n) for i in range(num_methods)})
    assert math.isnan(detectable_difference(0.5, n, num_methods)) == (clear["0"].holm_p_value > ALPHA)


def test_the_detectable_difference_is_that_of_published_tables():
    """A paired t test needs 33.4 pairs for a difference of half an sd (pwr.t.test, documented in R's package pwr)."""
    assert detectable_difference(1.0, 34) < 0.5 < detectable_difference(1.0, 33)


# --- samples and families


def test_a_sample_is_told_by_mean_sd_and_interval():
    sample = Sample((1.0, 2.0, 6.0))
    assert sample.mean == 3.0
    assert sample.sd == pytest.approx(math.sqrt(7))
    assert sample.half_width == pytest.approx(4.3027 * math.sqrt(7 / 3), abs=1e-3)
    assert sample.is_within(3.0 + 2.92 * math.sqrt(7 / 3) + 1e-3) and not sample.is_within(7.0)  # t of 95 %, ν = 2
    assert not Sample((0.0,)).is_within(9.0)
    assert not Sample((-3.0, -3.1, -2.9)).is_within(0.3) and not Sample((3.0, 3.1, 2.9)).is_within(0.3)
    margin = abs(sample.mean) + 6.965 * sample.sd / math.sqrt(3)  # t of 99 %: of five methods
    assert sample.is_within(margin + 0.01, num_methods=5) and not sample.is_within(margin - 0.01, num_methods=5)
    single = Sample((5.0,))
    assert single.mean == 5.0 and math.isnan(single.sd) and math.isnan(single.half_width)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=7))
@quick
def test_swapping_method_and_baseline_turns_the_differences_round_and_nothing_else(pairs: list[tuple[int, int]]):
    ours, theirs = (Sample(values) for values in zip(*pairs, strict=True))
    forth, back = paired_tests(theirs, {"x": ours})["x"], paired_tests(ours, {"x": theirs})["x"]
    assert forth.differences.values == tuple(-each for each in back.differences.values)
    assert (forth.p_value, forth.holm_p_value) == (back.p_value, back.holm_p_value)
    assert forth.detectable == pytest.approx(back.detectable, nan_ok=True)


def test_the_differences_are_those_of_the_same_seeds():
    found = paired_tests(Sample((1, 2, 3)), {"x": Sample((3, 1, 2))})["x"]
    assert found.differences.values == (2, -1, -1)


def test_methods_tested_together_are_one_family():
    baseline = Sample((1.0, 1.0, 1.0))
    tests = paired_tests(baseline, {"clear": Sample((2.0, 3.0, 4.0)), "mixed": Sample((2.0, -1.0, 4.0))})
    assert tests["clear"].differences.values == (1.0, 2.0, 3.0)
    assert (tests["clear"].p_value, tests["clear"].holm_p_value) == (0.25, 0.5)
    assert (tests["mixed"].p_value, tests["mixed"].holm_p_value) == (0.75, 0.75)
    seven = {name: Sample((1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0)) for name in "ab"}
    (found, _) = paired_tests(Sample((1.0,) * 7), seven).values()
    assert found.detectable == detectable_difference(found.differences.sd, 7, 2) > 3


# --- claims


def of_differences(*rivals: tuple[float, ...]) -> list[PairedTest]:
    baseline = Sample((0.0,) * len(rivals[0]))
    return list(paired_tests(baseline, {str(i): Sample(values) for i, values in enumerate(rivals)}).values())


def test_a_p_value_that_the_correction_lifts_above_the_level_claims_nothing():
    unsure = (3.0, 3.0, 3.1, 2.9, 3.0, 3.0, -0.1)  # only the two signs of -0.1 are as far from 0: 4 of 128
    (alone,) = of_differences(unsure)
    assert (alone.p_value, claim(alone, 2.0, 3.0, 10.0)) == (1 / 32, "better")
    for test in of_differences(unsure, unsure):
        assert (test.p_value, test.holm_p_value) == (1 / 32, 1 / 16) and test.differences.mean > test.detectable
        assert claim(test, 2.0, 3.0, 10.0) == "none"


def test_equal_is_said_of_each_of_several_methods_at_a_stricter_level():
    """sd 0.35 and mean 0 over seven seeds: t of 95 % gives an interval of ± 0.257, t of 97.5 % one of ± 0.324."""
    even = (0.35, -0.35, 0.35, -0.35, 0.35, -0.35, 0.0)
    assert [claim(test, -0.1, 0.1, 10.0) for test in of_differences(even)] == ["equal"]
    assert [claim(test, -0.1, 0.1, 10.0) for test in of_differences(even, even)] == ["none", "none"]


def test_equal_needs_both_ends_of_the_interval_over_sentences():
    (test,) = of_differences((0.1, -0.1, 0.1, -0.1, 0.1, -0.1, 0.0))
    ends = [(-0.35, 0.1), (-0.1, 0.35), (-0.1, 0.1)]
    assert [claim(test, low, high, 10.0) for low, high in ends] == ["none", "none", "equal"]


def test_a_headroom_of_just_a_point_and_a_half_is_enough():
    (test,) = of_differences((3.0, 3.1, 2.9, 3.0, 3.2, 3.0, 2.8))
    found = [claim(test, 2.0, 4.0, headroom_bleu) for headroom_bleu in (1.5, 1.49, None)]
    assert found == ["better", "none", "none"]
