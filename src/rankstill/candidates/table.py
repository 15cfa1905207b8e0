"""Candidates as a Parquet table: one row a query and passage, best first."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rankstill.candidates.first_stage import FEATURES, Candidates
from rankstill.datasets import Corpus


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
