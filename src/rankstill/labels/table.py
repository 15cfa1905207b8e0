"""Labels: what the ranker thinks of each query's passages, as one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Source = Literal["teacher", "extra", "pseudo"]
"""Where a query comes from: ranked by the LLM, an unlabelled query of the user's, or a sentence of the corpus."""


@dataclass(frozen=True)
class LabelledQuery:
    """One query with the ranker's scores of its passages.

    Args:
        id: the query's id; of a pseudo-query, the passage's id and the sentence's number.
        text: the query.
        source: see `Source`.
        positions: of the passages in the corpus, best first. [passages]
        scores: the ranker's, descending. [passages]
        made_from: position of the passage that a pseudo-query stands in.
        weight: how often it is drawn in training, beside others.
    """

    id: str
    text: str
    source: Source
    positions: NDArray[np.int64]
    scores: NDArray[np.float32]
    made_from: int | None = None
    weight: float = 1.0


def write_labels(labels: Sequence[LabelledQuery], path: Path) -> None:
    """As Parquet: one row a query, its passages and scores as lists."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(
        {
            "query_id": [query.id for query in labels],
            "text": [query.text for query in labels],
            "source": [query.source for query in labels],
            "passages": pa.array([query.positions for query in labels], pa.list_(pa.int64())),
            "scores": pa.array([query.scores for query in labels], pa.list_(pa.float32())),
            "made_from": pa.array([query.made_from for query in labels], pa.int64()),
            "weight": pa.array([query.weight for query in labels], pa.float64()),
        }
    )
    pq.write_table(table, path)


def read_labels(path: Path) -> list[LabelledQuery]:
    """As `write_labels` wrote them; the queries' arrays are views of one array of them all."""
    import pyarrow.parquet as pq

    table = pq.read_table(path).combine_chunks()
    passages, scores = table.column("passages").combine_chunks(), table.column("scores").combine_chunks()
    ends = passages.offsets.to_numpy()
    all_positions, all_scores = passages.values.to_numpy(), scores.values.to_numpy()
    others = [table.column(name).to_pylist() for name in ("query_id", "text", "source", "made_from", "weight")]
    return [
        LabelledQuery(query_id, text, source, all_positions[start:end], all_scores[start:end], made_from, weight)
        for query_id, text, source, made_from, weight, start, end in zip(
            *others, ends[:-1].tolist(), ends[1:].tolist(), strict=True
        )
    ]
