"""Ranker -> labels: score passages of queries that the LLM ranked, and of unlabelled queries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from rankstill.data import Corpus, Dataset
from rankstill.labels.table import LabelledQuery, Source, read_labels, write_labels
from rankstill.progress import progress
from rankstill.ranker.model import Ranker
from rankstill.retrieval import Candidates, FirstStage

if TYPE_CHECKING:
    from rankstill.teacher import Ranking


RankedBy = Literal["both", "ranker", "llm"]
"""What labels a query that the LLM ranked: its order with the ranker's magnitudes, the ranker, or its order alone."""

_QUERIES_A_SHARD = 512
_NOTHING = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class UnlabelledQuery:
    """A query to be labelled.

    Args:
        ranked: positions of the passages that the LLM ranked, best first; empty if it never saw the query. [ranked]
        others: positions of further passages to label. [others]
    """

    id: str
    text: str
    source: Source
    ranked: NDArray[np.int64]
    others: NDArray[np.int64]


def label(
    queries: Sequence[UnlabelledQuery],
    first_stage: FirstStage,
    ranker: Ranker,
    folder: Path,
    *,
    ranked_by: RankedBy,
) -> Iterator[LabelledQuery]:
    """Let the ranker score every query's passages. Shards that `folder` already holds are not scored again.

    Args:
        queries: the queries to label, in shards; each shard is scored and written once.

    Yields:
        The labelled queries, in the order of `queries`. A shard is scored when its first one is asked for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with progress("labelling queries", len(queries)) as advance:
        for number, start in enumerate(range(0, len(queries), _QUERIES_A_SHARD)):
            shard = queries[start : start + _QUERIES_A_SHARD]
            path = folder / f"part-{number:05}.parquet"
            if not path.exists():
                passages = [(each.positions, each.features) for each in passages_of(shard, first_stage)]
                unfinished = path.with_suffix(".tmp")
                write_labels(label_shard(shard, passages, first_stage.corpus, ranker, ranked_by), unfinished)
                unfinished.replace(path)
            yield from read_labels(path)
            advance(len(shard))


def keep_order(scores: NDArray[np.float32], ranked: int) -> NDArray[np.float32]:
    """Sort the ranker's scores of the passages that the LLM ranked into the LLM's order.

    A plain chain loses a part of the LLM's order. Here the LLM's order is kept, and the ranker gives only the
    magnitudes: how much better one passage is than the next.

    Args:
        scores: the ranker's scores; first those of the passages that the LLM ranked, in its order. [passages]
    """
    kept: NDArray[np.float32] = scores.copy()
    kept[:ranked] = -np.sort(-scores[:ranked])
    return kept


def order_scores(ranked: int, passages: int) -> NDArray[np.float32]:
    """Scores from the LLM's order, without a ranker: their softmax gives rank r a weight of 1 / r^2.

    This is our own choice and from no paper: an order has no magnitudes, so we have to invent them.

    Args:
        ranked: how many passages the LLM ranked; the others share the rank below.
    """
    ranks = np.minimum(np.arange(1, passages + 1), ranked + 1)
    return (-2.0 * np.log(ranks)).astype(np.float32)


def _settle(scores: NDArray[np.float32], ranked: int, ranked_by: RankedBy) -> NDArray[np.float32]:
    if ranked == 0 or ranked_by == "ranker":
        return scores
    return keep_order(scores, ranked) if ranked_by == "both" else order_scores(ranked, len(scores))


def passages_of(part: Sequence[UnlabelledQuery], first_stage: FirstStage) -> list[Candidates]:
    """The passages that each query names, with NaN as their fused scores."""
    positions = [np.concatenate([query.ranked, query.others]) for query in part]
    features = first_stage.features([query.text for query in part], positions)
    return [
        Candidates(here, known, np.full(len(here), np.nan, dtype=np.float32))
        for here, known in zip(positions, features, strict=True)
    ]


def label_shard(
    part: Sequence[UnlabelledQuery],
    passages: Sequence[tuple[NDArray[np.int64], NDArray[np.float32]]],
    corpus: Corpus | None,
    ranker: Ranker,
    ranked_by: RankedBy,
) -> list[LabelledQuery]:
    """The ranker's scores of each query's passages.

    Args:
        passages: positions [passages] and features [passages, features] of each query's passages.
        corpus: the passages' texts; a ranker without a cross-encoder does not read them.
    """
    features = np.concatenate([each for _, each in passages])
    # A prior reads features alone: millions of passages need not be put together for it.
    text = corpus.text if corpus is not None and ranker.cross_encoder is not None else lambda position: ""
    pairs = [
        (query.text, text(int(position)))
        for query, (positions, _) in zip(part, passages, strict=True)
        for position in positions
    ]
    scores = ranker.score(pairs, features)
    ends = np.cumsum([len(positions) for positions, _ in passages])[:-1]
    return [
        _labelled(query, positions, _settle(score, len(query.ranked), ranked_by))
        for query, (positions, _), score in zip(part, passages, np.split(scores, ends), strict=True)
    ]


def _labelled(query: UnlabelledQuery, positions: NDArray[np.int64], scores: NDArray[np.float32]) -> LabelledQuery:
    # A stable sort, so that ties between kept magnitudes stay in the LLM's order.
    best_first = np.argsort(-scores, kind="stable")
    return LabelledQuery(query.id, query.text, query.source, positions[best_first], scores[best_first])


def asked_queries(
    dataset: Dataset,
    rankings: Sequence[Ranking],
    candidates: Mapping[str, NDArray[np.int64]],
    n: int,
    unranked: Sequence[str] = (),
) -> list[UnlabelledQuery]:
    """The queries that the LLM ranked and others that it did not rank, with n passages each.

    Args:
        candidates: positions of each query's candidates, best first, by query id.
        n: passages of a query to label.
        unranked: ids of queries to label without a ranking.
    """
    corpus, queries = dataset.corpus, dataset.queries
    asked = []
    for ranking in rankings:
        ranked = np.array([corpus.position(each) for each in ranking.ranking])
        others = [position for position in candidates[ranking.query_id] if position not in ranked]
        fill = np.array(others[: max(0, n - len(ranked))], dtype=np.int64)
        asked.append(UnlabelledQuery(ranking.query_id, queries[ranking.query_id].text, "teacher", ranked, fill))
    for query_id in unranked:
        found = candidates[query_id][:n]
        asked.append(UnlabelledQuery(query_id, queries[query_id].text, "unranked", _NOTHING, found))
    return asked
