"""What the training queries give away about the test queries, and how to take it out.

A retriever that trains on a query whose gold passage is also a test query's gold passage learns that passage, not
relevance. On SciFact this is most of what looks like a gain (see bundled/scifact/README.md).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rankstill.data.dataset import Dataset
from rankstill.data.same_text import folded

_BLOCK = 512
"""Test queries compared at once: 512 rows against 100,000 training queries take 0.4 GB."""
_NEAR = 0.9
"""From which cosine on two queries count as near duplicates."""


@dataclass(frozen=True)
class SharedGold:
    """Queries on both sides of a leak, each in the dataset's order.

    Args:
        train: training queries that share a gold passage with a test query.
        test: test queries that share a gold passage with a training query.
    """

    train: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True)
class LeakReport:
    """How far a training split leaks into its test split.

    Args:
        train_sharing_gold: training queries with a gold passage that is gold for a test query.
        test_sharing_gold: test queries with a gold passage that is gold for a training query.
        test_with_near_duplicate: test queries with a training query that says nearly the same; None when not looked at.
    """

    train_queries: int
    test_queries: int
    train_sharing_gold: int
    test_sharing_gold: int
    test_with_near_duplicate: int | None = None

    @property
    def share_test_sharing_gold(self) -> float:
        """Part of the test queries that share a gold passage, 0 to 1."""
        return self.test_sharing_gold / max(self.test_queries, 1)

    @property
    def share_test_with_near_duplicate(self) -> float | None:
        """Part of the test queries with a near duplicate, 0 to 1; None when not looked at."""
        if self.test_with_near_duplicate is None:
            return None
        return self.test_with_near_duplicate / max(self.test_queries, 1)

    def describe(self) -> str:
        """The report in one sentence."""
        if not self.test_queries:
            return "There are no judged test queries, so no leak can be found."
        sentence = (
            f"{self.test_sharing_gold:,} of {self.test_queries:,} test queries ({self.share_test_sharing_gold:.0%}) "
            f"have a gold passage that is gold for a training query "
            f"({self.train_sharing_gold:,} of {self.train_queries:,})"
        )
        near = self.share_test_with_near_duplicate
        if near is not None:
            sentence += (
                f", and {self.test_with_near_duplicate:,} ({near:.1%}) have a training query that says nearly the same "
                f"(cosine of at least {_NEAR:g})"
            )
        return sentence + "."


def shared_gold(dataset: Dataset) -> SharedGold:
    """The training and test queries that share a gold passage (a passage graded above 0).

    Training queries without judgements cannot be seen to share one.
    """
    gold = {query_id: {p for p, grade in grades.items() if grade > 0} for query_id, grades in dataset.qrels.items()}
    none: set[str] = set()
    train_gold = none.union(*(gold.get(query_id, none) for query_id in dataset.train))
    test_gold = none.union(*(gold.get(query_id, none) for query_id in dataset.test))
    shared = train_gold & test_gold
    return SharedGold(
        train=tuple(q for q in dataset.train if gold.get(q, none) & shared),
        test=tuple(q for q in dataset.test if gold.get(q, none) & shared),
    )


def near_duplicates(
    train_embeddings: NDArray[np.floating], test_embeddings: NDArray[np.floating], threshold: float = _NEAR
) -> NDArray[np.intp]:
    """For each test query, the training query that says nearly the same, if there is one.

    Args:
        train_embeddings: embeddings of the training queries, of any length. [n, d]
        test_embeddings: embeddings of the test queries by the same model. [m, d]

    Returns:
        The row of the most similar training query, -1 where none reaches the threshold. [m]

    Raises:
        ValueError: the two do not have the same number of dimensions.
    """
    if train_embeddings.ndim != 2 or test_embeddings.ndim != 2 or train_embeddings.shape[1] != test_embeddings.shape[1]:
        raise ValueError(f"embeddings must be [n, d] and [m, d], not {train_embeddings.shape}, {test_embeddings.shape}")
    nearest = np.full(len(test_embeddings), -1, dtype=np.intp)
    if not len(train_embeddings):
        return nearest
    train = _unit_rows(train_embeddings)
    for start in range(0, len(test_embeddings), _BLOCK):
        cosines = _unit_rows(test_embeddings[start : start + _BLOCK]) @ train.T
        best = cosines.argmax(axis=1)
        reached = cosines[np.arange(len(best)), best] >= threshold
        nearest[start : start + _BLOCK] = np.where(reached, best, -1)
    return nearest


def find_leaks(
    dataset: Dataset,
    train_embeddings: NDArray[np.floating] | None = None,
    test_embeddings: NDArray[np.floating] | None = None,
) -> LeakReport:
    """Measures how far the training queries leak into the test queries.

    Args:
        train_embeddings: embeddings of `dataset.train` in that order; None looks at gold passages alone. [n, d]
        test_embeddings: embeddings of `dataset.test` in that order. [m, d]
    """
    shared = shared_gold(dataset)
    near = None
    if train_embeddings is not None and test_embeddings is not None:
        near = int((near_duplicates(train_embeddings, test_embeddings) >= 0).sum())
    counts = (len(dataset.train), len(dataset.test), len(shared.train), len(shared.test))
    return LeakReport(*counts, near)


def repeated_texts(dataset: Dataset) -> tuple[str, ...]:
    """Training and extra queries that are a test query word for word, but for case and white space (`folded`).

    Unjudged queries count as test queries, for they may be judged.
    """
    tested = {folded(text) for text in dataset.texts_of((*dataset.test, *dataset.unjudged))}
    return tuple(q for q in (*dataset.train, *dataset.extra) if folded(dataset.queries[q].text) in tested)


def drop_leaks(dataset: Dataset) -> Dataset:
    """The dataset without the training queries that share a gold passage with a test query.

    Training and extra queries that repeat a test query word for word go as well. The queries and their judgements stay
    in the dataset, but neither teach nor are labelled. A note says how many.
    """
    shared, repeated = shared_gold(dataset), repeated_texts(dataset)
    leaking = frozenset(shared.train) | frozenset(repeated)
    train = tuple(q for q in dataset.train if q not in leaking)
    extra = tuple(q for q in dataset.extra if q not in leaking)
    notes = [*dataset.notes]
    if leaking:
        gone = len(dataset.train) - len(train)
        notes.append(
            f"{dataset.name}: {gone:,} of {len(dataset.train):,} training queries leak into the test split and were "
            f"dropped: {len(shared.train):,} share a gold passage with {len(shared.test):,} of {len(dataset.test):,} "
            f"test queries, {len(repeated):,} training or extra queries repeat a test query."
        )
    if not train and dataset.train:
        notes.append(f"{dataset.name}: every training query leaks, so no query may teach.")
    notes += _unchecked(dataset)
    return replace(dataset, train=train, extra=extra, leaking=(), notes=tuple(notes))


def mark_leaks(dataset: Dataset) -> Dataset:
    """The dataset as it is, with the leaking training queries named in `leaking` and a note that says so."""
    shared, repeated = shared_gold(dataset), frozenset(repeated_texts(dataset))
    found = frozenset(shared.train) | repeated
    leaking = tuple(q for q in dataset.train if q in found)
    notes = [*dataset.notes]
    if leaking or repeated:
        notes.append(
            f"{dataset.name}: LEAKING: {len(leaking):,} of {len(dataset.train):,} training queries share a gold "
            f"passage with a test query or repeat one ({len(shared.test):,} of {len(dataset.test):,} test queries "
            "share) and were kept; figures on the test split look too good."
        )
    notes += _unchecked(dataset)
    return replace(dataset, leaking=leaking, notes=tuple(notes))


def _unchecked(dataset: Dataset) -> tuple[str, ...]:
    unjudged = sum(query_id not in dataset.qrels for query_id in dataset.train)
    if not dataset.test or not unjudged:
        return ()
    return (
        f"{dataset.name}: {unjudged:,} of {len(dataset.train):,} training queries have no judgements, so a leak "
        "through a gold passage shared with a test query would not be noticed.",
    )


def _unit_rows(embeddings: NDArray[np.floating]) -> NDArray[np.float64]:
    rows = embeddings.astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: NDArray[np.float64] = rows / np.where(lengths > 0, lengths, 1.0)
    return unit
