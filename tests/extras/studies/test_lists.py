"""Other orders of the lists that the LLM ranked: nothing comes in, nothing is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankstill.extras.studies import ListKind, relist
from rankstill.extras.studies.variants import draw, shorten
from rankstill.teacher import Ranking

IDS = ("a", "b", "c", "d", "e")
LLM = Ranking("q", candidates=IDS, ranking=("c", "a", "e", "b", "d"))
FOUND = {"q": ["e", "d", "x", "c", "b", "a"]}
QRELS = {"q": {"d": 1, "b": 0}}


@pytest.mark.parametrize(
    ("kind", "order"),
    [
        ("llm", "caebd"),
        ("gold-llm", "dcaeb"),
        ("first-stage", "edcba"),
        ("gold-first-stage", "decba"),
    ],
)
def test_each_kind_puts_the_same_passages_in_the_order_that_its_name_says(kind: ListKind, order: str) -> None:
    (made,) = relist([LLM], kind, FOUND, QRELS, seed=0)
    assert "".join(made.ranking) == order
    assert made.candidates == IDS


def test_gold_that_the_llm_was_not_shown_is_not_put_into_its_list() -> None:
    assert relist([LLM], "gold-llm", FOUND, {"q": {"z": 1}}, seed=0) == [LLM]


def test_a_random_order_is_the_seeds_and_differs_from_query_to_query() -> None:
    lists = [Ranking(str(number), IDS, IDS) for number in range(20)]
    made = relist(lists, "random", {}, {}, seed=1)
    assert made == relist(lists, "random", {}, {}, seed=1)
    assert made != relist(lists, "random", {}, {}, seed=2)
    assert len({each.ranking for each in made}) > 10
    assert all(sorted(each.ranking) == list(IDS) for each in made)


def test_a_shorter_list_keeps_what_the_first_stage_found_first_in_the_llms_order() -> None:
    (short,) = shorten([LLM], 3, FOUND)
    assert short.candidates == ("c", "d", "e")
    assert short.ranking == ("c", "e", "d")


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 3))
def test_a_smaller_sample_is_part_of_a_larger_one_in_the_order_of_all(one: int, other: int, seed: int) -> None:
    lists = [Ranking(str(number), IDS, IDS) for number in range(40)]
    small, large = sorted((one, other))
    drawn = draw(lists, small, seed), draw(lists, large, seed)
    assert len(drawn[0]) == small
    assert set(map(id, drawn[0])) <= set(map(id, drawn[1]))
    assert [int(each.query_id) for each in drawn[0]] == sorted(int(each.query_id) for each in drawn[0])
