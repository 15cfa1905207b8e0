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
    """As `write_labels` wrote them."""
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    names = ("query_id", "text", "source", "passages", "scores", "made_from", "weight")
    columns = [table.column(name) for name in names]
    return [
        LabelledQuery(
            id=query_id.as_py(),
            text=text.as_py(),
            source=source.as_py(),
            positions=passages.values.to_numpy(),
            scores=scores.values.to_numpy(),
            made_from=made_from.as_py(),
            weight=weight.as_py(),
        )
        for query_id, text, source, passages, scores, made_from, weight in zip(*columns, strict=True)
    ]
