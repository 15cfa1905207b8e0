"""Training queries that the LLM did not rank: the ranker labels them too."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import rankstill
from rankstill.config import Config
from rankstill.labels import read_labels
from rankstill.lists import TeacherLists
from rankstill.teacher import Ranking
from rankstill.workspace import Workspace
from toy import TRAINING_QUERIES

MakeConfig = Callable[..., Config]
RANKED = 10


@pytest.fixture
def partly_ranked(toy_dataset_folder: Path, tmp_path: Path) -> Path:
    """The toy dataset, with rankings of its first ten training queries only."""
    folder = shutil.copytree(toy_dataset_folder, tmp_path / "toy")
    lines = (folder / "rankings.jsonl").read_text().splitlines(keepends=True)
    (folder / "rankings.jsonl").write_text("".join(lines[:RANKED]))
    return folder


def sources(config: Config, workspace: Path) -> dict[str, str]:
    """Where each labelled query comes from, by its id."""
    rankstill.distill(config, workspace, until="labels")
    return {each.id: each.source for each in read_labels(workspace / "labels.parquet")}


def test_the_ranker_labels_training_queries_that_the_llm_did_not_rank(
    toy_config: MakeConfig, partly_ranked: Path, tmp_path: Path
) -> None:
    config = toy_config(source=partly_ranked)
    found = sources(config, tmp_path / "w")
    assert len(found) == TRAINING_QUERIES
    assert list(found.values()).count("unranked") == TRAINING_QUERIES - RANKED
    labels = read_labels(tmp_path / "w" / "labels.parquet")
    assert {len(each.positions) for each in labels if each.source == "unranked"} == {config.candidates.n}
    with Workspace(tmp_path / "w") as workspace:
        record = workspace.record("labels")
    assert record is not None
    assert any(f"{TRAINING_QUERIES - RANKED} queries that the LLM did not rank" in each for each in record.notes)


def test_as_many_of_them_as_configured_are_labelled_and_the_same_ones_each_time(
    toy_config: MakeConfig, partly_ranked: Path, tmp_path: Path
) -> None:
    some = toy_config({"labels.unranked": 4}, source=partly_ranked)
    found = sources(some, tmp_path / "one")
    assert list(found.values()).count("unranked") == 4
    assert sources(some, tmp_path / "other") == found
    assert (
        "unranked" not in sources(toy_config({"labels.unranked": 0}, source=partly_ranked), tmp_path / "none").values()
    )


def test_labels_by_the_llms_order_alone_need_no_ranker(
    toy_config: MakeConfig, partly_ranked: Path, tmp_path: Path
) -> None:
    found = sources(toy_config({"labels.ranked_by": "llm"}, source=partly_ranked), tmp_path / "w")
    assert list(found.values()) == ["teacher"] * RANKED
    assert not (tmp_path / "w" / "ranker").exists()


def test_a_query_that_repeats_a_held_out_one_is_not_labelled(
    toy_config: MakeConfig, partly_ranked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = toy_config(source=partly_ranked)
    dataset = rankstill.load_dataset(config.dataset)
    rankstill.distill(config, tmp_path / "w", until="held_out")
    ids = dataset.corpus.ids
    held_out = Ranking("held out", ids[:5], ids[:5])
    monkeypatch.setattr(TeacherLists, "held_out", property(lambda _: [held_out]))
    same, half, other = np.array([9, 3, 2, 1, 8]), np.array([9, 0, 1, 7, 8]), np.arange(20, 25)
    with Workspace(tmp_path / "w") as workspace:
        lists = TeacherLists(config, workspace, dataset)
        unranked = lists.unranked(dict.fromkeys(dataset.train, other))
        assert len(unranked) == TRAINING_QUERIES - RANKED
        found = {**dict.fromkeys(dataset.train, other), unranked[0]: same, unranked[1]: half}
        assert lists.unranked(found) == unranked[1:]
