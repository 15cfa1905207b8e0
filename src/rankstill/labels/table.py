"""Labels: the ranker's scores of each query's passages, as one table."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

_QUERIES_A_GROUP = 4096

Source = Literal["teacher", "unranked"]
"""Whether the LLM ranked the query, or a baseline labels it in its place; or nobody did."""


@dataclass(frozen=True, slots=True)
class LabelledQuery:
    """One query with the ranker's scores of its passages.

    Args:
        positions: the positions of the passages in the corpus, best first. [passages]
        scores: the ranker's, descending. [passages]
    """

    id: str
    text: str
    source: Source
    positions: NDArray[np.int64]
    scores: NDArray[np.float32]


def write_labels(labels: Iterable[LabelledQuery], path: Path) -> None:
    """Write labels as Parquet: one row a query, its passages and scores as lists; written as they come, not held till
    the end."""
    import pyarrow.parquet as pq

    rows = iter(labels)
    with pq.ParquetWriter(path, labels_table([]).schema) as writer:
        while group := list(islice(rows, _QUERIES_A_GROUP)):
            writer.write_table(labels_table(group))


def labels_table(labels: Sequence[LabelledQuery]) -> pa.Table:
    """Labels as a table."""
    import pyarrow as pa

    return pa.table(
        {
            "query_id": pa.array([query.id for query in labels], pa.string()),
            "text": pa.array([query.text for query in labels], pa.string()),
            "source": pa.array([query.source for query in labels], pa.string()),
            "passages": pa.array([query.positions for query in labels], pa.list_(pa.int64())),
            "scores": pa.array([query.scores for query in labels], pa.list_(pa.float32())),
        }
    )


def read_labels(path: Path) -> list[LabelledQuery]:
    """Read the file of `write_labels`. The queries' arrays are views of a few large arrays."""
    import pyarrow.parquet as pq

    return labels_in(pq.ParquetFile(path).iter_batches(_QUERIES_A_GROUP))


def labels_in(groups: Iterable[pa.RecordBatch]) -> list[LabelledQuery]:
    """The labels in the rows of a `labels_table`."""
    labels: list[LabelledQuery] = []
    for group in groups:
        passages, scores = group.column("passages"), group.column("scores")
        ends = passages.offsets.to_numpy()
        all_positions, all_scores = passages.values.to_numpy(), scores.values.to_numpy()
        others = [group.column(name).to_pylist() for name in ("query_id", "text", "source")]
        labels += [
            LabelledQuery(
                query_id,
                text,
                cast(Source, sys.intern(source)),  # one word for all, not a copy each
                all_positions[start:end],
                all_scores[start:end],
            )
            for query_id, text, source, start, end in zip(*others, ends[:-1].tolist(), ends[1:].tolist(), strict=True)
        ]
    return labels
