"""The LLM's rankings choose how tokens are matched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from rankstill.config import MultiVectorConfig
from rankstill.multi_vector import inverse_document_frequency, multi_vector_encoder
from rankstill.multi_vector.choosing import choose
from rankstill.ranker import RankedList

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from rankstill.data import Dataset

pytestmark = pytest.mark.usefixtures("full_precision")


def lists_by(model: SentenceTransformer, dataset: Dataset, context: float, power: float) -> list[RankedList]:
    """Rankings that a multi-vector encoder made itself, of ten passages a query."""
    texts = list(dataset.corpus.texts())
    idf = inverse_document_frequency(model, texts)
    teacher = multi_vector_encoder(model, idf**power, context)
    random, lists = np.random.default_rng(1), []
    for query in dataset.queries.values():
        shown = [texts[row] for row in random.choice(len(texts), 10, replace=False)]
        scores = teacher.similarity(teacher.encode_query([query.text]), teacher.encode_document(shown))[0]
        order = np.argsort(-scores.numpy())
        ranked = tuple(shown[row] for row in order)
        lists.append(RankedList(query.text, ranked, np.zeros((10, 3), dtype=np.float32), 10))
    return lists


@pytest.mark.parametrize(("context", "power"), [(0.0, 0.0), (2.0, 0.0), (0.0, 1.0)])
def test_rankings_by_a_way_of_matching_choose_that_way(
    context: float, power: float, tiny_model: SentenceTransformer, toy_dataset: Dataset
) -> None:
    lists = lists_by(tiny_model, toy_dataset, context, power)
    idf = inverse_document_frequency(tiny_model, toy_dataset.corpus.texts())
    chosen = choose(tiny_model, lists, idf, MultiVectorConfig())
    assert (chosen.context, chosen.idf_power, chosen.lists) == (context, power, len(lists))


def test_what_is_set_is_not_chosen(tiny_model: SentenceTransformer, toy_dataset: Dataset) -> None:
    lists = lists_by(tiny_model, toy_dataset, 0.0, 0.0)[:5]
    idf = inverse_document_frequency(tiny_model, toy_dataset.corpus.texts())
    chosen = choose(tiny_model, lists, idf, MultiVectorConfig(context=0.7, idf_power=0.3))
    assert (chosen.context, chosen.idf_power) == (0.7, 0.3)
    assert 0 < chosen.loss < 100
