"""Choosing settings without a look at the test queries: training queries measure in their place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rankstill.datasets.dataset import Dataset
from rankstill.datasets.leaks import drop_leaks
from rankstill.errors import DataError


def hold_out(dataset: Dataset, seed: int = 0) -> Dataset:
    """The dataset with about a third of its judged training queries in the place of its test queries.

    Queries that share a gold passage, directly or through other queries, stay on one side; a training or extra query
    that repeats a held-out one word for word is dropped.

    Raises:
        DataError: too few training queries are judged, or too many of them share gold passages.
    """
    groups = _by_shared_gold(dataset)
    judged = sum(map(len, groups))
    held: list[str] = []
    for number in np.random.default_rng(seed).permutation(len(groups)):
        group = groups[int(number)]
        if len(held) < judged // 3 and len(held) + len(group) <= judged // 2:
            held += group
    if not held or len(held) < judged // 6:
        raise DataError(
            f"{dataset.name}: a third of the judged training queries cannot be held out: there are {judged:,}, and "
            f"{max(map(len, groups), default=0):,} of them hang together by shared gold passages. Add judgements of "
            "training queries, or measure on the test queries."
        )
    train = tuple(query_id for query_id in dataset.train if query_id not in set(held))
    return drop_leaks(
        replace(dataset, name=f"{dataset.name} (held-out training queries)", train=train, test=tuple(held))
    )


def _by_shared_gold(dataset: Dataset) -> list[list[str]]:
    """The training queries that have a gold passage, in groups of which no two share one."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    gold = {
        query_id: [passage_id for passage_id, grade in dataset.qrels.get(query_id, {}).items() if grade > 0]
        for query_id in dataset.train
    }
    judged = [query_id for query_id in dataset.train if gold[query_id]]
    node = {passage_id: len(judged) + n for n, passage_id in enumerate({p for each in gold.values() for p in each})}
    edges = [(row, node[passage_id]) for row, query_id in enumerate(judged) for passage_id in gold[query_id]]
    ends = np.array(edges, dtype=np.int64).reshape(-1, 2).T
    nodes = len(judged) + len(node)
    _, group_of = connected_components(coo_array((np.ones(len(edges)), tuple(ends)), shape=(nodes, nodes)), False)
    groups: dict[int, list[str]] = {}
    for query_id, group in zip(judged, group_of, strict=False):  # passages, behind the queries, have one too
        groups.setdefault(int(group), []).append(query_id)
    return sorted(groups.values())
