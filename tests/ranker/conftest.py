"""Cross-encoders and ranked lists made of the toy model and dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from rankstill.ranker import RankedList

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

    from rankstill.data import Dataset
    from rankstill.retrieval import FirstStage


@pytest.fixture
def cross_encoder(tiny_model_folder: Path) -> CrossEncoder:
    """A tiny cross-encoder whose seeded head gives scores that spread by about 1 over the toy passages."""
    import torch

    from rankstill.ranker.model import start_cross_encoder

    model = start_cross_encoder(str(tiny_model_folder), 64, "cpu")
    torch.manual_seed(3)
    torch.nn.init.normal_(model[2].linear.weight, std=0.7)
    return model.eval()


@pytest.fixture(scope="session")
def toy_lists(toy_dataset: Dataset, toy_dataset_folder: Path, toy_first_stage: FirstStage) -> list[RankedList]:
    """The toy teacher's rankings as the ranker learns from them."""
    from rankstill.teacher import read_rankings

    rankings, _ = read_rankings(toy_dataset_folder / "rankings.jsonl", toy_dataset)
    corpus = toy_dataset.corpus
    queries = toy_dataset.texts_of(ranking.query_id for ranking in rankings)
    positions = [np.array([corpus.position(each) for each in ranking.ranking]) for ranking in rankings]
    features = toy_first_stage.features(queries, positions)
    return [
        RankedList(query, tuple(corpus.texts(here)), scores, len(here))
        for query, here, scores in zip(queries, positions, features, strict=True)
    ]
