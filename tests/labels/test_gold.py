"""Labels of contrastive learning: judged passages, or the LLM's first choice."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from rankstill.config import RetrieverConfig
from rankstill.data import Corpus, Dataset, Query
from rankstill.labels.gold import first_choice_labels, gold_labels
from rankstill.retrieval import FirstStage
from rankstill.retriever import TrainingData, load_retriever, train_retriever
from rankstill.retriever.batches import BatchBuilder
from rankstill.teacher import Ranking

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


@pytest.fixture
def dataset() -> Dataset:
    corpus = Corpus([f"p{number}" for number in range(6)], [""] * 6, [f"passage {number}" for number in range(6)])
    queries = {each: Query(each, f"text of {each}") for each in ("q1", "q2", "q3")}
    qrels = {"q1": {"p4": 1, "p0": 0}, "q2": {"p1": 2, "p5": 1}}
    return Dataset("six", corpus, queries, train=("q1", "q2", "q3"), qrels=qrels)


def test_the_first_choice_stands_against_all_else_that_was_found(dataset: Dataset) -> None:
    rankings = [
        Ranking("q1", ("p0", "p1", "p2"), ("p2", "p0")),
        Ranking("q2", ("p0", "p1"), ()),  # the LLM placed nothing
    ]
    (row,) = first_choice_labels(rankings, {"q1": np.array([1, 0, 2, 3, 4])}, dataset, passages=4)
    assert (row.id, row.text) == ("q1", "text of q1")
    assert row.positions.tolist() == [2, 0, 1, 3]
    assert row.scores.argmax() == 0
    assert (row.scores[1:] < -1000).all()
    assert np.isfinite(row.scores).all()  # negatives are labelled: with in_batch off they must stay


def test_gold_is_added_where_the_first_stage_missed_it(dataset: Dataset) -> None:
    candidates = {"q1": np.array([0, 1, 2]), "q2": np.array([5, 0]), "q3": np.array([0])}
    first, second = gold_labels(dataset.train, candidates, dataset, passages=3)
    assert first.positions.tolist() == [4, 0, 1]
    assert first.scores.tolist() == [0.0, first.scores[1], first.scores[1]]
    assert second.positions.tolist() == [1, 5, 0]
    assert (second.scores == 0).tolist() == [True, True, False]


def test_no_gold_passage_is_cut_off(dataset: Dataset) -> None:
    _, second = gold_labels(dataset.train, {}, dataset, passages=1)
    assert second.positions.tolist() == [1, 5]


def test_rows_make_the_steps_of_existing_training(dataset: Dataset) -> None:
    rows = gold_labels(dataset.train, {"q1": np.array([0, 1, 2]), "q2": np.array([0, 3])}, dataset, passages=4)
    step = BatchBuilder(rows, passages_per_query=3, seed=0).build([0, 1])
    assert {1, 4, 5} <= set(step.positions.tolist())
    shares = torch.softmax(torch.from_numpy(step.labels), dim=1).numpy()
    by_position = [dict(zip(step.positions.tolist(), row, strict=True)) for row in shares]
    assert by_position[0][4] == 1.0
    assert (by_position[1][1], by_position[1][5]) == (0.5, 0.5)


@pytest.mark.usefixtures("full_precision")
def test_existing_training_learns_gold_labels_as_they_are(
    toy_dataset: Dataset, toy_first_stage: FirstStage, tiny_model_folder: Path, tmp_path: Path
) -> None:
    found = toy_first_stage.search(toy_dataset.texts_of(toy_dataset.train), 8)
    candidates = {each: here.positions for each, here in zip(toy_dataset.train, found, strict=True)}
    rows = gold_labels(toy_dataset.train, candidates, toy_dataset, passages=8)
    config = RetrieverConfig(model=str(tiny_model_folder), epochs=3, learning_rate=3e-3, lists_per_step=4)
    before = load_retriever(config, "cpu")
    after = train_retriever(TrainingData(rows, toy_dataset.corpus, config, 0), tmp_path, "cpu")

    def hits(model: SentenceTransformer) -> int:
        passages = model.encode_document(list(toy_dataset.corpus.texts()))
        nearest = (model.encode_query([row.text for row in rows]) @ passages.T).argmax(axis=1)
        return sum(int(best) == row.positions[0] for best, row in zip(nearest, rows, strict=True))

    assert hits(after) > hits(before) + 5
