"""The first stage: finds candidates for a query and knows the scores of every query-passage pair.

`dense` is the cosine of query and passage, `bm25` the lexical score. Where there is a multi-vector retriever, a third
score is its own: `late`, the mean MaxSim of the query's tokens.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from rankstill.data import Corpus
from rankstill.retrieval.approximate import ApproximateIndex
from rankstill.retrieval.bm25 import BM25Index
from rankstill.retrieval.dense import Embeddings, encode
from rankstill.retrieval.search import nearest_passages

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from rankstill.config import CandidatesConfig


FEATURES = ("dense", "bm25")
LATE = "late"
"""The name of the column behind them, where there is a multi-vector retriever."""
BM25_SCALE = 0.1
"""Brings BM25 near the size of a cosine, so that one penalty suits all of the prior's weights."""
_DEPTH = 100
"""How deep the dense and the lexical ranking are fused, at least."""
_QUERIES_AT_ONCE = 1024


class LateInteractionScores(Protocol):
    """Scores by late interaction, of a query's passages."""

    def encode(self, queries: Sequence[str]) -> list[NDArray[np.float32]]:
        """The token vectors of queries. Each [tokens, dimensions]"""

    def mean_maxsim(self, tokens: NDArray[np.float32], positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Mean MaxSim of one query's tokens with the passages at these positions of the corpus. [passages]"""


def feature_names(columns: int) -> tuple[str, ...]:
    """The names of so many columns of first-stage scores."""
    return (*FEATURES, LATE)[:columns]


@dataclass(frozen=True)
class Candidates:
    """A query's first-stage passages, best first by fusion.

    Args:
        positions: the positions of the passages in the corpus. [n]
        features: their first-stage scores, in the order of `FEATURES`, then `LATE`, where it is known. [n, features]
        fused: reciprocal rank fusion of the dense and the lexical ranking. [n]
    """

    positions: NDArray[np.int64]
    features: NDArray[np.float32]
    fused: NDArray[np.float32]


class FirstStage:
    """Search and scores over a corpus. Of several passages that say the same only the first is found.

    Args:
        vectors: unit vectors of the passages. [passages, dimensions]
        bm25: the corpus's index, if there is one; None: it is made.
        index: finds the passages of the highest cosine approximately; None: search is exact.
    """

    def __init__(
        self,
        corpus: Corpus,
        model: SentenceTransformer,
        vectors: Embeddings,
        config: CandidatesConfig,
        *,
        bm25: BM25Index | None = None,
        index: ApproximateIndex | None = None,
    ) -> None:
        self.corpus = corpus
        self.model = model
        self.vectors = vectors
        self.bm25 = bm25 or BM25Index(corpus.texts(), config.language, config.k1, config.b)
        self.index = index
        self.late: LateInteractionScores | None = None
        self._rrf_k = config.rrf_k

    def exact(self) -> FirstStage:
        """The same without its approximate index: what is measured must not depend on what an index overlooks."""
        stage = copy.copy(self)
        stage.index = None
        return stage

    def with_late(self, late: LateInteractionScores | None) -> FirstStage:
        """The same with late interaction's score of every pair; None: without."""
        stage = copy.copy(self)
        stage.late = late
        return stage

    def search(self, queries: Sequence[str], n: int) -> Iterator[Candidates]:
        """The n best passages of each query by fusion of the dense and the lexical ranking.

        Args:
            n: how many passages; all of the corpus if it is smaller.

        Yields:
            The candidates of each query, in the order of `queries`.
        """
        depth = max(_DEPTH, n)
        asked = self._asked(queries)
        nearest = self._nearest(asked, depth, self.index)
        for query, near in zip(asked, nearest, strict=True):
            lexical = self._lexical(query)
            positions, fused = reciprocal_rank_fusion([near[0], top(self._distinct(lexical), depth)], n, self._rrf_k)
            yield Candidates(positions, self._features(query, lexical, positions), fused)

    def top(
        self, queries: Sequence[str], depth: int, *, lexical: bool
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """The best passages of each query by one score alone, with it: dense, or BM25 where any term matches.

        Exact, whether there is an index or not.
        """
        if not lexical:
            yield from self._nearest(self._asked(queries), depth, None)
            return
        for query in queries:
            scores = self.bm25.scores(query) * BM25_SCALE
            best = top(self._distinct(np.where(scores > 0, scores, -np.inf)), depth)
            yield best, scores[best]

    def features(self, queries: Sequence[str], positions: Sequence[NDArray[np.int64]]) -> Iterator[NDArray[np.float32]]:
        """First-stage scores of given passages.

        Args:
            positions: the positions of each query's passages in the corpus. Each [n]

        Yields:
            For each query, scores in the order of `FEATURES`, then `LATE`, where it is known. [n, features]
        """
        for query, wanted in zip(self._asked(queries), positions, strict=True):
            yield self._features(query, self._lexical(query), wanted)

    def _asked(self, queries: Sequence[str]) -> list[_Query]:
        """Queries with their vectors."""
        encoded = encode(self.model, queries, "query", "encoding queries", 128)
        tokens = [None] * len(queries) if self.late is None else self.late.encode(queries)
        return [_Query(*each) for each in zip(queries, encoded, tokens, strict=True)]

    def _nearest(
        self, queries: Sequence[_Query], depth: int, index: ApproximateIndex | None
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Each query's nearest passages and their cosines, by the device that the model is on."""
        device = str(self.model.device)
        for start in range(0, len(queries), _QUERIES_AT_ONCE):
            encoded = np.stack([query.vector for query in queries[start : start + _QUERIES_AT_ONCE]])
            if index is None:
                found = nearest_passages(encoded, self.vectors, depth, device, self.corpus.repeats)
            else:
                found = index.nearest(encoded, depth, device, self.corpus.repeats)
            yield from zip(*found, strict=True)

    def _lexical(self, query: _Query) -> NDArray[np.float32]:
        return self.bm25.scores(query.text) * BM25_SCALE

    def _distinct(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores without those of passages that say what an earlier one says, for `top`. [passages]"""
        repeats = self.corpus.repeats
        return scores if repeats is None else np.where(repeats, np.float32(-np.inf), scores)

    def _features(
        self, query: _Query, lexical: NDArray[np.float32], positions: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        columns = [self.vectors[positions] @ query.vector, lexical[positions]]
        if self.late is not None and query.tokens is not None:
            columns.append(self.late.mean_maxsim(query.tokens, positions))
        return np.stack(columns, axis=-1).astype(np.float32, copy=False)


@dataclass(frozen=True)
class _Query:
    """A query: its vector [dimensions] and those of its tokens [tokens, dimensions]."""

    text: str
    vector: Embeddings
    tokens: NDArray[np.float32] | None


def top(scores: NDArray[np.float32], depth: int) -> NDArray[np.int64]:
    """Positions of the highest scores, best first; ties in corpus order; what was excluded is left out."""
    depth = min(depth, len(scores))
    best = np.argpartition(-scores, depth - 1)[:depth]
    best = best[np.lexsort((best, -scores[best]))]
    return best[np.isfinite(scores[best])]


def reciprocal_rank_fusion(
    rankings: Sequence[NDArray[np.int64]], n: int, k: float = 60.0
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Fuse rankings by the sum of 1 / (k + rank), ranks from 1 (Cormack et al. 2009).

    Args:
        rankings: passage positions, best first; each may hold other passages.
        n: how many fused passages to return, at most.
        k: how little the first ranks stand out.

    Returns:
        Passage positions, best first, and their fused scores; ties in order of position. [n], [n]
    """
    positions, where = np.unique(np.concatenate(rankings), return_inverse=True)
    gains = np.concatenate([1.0 / (k + 1 + np.arange(len(ranking))) for ranking in rankings])
    scores = np.bincount(where, weights=gains, minlength=len(positions))
    best = np.argsort(-scores, kind="stable")[:n]
    return positions[best], scores[best].astype(np.float32)


def write_candidates(found: Mapping[str, Candidates], corpus: Corpus, path: Path) -> None:
    """Write each query's candidates."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not found:  # no query yet
        nothing = Candidates(
            np.empty(0, dtype=np.int64), np.empty((0, len(FEATURES)), np.float32), np.empty(0, np.float32)
        )
        found = {"": nothing}
    queries = [query_id for query_id, candidates in found.items() for _ in candidates.positions]
    positions = np.concatenate([candidates.positions for candidates in found.values()])
    features = np.concatenate([candidates.features for candidates in found.values()])
    columns = {
        "query_id": queries,
        "passage_id": [corpus.ids[int(position)] for position in positions],
        "rank": np.concatenate([1 + np.arange(len(candidates.positions)) for candidates in found.values()]),
        "fused": np.concatenate([candidates.fused for candidates in found.values()]),
    }
    columns.update({name: features[:, column] for column, name in enumerate(FEATURES)})
    pq.write_table(pa.table(columns), path)


def read_candidates(path: Path, corpus: Corpus) -> dict[str, NDArray[np.int64]]:
    """Positions of each query's candidates, best first, by query id."""
    import pyarrow.parquet as pq

    table = pq.read_table(path, columns=["query_id", "passage_id"]).to_pydict()
    found: dict[str, list[int]] = {}
    for query_id, passage_id in zip(table["query_id"], table["passage_id"], strict=True):
        found.setdefault(query_id, []).append(corpus.position(passage_id))
    return {query_id: np.array(positions) for query_id, positions in found.items()}
