"""Labels of contrastive learning: a relevant passage, judged or the LLM's first choice, against the others.

The labels are one-hot, and the KL divergence to a one-hot distribution is the InfoNCE loss (`losses/kl.py`).
Training runs them as they are, with the query's other candidates as hard negatives and the step's as in-batch
negatives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rankstill.data import Dataset
from rankstill.labels.rows import labelled_query, one_hot
from rankstill.labels.table import LabelledQuery
from rankstill.teacher.rankings import Ranking


def first_choice_labels(
    rankings: Iterable[Ranking], candidates: Mapping[str, NDArray[np.int64]], dataset: Dataset, passages: int
) -> list[LabelledQuery]:
    """The LLM's first choice is relevant, its other candidates are hard negatives: all that its order says is left out.

    Args:
        rankings: the teacher's; a query of which it placed nothing gives no row.
        candidates: positions of each query's candidates, best first, by query id: negatives beside those ranked.
        dataset: gives queries and passages.
        passages: how many a row holds at most.
    """
    return [
        _against_others(
            ranking.query_id,
            [ranking.ranking[0]],
            [*(dataset.corpus.position(each) for each in ranking.candidates), *candidates.get(ranking.query_id, [])],
            dataset,
            passages,
        )
        for ranking in rankings
        if ranking.ranking
    ]


def gold_labels(
    query_ids: Iterable[str], candidates: Mapping[str, NDArray[np.int64]], dataset: Dataset, passages: int
) -> list[LabelledQuery]:
    """The judged-relevant passages, whether the first stage finds them or not, against the candidates that are not.

    Args:
        query_ids: the query ids of the queries that may teach; one without a relevant passage gives no row.
        candidates: positions of each query's candidates, best first, by query id.
        passages: how many a row holds at most.
    """
    rows = []
    for query_id in query_ids:
        gold = [each for each, grade in dataset.qrels.get(query_id, {}).items() if grade > 0]
        if gold:
            rows.append(_against_others(query_id, gold, candidates.get(query_id, []), dataset, passages))
    return rows


def _against_others(
    query_id: str, relevant: Sequence[str], others: Sequence[int] | NDArray[np.int64], dataset: Dataset, passages: int
) -> LabelledQuery:
    positives = [dataset.corpus.position(each) for each in relevant]
    # A dictionary keeps the first of each, in order.
    positions = list(dict.fromkeys([*positives, *(int(each) for each in others)]))[: max(passages, len(positives))]
    return labelled_query(dataset.queries[query_id], positions, one_hot(len(positives), len(positions)))
