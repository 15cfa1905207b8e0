"""KL divergence from the ranker's distribution to the retriever's."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rankstill.losses.kl import UNLABELLED, distribution, kl_to_ranker


def pair(rows: int, columns: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random cosines and ranker scores."""
    source = torch.Generator().manual_seed(seed)
    return torch.rand(rows, columns, generator=source) * 2 - 1, torch.randn(rows, columns, generator=source) * 3


def test_two_passages_worked_by_hand() -> None:
    labels = torch.tensor([[math.log(3), 0.0]])
    expected = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert kl_to_ranker(torch.tensor([[0.2, 0.2]]), labels, 1.0, 0.05).item() == pytest.approx(expected)


def test_temperatures_divide_scores_and_cosines() -> None:
    assert distribution(torch.tensor([[2 * math.log(3), 0.0]]), 2.0)[0].tolist() == pytest.approx([0.75, 0.25])
    cosines, labels = pair(3, 6, seed=0)
    tempered = kl_to_ranker(cosines, labels, 2.0, 0.1)
    torch.testing.assert_close(tempered, kl_to_ranker(cosines / 0.1, labels / 2.0, 1.0, 1.0))


@given(st.integers(1, 5), st.integers(2, 9), st.integers(0, 10_000))
def test_agrees_with_torch(rows: int, columns: int, seed: int) -> None:
    cosines, labels = pair(rows, columns, seed)
    got = kl_to_ranker(cosines, labels, 1.5, 0.05)
    retriever, ranker = torch.log_softmax(cosines / 0.05, dim=1), torch.softmax(labels / 1.5, dim=1)
    expected = torch.nn.functional.kl_div(retriever, ranker, reduction="none").sum(dim=1)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
    assert (got >= -1e-6).all()


@pytest.mark.parametrize(("teacher", "student"), [(1.0, 0.05), (3.0, 0.2)])
def test_agrees_with_the_librarys_distillation_loss_up_to_its_scale(teacher: float, student: float) -> None:
    from sentence_transformers.sentence_transformer.losses import DistillKLDivLoss
    from sentence_transformers.util import pairwise_cos_sim

    source = torch.Generator().manual_seed(1)
    queries, *passages = (torch.randn(4, 32, generator=source) for _ in range(7))
    labels = torch.randn(4, 6, generator=source)
    cosines = torch.stack([pairwise_cos_sim(queries, each) for each in passages], dim=1)
    library = DistillKLDivLoss(
        torch.nn.Identity(), similarity_fct=pairwise_cos_sim, teacher_temperature=teacher, student_temperature=student
    )
    # The library's loss is scaled by the student temperature squared; ours is the divergence itself.
    expected = library.compute_loss_from_embeddings([queries, *passages], labels) / student**2
    assert kl_to_ranker(cosines, labels, teacher, student).mean().item() == pytest.approx(expected.item(), rel=1e-4)


@given(st.integers(0, 10_000), st.floats(-5, 5))
def test_a_retriever_that_agrees_with_the_ranker_has_nothing_to_learn(seed: int, shift: float) -> None:
    _, labels = pair(3, 5, seed)
    cosines = (labels / 2.0 + shift) * 0.05
    torch.testing.assert_close(kl_to_ranker(cosines, labels, 2.0, 0.05), torch.zeros(3), atol=1e-4, rtol=0)


def test_a_passage_without_a_label_counts_as_irrelevant_unless_it_is_taken_out() -> None:
    labels = torch.tensor([[0.0, UNLABELLED]])
    assert kl_to_ranker(torch.tensor([[0.3, 0.3]]), labels, 1.0, 0.05).item() == pytest.approx(math.log(2))
    assert kl_to_ranker(torch.tensor([[0.3, -math.inf]]), labels, 1.0, 0.05).item() == 0.0


@pytest.mark.parametrize("other", [0.9, -math.inf])
def test_gradients_stay_finite_where_there_is_no_mass(other: float) -> None:
    cosines = torch.tensor([[0.1, 0.4, other]], requires_grad=True)
    kl_to_ranker(cosines, torch.tensor([[1.0, 1e4, UNLABELLED]]), 1.0, 0.05).sum().backward()
    assert torch.isfinite(cosines.grad).all()
    assert cosines.grad[0, 1] < 0 < cosines.grad[0, 0]  # up to the ranker's choice, away from the other
