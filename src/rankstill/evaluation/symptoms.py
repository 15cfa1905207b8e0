"""What can explain a retriever that did not get better: figures that cost nothing, kept for whoever words them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rankstill.evaluation.significance import Comparison
from rankstill.labels.table import LabelledQuery


@dataclass(frozen=True)
class Symptoms:
    """Signs of what went wrong in one chain.

    Args:
        lists: how many taught.
        enough: how many it took before, as docs/studies.md found.
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

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Symptoms:
        """What `dataclasses.asdict` made."""
        compared = {name: data[name] and Comparison(**data[name]) for name in ("by_people", "carried_over")}
        return cls(data["lists"], data["enough"], data["evenness"], **compared)


def evenness(labels: Sequence[LabelledQuery], temperature: float) -> float | None:
    """How flat labels are: entropy of softmax(scores / temperature) over log(passages), mean over queries.

    1: every passage is as good as any, so that there is nothing to learn. None without a query of two passages.

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
