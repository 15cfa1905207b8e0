"""What the table sums up, as CSV for any other tool: every query's values."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from rankstill.evaluation.metrics import PerQuery


def write_values(values: Mapping[str, PerQuery], path: Path) -> None:
    """Write a line a query and system, with a column a measure; a mean over a system's lines is the table's figure.

    Args:
        values: by system; none for a file of headings alone.
        path: the file, replaced if it exists.
    """
    measures: PerQuery = next(iter(values.values()), {})
    queries = next(iter(measures.values()), {})
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["query", "system", *measures])
        for query_id in queries:
            for system, by_measure in values.items():
                writer.writerow([query_id, system, *(by_measure[measure][query_id] for measure in measures)])
