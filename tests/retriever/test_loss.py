"""The retriever's loss of a step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
import torch

from rankstill.compute.memory import DeviceMemory
from rankstill.losses.emdr2 import emdr2_nll
from rankstill.losses.kl import UNLABELLED, kl_to_ranker
from rankstill.losses.margin_mse import margin_mse
from rankstill.losses.replug import replug_kl
from rankstill.retriever.loss import DistillationLoss
from rankstill.retriever.student import BI_ENCODER

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

pytestmark = pytest.mark.usefixtures("full_precision")

QUERIES = ["magma of the volcano", "how does yeast change", "tide"]
PASSAGES = ["lava", "The crater of the volcano and its lava change each year", "flour and yeast", "tide " * 30, "oven"]
LABELS = torch.tensor(
    [
        [2.0, 1.0, UNLABELLED, UNLABELLED, -1.0],
        [UNLABELLED, -3.0, 1.5, UNLABELLED, 0.0],
        [UNLABELLED, UNLABELLED, UNLABELLED, 0.5, 1.0],
    ]
)


def loss_of(model: SentenceTransformer, **changes: Any) -> DistillationLoss:
    options = {
        "teacher_temperature": 1.0,
        "student_temperature": 0.05,
        "in_batch": True,
        "micro_batch": 2,
    }
    return DistillationLoss(model, BI_ENCODER, **{**options, **changes})


def run(model: SentenceTransformer, **changes: Any) -> dict[str, torch.Tensor]:
    features = [model.preprocess(QUERIES), model.preprocess(PASSAGES)]
    return loss_of(model, **changes)(features, LABELS)


def cosines_of(model: SentenceTransformer) -> torch.Tensor:
    return model.encode(QUERIES, convert_to_tensor=True) @ model.encode(PASSAGES, convert_to_tensor=True).T


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("micro_batch", [1, 3, 32])
def test_texts_are_embedded_in_the_given_order_whatever_their_lengths(
    tiny_model: SentenceTransformer, side: str, micro_batch: int
) -> None:
    texts = [*PASSAGES, *QUERIES]
    expected = tiny_model.encode(texts, convert_to_tensor=True)
    tiny_model.tokenizer.padding_side = "right"
    tokens = tiny_model.preprocess(texts)
    if side == "left":  # the same tokens at the same places of the sentence, the padding before them
        lengths = tokens["attention_mask"].sum(dim=1)
        width = tokens["attention_mask"].shape[1]
        shifted = (torch.arange(width)[None] - (width - lengths[:, None])) % width
        tokens = {
            name: value.gather(1, shifted) if isinstance(value, torch.Tensor) else value
            for name, value in tokens.items()
        }
        positions = tiny_model[0].auto_model.embeddings.position_embeddings.weight
        positions.data.zero_()
        expected = tiny_model.encode(texts, convert_to_tensor=True)
    got = loss_of(tiny_model, micro_batch=micro_batch)._embed(tokens, "document")
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)


def test_in_batch_every_passage_of_the_step_is_in_the_retrievers_distribution(tiny_model: SentenceTransformer) -> None:
    cosines = cosines_of(tiny_model)
    terms = run(tiny_model)
    expected = kl_to_ranker(cosines, LABELS, 1.0, 0.05).mean()
    assert {name: term.item() for name, term in terms.items()} == {"kl": pytest.approx(expected.item(), abs=1e-4)}


def test_without_in_batch_each_query_has_its_own_passages_alone(tiny_model: SentenceTransformer) -> None:
    cosines = cosines_of(tiny_model)
    own = [
        kl_to_ranker(cosines[row, columns][None], LABELS[row, columns][None], 1.0, 0.05).item()
        for row, columns in ((0, [0, 1, 4]), (1, [1, 2, 4]), (2, [3, 4]))
    ]
    assert run(tiny_model, in_batch=False)["kl"].item() == pytest.approx(sum(own) / 3, abs=1e-4)


@pytest.mark.parametrize("in_batch", [True, False])
def test_every_weight_of_the_model_gets_a_finite_gradient(tiny_model: SentenceTransformer, in_batch: bool) -> None:
    sum(run(tiny_model, in_batch=in_batch).values()).backward()
    gradients = [weight.grad for name, weight in tiny_model.named_parameters() if "pooler" not in name]
    assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in gradients)
    assert sum(float(gradient.abs().sum()) for gradient in gradients) > 0


@pytest.mark.parametrize("kept", [True, False])
def test_gradients_in_micro_batches_are_those_of_the_whole_step_at_once(
    kept: bool, tiny_model: SentenceTransformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DeviceMemory, "fits_step", lambda memory, tokens: kept)
    tiny_model.double()  # in single precision sums of another order differ, by how much depends on the processor
    sum(run(tiny_model).values()).backward()
    got = {name: weight.grad.clone() for name, weight in tiny_model.named_parameters() if weight.grad is not None}
    tiny_model.zero_grad()
    queries, passages = (
        torch.nn.functional.normalize(tiny_model(tiny_model.preprocess(texts))["sentence_embedding"], dim=1)
        for texts in (QUERIES, PASSAGES)
    )
    kl_to_ranker(queries @ passages.T, LABELS, 1.0, 0.05).mean().backward()
    expected = {name: weight.grad for name, weight in tiny_model.named_parameters() if weight.grad is not None}
    assert got.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(got[name], gradient, rtol=1e-9, atol=1e-12)


class _Vectors(torch.nn.Module):
    """A model whose texts are their own vectors."""

    device, max_seq_length = torch.device("cpu"), 2

    def forward(self, texts: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"sentence_embedding": texts["vectors"]}


def _as_texts(*vectors: tuple[float, float]) -> dict[str, torch.Tensor]:
    return {"vectors": torch.tensor(vectors), "attention_mask": torch.ones(len(vectors), 2)}


# Cosines 1, 0, 0 give the retriever's shares 1/2, 1/4 and 1/4; the labels' are 3/4 and 1/4, the third has none.
HAND_WORKED = {
    "kl": (kl_to_ranker, 0.75 * math.log(1.5)),
    "emdr2_nll": (emdr2_nll, -math.log(0.75 * 0.5 + 0.25 * 0.25)),
    "replug_kl": (replug_kl, 2 / 3 * math.log(8 / 9) + 1 / 3 * math.log(4 / 3)),
    "margin_mse": (margin_mse, (math.log(2) - math.log(3)) ** 2),
}


@pytest.mark.parametrize("name", HAND_WORKED)
def test_a_step_worked_by_hand_with_each_divergence(name: str) -> None:
    divergence, expected = HAND_WORKED[name]
    loss = loss_of(_Vectors(), divergence=divergence, student_temperature=1 / math.log(2))
    labels = torch.tensor([[math.log(0.75), math.log(0.25), UNLABELLED]])
    terms = loss([_as_texts((1.0, 0.0)), _as_texts((1.0, 0.0), (0.0, 1.0), (0.0, 1.0))], labels)
    assert {term: value.item() for term, value in terms.items()} == {name: pytest.approx(expected, abs=1e-6)}


@pytest.mark.parametrize("in_batch", [True, False])
@pytest.mark.parametrize("name", HAND_WORKED)
def test_every_divergence_gives_finite_gradients(name: str, in_batch: bool, tiny_model: SentenceTransformer) -> None:
    terms = run(tiny_model, divergence=HAND_WORKED[name][0], in_batch=in_batch)
    assert set(terms) == {name}
    sum(terms.values()).backward()
    gradients = [weight.grad for name, weight in tiny_model.named_parameters() if "pooler" not in name]
    assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in gradients)
    assert sum(float(gradient.abs().sum()) for gradient in gradients) > 0
