"""The hybrid in LanceDB: two searches of a table, their scores weighed and added.

LanceDB's BM25 is the hybrid's times k1 + 1. LanceDB's own rerankers cannot add the two scores: it stretches each list's
scores to 0 and 1 before a reranker sees them.
"""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_lowercase, digits
from typing import Any

import numpy as np

from rankstill.errors import DataError
from rankstill.retrieval.bm25 import Analyzer
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
    vector: Sequence[float] | Sequence[Sequence[float]],
    *,
    limit: int = 10,
    depth: int = 200,
) -> list[dict[str, Any]]:
    """The best passages of a table that `rankstill export` made: rows of `id`, `text` and `score`, best first.

    Each of the two searches finds `depth` passages; then both scores of all that were found are computed exactly. A
    passage that neither search finds among its best is overlooked, so `depth` should be far above `limit`.

    Args:
        table: LanceDB's, with a full-text index of `text`, see `lancedb_text_index`.
        vector: the query's, from the retriever that the weights belong to. [dimensions]; with a multi-vector retriever
            the vectors of its tokens. [tokens, dimensions]
        depth: passages that each of the two searches contributes.

    Raises:
        DataError: the hybrid's BM25 has another k1 or b than LanceDB's.
    """
    if (hybrid.k1, hybrid.b) != (_K1, _B):
        raise DataError(
            f"LanceDB's BM25 has k1 = {_K1} and b = {_B}, the hybrid k1 = {hybrid.k1} and b = {hybrid.b}. Run with "
            f"candidates.k1={_K1} and candidates.b={_B} to have weights for LanceDB."
        )
    asked = np.asarray(vector, dtype=np.float32)
    of_tokens = asked.ndim == 2
    # LanceDB indexes token vectors for the cosine alone, which ignores what a query's tokens weigh.
    weighed = of_tokens and not any("vector" in index.columns for index in table.list_indices())
    near = table.search(asked).distance_type("dot" if weighed else "cosine")
    matching = table.search(query, query_type="fts")
    among = {row["_rowid"] for row in [*_rows(near, depth, "_distance"), *_rows(matching, depth, "_score")]}
    if not among:
        return []
    these = f"_rowid IN ({', '.join(map(str, among))})"
    exact = table.search(asked).distance_type("dot" if of_tokens else "cosine").bypass_vector_index().where(these)
    bm25 = {row["_rowid"]: row["_score"] / (_K1 + 1) for row in _rows(matching.where(these), len(among), "_score")}
    rows = _rows(exact, len(among), "id", "text", "_distance")
    # A distance is 1 - cosine; of token vectors the sum over the query's tokens of 1 - the highest product.
    highest = len(asked) if of_tokens else 1
    for row in rows:
        own = highest - row.pop("_distance")
        row["score"] = hybrid.dense * own + hybrid.bm25 * bm25.get(row.pop("_rowid"), 0.0)
    return sorted(rows, key=lambda row: -row["score"])[:limit]


def _rows(search: Any, limit: int, *columns: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = search.select(list(columns)).with_row_id(True).limit(limit).to_list()
    return rows
