"""Reciprocal rank fusion."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankstill.retrieval.first_stage import reciprocal_rank_fusion


def test_hand_worked_example() -> None:
    positions, scores = reciprocal_rank_fusion([np.array([3, 1, 2]), np.array([1, 4])], n=10, k=60)
    assert positions.tolist() == [1, 3, 4, 2]
    assert scores.tolist() == pytest.approx([1 / 62 + 1 / 61, 1 / 61, 1 / 62, 1 / 63])


def test_only_the_best_n_are_returned() -> None:
    positions, scores = reciprocal_rank_fusion([np.array([5, 6, 7]), np.array([7, 6, 5])], n=2)
    assert positions.tolist() == [5, 7]
    assert scores.shape == (2,)


def test_ties_stand_in_order_of_position() -> None:
    positions, _ = reciprocal_rank_fusion([np.array([9, 2]), np.array([2, 9])], n=2)
    assert positions.tolist() == [2, 9]


def test_a_small_constant_lets_the_first_ranks_stand_out() -> None:
    rankings = [np.array([1, 2, 3]), np.array([4, 2, 3])]
    assert reciprocal_rank_fusion(rankings, 1, k=60)[0].tolist() == [2]
    assert reciprocal_rank_fusion(rankings, 1, k=0.0)[0].tolist() == [1]


RANKINGS = st.lists(
    st.lists(st.integers(0, 20), min_size=1, max_size=10, unique=True).map(np.array), min_size=1, max_size=4
)


@given(RANKINGS, st.randoms(use_true_random=False))
def test_the_order_of_the_rankings_does_not_matter(rankings: list[np.ndarray], random: Random) -> None:
    shuffled = random.sample(rankings, len(rankings))
    positions, scores = reciprocal_rank_fusion(rankings, 30)
    again, scores_again = reciprocal_rank_fusion(shuffled, 30)
    np.testing.assert_allclose(scores, scores_again, rtol=1e-6)
    assert set(positions.tolist()) == set(again.tolist()) == {p for ranking in rankings for p in ranking.tolist()}


@given(RANKINGS, st.permutations(range(21)))
def test_renaming_the_passages_renames_the_result(rankings: list[np.ndarray], names: list[int]) -> None:
    renamed = [np.array(names)[ranking] for ranking in rankings]
    before = dict(zip(*(column.tolist() for column in reciprocal_rank_fusion(rankings, 30)), strict=True))
    after = dict(zip(*(column.tolist() for column in reciprocal_rank_fusion(renamed, 30)), strict=True))
    assert {names[position]: score for position, score in before.items()} == after


@given(st.lists(st.integers(0, 20), min_size=1, max_size=10, unique=True), st.integers(1, 4))
def test_fusing_a_ranking_with_itself_changes_nothing(ranking: list[int], copies: int) -> None:
    assert reciprocal_rank_fusion([np.array(ranking)] * copies, 30)[0].tolist() == ranking
