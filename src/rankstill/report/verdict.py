"""The verdict: whether the new retriever is better, in one sentence with its interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rankstill.evaluation import EvaluationTable
from rankstill.report.measuring import AFTER, BEFORE
from rankstill.report.showing import signed

_SURE = 0.05


@dataclass(frozen=True)
class Verdict:
    """What may be said.

    Args:
        kind: "better" or "worse" where interval and corrected test both say so; "open" where they do not; "none" if
            nothing was measured.
        sentence: the finding, with its interval.
        test: how sure it is, and on how many queries.
    """

    kind: Literal["better", "worse", "open", "none"]
    sentence: str
    test: str = ""


def verdict(table: EvaluationTable | None) -> Verdict:
    """Judge the retriever AFTER against the one before, on the table's main measure.

    Better or worse takes both: a 95 % interval that does not hold 0, and p below 0.05 after Holm's correction.
    """
    if table is None:
        return Verdict(
            "none",
            "Whether the distilled retriever is better was not measured: the chain has not come to its evaluation, or "
            "no query can measure.",
        )
    measure = table.measures[0]
    comparisons = table.system(AFTER).comparisons
    assert comparisons is not None, f"{BEFORE} is the baseline"
    found = comparisons[measure]
    p_value = table.adjusted_p(measure)[AFTER]
    sure = p_value < _SURE
    kind: Literal["better", "worse", "open"] = "open"
    if sure and found.low > 0:
        kind = "better"
    elif sure and found.high < 0:
        kind = "worse"
    head = {
        "better": "The distilled retriever is better",
        "worse": "The distilled retriever is worse",
        "open": "Whether the distilled retriever is better, these queries cannot tell",
    }[kind]
    compared = sum(system.comparisons is not None for system in table.systems)
    return Verdict(
        kind,
        f"{head}: {measure} goes from {found.before:.3f} to {found.after:.3f}, by {signed(found.difference)} "
        f"(95 % interval {signed(found.low)} to {signed(found.high)}).",
        f"On {found.n:,} test {'query' if found.n == 1 else 'queries'}: {found.wins:,} better, {found.losses:,} worse, "
        f"{found.ties:,} unchanged. Paired randomisation test: p\u00a0=\u00a0{p_value:.4f}, Holm-corrected for "
        f"{compared} {'comparison' if compared == 1 else 'comparisons'}.",
    )
