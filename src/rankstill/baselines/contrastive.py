"""Contrastive learning, what most retrievers are trained by: one relevant passage against the others.

The labels here are one-hot, and the KL divergence to a one-hot distribution is the InfoNCE loss: existing training runs
them as they are, with the query's other candidates as hard negatives and the step's as in-batch negatives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rankstill.baselines.rows import labelled_query, one_hot
from rankstill.datasets import Dataset
from rankstill.labels.table import LabelledQuery
from rankstill.teacher.rankings import Ranking

if TYPE_CHECKING:
    from torch import Tensor


def info_nce(cosines: Tensor, positives: Tensor, student_temperature: float) -> Tensor:
    """InfoNCE: -log softmax(cosines / tau_s) of the relevant passage (DPR: Karpukhin et al. 2020, eq. 2).

    With several relevant passages, the mean over them (Khosla et al. 2020, eq. 2: L_out). Equals the KL divergence to
    an even distribution over them, plus that distribution's entropy.

    Args:
        cosines: of queries and passages. [queries, passages]
        positives: which passages are relevant, at least one a query; all others are negatives. [queries, passages]
        student_temperature: tau_s.

    Returns:
        One loss a query, in nats. [queries]
    """
    import torch

    losses = -torch.log_softmax(cosines / student_temperature, dim=1)
    return losses.masked_fill(~positives, 0.0).sum(dim=1) / positives.sum(dim=1)


def first_choice_labels(
    rankings: Iterable[Ranking], candidates: Mapping[str, NDArray[np.int64]], dataset: Dataset, passages: int
) -> list[LabelledQuery]:
    """The LLM's first choice is relevant, its other candidates are hard negatives: all that its order says is left out.

    Args:
        rankings: the teacher's; a query of which it placed nothing gives no row.
        candidates: positions of each query's candidates, best first, by query id: negatives beside those ranked.
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
