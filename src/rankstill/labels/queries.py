"""Which queries are labelled: those that the LLM ranked, and the user's unlabelled ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rankstill.datasets import Dataset
from rankstill.labels.labelling import UnlabelledQuery

if TYPE_CHECKING:
    from rankstill.teacher import Ranking

_NOTHING = np.empty(0, dtype=np.int64)


def asked_queries(
    dataset: Dataset, rankings: Sequence[Ranking], candidates: Mapping[str, NDArray[np.int64]], n: int
) -> list[UnlabelledQuery]:
    """The queries that the LLM ranked, their lists filled up to n, and the unlabelled ones of the user's.

    Args:
        candidates: positions of each ranked query's candidates, best first, by query id.
        n: passages of a ranked query to label.
    """
    corpus, queries = dataset.corpus, dataset.queries
    asked = []
    for ranking in rankings:
        ranked = np.array([corpus.position(each) for each in ranking.ranking])
        others = [position for position in candidates[ranking.query_id] if position not in ranked]
        fill = np.array(others[: max(0, n - len(ranked))], dtype=np.int64)
        asked.append(UnlabelledQuery(ranking.query_id, queries[ranking.query_id].text, "teacher", ranked, fill))
    return asked + [UnlabelledQuery(each, queries[each].text, "extra", _NOTHING) for each in dataset.extra]
