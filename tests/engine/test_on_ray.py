"""A whole chain with `engine.kind: ray`: the same candidates and labels as here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from rankstill.config import Config
from rankstill.engine import RayEngine
from rankstill.labels import read_labels
from rankstill.pipeline import distill


def test_a_chain_on_ray_makes_the_candidates_and_labels_of_one_here(
    ray_engine: RayEngine, toy_dataset_folder: Path, tiny_model_folder: Path, tmp_path: Path
) -> None:
    made = {}
    for kind in ("local", "ray"):
        config = Config.model_validate(
            {
                "dataset": {"source": str(toy_dataset_folder)},
                "candidates": {"k": 5, "n": 5},
                "ranker": {"cross_encoder": False},
                "retriever": {"model": str(tiny_model_folder)},
                "engine": {"kind": kind, "workers": 2},
                "device": "cpu",
            }
        )
        distill(config, tmp_path / kind, until="labels")
        made[kind] = tmp_path / kind
    here, there = (pq.read_table(made[kind] / "candidates.parquet").to_pydict() for kind in ("local", "ray"))
    assert here["passage_id"] == there["passage_id"]
    for one, other in zip(*(read_labels(made[kind] / "labels.parquet") for kind in ("local", "ray")), strict=True):
        assert one.id == other.id
        np.testing.assert_array_equal(one.positions, other.positions)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)
