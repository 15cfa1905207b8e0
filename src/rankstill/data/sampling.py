"""A small piece of a dataset, for a quick look at how everything works."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from rankstill.data.dataset import Dataset
from rankstill.data.leaks import drop_leaks
from rankstill.errors import DataError


def sample(
    dataset: Dataset,
    corpus_size: int,
    train: int,
    test: int,
    seed: int,
    keep: Mapping[str, Iterable[str]] | None = None,
) -> Dataset:
    """Draws training and test queries, and a corpus that holds what they need, filled up at random.

    The same arguments give the same sample on every machine. Extra queries stay. The judged passages of the drawn
    queries always stay; all other judgements and queries go.

    Args:
        corpus_size: passages in the sample; all of them when the corpus has no more.
        train: training queries in the sample; all of them when there are no more.
        test: test queries in the sample; all of them when there are no more.
        keep: passages that must stay if their query is drawn, by query id: the candidates of recorded rankings.

    Returns:
        The sample, with a note that its figures are those of a sample.

    Raises:
        DataError: the passages that must stay are more than `corpus_size`, or are not in the corpus.
    """
    draw = random.Random(seed)
    drawn_train = _draw(draw, dataset.train, train)
    drawn_test = _draw(draw, dataset.test, test)
    drawn = dict.fromkeys((*drawn_train, *drawn_test))
    judged = {query_id: dataset.qrels[query_id] for query_id in drawn if query_id in dataset.qrels}
    needed = {passage_id for grades in judged.values() for passage_id in grades}
    needed.update(passage_id for query_id in drawn for passage_id in (keep or {}).get(query_id, ()))
    unknown = sorted(passage_id for passage_id in needed if passage_id not in dataset.corpus)
    if unknown:
        raise DataError(f"{dataset.name}: {len(unknown):,} passages to keep are not in the corpus, first {unknown[0]}.")
    if len(needed) > corpus_size:
        raise DataError(
            f"{dataset.name}: a sample of {corpus_size:,} passages cannot hold the {len(needed):,} that its queries "
            "need. Ask for more passages or fewer queries."
        )
    free = [passage_id for passage_id in dataset.corpus.ids if passage_id not in needed]
    needed.update(_draw(draw, free, corpus_size - len(needed)))
    corpus = dataset.corpus.select(row for row, passage_id in enumerate(dataset.corpus.ids) if passage_id in needed)
    wanted = frozenset((*drawn, *dataset.extra))
    kept = {query_id: query for query_id, query in dataset.queries.items() if query_id in wanted}
    note = (
        f"{dataset.name}: a sample of {len(corpus):,} of {len(dataset.corpus):,} passages, {len(drawn_train):,} "
        f"training and {len(drawn_test):,} test queries (seed {seed}); its figures are those of a sample."
    )
    return replace(
        dataset,
        name=f"{dataset.name} (sample)",
        corpus=corpus,
        queries=kept,
        train=drawn_train,
        test=drawn_test,
        qrels=judged,
        leaking=tuple(query_id for query_id in dataset.leaking if query_id in drawn),
        unjudged=(),
        unjudged_beside=False,
        notes=(*dataset.notes, note),
    )


def _draw(draw: random.Random, members: Iterable[str], count: int) -> tuple[str, ...]:
    """`count` members in their own order."""
    pool = list(members)
    chosen = draw.sample(range(len(pool)), min(count, len(pool)))
    return tuple(pool[position] for position in sorted(chosen))


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
            f"{max(map(len, groups), default=0):,} of them are linked by shared gold passages. Add judgements of "
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
