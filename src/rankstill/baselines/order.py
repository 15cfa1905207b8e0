"""The LLM's order alone: labels without a ranker."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from rankstill.baselines.rows import labelled_query
from rankstill.datasets import Dataset
from rankstill.labels.labelling import UnlabelledQuery, order_scores
from rankstill.labels.table import LabelledQuery


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
