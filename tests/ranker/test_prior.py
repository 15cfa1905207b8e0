"""The prior: a weighted sum of first-stage scores, fitted by the likelihood of the teacher's rankings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rankstill.ranker.prior import Prior, fit_prior

NAMES = ("dense", "bm25", "late")


def ranked_by(weights: tuple[float, ...], lists: int, sizes: tuple[int, ...], seed: int) -> list[np.ndarray]:
    """Features of passages in orders drawn from the Plackett-Luce model of their weighted sums."""
    random = np.random.default_rng(seed)
    drawn = []
    for row in range(lists):
        features = random.normal(0, 0.5, size=(sizes[row % len(sizes)], len(weights))).astype(np.float32)
        noisy = features @ np.array(weights) + random.gumbel(size=len(features))  # sorting these samples from the model
        drawn.append(features[np.argsort(-noisy)])
    return drawn


@pytest.mark.parametrize("sizes", [(10,), (4, 10, 7)])
def test_the_weights_behind_the_rankings_are_found(sizes: tuple[int, ...]) -> None:
    lists = ranked_by((5.0, 2.0, -1.0), 600, sizes, seed=1)
    prior = fit_prior(NAMES, lists, [len(rows) for rows in lists])
    assert prior.features == NAMES
    assert prior.weights == pytest.approx((5.0, 2.0, -1.0), abs=0.3)


def test_the_leading_places_alone_tell_the_weights_too() -> None:
    lists = ranked_by((5.0, 2.0, -1.0), 1000, (10,), seed=2)
    tails_shuffled = [np.concatenate([rows[:3], rows[:2:-1]]) for rows in lists]
    assert fit_prior(NAMES, tails_shuffled, [3] * 1000).weights == pytest.approx((5.0, 2.0, -1.0), abs=0.4)


def test_a_constant_feature_gets_no_weight() -> None:
    lists = ranked_by((5.0, 2.0, 0.0), 50, (10,), seed=3)
    for row, features in enumerate(lists):
        features[:, 2] = row  # tells lists apart, but never the passages of one
    assert fit_prior(NAMES, lists, [10] * 50).weights[2] == pytest.approx(0.0, abs=1e-3)


def test_a_perfect_feature_gets_the_weight_at_which_the_penalty_stops_paying() -> None:
    lists = [np.array([[3.0, 0, 0], [2.0, 0, 0], [1.0, 0, 0]], dtype=np.float32)] * 20
    weight = fit_prior(NAMES, lists, [3] * 20, ridge=0.01).weights[0]

    def penalised(w: float) -> float:
        return np.log1p(np.exp(-w) + np.exp(-2 * w)) + np.log1p(np.exp(-w)) + 0.01 * w**2

    assert weight > 1
    assert penalised(weight) < min(penalised(0.9 * weight), penalised(1.1 * weight))


def test_score_is_the_weighted_sum() -> None:
    prior = Prior(NAMES, (2.0, 0.5, -1.0))
    scores = prior.scores(np.array([[[1, 2, 3], [0, 4, 0]]], dtype=np.float32))
    assert scores.tolist() == [[0.0, 2.0]]
    assert scores.dtype == np.float32


def test_a_prior_survives_saving_exactly(tmp_path: Path) -> None:
    prior = Prior(NAMES, (1 / 3, -0.0, 1e-17))
    prior.save(tmp_path / "prior.json")
    assert Prior.load(tmp_path / "prior.json") == prior


def test_lists_count_by_their_weight() -> None:
    lists = ranked_by((5.0, 2.0, -1.0), 300, (10,), seed=4)
    contrary = [rows[::-1] for rows in lists]
    alone = fit_prior(NAMES, lists, [10] * 300).weights
    both = fit_prior(NAMES, [*lists, *contrary], [10] * 600, [1.0] * 300 + [0.0] * 300).weights
    assert both == pytest.approx(alone, rel=1e-3)
    assert fit_prior(NAMES, [*lists, *contrary], [10] * 600).weights[0] < 0.5 * alone[0]
