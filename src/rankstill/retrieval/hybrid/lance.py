"""The hybrid in LanceDB: a search of a table by each score, the scores weighed and added.

LanceDB's BM25 is the hybrid's times k1 + 1. LanceDB's own rerankers cannot add the scores: it stretches each list's
scores to 0 and 1 before a reranker sees them.
"""

from __future__ import annotations

from dataclasses import dataclass
from string import ascii_lowercase, digits
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankstill.errors import DataError
from rankstill.retrieval.bm25 import Analyzer
from rankstill.retrieval.hybrid.engines import scaled_tokens
from rankstill.retrieval.hybrid.weights import Hybrid

_K1, _B = 1.2, 0.75
"""The parameters of LanceDB's BM25, which cannot be changed."""


def lancedb_text_index(language: str | None) -> dict[str, Any]:
    """Arguments for `lancedb.index.FTS`, so that LanceDB's BM25 counts nearly the same terms as the hybrid's.

    Example:
        ```python
        table.create_index("text", config=lancedb.index.FTS(**lancedb_text_index(hybrid.language)))
        ```
    """
    # The hybrid's terms have two characters or more.
    left_out = [*Analyzer(language).stop_words, *ascii_lowercase, *digits]
    stemming = {"stem": False} if language is None else {"language": language.title()}
    return {**stemming, "custom_stop_words": left_out, "ascii_folding": False, "max_token_length": None}


def lancedb_search(
    table: Any,
    hybrid: Hybrid,
    query: str,
    vector: NDArray[np.float32],
    tokens: NDArray[np.float32] | None = None,
    *,
    limit: int = 10,
    depth: int = 200,
) -> list[dict[str, Any]]:
    """The best passages of a table that `rankstill export-vectors` made: rows of `id`, `text` and `score`, best first.

    Each search finds `depth` passages; then all scores of those that were found are computed exactly. A passage that no
    search finds among its best is overlooked, so `depth` should be far above `limit`.

    Args:
        table: LanceDB's, with a full-text index of `text`, see `lancedb_text_index`.
        vector: the query's, from the retriever that the weights belong to. [dimensions]
        tokens: the query's token vectors by the multi-vector retriever, where the weights count it. [tokens,
            dimensions]
        depth: passages that each search contributes.

    Raises:
        DataError: the hybrid's BM25 has another k1 or b than LanceDB's.
        ModelError: the weights count late interaction, and there are no `tokens`.
    """
    if (hybrid.k1, hybrid.b) != (_K1, _B):
        raise DataError(
            f"LanceDB's BM25 has k1 = {_K1} and b = {_B}, the hybrid k1 = {hybrid.k1} and b = {hybrid.b}. Run with "
            f"candidates.k1={_K1} and candidates.b={_B} to have weights for LanceDB."
        )
    searches = [_Search(table, "vector", np.asarray(vector, dtype=np.float32), "cosine", hybrid.dense)]
    if hybrid.late:
        searches.append(_Search(table, "tokens", scaled_tokens(tokens), "dot", hybrid.late))
    matching = table.search(query, query_type="fts")
    among = {row["_rowid"] for row in _rows(matching, depth, "_score")}
    for each in searches:
        among.update(row["_rowid"] for row in _rows(each.nearest(), depth, "_distance"))
    if not among:
        return []
    these = f"_rowid IN ({', '.join(map(str, among))})"
    scores = dict.fromkeys(among, 0.0)
    for row in _rows(matching.where(these), len(among), "_score"):
        scores[row["_rowid"]] += hybrid.bm25 * row["_score"] / (_K1 + 1)
    passages = {}
    for each in searches:
        for row in _rows(each.exact().where(these), len(among), "id", "text", "_distance"):
            passages[row["_rowid"]] = {"id": row["id"], "text": row["text"]}
            scores[row["_rowid"]] += each.weight * (each.highest - row["_distance"])
    best = sorted(scores, key=lambda row: (-scores[row], row))[:limit]
    return [{**passages[row], "score": scores[row]} for row in best]


@dataclass(frozen=True)
class _Search:
    """A search by vectors; `query` [dimensions], or [tokens, dimensions]."""

    table: Any
    column: str
    query: NDArray[np.float32]
    distance: str
    weight: float

    @property
    def highest(self) -> int:
        """A distance is 1 - cosine; of token vectors the sum over the query's tokens of 1 - the highest product."""
        return len(self.query) if self.query.ndim == 2 else 1

    def nearest(self) -> Any:
        """By the column's index, if it has one. LanceDB indexes token vectors for the cosine alone, which ignores what
        a query's tokens weigh."""
        indexed = any(self.column in index.columns for index in self.table.list_indices())
        return self._search("cosine" if indexed else self.distance)

    def exact(self) -> Any:
        """With every passage that `where` leaves."""
        return self._search(self.distance).bypass_vector_index()

    def _search(self, distance: str) -> Any:
        return self.table.search(self.query, vector_column_name=self.column).distance_type(distance)


def _rows(search: Any, limit: int, *columns: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = search.select(list(columns)).with_row_id(True).limit(limit).to_list()
    return rows
