"""Where quality is lost along the chain: as `rankstill prove` measured it, or as the systems' runs show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rankstill.evaluation import Comparison, compare, holm
from rankstill.evaluation.attribution import MEASURE, compare_worst_links, worst_link_in_words
from rankstill.evaluation.systems import DISTILLED, FIRST_STAGE, RANKER, RANKER_ON_DISTILLED
from rankstill.report.measuring import SystemResults

_PROVEN, _FORGOTTEN = "Which link lost most", "What was forgotten"
_AS_SERVED = ((FIRST_STAGE, RANKER), (RANKER, DISTILLED), (DISTILLED, RANKER_ON_DISTILLED))
_BESIDE = "tau: Kendall's tau-b of the two orders. KL: divergence of their distributions, in nats."
_TEST = "p: paired randomisation test, Holm-corrected for the links of this table."


@dataclass(frozen=True)
class LinkRow:
    """One link on one group of queries.

    Args:
        group: which queries, and whether they prove anything.
        tau: Kendall's tau of their orders, where it was measured.
        kl: divergence of their distributions in nats, where it was measured.
    """

    group: str
    source: str
    target: str
    comparison: Comparison
    tau: float | None = None
    kl: float | None = None


@dataclass(frozen=True)
class Links:
    """The chain's links."""

    measure: str
    conclusion: str
    rows: Sequence[LinkRow]
    notes: Sequence[str]

    @property
    def adjusted_p(self) -> list[float]:
        """Each row's p, corrected by Holm for all of them."""
        return holm([row.comparison.p_value for row in self.rows])


def proven_links(proof: Mapping[str, Any]) -> Links | None:
    """The attribution in a workspace's proof.json; None if there is none."""
    found = proof.get(_PROVEN)
    if not found:
        return None
    rows = [
        LinkRow(
            f"{group['name']}, n = {group['n']:,}" + ("" if group["proof"] else " (taught: no proof)"),
            link["source"],
            link["target"],
            Comparison(**link["comparison"]),
            link["tau"],
            link["kl"],
        )
        for group in found["groups"]
        for link in group["links"]
    ]
    same = "The two systems of a row order the same candidates of a query."
    return Links(MEASURE, found["conclusion"], rows, [same, _TEST, _BESIDE, *found["notes"]])


def served_links(measured: SystemResults, seed: int, resamples: int) -> Links | None:
    """Neighbours of the chain compared on the test queries, each with all that it found itself.

    It says what each link gains or loses in use. What it cannot say is how much of that lies in the order and how much
    in other passages being found; nor does the teacher appear, which was not asked about test queries.
    None for a chain without a ranker, which has no links to compare.
    """
    columns = {system: np.array(list(by_query.values())) for system, by_query in measured.values.items()}
    pairs = [pair for pair in _AS_SERVED if columns.keys() >= {*pair}]
    if not pairs:
        return None
    judged_by = measured.dataset.judged_by
    queries = f"test queries, judged by {judged_by}" if judged_by else "test queries"
    group = f"{queries}, n = {len(measured.qrels):,}"
    rows = [LinkRow(group, old, new, compare(columns[old], columns[new], seed, resamples)) for old, new in pairs]
    worst = min(rows, key=lambda row: row.comparison.difference)
    conclusion = worst_link_in_words(
        f"{worst.source} -> {worst.target}",
        worst.comparison,
        compare_worst_links({f"{old} -> {new}": columns[new] - columns[old] for old, new in pairs}, seed, resamples),
        measure=measured.measure,
        queries=queries,
    )
    notes = [
        "Each system with what it found itself, so a link's figure holds finding and ordering together.",
        _TEST,
        "The link from teacher to ranker, and every link on the same candidates, is measured by `rankstill prove`.",
    ]
    return Links(measured.measure, conclusion, rows, notes)


def forgetting(proof: Mapping[str, Any]) -> str:
    """What was forgotten on another dataset, in one sentence; empty if it was not measured."""
    return next((found["conclusion"] for title, found in proof.items() if title.startswith(_FORGOTTEN)), "")
