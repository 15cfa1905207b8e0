"""Hybrid search over passages in memory, without a database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rankstill.candidates.bm25 import BM25Index
from rankstill.candidates.dense import encode
from rankstill.candidates.first_stage import top
from rankstill.hybrid.weights import Hybrid

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


@dataclass(frozen=True)
class Found:
    """One passage that was found.

    Args:
        position: of the passage in the list that was given.
        score: the hybrid's; comparable within one query.
    """

    position: int
    score: float


class HybridSearcher:
    """Scores every passage by both searches and adds them. Exact, and in memory.

    Args:
        hybrid: the weights.
        retriever: the bi-encoder that they were fitted with: the old one for `hybrid.json`, the distilled one for
            `hybrid-distilled.json`.
        passages: their texts.

    Example:
        ```python
        hybrid = rankstill.Hybrid.load("my-workspace/hybrid.json")
        searcher = rankstill.HybridSearcher(hybrid, SentenceTransformer("all-MiniLM-L6-v2"), passages)
        for found in searcher.search("a query", k=10):
            print(found.score, passages[found.position])
        ```
    """

    def __init__(self, hybrid: Hybrid, retriever: SentenceTransformer, passages: Sequence[str]) -> None:
        self.hybrid = hybrid
        self._retriever = retriever
        self._bm25 = BM25Index(passages, hybrid.language, hybrid.k1, hybrid.b)
        self._vectors = encode(retriever, passages, "document", "encoding passages")

    def search(self, query: str, k: int = 10) -> list[Found]:
        """The k best passages, best first; ties in the order in which the passages were given."""
        vector = encode(self._retriever, [query], "query", "encoding the query")[0]
        scores = self.hybrid.score(self._vectors @ vector, self._bm25.scores(query))
        return [Found(int(position), float(scores[position])) for position in top(np.asarray(scores), k)]
