"""How much of what training changed is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from rankstill.retriever.blending import Blend, choose_blend, mix
from rankstill.retriever.student import BI_ENCODER, JudgingList

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from rankstill.datasets import Dataset

pytestmark = pytest.mark.usefixtures("full_precision")


def weights(model: SentenceTransformer) -> dict[str, torch.Tensor]:
    return {name: weight.clone() for name, weight in model.state_dict().items()}


def change(model: SentenceTransformer) -> None:
    """As a training that knows nothing of anyone's rankings."""
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.2 * weight.std(correction=0) * torch.randn(weight.shape))


def lists_by(model: SentenceTransformer, dataset: Dataset) -> list[JudgingList]:
    """Rankings in the order of a model's cosines."""
    made = []
    for number, query in enumerate(dataset.texts_of(dataset.train)):
        passages = np.array(list(dataset.corpus.texts(range(number, number + 10))))
        cosines = model.encode_document(list(passages)) @ model.encode_query([query])[0]
        made.append(JudgingList(query, passages[np.argsort(-cosines)].tolist(), 10))
    return made


def test_a_training_that_makes_held_out_rankings_less_likely_is_undone(
    tiny_model: SentenceTransformer, toy_dataset: Dataset
) -> None:
    lists, old = lists_by(tiny_model, toy_dataset), weights(tiny_model)
    change(tiny_model)
    chosen = choose_blend(tiny_model, BI_ENCODER, old, lists)
    assert chosen.share == 0.0
    assert all(torch.equal(old[name], weight) for name, weight in weights(tiny_model).items())
    assert chosen.describe().startswith("training left the encoder as it was: so 24 of the LLM's rankings")


def test_a_training_that_makes_held_out_rankings_likeliest_is_kept_whole(
    tiny_model: SentenceTransformer, toy_dataset: Dataset
) -> None:
    old = weights(tiny_model)
    change(tiny_model)
    new = weights(tiny_model)
    chosen = choose_blend(tiny_model, BI_ENCODER, old, lists_by(tiny_model, toy_dataset))
    assert chosen.share == 1.0
    assert all(torch.equal(new[name], weight) for name, weight in weights(tiny_model).items())


def test_half_a_blend_is_the_mean_of_new_and_old(tiny_model: SentenceTransformer) -> None:
    old = weights(tiny_model)
    change(tiny_model)
    new = weights(tiny_model)
    mix(tiny_model, old, tiny_model.state_dict(), 0.5)
    for name, weight in weights(tiny_model).items():
        if weight.is_floating_point():
            torch.testing.assert_close(weight, (new[name] + old[name]) / 2)


def test_where_several_shares_are_as_good_the_old_weights_are_preferred() -> None:
    assert Blend(3, (0.0, 0.5, 1.0), (2.0, 1.5, 1.5)).share == 0.5
