"""Baselines are values of the configuration: the same data, steps and training, other labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import rankstill
from rankstill.config import Config
from rankstill.data import load_dataset
from rankstill.labels import read_labels
from rankstill.teacher import read_rankings


@pytest.mark.parametrize("ranked_by", ["gold", "first-choice"])
def test_the_retriever_learns_from_gold_or_from_the_first_choice_alone(
    toy_config: Callable[..., Config], tmp_path: Path, ranked_by: str
) -> None:
    config = toy_config({"labels.ranked_by": ranked_by})
    outcome = rankstill.distill(config, tmp_path / "w", until="retriever")
    dataset = load_dataset(config.dataset)
    rankings, _ = read_rankings(Path(config.dataset.source) / "rankings.jsonl", dataset)
    first = {ranking.query_id: ranking.ranking[0] for ranking in rankings}
    labels = read_labels(tmp_path / "w" / "labels.parquet")
    assert len(labels) == len(dataset.train)
    for query in labels:
        relevant = [dataset.corpus.ids[position] for position in query.positions[query.scores > -1.0]]
        assert relevant == ([first[query.id]] if ranked_by == "first-choice" else list(dataset.qrels[query.id]))
        assert len(query.positions) > len(relevant)
    assert outcome.retriever.is_dir()
