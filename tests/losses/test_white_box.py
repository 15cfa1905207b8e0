"""The losses of white-box methods, EMDR2 and REPLUG LSR, from one table of log-likelihoods."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rankstill.losses.emdr2 import emdr2_nll
from rankstill.losses.kl import UNLABELLED, kl_to_ranker
from rankstill.losses.margin_mse import margin_mse
from rankstill.losses.replug import replug_kl

Loss = Callable[[torch.Tensor, torch.Tensor, float, float], torch.Tensor]

# Two queries, three passages: the answer's log-likelihood given each passage.
ALONE = np.log([[0.4, 0.1, 0.5], [0.2, 0.2, 0.1]])
COSINES = torch.tensor([[0.9, 0.5, 0.1], [0.0, 0.0, 0.0]], dtype=torch.float64)
LIKELIHOODS = arrays(np.float64, (2, 4), elements=st.floats(-20, -0.01))
SIMILARITIES = arrays(np.float64, (2, 4), elements=st.floats(-1, 1))


def test_emdr2_is_the_answers_marginal_likelihood_worked_by_hand() -> None:
    # At tau = 0.4 / ln 2 each passage gets half the share of the one before: 4/7, 2/7 and 1/7.
    losses = emdr2_nll(COSINES, torch.from_numpy(ALONE), 1.0, 0.4 / math.log(2))
    marginal = 4 / 7 * 0.4 + 2 / 7 * 0.1 + 1 / 7 * 0.5
    assert losses.tolist() == pytest.approx([-math.log(marginal), -math.log(0.5 / 3)], abs=1e-12)


@given(LIKELIHOODS, SIMILARITIES)
def test_emdr2_pulls_the_retriever_to_the_posterior_over_passages(alone: np.ndarray, similarities: np.ndarray) -> None:
    labels = torch.from_numpy(alone)
    cosines = torch.from_numpy(similarities).requires_grad_()
    (by_emdr2,) = torch.autograd.grad(emdr2_nll(cosines, labels, 1.0, 0.2).sum(), cosines)
    posterior = (labels + torch.log_softmax(cosines.detach() / 0.2, dim=1)).log_softmax(dim=1)
    (by_kl,) = torch.autograd.grad(kl_to_ranker(cosines, posterior, 1.0, 0.2).sum(), cosines)
    torch.testing.assert_close(by_emdr2, by_kl, atol=1e-9, rtol=1e-9)


def test_replug_kl_has_the_retriever_first_worked_by_hand() -> None:
    labels = torch.log(torch.tensor([[0.25, 0.25, 0.5]], dtype=torch.float64))
    divergence = replug_kl(COSINES[:1], labels, 1.0, 0.4 / math.log(2)).item()
    by_hand = sum(p * math.log(p / q) for p, q in ((4 / 7, 1 / 4), (2 / 7, 1 / 4), (1 / 7, 1 / 2)))
    assert divergence == pytest.approx(by_hand, abs=1e-12)
    the_other_way = kl_to_ranker(COSINES[:1], labels, 1.0, 0.4 / math.log(2)).item()
    assert abs(divergence - the_other_way) > 0.01


@given(SIMILARITIES, SIMILARITIES)
def test_replug_kl_is_never_negative_and_nothing_where_both_agree(one: np.ndarray, other: np.ndarray) -> None:
    cosines, scores = torch.from_numpy(one), torch.from_numpy(other)
    assert (replug_kl(cosines, scores, 0.3, 0.1) >= -1e-12).all()
    assert replug_kl(cosines, cosines, 0.1, 0.1).tolist() == pytest.approx([0.0, 0.0], abs=1e-12)


@pytest.mark.parametrize("loss", [emdr2_nll, replug_kl])
def test_passages_that_were_not_read_are_negatives_for_emdr2_alone_and_make_no_gradient_nan(loss: Loss) -> None:
    cosines = torch.cat([COSINES, torch.tensor([[0.3], [-math.inf]], dtype=torch.float64)], dim=1).requires_grad_()
    unread = torch.full((2, 1), UNLABELLED, dtype=torch.float64)
    labels = torch.cat([torch.from_numpy(ALONE), unread], dim=1)
    losses = loss(cosines, labels, 1.0, 0.1)
    (gradient,) = torch.autograd.grad(losses.sum(), cosines)
    assert torch.isfinite(gradient).all()
    if loss is replug_kl:
        torch.testing.assert_close(losses, replug_kl(COSINES, torch.from_numpy(ALONE), 1.0, 0.1))
        assert gradient[:, 3].tolist() == [0.0, 0.0]
    else:
        assert gradient[0, 3] > 0  # an in-batch negative
        torch.testing.assert_close(losses[1], emdr2_nll(COSINES, torch.from_numpy(ALONE), 1.0, 0.1)[1])


@pytest.mark.parametrize("loss", [emdr2_nll, replug_kl, margin_mse, kl_to_ranker])
def test_every_loss_in_the_place_of_kl_brings_the_best_labelled_passage_to_the_top(loss: Loss) -> None:
    labels = torch.tensor([[-3.0, -1.0, -2.0, UNLABELLED]])
    similarities = torch.tensor([[0.3, -0.1, 0.2, 0.0]], requires_grad=True)
    optimizer = torch.optim.SGD([similarities], lr=0.01)
    for _ in range(300):
        optimizer.zero_grad()
        loss(torch.tanh(similarities), labels, 1.0, 0.2).sum().backward()
        optimizer.step()
    assert similarities[0, :3].argsort(descending=True)[0] == 1
