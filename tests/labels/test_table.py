"""Labels as a table."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rankstill.labels import LabelledQuery, read_labels, write_labels
from rankstill.labels import table as module


def test_labels_survive_their_table(tmp_path: Path) -> None:
    labels = [
        LabelledQuery("q1", "größer\nals", "teacher", np.array([5, 0, 2**40]), np.float32([1.5, 0.1, -3e30])),
        LabelledQuery("q2", "", "unranked", np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)),
        LabelledQuery("q3", "a sentence", "unranked", np.array([1]), np.float32([1 / 3])),
    ]
    write_labels(labels, tmp_path / "labels.parquet")
    for before, after in zip(labels, read_labels(tmp_path / "labels.parquet"), strict=True):
        assert (after.id, after.text, after.source) == (before.id, before.text, before.source)
        assert after.positions.dtype == np.int64
        assert after.scores.dtype == np.float32
        assert after.positions.tolist() == before.positions.tolist()
        assert after.scores.tolist() == before.scores.tolist()


def test_no_labels_survive_their_table(tmp_path: Path) -> None:
    write_labels([], tmp_path / "labels.parquet")
    assert read_labels(tmp_path / "labels.parquet") == []


def some_labels(queries: int, passages: int = 50) -> Iterator[LabelledQuery]:
    for row in range(queries):
        positions = np.arange(row, row + passages)
        yield LabelledQuery(f"q{row}", "text", "unranked", positions, np.float32(positions))


def test_labels_that_are_written_group_by_group_are_read_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_QUERIES_A_GROUP", 4)
    write_labels(some_labels(11), tmp_path / "labels.parquet")
    for before, after in zip(some_labels(11), read_labels(tmp_path / "labels.parquet"), strict=True):
        assert after.id == before.id
        assert after.positions.tolist() == before.positions.tolist()
        assert after.scores.tolist() == before.scores.tolist()


def test_labels_are_not_held_while_they_are_written(tmp_path: Path) -> None:
    write_labels(some_labels(1), tmp_path / "labels.parquet")  # so that what is imported does not count
    tracemalloc.start()
    write_labels(some_labels(40_000), tmp_path / "labels.parquet")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40_000 * 50 * 12 / 3  # bytes; a pair takes 12
