"""Hybrid search without a database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeGuard

import numpy as np
from numpy.typing import NDArray

from rankstill.errors import ModelError
from rankstill.ranker.model import ScoredPassage
from rankstill.retrieval.bm25 import BM25Index
from rankstill.retrieval.dense import encode
from rankstill.retrieval.first_stage import top
from rankstill.retrieval.hybrid.weights import Hybrid
from rankstill.retrieval.late_interaction import encode_queries

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder, SentenceTransformer

    from rankstill.multi_vector.two_stage import TwoStage


Scored = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Positions of passages, and their scores. [passages], [passages]"""
Scores = Callable[[str, NDArray[np.float32]], Scored]
"""Gives vector scores, of all passages or of candidates, for a query and its BM25 scores with every passage."""


class HybridSearcher:
    """Scores passages by both searches and adds them.

    Every passage is scored, by vectors in memory. With a multi-vector retriever and the index that a run made, only
    candidates are: those of the index's first stage and as many of BM25's best; memory then does not grow with tokens.

    Args:
        retriever: that they were fitted with: the old one for `hybrid.json`, the distilled one for
            `hybrid-distilled.json`, the multi-vector one for `hybrid-multi-vector.json`.
        index: the index of these passages, by the multi-vector retriever; None: they are encoded.

    Raises:
        ModelError: an index of other passages, or for another kind of retriever.

    Example:
        ```python
        hybrid = rankstill.Hybrid.load("my-workspace/hybrid.json")
        searcher = rankstill.HybridSearcher(hybrid, SentenceTransformer("all-MiniLM-L6-v2"), passages)
        for found in searcher.search("a query", k=10):
            print(found.score, passages[found.position])
        ```
    """

    def __init__(
        self,
        hybrid: Hybrid,
        retriever: SentenceTransformer | MultiVectorEncoder,
        passages: Sequence[str],
        index: TwoStage | None = None,
    ) -> None:
        self.hybrid = hybrid
        self._bm25 = BM25Index(passages, hybrid.language, hybrid.k1, hybrid.b)
        if not _is_multi(retriever):
            if index is not None:
                raise ModelError("an index of token vectors goes with a multi-vector retriever only. Leave it out.")
            self._of_vectors = _cosine(retriever, passages)
        elif index is None:
            self._of_vectors = _maxsim(retriever, passages)
        elif len(index.index) != len(passages):
            raise ModelError(
                f"{index.index.folder} indexes {len(index.index):,} passages, but {len(passages):,} were given. Give "
                "the corpus of its run, in its order."
            )
        else:
            self._of_vectors = _maxsim_of_candidates(retriever, index)

    def search(self, query: str, k: int = 10) -> list[ScoredPassage]:
        """The k best passages, best first; ties in the order in which the passages were given."""
        lexical = self._bm25.scores(query)
        positions, of_vectors = self._of_vectors(query, lexical)
        scores = self.hybrid.score(of_vectors, lexical[positions])
        return [ScoredPassage(int(positions[row]), float(scores[row])) for row in top(scores, k)]


def _is_multi(retriever: SentenceTransformer | MultiVectorEncoder) -> TypeGuard[MultiVectorEncoder]:
    from sentence_transformers import MultiVectorEncoder

    return isinstance(retriever, MultiVectorEncoder)


def _cosine(retriever: SentenceTransformer, passages: Sequence[str]) -> Scores:
    vectors, every = encode(retriever, passages, "document", "encoding passages"), np.arange(len(passages))
    return lambda query, _: (every, vectors @ encode(retriever, [query], "query", "encoding the query")[0])


def _maxsim(retriever: MultiVectorEncoder, passages: Sequence[str]) -> Scores:
    vectors, every = retriever.encode_document(list(passages)), np.arange(len(passages))
    return lambda query, _: (every, retriever.similarity(retriever.encode_query([query]), vectors)[0].cpu().numpy())


def _maxsim_of_candidates(retriever: MultiVectorEncoder, index: TwoStage) -> Scores:
    device = str(retriever.device)

    def scores(query: str, lexical: NDArray[np.float32]) -> Scored:
        (tokens,) = encode_queries(retriever, [query])
        positions = np.union1d(index.candidates(tokens, device), top(lexical, index.depth))
        return positions, next(index.index.scores_of([tokens], [positions], device))

    return scores
