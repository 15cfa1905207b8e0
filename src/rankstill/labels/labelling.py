"""Ranker -> labels: scores for the queries that the LLM ranked, and for as many that it never saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rankstill.candidates import FirstStage, Sentence
from rankstill.labels.table import LabelledQuery, Source, read_labels, write_labels
from rankstill.progress import progress
from rankstill.ranker.model import Ranker

RankedBy = Literal["both", "ranker", "llm"]
"""Whose word counts where the LLM ranked: its order with the ranker's magnitudes, the ranker's, or its order alone."""

_QUERIES_A_PART = 512


@dataclass(frozen=True)
class Unlabelled:
    """A query to be labelled.

    Args:
        id: the query's id.
        text: the query.
        source: where it comes from.
        ranked: positions of the passages that the LLM ranked, best first; empty if it never saw the query. [ranked]
        others: positions of further passages to label; None: those that the first stage finds. [others]
        made_from: the sentence that a pseudo-query is.
        weight: how often it is to be drawn in training, beside others.
    """

    id: str
    text: str
    source: Source
    ranked: NDArray[np.int64]
    others: NDArray[np.int64] | None = None
    made_from: Sentence | None = None
    weight: float = 1.0


def label(
    queries: Sequence[Unlabelled],
    first_stage: FirstStage,
    ranker: Ranker,
    folder: Path,
    *,
    depth: int,
    ranked_by: RankedBy,
) -> list[LabelledQuery]:
    """Let the ranker score every query's passages. Parts that `folder` already holds are not scored again.

    Args:
        queries: what to label; a part of them is scored, written and never touched again.
        first_stage: finds candidates and computes the prior's features.
        ranker: gives the scores.
        folder: for the parts.
        depth: passages of a query that the LLM never saw.
        ranked_by: see `RankedBy`.

    Returns:
        The labelled queries, in the order of `queries`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    labels: list[LabelledQuery] = []
    with progress("labelling queries", len(queries)) as advance:
        for number, start in enumerate(range(0, len(queries), _QUERIES_A_PART)):
            part = queries[start : start + _QUERIES_A_PART]
            path = folder / f"part-{number:05}.parquet"
            if not path.exists():
                unfinished = path.with_suffix(".tmp")
                write_labels(_label_part(part, first_stage, ranker, depth, ranked_by), unfinished)
                unfinished.replace(path)
            labels += read_labels(path)
            advance(len(part))
    return labels


def keep_order(scores: NDArray[np.float32], ranked: int) -> NDArray[np.float32]:
    """Sort the ranker's scores of the passages that the LLM ranked into the LLM's order.

    A plain chain loses part of what the LLM said. Where the LLM spoke its order stands, and the ranker gives only the
    magnitudes: how much better one passage is than the next.

    Args:
        scores: the ranker's, the passages that the LLM ranked first, in its order. [passages]
        ranked: how many these are.
    """
    kept: NDArray[np.float32] = scores.copy()
    kept[:ranked] = -np.sort(-scores[:ranked])
    return kept


def order_alone(ranked: int, passages: int) -> NDArray[np.float32]:
    """Scores from the LLM's order without a ranker: softmax of them weighs rank r by 1 / r^2.

    Args:
        ranked: how many passages the LLM ranked; the others share the rank below.
        passages: how many there are.
    """
    ranks = np.minimum(np.arange(1, passages + 1), ranked + 1)
    return (-2.0 * np.log(ranks)).astype(np.float32)


def _settle(scores: NDArray[np.float32], ranked: int, ranked_by: RankedBy) -> NDArray[np.float32]:
    if ranked == 0 or ranked_by == "ranker":
        return scores
    return keep_order(scores, ranked) if ranked_by == "both" else order_alone(ranked, len(scores))


def _label_part(
    part: Sequence[Unlabelled], first_stage: FirstStage, ranker: Ranker, depth: int, ranked_by: RankedBy
) -> list[LabelledQuery]:
    unseen = [query for query in part if not len(query.ranked) and query.others is None]
    found = dict(
        zip(
            [query.id for query in unseen],
            first_stage.search([query.text for query in unseen], depth, [query.made_from for query in unseen]),
            strict=True,
        )
    )
    positions = [
        found[query.id].positions
        if query.id in found
        else np.concatenate([query.ranked, query.others if query.others is not None else query.ranked[:0]])
        for query in part
    ]
    given = [row for row, query in enumerate(part) if query.id not in found]
    computed = first_stage.features([part[row].text for row in given], [positions[row] for row in given])
    features = {query_id: candidates.features for query_id, candidates in found.items()}
    features.update(zip([part[row].id for row in given], computed, strict=True))
    scores = _score(part, positions, features, first_stage, ranker)
    return [
        _labelled(query, here, _settle(score, len(query.ranked), ranked_by))
        for query, here, score in zip(part, positions, scores, strict=True)
    ]


def _score(
    part: Sequence[Unlabelled],
    positions: Sequence[NDArray[np.int64]],
    features: dict[str, NDArray[np.float32]],
    first_stage: FirstStage,
    ranker: Ranker,
) -> list[NDArray[np.float32]]:
    pairs = [
        (query.text, first_stage.corpus.text(int(position)))
        for query, here in zip(part, positions, strict=True)
        for position in here
    ]
    scores = ranker.score(pairs, np.concatenate([features[query.id] for query in part]))
    return np.split(scores, np.cumsum([len(here) for here in positions])[:-1])


def _labelled(query: Unlabelled, positions: NDArray[np.int64], scores: NDArray[np.float32]) -> LabelledQuery:
    # A stable sort, so that ties between kept magnitudes stay in the LLM's order.
    best_first = np.argsort(-scores, kind="stable")
    made_from = query.made_from.passage if query.made_from else None
    return LabelledQuery(
        query.id, query.text, query.source, positions[best_first], scores[best_first], made_from, query.weight
    )
