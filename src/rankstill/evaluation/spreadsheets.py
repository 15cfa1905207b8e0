"""What the table leaves out, as CSV for any other tool: every query's values, and any two systems compared."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

from rankstill.evaluation.metrics import PerQuery
from rankstill.evaluation.significance import compare, holm


def write_values(values: Mapping[str, PerQuery], path: Path) -> None:
    """Write a line a query and system, with a column a measure; a mean over a system's lines is the table's figure.

    Args:
        values: by system; none for a file of headings alone.
    """
    measures: PerQuery = next(iter(values.values()), {})
    queries = next(iter(measures.values()), {})
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["query", "system", *measures])
        for query_id in queries:
            for system, by_measure in values.items():
                writer.writerow([query_id, system, *(by_measure[measure][query_id] for measure in measures)])


def write_pairs(values: Mapping[str, Mapping[str, float]], path: Path, seed: int = 0, resamples: int = 10_000) -> None:
    """Write a line for any two systems, compared as in the table; "p" is corrected by Holm for all of these pairs.

    Args:
        values: system -> query id -> value in one measure, the same queries in the same order; none for headings alone.
    """
    columns = {system: list(by_query.values()) for system, by_query in values.items()}
    found = {
        (system, against): compare(columns[against], columns[system], seed, resamples)
        for against, system in combinations(columns, 2)
    }
    adjusted = holm([each.p_value for each in found.values()])
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["system", "against", "difference", "low", "high", "p", "better", "worse", "equal"])
        for (pair, each), p_value in zip(found.items(), adjusted, strict=True):
            writer.writerow([*pair, each.difference, each.low, each.high, p_value, each.wins, each.losses, each.ties])
