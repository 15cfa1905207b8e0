"""Labels as a table."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rankstill.labels import LabelledQuery, read_labels, write_labels


def test_labels_survive_their_table(tmp_path: Path) -> None:
    labels = [
        LabelledQuery("q1", "größer\nals", "teacher", np.array([5, 0, 2**40]), np.float32([1.5, 0.1, -3e30])),
        LabelledQuery("q2", "", "extra", np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)),
        LabelledQuery("p#7", "a sentence", "pseudo", np.array([1]), np.float32([1 / 3]), made_from=0),
    ]
    write_labels(labels, tmp_path / "labels.parquet")
    for before, after in zip(labels, read_labels(tmp_path / "labels.parquet"), strict=True):
        assert (after.id, after.text, after.source) == (before.id, before.text, before.source)
        assert after.made_from == before.made_from
        assert after.positions.dtype == np.int64
        assert after.scores.dtype == np.float32
        assert after.positions.tolist() == before.positions.tolist()
        assert after.scores.tolist() == before.scores.tolist()


def test_no_labels_survive_their_table(tmp_path: Path) -> None:
    write_labels([], tmp_path / "labels.parquet")
    assert read_labels(tmp_path / "labels.parquet") == []
