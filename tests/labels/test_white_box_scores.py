"""White-box methods: targets from one table of log-likelihoods."""

from __future__ import annotations

import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rankstill.labels.white_box_scores import SCORES_OF
from rankstill.losses.kl import kl_to_ranker

# Two queries, three passages: the answer's likelihood given each passage alone, and given all but it.
ALONE = np.log([[0.4, 0.1, 0.5], [0.2, 0.2, 0.1]])
LEFT_OUT = np.log([[0.1, 0.5, 0.2], [0.3, 0.3, 0.3]])
COSINES = torch.tensor([[0.9, 0.5, 0.1], [0.0, 0.0, 0.0]], dtype=torch.float64)
LIKELIHOODS = arrays(np.float64, (2, 4), elements=st.floats(-20, -0.01))


def target(scores: np.ndarray, temperature: float) -> np.ndarray:
    """The distribution over passages that a method teaches: softmax(scores / T)."""
    powers = np.exp((scores - scores.max(axis=-1, keepdims=True)) / temperature)
    return powers / powers.sum(axis=-1, keepdims=True)


def test_pdist_weighs_passages_by_the_answers_likelihood() -> None:
    np.testing.assert_allclose(target(SCORES_OF["pdist"](ALONE), 1.0), [[0.4, 0.1, 0.5], [0.4, 0.4, 0.2]], atol=1e-12)
    # At T = 1/2 likelihoods are squared: 16, 1 and 25 of 42.
    np.testing.assert_allclose(target(SCORES_OF["pdist"](ALONE), 0.5)[0], [16 / 42, 1 / 42, 25 / 42], atol=1e-12)


def test_loop_weighs_a_passage_by_how_much_the_answer_misses_it() -> None:
    # 1/0.1, 1/0.5 and 1/0.2: 10, 2 and 5 of 17.
    np.testing.assert_allclose(
        target(SCORES_OF["loop"](LEFT_OUT), 1.0), [[10 / 17, 2 / 17, 5 / 17], [1 / 3, 1 / 3, 1 / 3]], atol=1e-12
    )


def test_adist_is_the_softmax_of_attention() -> None:
    attention = np.array([[0.3, 0.1, 0.0]])
    powers = [math.e**3, math.e, 1.0]
    expected = [power / sum(powers) for power in powers]
    np.testing.assert_allclose(target(SCORES_OF["adist"](attention), 0.1)[0], expected, atol=1e-12)


def test_replug_puts_likelihoods_and_not_their_logarithms_into_the_exponent() -> None:
    powers = [math.exp(likelihood / 0.1) for likelihood in (0.4, 0.1, 0.5)]
    expected = [power / sum(powers) for power in powers]
    np.testing.assert_allclose(target(SCORES_OF["replug-lsr"](ALONE), 0.1)[0], expected, atol=1e-12)


@given(LIKELIHOODS, st.floats(0.05, 5))
def test_replug_never_prefers_a_passage_by_more_than_its_temperature_allows(alone: np.ndarray, beta: float) -> None:
    shares = target(SCORES_OF["replug-lsr"](alone), beta)
    assert (shares.max(axis=1) / shares.min(axis=1) <= math.exp(1 / beta) * (1 + 1e-9)).all()


@given(LIKELIHOODS, st.floats(0.01, 10), st.sampled_from(["pdist", "loop", "adist", "replug-lsr"]))
def test_targets_are_distributions_whatever_the_likelihoods(
    signal: np.ndarray, temperature: float, method: str
) -> None:
    shares = target(SCORES_OF[method](signal), temperature)
    assert (shares >= 0).all()
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)


@given(LIKELIHOODS)
def test_the_passage_with_the_likeliest_answer_gets_most_by_pdist_and_least_by_loop(alone: np.ndarray) -> None:
    best = alone.argmax(axis=1)
    rows = np.arange(len(alone))
    pdist, loop = (target(SCORES_OF[method](alone), 1.0) for method in ("pdist", "loop"))
    np.testing.assert_array_equal(pdist[rows, best], pdist.max(axis=1))
    np.testing.assert_array_equal(loop[rows, best], loop.min(axis=1))


def test_training_learns_the_very_target_from_scores_and_temperature() -> None:
    scores = SCORES_OF["pdist"](ALONE)
    shares = torch.from_numpy(target(scores, 0.7))
    retriever = torch.log_softmax(COSINES / 0.1, dim=1)
    by_hand = (shares * (shares.log() - retriever)).sum(dim=1)
    torch.testing.assert_close(kl_to_ranker(COSINES, torch.from_numpy(scores), 0.7, 0.1), by_hand)
