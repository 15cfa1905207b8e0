"""Which lists teach nothing: enough of them, whole groups, and whatever the LLM said."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from rankstill.evaluation.holding_out import HeldOutLists, draw_groups, groups_of_alike, hold_out_lists
from rankstill.teacher import Ranking


def ranking(number: int, passages: Sequence[str]) -> Ranking:
    return Ranking(f"q{number}", tuple(passages), tuple(reversed(passages)))


def apart(count: int) -> list[Ranking]:
    """Lists that have nothing in common."""
    return [ranking(number, [f"p{number}-{place}" for place in range(5)]) for number in range(count)]


def directions(count: int) -> NDArray[np.float32]:
    """Query vectors at right angles."""
    return np.eye(count, dtype=np.float32)


@pytest.mark.parametrize(("lists", "share", "held"), [(40, 0.15, 20), (200, 0.15, 30), (200, 0.5, 100)])
def test_a_share_is_held_out_and_twenty_at_least(lists: int, share: float, held: int) -> None:
    found = hold_out_lists(apart(lists), lambda: directions(lists), share, seed=0)
    assert (len(set(found.queries)), found.lists, found.why) == (held, lists, "")
    assert f"{held} of the LLM's {lists} lists teach nothing" in found.describe()


@pytest.mark.parametrize(
    ("lists", "share", "why"), [(39, 0.15, "39 are too few, it takes 40"), (200, 0.0, "evaluation.holdout is 0")]
)
def test_where_none_is_held_out_it_says_why_and_encodes_nothing(lists: int, share: float, why: str) -> None:
    def never() -> NDArray[np.float32]:
        raise AssertionError("no vector is needed")

    found = hold_out_lists(apart(lists), never, share, seed=0)
    assert found.queries == ()
    assert why in found.describe()


def test_another_seed_draws_others_and_the_same_one_the_same() -> None:
    draws = [hold_out_lists(apart(100), lambda: directions(100), 0.2, seed).queries for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]


def test_what_the_llm_said_does_not_move_the_draw() -> None:
    lists = apart(60)
    others = [Ranking(each.query_id, each.candidates, each.candidates[:2]) for each in lists]
    assert hold_out_lists(lists, lambda: directions(60), 0.15, 0) == hold_out_lists(
        others, lambda: directions(60), 0.15, 0
    )


def test_lists_are_alike_by_more_than_half_of_the_shorter_ones_passages() -> None:
    lists = ["abcd", "abcxyz", "xyuv", "u", "mnop"]
    groups = groups_of_alike(lists, directions(5))
    assert groups[0] == groups[1]  # three of four
    assert groups[1] != groups[2]  # two of four are half, and not more
    assert groups[2] == groups[3]  # the one that the shorter has
    assert len(set(groups.tolist())) == 3


def test_lists_are_alike_by_near_duplicate_queries() -> None:
    vectors = np.array([[1, 0], [0.96, 0.28], [0.94, -0.3412], [0, 1]], dtype=np.float32)
    groups = groups_of_alike(["ab", "cd", "ef", "gh"], vectors)
    assert groups[0] == groups[1]  # cosine 0.96
    assert len(set(groups.tolist())) == 3  # 0.94 is not enough


def test_a_chain_of_alike_lists_is_one_group_however_many_queries_lie_between() -> None:
    count = 1100  # more than are compared at once
    vectors = directions(count)
    vectors[1050] = vectors[3]
    groups = groups_of_alike(
        [f"{chr(300 + number)}{chr(301 + number)}{chr(5000 + number)}" for number in range(count)], vectors
    )
    assert groups[1050] == groups[3]
    assert len(set(groups.tolist())) == count - 1


def test_groups_are_drawn_whole() -> None:
    groups = np.array([0, 1, 0, 2, 0, 3, 4, 4, 5, 6])
    for seed in range(20):
        rows = set(draw_groups(groups, 4, seed).tolist())
        assert len(rows) == 4
        for group in range(7):
            own = set(np.flatnonzero(groups == group).tolist())
            assert own <= rows or not own & rows


def test_lists_that_all_hang_together_are_not_torn_apart() -> None:
    lists = [ranking(number, ["a", "b", "c", f"own-{number}"]) for number in range(100)]
    found = hold_out_lists(lists, lambda: directions(100), 0.15, seed=0)
    assert found == HeldOutLists(
        (), 100, "100 of 100 are linked by shared passages or queries, and the rest are too few"
    )
