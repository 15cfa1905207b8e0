"""The first stage: finds candidates for a query and knows three scores of every query-passage pair.

`dense` is the cosine of query and whole passage, `bm25` the lexical score, and `sentence` the cosine of the query and
the passage's best sentence: a long passage may hold the answer in one sentence and be about something else. Where no
sentence has a vector, which is for corpora too large for that, `sentence` is 0 and the prior learns to do without.
Where there is a multi-vector retriever, a fourth score is its own: `late`, the mean MaxSim of the query's tokens.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from rankstill.candidates.approximate import ApproximateIndex
from rankstill.candidates.bm25 import BM25Index
from rankstill.candidates.dense import Embeddings, encode, sentences
from rankstill.candidates.fusion import reciprocal_rank_fusion
from rankstill.candidates.search import nearest_passages
from rankstill.candidates.vectors import PassageVectors, pick_rows
from rankstill.models import reads_alike

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from rankstill.config import CandidatesConfig
    from rankstill.datasets import Corpus

FEATURES = ("dense", "bm25", "sentence")
LATE = "late"
"""The name of the column behind them, where there is a multi-vector retriever."""
BM25_SCALE = 0.1
"""Brings BM25 near the size of a cosine, so that one penalty suits all of the prior's weights."""
_DEPTH = 100
"""How deep the dense and the lexical ranking are fused, at least."""
_QUERIES_AT_ONCE = 1024


class LateScores(Protocol):
    """Scores by late interaction, of a query's passages."""

    def encode(self, queries: Sequence[str]) -> list[NDArray[np.float32]]:
        """The token vectors of queries. Each [tokens, dimensions]"""

    def mean_maxsim(self, tokens: NDArray[np.float32], positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Of one query's tokens, passages at these positions of the corpus. [passages]"""


def feature_names(columns: int) -> tuple[str, ...]:
    """The names of so many columns of first-stage scores."""
    return (*FEATURES, LATE)[:columns]


@dataclass(frozen=True)
class Candidates:
    """A query's first-stage passages, best first by fusion.

    Args:
        positions: of the passages in the corpus. [n]
        features: their first-stage scores, in the order of `FEATURES`, then `LATE`, where it is known. [n, features]
        fused: reciprocal rank fusion of the dense and the lexical ranking. [n]
    """

    positions: NDArray[np.int64]
    features: NDArray[np.float32]
    fused: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of the corpus.

    Args:
        passage: position of its passage in the corpus.
        number: its place among the passage's sentences, the title's being 0.
    """

    passage: int
    number: int


class FirstStage:
    """Search and scores over a corpus. Of several passages that say the same only the first is found.

    Args:
        corpus: the passages.
        model: the bi-encoder that made the passages' vectors.
        vectors: of the corpus.
        config: language, BM25's parameters, fusion's constant.
        sentence_model: the bi-encoder that made the sentences' vectors, if it is another.
        bm25: the corpus's index, if there is one; None: it is made.
        index: finds the passages of the highest cosine approximately; None: search is exact.
    """

    def __init__(
        self,
        corpus: Corpus,
        model: SentenceTransformer,
        vectors: PassageVectors,
        config: CandidatesConfig,
        sentence_model: SentenceTransformer | None = None,
        *,
        bm25: BM25Index | None = None,
        index: ApproximateIndex | None = None,
    ) -> None:
        self.corpus = corpus
        self.model = model
        self.sentence_model = sentence_model or model
        self.vectors = vectors
        self.bm25 = bm25 or BM25Index(corpus.texts(), config.language, config.k1, config.b)
        self.index = index
        self.late: LateScores | None = None
        self._rrf_k = config.rrf_k

    def exact(self) -> FirstStage:
        """The same without its approximate index: what is measured must not depend on what an index overlooks."""
        stage = copy.copy(self)
        stage.index = None
        return stage

    def with_late(self, late: LateScores | None) -> FirstStage:
        """The same with a fourth score of every pair; None: without."""
        stage = copy.copy(self)
        stage.late = late
        return stage

    @property
    def has_sentences(self) -> bool:
        """Whether the corpus's sentences have vectors."""
        return len(self.vectors.sentences) > 0

    def search(
        self, queries: Sequence[str], n: int, made_from: Sequence[Sentence | None] | None = None
    ) -> Iterator[Candidates]:
        """The n best passages of each query by fusion of the dense and the lexical ranking.

        Args:
            queries: their texts.
            n: how many passages; all of the corpus if it is smaller.
            made_from: the sentence of the corpus that each query is, or None; it is not its passage's best sentence.

        Yields:
            The candidates of each query, in the order of `queries`.
        """
        depth = max(_DEPTH, n)
        asked = self._asked(queries)
        nearest = self._nearest(asked, depth, self.index)
        for row, (query, near) in enumerate(zip(asked, nearest, strict=True)):
            lexical = self._lexical(query)
            positions, fused = reciprocal_rank_fusion([near[0], top(self._distinct(lexical), depth)], n, self._rrf_k)
            features = self._features(query, lexical, positions)
            if self.has_sentences and made_from is not None and (own := made_from[row]) is not None:
                features[positions == own.passage, FEATURES.index("sentence")] = self._best_other_sentence(query, own)
            yield Candidates(positions, features, fused)

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
            queries: their texts.
            positions: of each query's passages in the corpus. Each [n]

        Yields:
            For each query, scores in the order of `FEATURES`, then `LATE`, where it is known. [n, features]
        """
        for query, wanted in zip(self._asked(queries), positions, strict=True):
            yield self._features(query, self._lexical(query), wanted)

    def encode_queries(self, queries: Sequence[str]) -> Embeddings:
        """Unit vectors of queries; those that are sentences of the corpus have theirs already. [queries, dimensions]"""
        rows = np.array([self._sentence_row(query) for query in queries], dtype=np.int64)
        new = np.flatnonzero(rows < 0)
        vectors = np.empty((len(queries), self.model.get_embedding_dimension()), dtype=np.float32)
        if len(new) < len(queries):
            vectors[rows >= 0] = pick_rows(self.vectors.sentences, rows[rows >= 0])
        if len(new):
            vectors[new] = encode(self.model, [queries[row] for row in new.tolist()], "query", "encoding queries", 128)
        return vectors

    def _sentence_row(self, text: str) -> int:
        """Row of a sentence's vector, by its text; -1 where it is none, or would have another vector as a query."""
        hashes, rows = self._sentence_hashes
        starts, wanted = self.vectors.starts, hash(text)
        for place in range(int(np.searchsorted(hashes, wanted)), len(hashes)):
            if hashes[place] != wanted:
                break
            row = int(rows[place])
            passage = int(np.searchsorted(starts, row, side="right")) - 1
            if sentences(self.corpus.titles[passage], self.corpus.bodies[passage])[row - int(starts[passage])] == text:
                return row
        return -1

    @cached_property
    def _sentence_hashes(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Hashes of the sentences' texts, ascending, and the rows of their vectors: 16 bytes each, and not the texts.

        None at all where the model reads queries and passages differently.
        """
        nothing = np.empty(0, dtype=np.int64)
        if self.sentence_model is not self.model or not self.has_sentences or not reads_alike(self.model):
            return nothing, nothing
        corpus = self.corpus
        pieces = (sentences(title, body) for title, body in zip(corpus.titles, corpus.bodies, strict=True))
        each = (hash(text) for piece in pieces for text in piece)
        hashes = np.fromiter(each, dtype=np.int64, count=len(self.vectors.sentences))
        rows = np.argsort(hashes, kind="stable")
        return hashes[rows], rows

    def _asked(self, queries: Sequence[str]) -> list[_Query]:
        """Queries with their vectors."""
        encoded = self.encode_queries(queries)
        for_sentences = encoded
        if self.sentence_model is not self.model:
            for_sentences = encode(self.sentence_model, queries, "query", "encoding queries", 128)
        tokens = [None] * len(queries) if self.late is None else self.late.encode(queries)
        return [_Query(*each) for each in zip(queries, encoded, for_sentences, tokens, strict=True)]

    def _nearest(
        self, queries: Sequence[_Query], depth: int, index: ApproximateIndex | None
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Each query's nearest passages and their cosines, by the device that the model is on."""
        device = str(self.model.device)
        for start in range(0, len(queries), _QUERIES_AT_ONCE):
            encoded = np.stack([query.vector for query in queries[start : start + _QUERIES_AT_ONCE]])
            if index is None:
                found = nearest_passages(encoded, self.vectors.passages, depth, device, self.corpus.repeats)
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
        dense = self.vectors.passages[positions] @ query.vector
        columns = [dense, lexical[positions], self._best_sentence(query, positions)]
        if self.late is not None and query.tokens is not None:
            columns.append(self.late.mean_maxsim(query.tokens, positions))
        return np.stack(columns, axis=-1).astype(np.float32, copy=False)

    def _best_other_sentence(self, query: _Query, own: Sentence) -> float:
        """The cosine of the query and the nearest of its passage's other sentences; of the passage if it has none."""
        first, end = self.vectors.starts[own.passage : own.passage + 2]
        cosines = self.vectors.sentences[first:end] @ query.for_sentences
        others = np.delete(cosines, own.number)
        return float(others.max() if len(others) else self.vectors.passages[own.passage] @ query.for_sentences)

    def _best_sentence(self, query: _Query, positions: NDArray[np.int64]) -> Embeddings:
        """The cosine of the query and each passage's nearest sentence; 0 where sentences have no vectors. [positions]

        A score that is the same for all passages gets weight 0 in the prior, so that a ranker is right without it.
        """
        if not self.has_sentences:
            return np.zeros(len(positions), dtype=np.float32)
        first = self.vectors.starts[positions]
        counts = self.vectors.starts[positions + 1] - first
        starts = np.cumsum(counts) - counts
        rows = np.repeat(first - starts, counts) + np.arange(counts.sum())
        best: Embeddings = np.maximum.reduceat(self.vectors.sentences[rows] @ query.for_sentences, starts)
        return best


@dataclass(frozen=True)
class _Query:
    """A query: its vectors for passages and for sentences [dimensions], those of its tokens [tokens, dimensions]."""

    text: str
    vector: Embeddings
    for_sentences: Embeddings
    tokens: NDArray[np.float32] | None


def top(scores: NDArray[np.float32], depth: int) -> NDArray[np.int64]:
    """Positions of the highest scores, best first; ties in corpus order; what was excluded is left out."""
    depth = min(depth, len(scores))
    best = np.argpartition(-scores, depth - 1)[:depth]
    best = best[np.lexsort((best, -scores[best]))]
    return best[np.isfinite(scores[best])]
