"""Labels made without a ranker, in the rows that retriever training reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from rankstill.data import Dataset, Query
from rankstill.labels.labelling import UnlabelledQuery, order_scores
from rankstill.labels.table import LabelledQuery

IRRELEVANT = -1e4
"""A score whose share of the softmax is 0 at any sensible temperature. Not -inf, which would mean that the passage is
not labelled at all: it is, as a negative."""


def labelled_query(
    query: Query, positions: Sequence[int] | NDArray[np.int64], scores: NDArray[np.float64]
) -> LabelledQuery:
    """A row as the ranker would have written it, best first; ties stay in the order given.

    Args:
        query: the query that the labels belong to.
        positions: the positions of its passages in the corpus. [passages]
        scores: the scores of these. [passages]
    """
    best_first = np.argsort(-scores, kind="stable")
    placed = np.asarray(positions, dtype=np.int64)[best_first]
    return LabelledQuery(query.id, query.text, "teacher", placed, scores[best_first].astype(np.float32))


def one_hot(positives: int, passages: int) -> NDArray[np.float64]:
    """Scores under which the first `positives` passages share the distribution evenly and the rest get none.

    Args:
        positives: how many are relevant, at least 1.
        passages: how many there are.
    """
    scores = np.full(passages, IRRELEVANT)
    scores[:positives] = 0.0
    return scores


def order_labels(asked: Iterable[UnlabelledQuery], dataset: Dataset) -> list[LabelledQuery]:
    """Scores by rank: rank r gets 1 / r^2 of the distribution, what the LLM did not place shares the rank below.

    Args:
        asked: queries with what the LLM ranked and further candidates, as `labels.asked_queries` gives them; one of
            which it placed nothing gives no row.
    """
    rows = []
    for each in asked:
        others = each.others if each.others is not None else each.ranked[:0]
        positions = np.concatenate([each.ranked, others])
        if len(each.ranked):
            scores = order_scores(len(each.ranked), len(positions)).astype(np.float64)
            rows.append(labelled_query(dataset.queries[each.id], positions, scores))
    return rows
