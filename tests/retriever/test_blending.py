"""How much of what training changed is kept."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from rankstill.retriever.blending import Blend, choose_blend, mix, plackett_luce_fit
from rankstill.retriever.student import BI_ENCODER, ValidationList

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


def lists_by(model: SentenceTransformer, dataset: Dataset) -> list[ValidationList]:
    """Rankings in the order of a model's cosines."""
    made = []
    for number, query in enumerate(dataset.texts_of(dataset.train)):
        passages = np.array(list(dataset.corpus.texts(range(number, number + 10))))
        cosines = model.encode_document(list(passages)) @ model.encode_query([query])[0]
        made.append(ValidationList(query, passages[np.argsort(-cosines)].tolist(), 10))
    return made


def test_a_training_that_makes_held_out_rankings_less_likely_is_undone(
    tiny_model: SentenceTransformer, toy_dataset: Dataset
) -> None:
    lists, old = lists_by(tiny_model, toy_dataset), weights(tiny_model)
    before = BI_ENCODER.score(tiny_model, lists)
    change(tiny_model)
    chosen = choose_blend(tiny_model, BI_ENCODER, old, lists, before, 0.1)
    assert chosen.share == 0.0
    assert all(torch.equal(old[name], weight) for name, weight in weights(tiny_model).items())
    assert chosen.describe().startswith(
        "training left the encoder as it was: 0% of its change is kept. 24 of the LLM's lists that did not teach it"
    )


def test_a_training_that_makes_held_out_rankings_likeliest_is_kept_whole(
    tiny_model: SentenceTransformer, toy_dataset: Dataset
) -> None:
    untrained, old = copy.deepcopy(tiny_model), weights(tiny_model)
    change(tiny_model)
    lists, new = lists_by(tiny_model, toy_dataset), weights(tiny_model)
    chosen = choose_blend(tiny_model, BI_ENCODER, old, lists, BI_ENCODER.score(untrained, lists), 0.1)
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
    assert Blend(3, (0.0, 0.5, 1.0), (2.0, 1.5, 1.5), 0.1).share == 0.5


@pytest.mark.parametrize("temperature", [0.02, 0.1, 0.4])
def test_the_temperature_behind_rankings_is_found(temperature: float) -> None:
    random = np.random.default_rng(0)
    lists = []
    for _ in range(600):
        cosines = random.uniform(0.2, 0.9, 10).astype(np.float32)
        noisy = cosines / temperature + random.gumbel(size=10)  # sorting these samples from the Plackett-Luce model
        lists.append(cosines[np.argsort(-noisy)])
    loss, found = plackett_luce_fit(lists, [10] * len(lists))
    assert found == pytest.approx(temperature, rel=0.1)
    assert loss < np.log(np.arange(1, 11)).sum()  # chance


def test_rankings_that_say_nothing_of_the_cosines_make_the_student_soft() -> None:
    lists = [np.float32([0.5, 0.5, 0.5]), np.float32([0.1, 0.9, 0.5])]
    assert plackett_luce_fit(lists, [3, 3])[1] == 1.0
