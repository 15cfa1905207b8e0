"""A chain whose labels need no ranker trains none; one that needs no ranking asks for none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import rankstill
from rankstill.config import Config
from rankstill.labels import read_labels
from toy import TOY_STEPS

MakeConfig = Callable[..., Config]


def steps_of(folder: Path) -> tuple[str, ...]:
    return tuple(json.loads((folder / "manifest.json").read_text())["steps"])


def test_gold_labels_teach_to_the_end_where_there_is_no_ranking_at_all(
    toy_config: MakeConfig, toy_copy: Path, tmp_path: Path
) -> None:
    (toy_copy / "rankings.jsonl").unlink()
    outcome = rankstill.distill(toy_config({"labels.ranked_by": "gold"}, toy_copy), tmp_path / "w")
    made = ("vectors", "candidates", "labels", "retriever", "reranker", "runs", "evaluation")
    assert steps_of(outcome.workspace) == made
    assert outcome.table is not None
    names = [system.name for system in outcome.table.systems]
    assert names == ["BM25", "retriever before", "first stage", "distilled retriever"]
    files = [*(name.replace(" ", "-") for name in names), "qrels"]
    assert sorted(path.stem for path in (outcome.workspace / "runs").iterdir()) == sorted(files)
    assert outcome.reranker is None


@pytest.mark.parametrize("ranked_by", ["llm", "first-choice"])
def test_the_llms_own_word_needs_rankings_and_no_ranker(ranked_by: str, toy_config: MakeConfig, tmp_path: Path) -> None:
    config = toy_config({"labels.ranked_by": ranked_by})
    outcome = rankstill.distill(config, tmp_path / "w", until="labels")
    assert steps_of(outcome.workspace) == ("vectors", "candidates", "rankings", "held_out", "labels")


def test_the_llms_order_is_labelled_alike_with_and_without_a_ranker(toy_config: MakeConfig, tmp_path: Path) -> None:
    asked = tmp_path / "asked.txt"
    asked.write_text("how does lava flow\nwhat is in bread\n", encoding="utf-8")
    labelled = []
    for name, extra in (("alone", None), ("beside", str(asked))):
        config = toy_config({"labels.ranked_by": "llm", "dataset.extra_queries": extra})
        rankstill.distill(config, tmp_path / name, until="labels")
        labelled.append(read_labels(tmp_path / name / "labels.parquet"))
    assert "ranker" in steps_of(tmp_path / "beside")
    assert "ranker" not in steps_of(tmp_path / "alone")
    alone, beside = labelled
    assert [each.source for each in beside[len(alone) :]] == ["unranked", "unranked"]
    for one, other in zip(alone, beside, strict=False):
        assert one.id == other.id
        np.testing.assert_array_equal(one.positions, other.positions)
        np.testing.assert_allclose(one.scores, other.scores)


def test_a_step_that_is_asked_for_by_name_is_made_though_the_labels_do_not_need_it(
    toy_config: MakeConfig, tmp_path: Path
) -> None:
    config = toy_config({"labels.ranked_by": "gold"})
    rankstill.distill(config, tmp_path / "w", until="ranker")
    assert steps_of(tmp_path / "w") == ("vectors", "candidates", "rankings", "held_out", "ranker")


def test_margin_mse_on_the_rankers_labels_runs_to_the_end(toy_config: MakeConfig, tmp_path: Path) -> None:
    config = toy_config({"labels.ranked_by": "ranker", "retriever.loss": "margin-mse"})
    outcome = rankstill.distill(
        config.model_copy(update={"retriever": config.retriever.model_copy(update={"epochs": 3})}), tmp_path / "w"
    )
    assert steps_of(outcome.workspace) == TOY_STEPS
    assert "margin_mse" in json.loads((outcome.workspace / "retriever-losses.json").read_text())[0]
