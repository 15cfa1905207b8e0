"""`rankstill prove`: slices, attribution and forgetting of a finished chain, printed and kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import rankstill
from rankstill.config import Config
from rankstill.extras import proof

MakeConfig = Callable[..., Config]


def test_it_says_for_which_queries_which_link_and_what_was_forgotten(
    toy_config: MakeConfig, toy_dataset_folder: Path, finished_copy: Path
) -> None:
    text = proof.prove(toy_config(), finished_copy)
    for title in ("## Which link lost most", "## For which queries", "## What was forgotten, on nq-open"):
        assert title in text
    assert (finished_copy / "proof.md").read_text(encoding="utf-8") == text
    kept = json.loads((finished_copy / "proof.json").read_text(encoding="utf-8"))
    assert [title for title in kept if "agreement" in title.lower()]
    assert len(kept) == 4


def test_the_slices_show_the_distilled_multi_vector_retriever_and_the_best_one_beside_the_distilled_retriever(
    toy_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = toy_config({"multi_vector.epochs": 1})
    outcome = rankstill.distill(config, tmp_path / "w")
    assert outcome.table is not None
    monkeypatch.setattr(proof, "SECOND", config.dataset.source)  # what was forgotten elsewhere is another test's
    monkeypatch.setattr(proof, "highest", lambda table: "hybrid before")
    text = proof.prove(config, outcome.workspace)
    systems = ["retriever before", "distilled retriever", "distilled multi-vector", "hybrid before"]
    assert f"| nDCG@10 by | queries | n | {' | '.join(systems)} |" in text
    found = json.loads((outcome.workspace / "proof.json").read_text(encoding="utf-8"))["For which queries"]
    every = found["slices"][0]["comparisons"]
    assert list(every) == systems[1:]
    for system, comparison in every.items():
        assert comparison["after"] == outcome.table.system(system).values["nDCG@10"]
