"""Hybrid search without a database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rankstill.errors import ModelError
from rankstill.ranker.model import ScoredPassage
from rankstill.retrieval.bm25 import BM25Index
from rankstill.retrieval.dense import encode
from rankstill.retrieval.first_stage import top
from rankstill.retrieval.hybrid.weights import Hybrid
from rankstill.retrieval.late_interaction import encode_queries, mean_of

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder, SentenceTransformer

    from rankstill.multi_vector.two_stage import TwoStage


Scored = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Positions of passages, ascending, and their mean MaxSim. [passages], [passages]"""
LateScores = Callable[[str, Sequence[NDArray[np.float32]]], Scored]
"""Gives them for a query and the other scores of every passage, whose best are candidates too."""


class HybridSearcher:
    """Scores passages by every search of the hybrid, and adds the scores.

    Every passage's cosine and BM25 are in memory. With the index that a run made, token vectors stay on disk, and only
    candidates get all three scores: those of the index's first stage, and as many of the best by cosine and by BM25.

    Args:
        retriever: that the weights were fitted with: the old one for `hybrid.json` and `hybrid-multi-vector.json`, the
            distilled one for the files named `distilled`.
        passages: their texts: title, a space, body.
        multi_vector: the multi-vector retriever, for the weights that were fitted with one.
        index: the index of these passages, by the multi-vector retriever; None: they are encoded.

    Raises:
        ModelError: the weights count late interaction, and there is no multi-vector retriever; or the index is of other
            passages, or there is nothing to search it with.

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
        retriever: SentenceTransformer,
        passages: Sequence[str],
        multi_vector: MultiVectorEncoder | None = None,
        index: TwoStage | None = None,
    ) -> None:
        if hybrid.late and multi_vector is None:
            raise ModelError(
                "these weights count late interaction. Give multi_vector=MultiVectorEncoder(...) as well: the "
                "multi-vector retriever of the same run."
            )
        if index is not None and multi_vector is None:
            raise ModelError("an index of token vectors goes with a multi-vector retriever only. Leave it out.")
        if index is not None and len(index.index) != len(passages):
            raise ModelError(
                f"{index.index.folder} indexes {len(index.index):,} passages, but {len(passages):,} were given. Give "
                "the corpus of its run, in its order."
            )
        self.hybrid = hybrid
        self._retriever = retriever
        self._vectors = encode(retriever, passages, "document", "encoding passages")
        self._bm25 = BM25Index(passages, hybrid.language, hybrid.k1, hybrid.b)
        self._late: LateScores | None = None
        if multi_vector is not None:
            self._late = _of_candidates(multi_vector, index) if index is not None else _of_all(multi_vector, passages)

    def search(self, query: str, k: int = 10) -> list[ScoredPassage]:
        """The k best passages, best first; ties in the order in which the passages were given."""
        cosines = self._vectors @ encode(self._retriever, [query], "query", "encoding the query")[0]
        lexical = self._bm25.scores(query)
        if self._late is None:
            positions, scores = np.arange(len(cosines)), self.hybrid.score(cosines, lexical)
        else:
            positions, late = self._late(query, [cosines, lexical])
            scores = self.hybrid.score(cosines[positions], lexical[positions], late)
        return [ScoredPassage(int(positions[row]), float(scores[row])) for row in top(scores, k)]


def _of_all(model: MultiVectorEncoder, passages: Sequence[str]) -> LateScores:
    vectors, every = model.encode_document(list(passages)), np.arange(len(passages))

    def scores(query: str, _: Sequence[NDArray[np.float32]]) -> Scored:
        (tokens,) = encode_queries(model, [query])
        return every, mean_of(tokens, model.similarity([tokens], vectors)[0].cpu().numpy())

    return scores


def _of_candidates(model: MultiVectorEncoder, index: TwoStage) -> LateScores:
    device = str(model.device)

    def scores(query: str, others: Sequence[NDArray[np.float32]]) -> Scored:
        (tokens,) = encode_queries(model, [query])
        found = [index.candidates(tokens, device), *(top(each, index.depth) for each in others)]
        positions = np.unique(np.concatenate(found))
        (maxsim,) = index.index.scores_of([tokens], [positions], device)
        return positions, mean_of(tokens, maxsim)

    return scores
