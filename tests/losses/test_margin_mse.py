"""Margin-MSE."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rankstill.losses.kl import UNLABELLED
from rankstill.losses.margin_mse import margin_mse

MATRIX = arrays(np.float64, (2, 4), elements=st.floats(-1, 1))


def test_three_passages_worked_by_hand() -> None:
    cosines = torch.tensor([[0.2, 0.8, 0.5]], dtype=torch.float64)
    labels = torch.tensor([[1.0, 5.0, 3.0]], dtype=torch.float64)
    # Over tau = 0.1 the retriever's margins are 6 and 3, the ranker's 4 and 2: (2^2 + 1^2) / 2.
    assert margin_mse(cosines, labels, 1.0, 0.1).item() == pytest.approx(2.5, abs=1e-6)
    # At T = 2 the ranker's are 2 and 1: (4^2 + 2^2) / 2.
    assert margin_mse(cosines, labels, 2.0, 0.1).item() == pytest.approx(10.0, abs=1e-6)


@given(MATRIX, st.floats(-5, 5))
def test_right_margins_cost_nothing_wherever_the_scores_lie(similarities: np.ndarray, shift: float) -> None:
    cosines = torch.from_numpy(similarities)
    labels = cosines / 0.1 + shift
    assert margin_mse(cosines, labels, 1.0, 0.1).tolist() == pytest.approx([0.0, 0.0], abs=1e-9)


@given(MATRIX, MATRIX)
def test_a_query_of_two_passages_loses_the_squared_error_of_one_margin(
    similarities: np.ndarray, scores: np.ndarray
) -> None:
    cosines, labels = (torch.from_numpy(each[:, :2]) for each in (similarities, scores))
    best = labels.argmax(dim=1, keepdim=True)
    student, teacher = ((each.gather(1, best) - each.gather(1, 1 - best))[:, 0] for each in (cosines, labels))
    expected = torch.nn.functional.mse_loss(student, teacher)
    torch.testing.assert_close(margin_mse(cosines, labels, 1.0, 1.0).mean(), expected)


def test_unlabelled_and_excluded_passages_are_no_negatives() -> None:
    cosines = torch.tensor([[0.2, 0.8, 0.5, 0.9], [0.1, 0.2, -math.inf, 0.4]], requires_grad=True)
    labels = torch.tensor([[1.0, 5.0, 3.0, UNLABELLED], [UNLABELLED, UNLABELLED, UNLABELLED, 1.0]])
    losses = margin_mse(cosines, labels, 1.0, 0.1)
    assert losses.tolist() == pytest.approx([2.5, 0.0], abs=1e-5)
    losses.sum().backward()
    assert torch.isfinite(cosines.grad).all()
    assert cosines.grad[0, 3] == 0
    assert cosines.grad[1].tolist() == [0.0] * 4
