"""Statistics of a figure: bootstrap intervals, paired randomisation tests, and Holm's correction."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Values: TypeAlias = Sequence[float] | NDArray[np.float64]
"""One value per query, the same queries in the same order wherever two are compared. [queries]"""

_CELLS = 2**22  # numbers drawn at a time: 32 MiB, whatever the number of queries


@dataclass(frozen=True)
class Comparison:
    """Two systems on the same queries.

    Args:
        n: number of queries.
        before: mean of the baseline.
        after: mean of the system that is compared with the baseline.
        difference: after - before.
        low: lower end of the 95 % paired bootstrap interval of the difference.
        high: the interval's upper end.
        p_value: two-sided p of the paired randomisation test; never 0.
        wins: queries on which `after` is higher.
        losses: queries on which it is lower.
        ties: queries on which the two are equal.
        resamples: of the interval and of the test.
    """

    n: int
    before: float
    after: float
    difference: float
    low: float
    high: float
    p_value: float
    wins: int
    losses: int
    ties: int
    resamples: int = 10_000

    @property
    def at_floor(self) -> bool:
        """Whether p is the smallest that so many resamples can give: the true one may be smaller."""
        return self.p_value <= 1.000001 / (1 + self.resamples)

    def difference_text(self, places: int = 3) -> str:
        """The difference and its interval: "+0.021 [+0.004, +0.038]"."""
        return f"{self.difference:+.{places}f} [{self.low:+.{places}f}, {self.high:+.{places}f}]"

    def p_in_words(self, adjusted: float | None = None) -> str:
        """Such as "p = 0.0123", or "p ≤ 0.0005" at the test's floor.

        Args:
            adjusted: p as corrected for the number of comparisons; None if it is not.
        """
        told = self.p_text(adjusted)
        return f"p ≤ {told[1:]}" if self.at_floor else f"p = {told}"

    def p_text(self, adjusted: float | None = None) -> str:
        """The same for a table: "0.0123", or "≤0.0005" at the test's floor."""
        p_value = self.p_value if adjusted is None else adjusted
        return f"{'≤' if self.at_floor else ''}{max(p_value, 0.0001):.4f}"


def compare(before: Values, after: Values, seed: int, resamples: int = 10_000) -> Comparison:
    """Compare two systems on the same queries.

    The p-value is the paired randomisation (sign-flip) test's, which Smucker, Allan and Carterette ("A Comparison of
    Statistical Significance Tests for Information Retrieval Evaluation", CIKM 2007) recommend for retrieval: were the
    systems alike, each query's difference could as well have had the other sign. It is estimated as (1 + b) / (1 + B),
    where b of the B resamples have a mean difference at least as far from 0 as the one seen.
    The interval is the paired percentile bootstrap's (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993,
    section 13.3): queries are drawn with replacement, both systems keeping theirs.

    Args:
        before: values of the system compared with. [queries]
        after: values of the system in question, the same queries in the same order. [queries]
        seed: equal seeds give equal results.
        resamples: B, drawn once for the interval and once for the test.

    Raises:
        ValueError: the two differ in length, are empty, or contain values that are not finite.
    """
    old, new = _checked(before), _checked(after)
    if len(old) != len(new):
        raise ValueError(f"{len(old)} values against {len(new)}: a paired comparison needs the same queries in both")
    differences = new - old
    low, high = interval(differences, seed, resamples)
    return Comparison(
        n=len(differences),
        before=float(old.mean()),
        after=float(new.mean()),
        difference=float(differences.mean()),
        low=low,
        high=high,
        p_value=_sign_flip_p(differences, seed, resamples),
        wins=int((differences > 0).sum()),
        losses=int((differences < 0).sum()),
        ties=int((differences == 0).sum()),
        resamples=resamples,
    )


def interval(values: Values, seed: int, resamples: int = 10_000) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of a mean over queries (Efron and Tibshirani 1993, section 13.3).

    Args:
        values: one value per query. [queries]
        seed: equal seeds give equal intervals.
        resamples: how many times the queries are resampled.

    Returns:
        The 2.5th and 97.5th percentile of the resampled means.

    Raises:
        ValueError: there are no values, or some are not finite.
    """
    checked = _checked(values)
    # How often each DISTINCT value is drawn is multinomial: the same distribution as drawing query by query, but the
    # work grows with the number of distinct values, of which most measures have few.
    distinct, counts = np.unique(checked, return_counts=True)
    rng = np.random.default_rng(seed)
    shares = counts / counts.sum()
    sums = _in_chunks(
        lambda rows: rng.multinomial(len(checked), shares, size=rows) @ distinct, resamples, len(distinct)
    )
    low, high = np.percentile(sums / len(checked), [2.5, 97.5])
    return float(low), float(high)


def share_interval(hits: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a share (Wilson, J. of the American Statistical Association 22, 1927).

    For few queries: where all are hits, or none, a bootstrap interval has no width.

    Args:
        hits: queries that count, of `n`.
        n: number of queries, at least 1.
    """
    z = 1.959964  # the normal distribution's 97.5th percentile
    share = hits / n
    middle = share + z**2 / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return max(0.0, (middle - half) / (1 + z**2 / n)), min(1.0, (middle + half) / (1 + z**2 / n))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for the number of comparisons by Holm's step-down method (Scandinavian J. of Statistics, 1979).

    Args:
        p_values: of all comparisons that are read together. [comparisons]

    Returns:
        Adjusted p-values in the same order, at most 1; below 0.05 means significant at a family-wise level of 5 %.
    """
    adjusted = [1.0] * len(p_values)
    largest = 0.0
    for position, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        largest = max(largest, min(1.0, p_values[index] * (len(p_values) - position)))
        adjusted[index] = largest
    return adjusted


def _sign_flip_p(differences: NDArray[np.float64], seed: int, resamples: int) -> float:
    """Share of sign assignments whose sum is at least as extreme, estimated; see `compare`."""
    # A difference of 0 has no sign. Equal sizes flip together: how many of c stay positive is binomial(c, 1/2).
    sizes, counts = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    if not len(sizes):
        return 1.0
    rng = np.random.default_rng(seed)
    sums = _in_chunks(
        lambda rows: (2 * rng.binomial(counts, 0.5, size=(rows, len(counts))) - counts) @ sizes, resamples, len(sizes)
    )
    # Sums that are equal on paper differ in the last digits by their order of summation; they count as equal.
    tolerance = 1e-12 * float(sizes @ counts)
    extreme = int((np.abs(sums) >= abs(float(differences.sum())) - tolerance).sum())
    return (1 + extreme) / (1 + resamples)


def _in_chunks(draw: Callable[[int], NDArray[np.float64]], rows: int, width: int) -> NDArray[np.float64]:
    """Concatenate draw(chunk) over chunks of rows that keep chunk x width within `_CELLS`. [rows]"""
    step = max(1, _CELLS // width)
    return np.concatenate([draw(min(step, rows - start)) for start in range(0, rows, step)])


def _checked(values: Values) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not len(array):
        raise ValueError(f"values of shape {array.shape}: one value per query is needed, and at least one query")
    if not np.isfinite(array).all():
        raise ValueError("values that are not finite cannot be averaged")
    return array
