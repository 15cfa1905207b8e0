"""Exact search by parts of the corpus: each worker looks through some of it, and the best of all are kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rankstill.engine.encoding import vectors_in
from rankstill.engine.parts import PartFolder
from rankstill.engine.work import Engine, Function

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Search:
    """Work: a part of vectors -> the k nearest of its passages for every query, `query`, `row` and `cosine`.

    Args:
        queries: one part, the queries' vectors.
        k: how many.
        device: where the products run; None: a GPU if the worker has one.
    """

    queries: PartFolder
    k: int
    device: str | None = None

    def load(self) -> Function:
        """The queries' vectors, once a worker."""
        import pyarrow as pa
        import torch

        from rankstill.candidates.search import nearest_passages

        (asked,) = (vectors_in(part).astype(np.float32) for part in self.queries.tables())
        device = self.device or ("cuda" if torch.cuda.is_available() else "cpu")

        def search(part: pa.Table) -> pa.Table:
            rows, cosines = nearest_passages(asked, vectors_in(part).astype(np.float32), self.k, device)
            queries = np.repeat(np.arange(len(asked)), rows.shape[1])
            columns = {"query": queries, "row": rows.ravel(), "cosine": cosines.ravel()}
            # How long the part is: the next one's rows count on from there.
            columns["passages"] = np.full(rows.size, part.num_rows)
            return pa.table(columns)

        return search


def nearest_on(
    engine: Engine, queries: PartFolder, vectors: PartFolder, found: PartFolder, k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The k passages of the highest cosine for each query, as `nearest_passages` finds them, over parts of a corpus.

    What comes back of a part is small: 12 bytes for each query and place. For 1,000 queries and k = 100 that is 1.2 MB,
    for the 1,282 parts of 21 million passages 1.5 GB, which are read one part at a time.

    Args:
        engine: where to search.
        queries: one part, the queries' vectors.
        vectors: the passages' vectors, in parts.
        found: where what each part's search finds stays: a folder for these queries and this k.
        k: how many.

    Returns:
        Positions in the corpus, best first, ties in order of position, and their cosines. [queries, k], [queries, k]
    """
    engine.fill(Search(queries, k), vectors, found, "searching, part by part")
    (asked,) = (part.num_rows for part in queries.tables())
    positions = np.empty((asked, 0), dtype=np.int64)
    cosines = np.empty((asked, 0), dtype=np.float32)
    start = 0
    for part in found.tables():
        if not part.num_rows:
            continue
        rows, here = (part[name].to_numpy().reshape(asked, -1) for name in ("row", "cosine"))
        positions, cosines = np.hstack([positions, rows + start]), np.hstack([cosines, here])
        # Positions ascend from part to part, so a stable sort keeps ties in order of position.
        order = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
        positions, cosines = (np.take_along_axis(each, order, axis=1) for each in (positions, cosines))
        start += int(part["passages"][0].as_py())
    return positions, cosines
