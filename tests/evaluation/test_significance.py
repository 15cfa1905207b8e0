"""Intervals and tests, against exact enumeration and against scipy."""

from __future__ import annotations

import itertools
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rankstill.evaluation import compare, holm, interval
from rankstill.evaluation.significance import share_interval

RESAMPLES = 10_000
VALUES = st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.5, 0.6309, 1.0])


def exact_p(differences: list[float]) -> float:
    """The share of all 2^n sign assignments at least as extreme as the one seen, in exact integer arithmetic."""
    whole = [round(difference * 10**6) for difference in differences]
    seen = abs(sum(whole))
    signs = itertools.product((1, -1), repeat=len(whole))
    return sum(abs(sum(s * d for s, d in zip(sign, whole, strict=True))) >= seen for sign in signs) / 2 ** len(whole)


@settings(deadline=None, max_examples=40)
@given(pairs=st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=10), seed=st.integers(0, 2**32 - 1))
def test_p_is_within_its_sampling_error_of_exact_enumeration(pairs, seed):
    before, after = (list(column) for column in zip(*pairs, strict=True))
    exact = exact_p([new - old for old, new in pairs])
    estimate = compare(before, after, seed, RESAMPLES).p_value
    assert abs(estimate - exact) <= 6 * math.sqrt(exact * (1 - exact) / RESAMPLES) + 1 / RESAMPLES


def test_hand_worked_comparison():
    found = compare([0.0, 0.0, 0.0, 0.0, 0.0, 0.5], [1.0, 1.0, 1.0, 1.0, 1.0, 0.5], seed=1)
    assert (found.n, found.wins, found.losses, found.ties) == (6, 5, 0, 1)
    assert (found.before, found.after) == pytest.approx((0.5 / 6, 5.5 / 6))
    assert found.difference == pytest.approx(5 / 6)
    assert found.p_value == pytest.approx(2 / 2**5, abs=0.015)  # only + + + + + and - - - - - are as extreme
    # A resample misses the tied query with probability (5/6)^6 = 0.33, so the upper end is 1; the number of draws of
    # it is binomial(6, 1/6), whose 97.5th percentile is 3.
    assert (found.low, found.high) == pytest.approx((1 - 3 / 6, 1.0))


def test_equal_systems_give_p_one_and_an_empty_interval():
    found = compare([0.25, 0.5, 0.75], [0.25, 0.5, 0.75], seed=0)
    assert (found.difference, found.low, found.high, found.p_value, found.ties) == (0.0, 0.0, 0.0, 1.0, 3)


def test_p_is_never_zero():
    assert compare([0.0] * 200, [1.0] * 200, seed=0, resamples=999).p_value == 1 / 1000


def noisy_systems(n: int, gain: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    before = rng.beta(0.5, 0.5, n)
    return before, np.clip(before + rng.normal(gain, 0.3, n), 0, 1)


@pytest.mark.parametrize("gain", [0.0, 0.03, 0.06])
def test_p_agrees_with_scipys_permutation_test(gain):
    before, after = noisy_systems(150, gain)
    theirs = stats.permutation_test(
        (after, before),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        n_resamples=RESAMPLES,
        vectorized=True,
        rng=np.random.default_rng(3),
    ).pvalue
    ours = compare(before, after, seed=5, resamples=RESAMPLES).p_value
    assert abs(ours - theirs) <= 6 * math.sqrt(2 * max(theirs, 1e-3) / RESAMPLES)


def test_intervals_agree_with_scipys_percentile_bootstrap():
    before, after = noisy_systems(150, 0.04)
    found = compare(before, after, seed=5, resamples=RESAMPLES)
    for values, ours in [(after - before, (found.low, found.high)), (after, interval(after, seed=5))]:
        theirs = stats.bootstrap(
            (values,), np.mean, n_resamples=RESAMPLES, method="percentile", rng=np.random.default_rng(3)
        ).confidence_interval
        error = values.std() / math.sqrt(len(values))
        assert ours == pytest.approx(tuple(theirs), abs=0.12 * error)  # a tail quantile of 10,000 draws: sd 0.027


def test_the_interval_of_a_share_has_the_binomials_quantiles():
    values = [1.0] * 60 + [0.0] * 40
    assert interval(values, seed=11) == pytest.approx(
        (stats.binom.ppf(0.025, 100, 0.6) / 100, stats.binom.ppf(0.975, 100, 0.6) / 100), abs=0.0101
    )


@pytest.mark.parametrize(("hits", "n"), [(0, 1), (1, 1), (3, 5), (60, 100), (100, 100)])
def test_the_interval_of_few_shares_is_wilsons_and_never_without_width(hits, n):
    theirs = stats.binomtest(hits, n).proportion_ci(method="wilson")
    assert share_interval(hits, n) == pytest.approx((theirs.low, theirs.high), abs=1e-6)
    assert theirs.low < theirs.high


def test_the_interval_covers_the_true_mean_about_19_times_in_20():
    rng = np.random.default_rng(0)
    covered = sum(
        low <= 0.5 <= high
        for low, high in (interval(rng.random(60), seed=trial, resamples=500) for trial in range(300))
    )
    assert 0.90 <= covered / 300 <= 0.98


@settings(deadline=None, max_examples=40)
@given(pairs=st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=30), seed=st.integers(0, 1000))
def test_swapping_the_systems_mirrors_the_comparison(pairs, seed):
    before, after = (list(column) for column in zip(*pairs, strict=True))
    one, other = compare(before, after, seed, 500), compare(after, before, seed, 500)
    assert (one.difference, one.p_value, one.wins, one.ties) == (
        -other.difference,
        other.p_value,
        other.losses,
        other.ties,
    )
    assert one.wins + one.losses + one.ties == one.n == len(pairs)


def test_equal_seeds_give_equal_results_and_other_seeds_others():
    before, after = noisy_systems(80, 0.03)
    assert compare(before, after, seed=1) == compare(list(before), list(after), seed=1)
    assert compare(before, after, seed=1) != compare(before, after, seed=2)


def test_memory_does_not_grow_with_queries_times_resamples():
    rng = np.random.default_rng(0)
    before, after = rng.random((2, 40_000))  # 40,000 x 400 numbers at once would take 128 MB an array
    tracemalloc.start()
    compare(before, after, seed=0, resamples=400)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200e6


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ([], [], "at least one query"),
        ([0.5], [0.5, 0.5], "1 values against 2"),
        ([0.5, math.nan], [0.5, 0.5], "not finite"),
        ([[0.5]], [[0.5]], "shape"),
    ],
)
def test_values_that_cannot_be_compared_are_refused(before, after, message):
    with pytest.raises(ValueError, match=message):
        compare(before, after, seed=0)


def test_holm_on_a_hand_worked_case():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.5]) == [1.0, 1.0]
    assert holm([0.04]) == [0.04]
    assert holm([]) == []


@settings(deadline=None)
@given(p_values=st.lists(st.floats(0, 1), max_size=8))
def test_holm_keeps_the_order_and_lies_between_raw_and_bonferroni(p_values):
    adjusted = holm(p_values)
    for raw, corrected in zip(p_values, adjusted, strict=True):
        assert raw <= corrected <= min(1.0, raw * len(p_values)) or corrected == max(
            other for value, other in zip(p_values, adjusted, strict=True) if value <= raw
        )
    pairs = sorted(zip(p_values, adjusted, strict=True))
    assert [corrected for _, corrected in pairs] == sorted(adjusted)
