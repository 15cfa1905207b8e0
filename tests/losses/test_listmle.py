"""ListMLE: the negative log-likelihood of an order."""

from __future__ import annotations

import math
from itertools import permutations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rankstill.losses.listmle import plackett_luce_nll

SCORES = st.lists(st.floats(-30, 30, width=32), min_size=2, max_size=6)


def nll(scores: list[float], known: int | None = None) -> float:
    order = torch.tensor([scores], dtype=torch.float64)
    return float(plackett_luce_nll(order, torch.tensor([len(scores) if known is None else known])))


def test_three_passages_worked_by_hand() -> None:
    first = -math.log(math.e**2 / (math.e**2 + math.e + 1))
    second = -math.log(math.e / (math.e + 1))
    assert nll([2, 1, 0]) == pytest.approx(first + second)
    assert nll([2, 1, 0], known=1) == pytest.approx(first)
    assert nll([2, 1, 0], known=0) == 0


def test_equal_scores_make_every_order_equally_likely() -> None:
    assert nll([0.3] * 5) == pytest.approx(math.log(math.factorial(5)))


@given(st.lists(st.floats(-5, 5), min_size=4, max_size=4))
def test_probabilities_of_all_orders_sum_to_one(scores: list[float]) -> None:
    assert sum(math.exp(-nll(list(order))) for order in permutations(scores)) == pytest.approx(1)


@given(st.lists(st.floats(-5, 5), min_size=5, max_size=5), st.integers(1, 4))
def test_a_partial_order_is_as_likely_as_all_orders_that_complete_it(scores: list[float], known: int) -> None:
    complete = sum(math.exp(-nll(scores[:known] + list(tail))) for tail in permutations(scores[known:]))
    assert math.exp(-nll(scores, known)) == pytest.approx(complete)


@given(SCORES, st.floats(-100, 100))
def test_adding_a_constant_changes_nothing(scores: list[float], constant: float) -> None:
    assert nll([score + constant for score in scores]) == pytest.approx(nll(scores), rel=1e-6, abs=1e-6)


@given(SCORES)
def test_no_order_is_likelier_than_that_of_the_scores(scores: list[float]) -> None:
    best = nll(sorted(scores, reverse=True))
    assert 0 <= best <= nll(scores) + 1e-9


def test_lists_of_a_batch_do_not_touch_each_other() -> None:
    together = plackett_luce_nll(torch.tensor([[2.0, 1.0, 0.0], [0.0, 5.0, 1.0]]), torch.tensor([3, 2]))
    assert together.tolist() == pytest.approx([nll([2, 1, 0]), nll([0, 5, 1], known=2)], rel=1e-5)


def test_padding_changes_neither_loss_nor_gradient() -> None:
    short = torch.tensor([[1.0, -2.0, 0.5]], requires_grad=True)
    padded = torch.tensor([[1.0, -2.0, 0.5, -math.inf, -math.inf]], requires_grad=True)
    for known in (3, 2):
        expected, got = (plackett_luce_nll(scores, torch.tensor([known])).sum() for scores in (short, padded))
        assert got.item() == pytest.approx(expected.item())
        (gradient,) = torch.autograd.grad(expected, short)
        (padded_gradient,) = torch.autograd.grad(got, padded)
        torch.testing.assert_close(padded_gradient[:, :3], gradient)
        assert padded_gradient[0, 3:].tolist() == [0.0, 0.0]


def test_scores_of_any_size_give_finite_losses_and_gradients() -> None:
    # The library's ListMLELoss before 6.2 gave NaN here.
    scores = torch.tensor([[100.0, 50.0, 0.0], [0.0, 50.0, 100.0], [0.0, 1e30, -1e30]], requires_grad=True)
    losses = plackett_luce_nll(scores, torch.tensor([3, 3, 3]))
    assert losses[:2].tolist() == pytest.approx([0.0, 150.0])
    losses[:2].sum().backward()
    assert torch.isfinite(losses).all()
    assert torch.isfinite(scores.grad).all()
    assert scores.grad[1].tolist() == pytest.approx([-1.0, -1.0, 2.0], abs=1e-4)
