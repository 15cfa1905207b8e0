"""The first stage: finds candidates for a query and knows three scores of every query-passage pair.

`dense` is the cosine of query and whole passage, `bm25` the lexical score, and `sentence` the cosine of the query and
the passage's best sentence: a long passage may hold the answer in one sentence and be about something else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rankstill.candidates.bm25 import BM25Index
from rankstill.candidates.dense import Embeddings, encode, sentences
from rankstill.candidates.fusion import reciprocal_rank_fusion
from rankstill.models import reads_alike

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from rankstill.config import CandidatesConfig
    from rankstill.datasets import Corpus

FEATURES = ("dense", "bm25", "sentence")
BM25_SCALE = 0.1
"""Brings BM25 near the size of a cosine, so that one penalty suits all of the prior's weights."""
_DEPTH = 100
"""How deep the dense and the lexical ranking are fused, at least."""
_QUERIES_AT_ONCE = 64


@dataclass(frozen=True)
class Candidates:
    """A query's first-stage passages, best first by fusion.

    Args:
        positions: of the passages in the corpus. [n]
        features: their first-stage scores, in the order of `FEATURES`. [n, features]
        fused: reciprocal rank fusion of the dense and the lexical ranking. [n]
    """

    positions: NDArray[np.int64]
    features: NDArray[np.float32]
    fused: NDArray[np.float32]


@dataclass(frozen=True)
class Sentence:
    """A sentence of the corpus.

    Args:
        passage: position of its passage in the corpus.
        number: its place among the passage's sentences, the title's being 0.
    """

    passage: int
    number: int


@dataclass(frozen=True)
class PassageVectors:
    """What one retriever makes of a corpus.

    Args:
        passages: one vector a passage. [passages, dimensions]
        sentences: one vector a sentence, passages in order. [sentences, dimensions]
        owners: which passage each sentence stands in, ascending. [sentences]
    """

    passages: Embeddings
    sentences: Embeddings
    owners: NDArray[np.int64]

    @classmethod
    def load(cls, folder: Path) -> PassageVectors:
        """As `encode_corpus` wrote them, memory-mapped."""
        return cls(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("passages", "sentences", "owners")))


def encode_corpus(model: SentenceTransformer, corpus: Corpus, folder: Path) -> None:
    """Write vectors of every passage and of every sentence, for `PassageVectors.load`.

    What an interrupted call finished is not encoded again.

    Args:
        model: a bi-encoder.
        corpus: the passages.
        folder: made if it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pieces = [sentences(title, body) for title, body in zip(corpus.titles, corpus.bodies, strict=True)]
    encode_passages(model, corpus, folder)
    _save(folder / "owners.npy", lambda: np.repeat(np.arange(len(corpus)), [len(piece) for piece in pieces]))
    each = [text for piece in pieces for text in piece]
    _save(folder / "sentences.npy", lambda: encode(model, each, "document", "encoding sentences", 128))


def encode_passages(model: SentenceTransformer, corpus: Corpus, folder: Path) -> None:
    """Write vectors of every passage alone. Arguments as for `encode_corpus`."""
    folder.mkdir(parents=True, exist_ok=True)
    _save(folder / "passages.npy", lambda: encode(model, corpus.texts(), "document", "encoding passages"))


def _save(path: Path, make: Callable[[], NDArray[Any]]) -> None:
    if not path.exists():
        unfinished = path.with_name("unfinished-" + path.name)
        np.save(unfinished, make())
        unfinished.replace(path)


class FirstStage:
    """Exact search and scores over a corpus.

    Args:
        corpus: the passages.
        model: the bi-encoder that made the passages' vectors.
        vectors: of the corpus.
        config: language, BM25's parameters, fusion's constant.
        sentence_model: the bi-encoder that made the sentences' vectors, if it is another.
    """

    def __init__(
        self,
        corpus: Corpus,
        model: SentenceTransformer,
        vectors: PassageVectors,
        config: CandidatesConfig,
        sentence_model: SentenceTransformer | None = None,
    ) -> None:
        self.corpus = corpus
        self.model = model
        self.sentence_model = sentence_model or model
        self.vectors = vectors
        self.bm25 = BM25Index(corpus.texts(), config.language, config.k1, config.b)
        self._rrf_k = config.rrf_k
        self._first_sentence = np.searchsorted(vectors.owners, np.arange(len(corpus)))
        self._sentence_count = np.bincount(vectors.owners, minlength=len(corpus))

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
        for row, (query, dense, lexical) in enumerate(self._score_all(queries)):
            depth = max(_DEPTH, n)
            positions, fused = reciprocal_rank_fusion([top(dense, depth), top(lexical, depth)], n, self._rrf_k)
            features = self._features(query, dense, lexical, positions)
            if made_from is not None and (own := made_from[row]) is not None:
                features[positions == own.passage, FEATURES.index("sentence")] = self._best_other_sentence(query, own)
            yield Candidates(positions, features, fused)

    def top(
        self, queries: Sequence[str], depth: int, *, lexical: bool
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """The best passages of each query by one score alone, with it: dense, or BM25 where any term matches."""
        for _, dense, bm25 in self._score_all(queries):
            scores = np.where(bm25 > 0, bm25, -np.inf) if lexical else dense
            best = top(scores, depth)
            yield best, scores[best].astype(np.float32)

    def features(self, queries: Sequence[str], positions: Sequence[NDArray[np.int64]]) -> Iterator[NDArray[np.float32]]:
        """First-stage scores of given passages.

        Args:
            queries: their texts.
            positions: of each query's passages in the corpus. Each [n]

        Yields:
            For each query, scores in the order of `FEATURES`. [n, features]
        """
        for wanted, (query, dense, lexical) in zip(positions, self._score_all(queries), strict=True):
            yield self._features(query, dense, lexical, wanted)

    def encode_queries(self, queries: Sequence[str]) -> Embeddings:
        """Unit vectors of queries; those that are sentences of the corpus have theirs already. [queries, dimensions]"""
        known = self._sentence_rows
        rows = np.array([known.get(query, -1) for query in queries], dtype=np.int64)
        new = np.flatnonzero(rows < 0)
        vectors = np.empty((len(queries), self.model.get_embedding_dimension()), dtype=np.float32)
        if len(new) < len(queries):
            vectors[rows >= 0] = self.vectors.sentences[rows[rows >= 0]]
        if len(new):
            vectors[new] = encode(self.model, [queries[row] for row in new.tolist()], "query", "encoding queries", 128)
        return vectors

    @cached_property
    def _sentence_rows(self) -> dict[str, int]:
        """Row of each sentence's vector, by its text; none where the model reads queries and passages differently."""
        if self.sentence_model is not self.model or not reads_alike(self.model):
            return {}
        corpus = self.corpus
        pieces = (sentences(title, body) for title, body in zip(corpus.titles, corpus.bodies, strict=True))
        return {text: row for row, text in enumerate(text for piece in pieces for text in piece)}

    def _score_all(self, queries: Sequence[str]) -> Iterator[tuple[Embeddings, Embeddings, Embeddings]]:
        """Each query's vector for sentences [dimensions], and its dense and lexical scores of the corpus [passages]."""
        encoded = self.encode_queries(queries)
        for_sentences = encoded
        if self.sentence_model is not self.model:
            for_sentences = encode(self.sentence_model, queries, "query", "encoding queries", 128)
        for start in range(0, len(queries), _QUERIES_AT_ONCE):
            rows = slice(start, start + _QUERIES_AT_ONCE)
            dense = encoded[rows] @ self.vectors.passages.T
            lexical = self.bm25.scores(queries[rows]) * BM25_SCALE
            yield from zip(for_sentences[rows], dense, lexical, strict=True)

    def _features(
        self, query: Embeddings, dense: Embeddings, lexical: Embeddings, positions: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        columns = [dense[positions], lexical[positions], self._best_sentence(query, positions)]
        return np.stack(columns, axis=-1).astype(np.float32, copy=False)

    def _best_other_sentence(self, query: Embeddings, own: Sentence) -> float:
        """The cosine of the query and the nearest of its passage's other sentences; of the passage if it has none."""
        first = int(self._first_sentence[own.passage])
        cosines = self.vectors.sentences[first : first + int(self._sentence_count[own.passage])] @ query
        others = np.delete(cosines, own.number)
        return float(others.max() if len(others) else self.vectors.passages[own.passage] @ query)

    def _best_sentence(self, query: Embeddings, positions: NDArray[np.int64]) -> Embeddings:
        """The cosine of the query and each passage's nearest sentence. [positions]"""
        first, counts = self._first_sentence[positions], self._sentence_count[positions]
        starts = np.cumsum(counts) - counts
        rows = np.repeat(first - starts, counts) + np.arange(counts.sum())
        best: Embeddings = np.maximum.reduceat(self.vectors.sentences[rows] @ query, starts)
        return best


def top(scores: NDArray[np.float32], depth: int) -> NDArray[np.int64]:
    """Positions of the highest scores, best first; ties in corpus order; what was excluded is left out."""
    depth = min(depth, len(scores))
    best = np.argpartition(-scores, depth - 1)[:depth]
    best = best[np.lexsort((best, -scores[best]))]
    return best[np.isfinite(scores[best])]
