"""Agreement with the LLM: how close each system's order of a list is to the LLM's order, on lists that taught nothing.

It needs no call and no judgement. It is not relevance: a system that agrees with a poor LLM is poor. It does not cover
passages outside the lists.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankstill.evaluation.attribution import Scores, kendall_tau
from rankstill.evaluation.metrics import PerQuery, per_query
from rankstill.evaluation.runs import Run
from rankstill.evaluation.significance import Comparison
from rankstill.evaluation.systems import BEFORE
from rankstill.evaluation.table import EvaluationTable, read_stored, tabulate
from rankstill.labels.table import LabelledQuery
from rankstill.teacher import Ranking

TAU, FIRST = "Kendall's tau", "Hit@1"


@dataclass(frozen=True)
class Symptoms:
    """Signs of what went wrong in one chain.

    Args:
        enough: how many lists were enough on other corpora (docs/studies.md).
        evenness: of the labels, from 0 to 1: their distributions' mean entropy over the highest possible; None without
            labels.
        by_people: nDCG@10 of the first stage's order and of the LLM's, on held-out lists with judgements; None where
            too few have any.
        carried_over: agreement with the LLM of the first stage and of the ranker, on the held-out lists; None without
            these, or without a ranker.
    """

    lists: int
    enough: int
    evenness: float | None
    by_people: Comparison | None
    carried_over: Comparison | None


def evenness(labels: Sequence[LabelledQuery], temperature: float) -> float | None:
    """How flat labels are: entropy of softmax(scores / temperature) over log(passages), mean over queries.

    1: all passages are equally good, so there is nothing to learn. None without a query of two passages.

    Args:
        temperature: tau_t, as in training.
    """
    from scipy.special import softmax
    from scipy.stats import entropy

    shares = [
        float(entropy(softmax(query.scores / temperature)) / np.log(len(query.scores)))
        for query in labels
        if len(query.scores) > 1
    ]
    return float(np.mean(shares)) if shares else None


@dataclass(frozen=True)
class Agreement:
    """Every system against the LLM's own order.

    Args:
        table: the systems; None where no list is held out.
        why: why there is no table; empty if there is one.
        by_chance: the value of a random order in the table's main measure.
    """

    table: EvaluationTable | None
    why: str
    by_chance: float
    symptoms: Symptoms

    @property
    def name(self) -> str:
        """What is measured, and on how many lists. It must not be confused with relevance."""
        lists = f"{self.table.n:,} lists" if self.table else "lists"
        return f"agreement with the LLM on {lists} that taught nothing"

    @property
    def heading(self) -> str:
        """The same, as a heading."""
        return self.name[0].upper() + self.name[1:]

    def limits(self) -> str:
        """What the figures mean, and what they do not cover."""
        if self.table is None:
            return f"Not measured: {self.why}."
        main = self.table.measures[0]
        return (
            f"{main}: gains are the LLM's ranks, its last placed passage 1, each better one 1 more; a random order has "
            f"{self.by_chance:.3f}. {FIRST}: the LLM's first choice comes first. These lists contain only what the "
            "first stage found: they do not cover other passages, and do not show whether the LLM is right."
        )

    def to_markdown(self) -> str:
        """The table and its limits, as GitHub Markdown."""
        if self.table is None:
            return f"{self.limits()}\n"
        return f"{self.table.to_markdown(self.heading)}\n{self.limits()}\n"

    def to_json(self) -> dict[str, Any]:
        """Everything as plain dicts, tuples and numbers; `from_json` gives an equal agreement back."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Agreement:
        """What `to_json` wrote; DataError if the data is something else."""
        return read_stored(cls, data, "agreement.json: not an agreement with the LLM ({}). Run the chain again.")


def agreement_table(
    rankings: Sequence[Ranking], scores: Mapping[str, Sequence[Scores]], k: int, seed: int, resamples: int
) -> EvaluationTable:
    """Compare every system with `BEFORE` by how close its order of each list is to the LLM's.

    Args:
        rankings: the LLM's, of at least one list.
        scores: system -> its scores of each list's passages, those that the LLM placed first, in its order, then the
            others, in the order shown. Each [passages]
        k: the rank at which nDCG is cut off.
    """
    values = {name: list_values(rankings, own, k) for name, own in scores.items()}
    return tabulate(values, dict.fromkeys(values, 0), BEFORE, seed, resamples)


def list_values(rankings: Sequence[Ranking], scores: Sequence[Scores], k: int) -> PerQuery:
    """One system's measures of each list, the main one first; arguments as for `agreement_table`."""
    run: Run = {
        ranking.query_id: dict(zip((*ranking.ranking, *ranking.unranked), map(float, own), strict=True))
        for ranking, own in zip(rankings, scores, strict=True)
    }
    gains = {
        each.query_id: dict(zip(each.ranking, gains_of(len(each.ranking)).tolist(), strict=True)) for each in rankings
    }
    first = {each.query_id: {each.ranking[0]: 1} for each in rankings}
    taus = [
        kendall_tau(np.pad(gains_of(len(ranking.ranking)), (0, len(ranking.unranked))), own) or 0.0
        for ranking, own in zip(rankings, scores, strict=True)
    ]
    return {
        **per_query(run, gains, [f"nDCG@{k}"]),
        TAU: dict(zip(gains, taus, strict=True)),
        **per_query(run, first, [FIRST]),
    }


def gains_of(placed: int) -> NDArray[np.int64]:
    """The LLM's ranks as gains: its last placed passage has 1, each better one 1 more. [placed]"""
    return np.arange(placed, 0, -1)


def by_chance(rankings: Sequence[Ranking], k: int) -> float:
    """The nDCG@k that a random order has on average, by the LLM's ranks (Jarvelin and Kekalainen 2002).

    Every passage is as likely at every rank: the expected gain at each is the mean gain of the list.
    """
    expected = []
    for ranking in rankings:
        gains, passages = gains_of(len(ranking.ranking)), len(ranking.candidates)
        discounts = 1 / np.log2(np.arange(2, min(k, passages) + 2))
        ideal = gains[:k] @ discounts[: len(gains)]
        expected.append(gains.sum() / passages * discounts.sum() / ideal)
    return float(np.mean(expected))
