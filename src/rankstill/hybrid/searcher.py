"""Hybrid search over passages in memory, without a database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeGuard

import numpy as np
from numpy.typing import NDArray

from rankstill.candidates.bm25 import BM25Index
from rankstill.candidates.dense import encode
from rankstill.candidates.first_stage import top
from rankstill.hybrid.weights import Hybrid

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder, SentenceTransformer


Scores = Callable[[str], NDArray[np.float32]]
"""A query's vector scores with every passage. [passages]"""


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
        retriever: that they were fitted with: the old one for `hybrid.json`, the distilled one for
            `hybrid-distilled.json`, the multi-vector one for `hybrid-multi-vector.json`.
        passages: their texts.

    Example:
        ```python
        hybrid = rankstill.Hybrid.load("my-workspace/hybrid.json")
        searcher = rankstill.HybridSearcher(hybrid, SentenceTransformer("all-MiniLM-L6-v2"), passages)
        for found in searcher.search("a query", k=10):
            print(found.score, passages[found.position])
        ```
    """

    def __init__(
        self, hybrid: Hybrid, retriever: SentenceTransformer | MultiVectorEncoder, passages: Sequence[str]
    ) -> None:
        self.hybrid = hybrid
        self._bm25 = BM25Index(passages, hybrid.language, hybrid.k1, hybrid.b)
        self._of_vectors = _maxsim(retriever, passages) if _is_multi(retriever) else _cosine(retriever, passages)

    def search(self, query: str, k: int = 10) -> list[Found]:
        """The k best passages, best first; ties in the order in which the passages were given."""
        scores = self.hybrid.score(self._of_vectors(query), self._bm25.scores(query))
        return [Found(int(position), float(scores[position])) for position in top(np.asarray(scores), k)]


def _is_multi(retriever: SentenceTransformer | MultiVectorEncoder) -> TypeGuard[MultiVectorEncoder]:
    from sentence_transformers import MultiVectorEncoder

    return isinstance(retriever, MultiVectorEncoder)


def _cosine(retriever: SentenceTransformer, passages: Sequence[str]) -> Scores:
    vectors = encode(retriever, passages, "document", "encoding passages")
    return lambda query: vectors @ encode(retriever, [query], "query", "encoding the query")[0]


def _maxsim(retriever: MultiVectorEncoder, passages: Sequence[str]) -> Scores:
    vectors = retriever.encode_document(list(passages))
    return lambda query: retriever.similarity(retriever.encode_query([query]), vectors)[0].cpu().numpy()
