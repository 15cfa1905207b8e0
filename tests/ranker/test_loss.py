"""Listwise losses over prior + cross-encoder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from sentence_transformers.cross_encoder import losses

from rankstill.compute.memory import DeviceMemory
from rankstill.losses.listmle import plackett_luce_nll
from rankstill.ranker.loss import ListwiseLoss
from rankstill.ranker.model import start_cross_encoder

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

    from rankstill.ranker import RankedList

pytestmark = pytest.mark.usefixtures("full_precision")

LIBRARY: dict[str, Any] = {
    "plistmle": lambda model: losses.PListMLELoss(model, mini_batch_size=-1, respect_input_order=False),
    "listnet": lambda model: losses.ListNetLoss(model, mini_batch_size=-1),
    "ranknet": lambda model: losses.RankNetLoss(model, mini_batch_size=-1),
    "lambda": lambda model: losses.LambdaLoss(model, mini_batch_size=-1),
}
NAMES = ["listmle", *LIBRARY]


class Batch:
    """Three lists of 5, 3 and 4 passages; the second and third have a tail that the teacher did not order."""

    def __init__(self, lists: list[RankedList]) -> None:
        self.queries = [entry.query for entry in lists[:3]]
        self.passages = [list(entry.passages[:size]) for entry, size in zip(lists, (5, 3, 4), strict=False)]
        self.prior = [torch.randn(size, generator=torch.Generator().manual_seed(size)) for size in (5, 3, 4)]
        self.known = torch.tensor([5, 2, 2])
        self.labels = torch.tensor([[5.0, 1.0], [2.0, 1.0], [2.0, 1.0]])

    def grades(self) -> list[torch.Tensor]:
        return [torch.tensor([5, 4, 3, 2, 1]), torch.tensor([2, 1, 0]), torch.tensor([2, 1, 0, 0])]

    def scores(self, model: CrossEncoder) -> list[torch.Tensor]:
        pairs = [(query, each) for query, listed in zip(self.queries, self.passages, strict=True) for each in listed]
        raw = model.predict(pairs, activation_fn=torch.nn.Identity(), convert_to_tensor=True)
        return [score + prior for score, prior in zip(raw.split([5, 3, 4]), self.prior, strict=True)]


@pytest.fixture
def batch(toy_lists: list[RankedList]) -> Batch:
    return Batch(toy_lists)


@pytest.mark.parametrize("name", NAMES)
def test_every_loss_is_finite_and_teaches_every_part_of_the_model(
    cross_encoder: CrossEncoder, batch: Batch, name: str
) -> None:
    loss = ListwiseLoss(cross_encoder, name, micro_batch=4)([batch.queries, batch.passages, batch.prior], batch.labels)
    assert loss.shape == ()
    assert 0 < loss.item() < 100
    loss.backward()
    for parameter in (cross_encoder[2].linear.weight, cross_encoder[0].auto_model.embeddings.word_embeddings.weight):
        assert torch.isfinite(parameter.grad).all()
        assert parameter.grad.abs().sum() > 0


def test_listmle_is_the_likelihood_of_prior_plus_cross_encoder(cross_encoder: CrossEncoder, batch: Batch) -> None:
    alone = [
        plackett_luce_nll(scores[None], known[None])
        for scores, known in zip(batch.scores(cross_encoder), batch.known, strict=True)
    ]
    loss = ListwiseLoss(cross_encoder, "listmle")([batch.queries, batch.passages, batch.prior], batch.labels)
    assert loss.item() == pytest.approx(torch.cat(alone).mean().item(), rel=1e-4)


def test_a_list_that_weighs_nothing_teaches_listmle_nothing(cross_encoder: CrossEncoder, batch: Batch) -> None:
    batch.labels[:, 1] = torch.tensor([0.5, 0.0, 1.0])
    first, _, third = (
        plackett_luce_nll(scores[None], known[None]).item()
        for scores, known in zip(batch.scores(cross_encoder), batch.known, strict=True)
    )
    loss = ListwiseLoss(cross_encoder, "listmle")([batch.queries, batch.passages, batch.prior], batch.labels)
    assert loss.item() == pytest.approx((0.5 * first + third) / 1.5, rel=1e-4)


@pytest.mark.parametrize("micro_batch", [1, 5, 100])
def test_the_size_of_a_forward_pass_does_not_change_the_loss(
    cross_encoder: CrossEncoder, batch: Batch, micro_batch: int
) -> None:
    inputs = [batch.queries, batch.passages, batch.prior]
    expected = ListwiseLoss(cross_encoder, "listmle", micro_batch=3)(inputs, batch.labels)
    got = ListwiseLoss(cross_encoder, "listmle", micro_batch)(inputs, batch.labels)
    assert got.item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_gradients_in_micro_batches_are_those_of_all_pairs_at_once(
    cross_encoder: CrossEncoder, batch: Batch, name: str, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DeviceMemory, "fits_step", lambda memory, tokens: kept)
    cross_encoder.double()
    loss = ListwiseLoss(cross_encoder, name, micro_batch=5)
    pairs = [(query, each) for query, listed in zip(batch.queries, batch.passages, strict=True) for each in listed]
    at_once = cross_encoder(cross_encoder.preprocess(pairs))["scores"].view(-1)
    gradients = []
    for scores in (loss._cross_encode(pairs), at_once):
        cross_encoder.zero_grad()
        loss._cross_encode = lambda _, scores=scores: scores
        loss([batch.queries, batch.passages, batch.prior], batch.labels).backward()
        gradients.append({name: each.grad for name, each in cross_encoder.named_parameters() if each.grad is not None})
    got, expected = gradients
    assert got.keys() == expected.keys()
    for parameter, gradient in expected.items():
        torch.testing.assert_close(got[parameter], gradient, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", LIBRARY)
def test_the_librarys_losses_are_the_librarys(cross_encoder: CrossEncoder, batch: Batch, name: str) -> None:
    nothing = [torch.zeros_like(prior) for prior in batch.prior]
    loss = ListwiseLoss(cross_encoder, name)([batch.queries, batch.passages, nothing], batch.labels)
    expected = LIBRARY[name](cross_encoder)([batch.queries, batch.passages], batch.grades())
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("name", LIBRARY)
def test_the_librarys_losses_see_the_prior_as_they_would_see_a_models_scores(
    cross_encoder: CrossEncoder, batch: Batch, tiny_model_folder: Path, name: str
) -> None:
    silent = start_cross_encoder(str(tiny_model_folder), 64, "cpu")  # scores 0, so that all comes from the prior
    scores = [score - prior for score, prior in zip(batch.scores(cross_encoder), batch.prior, strict=True)]
    loss = ListwiseLoss(silent, name)([batch.queries, batch.passages, scores], batch.labels)
    expected = LIBRARY[name](cross_encoder)([batch.queries, batch.passages], batch.grades())
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)


def test_complete_lists_lose_what_the_librarys_listmle_says(
    cross_encoder: CrossEncoder, toy_lists: list[RankedList]
) -> None:
    lists = toy_lists[:4]
    queries, passages = [entry.query for entry in lists], [list(entry.passages) for entry in lists]
    labels = [torch.arange(5, 0, -1)] * 4
    with torch.no_grad():
        expected = losses.ListMLELoss(cross_encoder, mini_batch_size=-1)([queries, passages], labels)
    pairs = [(entry.query, passage) for entry in lists for passage in entry.passages]
    scores = cross_encoder.predict(pairs, activation_fn=torch.nn.Identity(), convert_to_tensor=True).view(4, 5)
    assert plackett_luce_nll(scores, torch.tensor([5] * 4)).mean().item() == pytest.approx(expected.item(), rel=1e-4)
