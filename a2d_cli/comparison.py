"""How methods differ over seeds: intervals, exact sign-flip tests, Holm's correction, what so few seeds can detect, and
when a difference counts.

Numbers in, numbers out, standard library alone. Letters: n seeds, d differences (one a seed), ν = n - 1.
"""

from __future__ import annotations

import functools
import math
import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

ALPHA = 0.05
POWER = 0.80
MAX_SEEDS = 40  # the sign-flip test holds 2 ** (n / 2) numbers
HEADROOM_BLEU = 1.5  # by which the teacher must beat the plain student before a difference may be claimed
EQUAL_BLEU = 0.3  # a difference inside ± this may be called none

_STEPS = 400  # of Simpson's rule, for the power of a t test


@dataclass(frozen=True)
class Sample:
    """One number a seed, in the order of the seeds."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @property
    def sd(self) -> float:
        """NaN for a single seed."""
        return statistics.stdev(self.values) if len(self.values) > 1 else math.nan

    @property
    def half_width(self) -> float:
        """Of the 95 % interval of the mean (Student's t); NaN for a single seed."""
        return self._half_width(1 - ALPHA / 2)

    def is_within(self, margin: float, num_methods: int = 1) -> bool:
        """Whether two one-sided t tests at 5 % / m say that the true mean lies between -margin and margin.

        (Schuirmann 1987.) For one method they do where the mean's 90 % interval lies there.
        """
        return abs(self.mean) + self._half_width(1 - ALPHA / num_methods) < margin

    def _half_width(self, p: float) -> float:
        n = len(self.values)
        return t_quantile(p, n - 1) * self.sd / math.sqrt(n) if n > 1 else math.nan


@dataclass(frozen=True)
class PairedTest:
    """A method against a baseline, seed by seed."""

    differences: Sample  # method - baseline
    p_value: float
    holm_p_value: float  # corrected over the methods tested together
    detectable: float  # the smallest true difference that so many seeds find with the stated power; NaN: none at all
    num_methods: int  # tested together


def paired_tests(baseline: Sample, methods: Mapping[str, Sample]) -> dict[str, PairedTest]:
    """Test each method against the baseline; together they are one family of Holm's."""
    differences = {name: _minus(sample, baseline) for name, sample in methods.items()}
    p_values = [sign_flip_p_value(each.values) for each in differences.values()]
    return {
        name: PairedTest(
            each, p_value, corrected, detectable_difference(each.sd, len(each.values), len(methods)), len(methods)
        )
        for (name, each), p_value, corrected in zip(differences.items(), p_values, holm(p_values), strict=True)
    }


def _minus(sample: Sample, baseline: Sample) -> Sample:
    return Sample(tuple(a - b for a, b in zip(sample.values, baseline.values, strict=True)))


def claim(test: PairedTest, low: float, high: float, headroom_bleu: float | None) -> str:
    """What may be said of a difference in BLEU: `better`, `worse`, `equal` or `none`.

    Better or worse only if

    1. the exact permutation test over seeds, with Holm's correction, gives p ≤ 0.05;
    2. the difference is at least the smallest one that this number of seeds can detect;
    3. other test sentences would not undo it: 0 lies outside the interval over sentences, of the mean over seeds;
    4. the teacher is far enough above the plain student (headroom).

    Equal, with seeds and headroom enough, if the difference lies within ±0.3 BLEU by two one-sided t tests and by the
    interval of rule 3.

    Args:
        low, high: ends of that interval.
        headroom_bleu: the teacher's BLEU minus the plain student's; None: unknown.
    """
    if not has_headroom(headroom_bleu) or math.isnan(test.detectable):
        return "none"
    if test.holm_p_value <= ALPHA and abs(test.differences.mean) >= test.detectable:
        if low > 0 < test.differences.mean:
            return "better"
        if high < 0 > test.differences.mean:
            return "worse"
    is_small = low > -EQUAL_BLEU and high < EQUAL_BLEU
    return "equal" if is_small and test.differences.is_within(EQUAL_BLEU, test.num_methods) else "none"


def has_headroom(headroom_bleu: float | None) -> bool:
    """Whether the teacher has enough left to teach, as far as is known."""
    return headroom_bleu is not None and headroom_bleu >= HEADROOM_BLEU


def can_claim(num_seeds: int, num_methods: int) -> bool:
    """Whether any outcome could be significant for all of so many methods against one baseline."""
    return num_methods * smallest_p_value(num_seeds) <= ALPHA


def sign_flip_p_value(differences: Sequence[float]) -> float:
    """Two-sided p of the exact paired permutation test.

    If the two methods were one, each d could as well have the other sign: of all 2^n ways to choose the signs, how
    many make the sum as far from 0 as it is? Counted without walking through all of them: each way is one of the
    first half's sums plus one of the second half's.
    """
    total = abs(math.fsum(differences)) - 1e-9 * math.fsum(map(abs, differences))  # equal sums, whatever their rounding
    if total <= 0:
        return 1.0
    half = len(differences) // 2
    first, second = _signed_sums(differences[:half]), sorted(_signed_sums(differences[half:]))
    extreme = sum(
        len(second) - bisect_left(second, total - part) + bisect_right(second, -total - part) for part in first
    )
    return extreme / 2 ** len(differences)


def _signed_sums(values: Sequence[float]) -> list[float]:
    sums = [0.0]
    for value in values:
        sums = [part + signed for part in sums for signed in (value, -value)]
    return sums


def smallest_p_value(n: int) -> float:
    """What `sign_flip_p_value` can give at best: all seeds agree."""
    return 2.0 ** (1 - n)


def seeds_for_significance(num_methods: int) -> int:
    """The fewest seeds with which `num_methods` tests as clear as can be stay below 5 % after Holm's correction."""
    return 1 + math.ceil(math.log2(num_methods / ALPHA))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values (Holm 1979): the k-th smallest of m times m - k + 1, never below one before it."""
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = highest
    return adjusted


def detectable_difference(sd: float, n: int, num_methods: int = 1) -> float:
    """The true mean difference that a two-sided paired t test at 5 % / m finds in 80 % of such experiments.

    The power is that of the noncentral t distribution (Cohen 1988, Statistical Power Analysis, chapter 2; what R's
    power.t.test(type = "paired", strict = TRUE) computes).

    Args:
        sd: of the differences between paired runs.
        n: seeds. NaN comes of so few that the permutation test cannot reach 5 % after Holm's correction.
        num_methods: m, tested together.
    """
    if n < seeds_for_significance(num_methods):
        return math.nan
    return _detectable_shift(n, ALPHA / num_methods) * sd / math.sqrt(n)


@functools.cache
def _detectable_shift(n: int, alpha: float) -> float:
    """λ = difference · √n / sd at which the power is `POWER`."""
    return _root(lambda shift: t_test_power(shift, n - 1, alpha) - POWER)


def t_test_power(shift: float, nu: int, alpha: float = ALPHA) -> float:
    """P(|T| > its α point) for T = (Z + λ) / S, with Z normal and S² a χ²_ν divided by ν."""
    critical = t_quantile(1 - alpha / 2, nu)
    normal = statistics.NormalDist().cdf
    log_factor = math.log(2) + nu / 2 * math.log(nu / 2) - math.lgamma(nu / 2)

    def integrand(s: float) -> float:
        density = math.exp(log_factor - nu * s * s / 2) * s ** (nu - 1)
        return density * (normal(shift - critical * s) + normal(-shift - critical * s))

    step = (1 + 9 / math.sqrt(nu)) / _STEPS  # behind it S is never found
    inside = sum((4 if i % 2 else 2) * integrand(i * step) for i in range(1, _STEPS))
    return (integrand(0.0) + inside + integrand(_STEPS * step)) * step / 3


def t_cdf(t: float, nu: int) -> float:
    """P(T ≤ t) of Student's t with a whole number of degrees of freedom (Abramowitz & Stegun 26.7.3 and 26.7.4)."""
    angle = math.atan(t / math.sqrt(nu))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = nu % 2
    term, series = 1.0, 1.0 if nu > 1 else 0.0
    for k in range(2 + odd, nu - 1, 2):
        term *= cosine * cosine * (k - 1) / k
        series += term
    inside = 2 / math.pi * (angle + sine * cosine * series) if odd else sine * series
    return (1 + inside) / 2


def t_quantile(p: float, nu: int) -> float:
    """The t with P(T ≤ t) = p, for p from one half."""
    return _root(lambda t: t_cdf(t, nu) - p)


def _root(rising: Callable[[float], float]) -> float:
    """Where a rising function of a number from 0 becomes 0."""
    high = 1.0
    while rising(high) < 0:
        high *= 2
    low = 0.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return (low + high) / 2
