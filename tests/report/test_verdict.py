"""The verdict: no more than interval and test allow."""

from __future__ import annotations

import pytest

from rankstill.evaluation import evaluate_runs
from rankstill.report.verdict import verdict


def ranked(positions: list[int]) -> dict[str, dict[str, float]]:
    """A run in which query number n has its gold passage at the n-th of these ranks."""
    return {
        f"q{number}": {("gold" if rank == position else f"p{rank}"): 1 / rank for rank in range(1, 11)}
        for number, position in enumerate(positions)
    }


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        ([3] * 30, [1] * 30, "better"),
        ([1] * 30, [3] * 30, "worse"),
        ([1, 3] * 15, [3, 1] * 15, "open"),
        ([3] * 2, [1] * 2, "open"),  # the interval is above 0, but two queries prove nothing
    ],
)
def test_better_and_worse_take_an_interval_without_zero_and_a_small_p(
    before: list[int], after: list[int], kind: str
) -> None:
    qrels = {f"q{number}": {"gold": 1} for number in range(len(before))}
    runs = {"retriever before": ranked(before), "retriever AFTER": ranked(after)}
    found = verdict(evaluate_runs(runs, qrels, "retriever before", ["nDCG@10"], resamples=1_000))
    assert found.kind == kind
    assert "95 % interval" in found.sentence
    assert ("cannot tell" in found.sentence) == (kind == "open")


def test_nothing_measured_is_no_verdict() -> None:
    assert verdict(None).kind == "none"
