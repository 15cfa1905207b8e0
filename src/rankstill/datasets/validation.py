"""Choosing settings without a look at the test queries: some training queries measure in their place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rankstill.datasets.dataset import Dataset
from rankstill.datasets.leaks import drop_leaks
from rankstill.errors import DataError


def hold_out(dataset: Dataset, seed: int = 0) -> Dataset:
    """The dataset with a third of its judged training queries in the place of its test queries.

    Queries that share a gold passage, themselves or over others, stay on one side; what repeats a query that measures
    teaches no more.

    Args:
        dataset: whose training queries are parted.
        seed: of the draw.

    Raises:
        DataError: too few training queries are judged.
    """
    groups = _by_shared_gold(dataset)
    judged = sum(map(len, groups))
    held: list[str] = []
    for number in np.random.default_rng(seed).permutation(len(groups)):
        if len(held) < judged // 3:
            held += groups[int(number)]
    if not held or len(held) == judged:
        raise DataError(
            f"{dataset.name}: too few training queries are judged ({judged:,}, in {len(groups):,} groups that share no "
            "gold passage) to hold a third of them out."
        )
    measures = frozenset(held)
    teach = tuple(query_id for query_id in dataset.train if query_id not in measures)
    name = f"{dataset.name}, {len(held)} held-out training queries"
    return drop_leaks(replace(dataset, name=name, train=teach, test=tuple(held), notes=()))


def _by_shared_gold(dataset: Dataset) -> list[list[str]]:
    """The training queries that have a gold passage, in groups of which no two share one."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    gold = {
        query_id: [passage_id for passage_id, grade in dataset.qrels.get(query_id, {}).items() if grade > 0]
        for query_id in dataset.train
    }
    judged = [query_id for query_id in dataset.train if gold[query_id]]
    column = {passage_id: number for number, passage_id in enumerate({p for q in judged for p in gold[q]})}
    pairs = [(row, column[passage_id]) for row, query_id in enumerate(judged) for passage_id in gold[query_id]]
    rows, columns = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    has = coo_array((np.ones(len(pairs)), (rows, columns)), shape=(len(judged), len(column)))
    _, group_of = connected_components(has @ has.T, directed=False)
    groups: dict[int, list[str]] = {}
    for query_id, group in zip(judged, group_of, strict=True):
        groups.setdefault(int(group), []).append(query_id)
    return sorted(groups.values())
