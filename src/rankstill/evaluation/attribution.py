"""Where quality is lost along the chain: teacher -> ranker -> retriever, each ordering the same candidates.

A link is a pair of neighbouring systems in the chain. It is measured by how much nDCG@10 it loses, and by how far the
second system disagrees with the first: Kendall's tau of their orders, KL divergence of their distributions. Only
queries that taught nothing count as proof; on the others a link looks too good.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankstill.data.dataset import Qrels
from rankstill.evaluation.metrics import aggregate, per_query
from rankstill.evaluation.runs import Run, break_ties
from rankstill.evaluation.significance import Comparison, compare, holm
from rankstill.tables import markdown_rows

Scores = NDArray[np.floating]
"""One query's candidates as a system scores them; higher is better. [candidates]"""

MEASURE = "nDCG@10"
_SURE = 0.05


@dataclass(frozen=True)
class Link:
    """One link of the chain: from a system to the next one, which learns from it.

    Args:
        comparison: the comparison of their nDCG@10; a negative difference is a loss.
        tau: Kendall's tau-b of the two orders, mean over queries; None where no query has two different scores.
        kl: KL(source || target) of their distributions over a query's candidates, in nats, mean over queries.
    """

    source: str
    target: str
    comparison: Comparison
    tau: float | None
    kl: float


@dataclass(frozen=True)
class WorstLinkTest:
    """The test of the link that loses most against the next one.

    Args:
        link: the next: "ranker -> retriever".
        comparison: the comparison of what the worst link gains on a query with what the next one gains on it.
    """

    link: str
    comparison: Comparison


@dataclass(frozen=True)
class QueryGroup:
    """The links of the chain, measured on one set of queries.

    Args:
        proof: whether none of them taught, so the figures hold for other queries too.
        ndcg: system -> nDCG@10, mean over queries, in the chain's order.
        lead: the test of the worst link against the next; None for a single link.
    """

    name: str
    proof: bool
    n: int
    ndcg: dict[str, float]
    links: tuple[Link, ...]
    lead: WorstLinkTest | None

    def worst(self) -> Link:
        """The link that loses most nDCG@10."""
        return min(self.links, key=lambda link: link.comparison.difference)


@dataclass(frozen=True)
class Attribution:
    """Where the chain loses quality."""

    groups: tuple[QueryGroup, ...]
    notes: tuple[str, ...] = ()

    def conclusion(self) -> str:
        """One sentence that says which link loses most, on proof only, for the longest chain that has proof."""
        proofs = [group for group in self.groups if group.proof]
        if not proofs:
            return "No judged query that taught nothing was measured, so it is not known which link loses most."
        return _verdict(max(proofs, key=lambda group: len(group.links)))

    def adjusted_p(self) -> list[float]:
        """The links' p-values, group by group, corrected by Holm for all of them."""
        return holm([link.comparison.p_value for group in self.groups for link in group.links])

    def to_json(self) -> dict[str, Any]:
        """Everything as plain dicts, lists and numbers; a link's "adjusted_p" is the table's p."""
        data = asdict(self)
        links = [link for group in data["groups"] for link in group["links"]]
        for link, p_value in zip(links, self.adjusted_p(), strict=True):
            link["adjusted_p"] = p_value
        return {"conclusion": self.conclusion(), **data}

    def to_markdown(self) -> str:
        """The conclusion, the table and the notes, as GitHub Markdown."""
        headings = ["queries", "link", MEASURE, "difference [95 %]", "p", "tau", "KL"]
        lines = [f"**{self.conclusion()}**", "", *markdown_rows([headings, *self._rows()], text_columns=2)]
        caption = (
            "The two systems of a row order the same candidates. Brackets: 95 % bootstrap interval of what the link "
            "gains; p: paired randomisation test, Holm-corrected for all links. tau: Kendall's tau-b of the two "
            "orders; KL of their distributions, in nats. No proof: these queries taught."
        )
        return "\n".join([*lines, *(f"\n{text}" for text in (caption, *self.notes)), ""])

    def _rows(self) -> Iterator[list[str]]:
        links = [(group, link) for group in self.groups for link in group.links]
        for (group, link), p_value in zip(links, self.adjusted_p(), strict=True):
            found = link.comparison
            yield [
                f"{group.name}, n = {group.n:,}" + ("" if group.proof else " (no proof)"),
                f"{link.source} -> {link.target}",
                f"{found.before:.3f} -> {found.after:.3f}",
                found.difference_text(),
                found.p_text(p_value),
                "" if link.tau is None else f"{link.tau:.3f}",
                f"{link.kl:.3f}",
            ]


def attribute(
    name: str,
    chain: Mapping[str, Run],
    qrels: Qrels,
    *,
    proof: bool,
    temperatures: Mapping[str, float],
    seed: int = 0,
    resamples: int = 10_000,
) -> QueryGroup:
    """Measure every system of a chain, and every link, on the same candidates of the same queries.

    Args:
        name: which queries these are, such as "test queries".
        chain: system -> its scores of each query's candidates, in the chain's order; two systems or more, with the
            same candidates. Ties go in the order in which the candidates are named.
        qrels: the qrels of these queries, which alone are measured. Relevant passages beyond the candidates count
            against all.
        proof: whether none of the queries taught.
        temperatures: system -> what its scores are divided by before the softmax that KL compares.
    """
    values = {system: per_query(_without_ties(run), qrels, [MEASURE])[MEASURE] for system, run in chain.items()}
    columns = {system: np.array(list(by_query.values())) for system, by_query in values.items()}
    gains = {f"{source} -> {target}": columns[target] - columns[source] for source, target in pairwise(chain)}
    return QueryGroup(
        name=name,
        proof=proof,
        n=len(qrels),
        ndcg={system: aggregate({MEASURE: by_query})[MEASURE] for system, by_query in values.items()},
        links=tuple(
            Link(
                source,
                target,
                compare(columns[source], columns[target], seed, resamples),
                *_disagreement(chain[source], chain[target], list(qrels), temperatures[source], temperatures[target]),
            )
            for source, target in pairwise(chain)
        ),
        lead=compare_worst_links(gains, seed, resamples),
    )


def _without_ties(run: Run) -> Run:
    """The run with its ties broken, for a measure; tau and KL must see them."""
    ordered = {query_id: sorted(scores.items(), key=lambda pair: -pair[1]) for query_id, scores in run.items()}
    return {query_id: break_ties(*zip(*pairs, strict=True)) for query_id, pairs in ordered.items() if pairs}


def compare_worst_links(gains: Mapping[str, NDArray[np.float64]], seed: int, resamples: int) -> WorstLinkTest | None:
    """Compare the link that gains least, or loses most, with the next; None for a single link.

    Args:
        gains: link -> what it gains on each query, the same queries in the same order. [queries]
    """
    worst, *others = sorted(gains, key=lambda link: float(gains[link].mean()))
    return WorstLinkTest(others[0], compare(gains[others[0]], gains[worst], seed, resamples)) if others else None


def kendall_tau(first: Scores, second: Scores) -> float | None:
    """Kendall's tau-b of two orders (Kendall 1945): 1 the same, -1 reversed, ties counted as neither.

    Args:
        first: scores of the candidates. [candidates]
        second: other scores of the same candidates. [candidates]

    Returns:
        tau-b; None where one of the two has all candidates tied, so that it has no order.
    """
    from scipy.stats import kendalltau

    if len(set(first.tolist())) < 2 or len(set(second.tolist())) < 2:
        return None
    return float(kendalltau(first, second).statistic)


def kl_divergence(first: Scores, second: Scores) -> float:
    """KL(softmax(first) || softmax(second)) in nats (Kullback and Leibler 1951): 0 for equal distributions.

    Args:
        first: scores of the candidates, divided by their temperature. [candidates]
        second: other scores of the same candidates, divided by theirs. [candidates]
    """
    from scipy.special import log_softmax

    log_p, log_q = log_softmax(first.astype(np.float64)), log_softmax(second.astype(np.float64))
    return float(np.exp(log_p) @ (log_p - log_q))


def _disagreement(
    source: Run, target: Run, query_ids: Sequence[str], source_temperature: float, target_temperature: float
) -> tuple[float | None, float]:
    """Mean tau over the queries that have one, and mean KL."""
    taus, divergences = [], []
    for query_id in query_ids:
        passages = list(source[query_id])
        first, second = (np.array([run[query_id][each] for each in passages]) for run in (source, target))
        taus.append(kendall_tau(first, second))
        divergences.append(kl_divergence(first / source_temperature, second / target_temperature))
    ordered = [tau for tau in taus if tau is not None]
    return (float(np.mean(ordered)) if ordered else None), float(np.mean(divergences))


def _verdict(group: QueryGroup) -> str:
    worst = group.worst()
    return worst_link_in_words(
        f"{worst.source} -> {worst.target}", worst.comparison, group.lead, measure=MEASURE, queries=group.name
    )


def worst_link_in_words(link: str, found: Comparison, lead: WorstLinkTest | None, *, measure: str, queries: str) -> str:
    """One sentence that says how much the worst link of a chain loses, or that it loses nothing.

    It claims that this link loses most only if a paired test is significant.

    Args:
        link: its ends: "teacher -> ranker".
        found: what it leads to, compared with what it comes from.
        lead: before the next link; None for a single one.
        queries: which they were: "test queries".
    """
    figures = f"{found.before:.3f} to {found.after:.3f}, {found.difference_text()}, n = {found.n:,} {queries}"
    if found.difference >= 0:
        return f"No link loses {measure}; {link} gains least ({figures})."
    unsure = "" if found.high < 0 else ", but the interval includes 0, so it may lose nothing"
    return f"{link} {_standing(lead)}: {measure} {figures}{unsure}."


def _standing(lead: WorstLinkTest | None) -> str:
    if lead is None:
        return "loses (the only link measured on queries that taught nothing)"
    p_value = lead.comparison.p_in_words()
    if lead.comparison.p_value < _SURE:
        return f"loses most (against {lead.link}: {p_value})"
    return f"loses most here, with no significant difference from {lead.link} ({p_value})"
