"""Agreement with the LLM: what the figures mean, and that they are never taken for relevance."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from rankstill.evaluation.agreement import Agreement, Symptoms, agreement_table, by_chance, evenness, list_values
from rankstill.evaluation.systems import BEFORE, DISTILLED
from rankstill.labels import LabelledQuery
from rankstill.teacher import Ranking

LISTS = [
    Ranking("q0", ("c", "a", "b", "d"), ("a", "b", "c", "d")),
    Ranking("q1", ("e", "f", "g", "h"), ("g", "e")),  # two that the LLM left out
]
NOTHING = Symptoms(lists=40, enough=50, evenness=0.5, by_people=None, carried_over=None)


def values(*scores: list[float]) -> dict[str, list[float]]:
    """Of each measure, of each list; scores in the LLM's order, then those that it left out."""
    measured = list_values(LISTS, [np.array(each) for each in scores], k=4)
    return {name: list(by_list.values()) for name, by_list in measured.items()}


def test_the_llms_own_order_agrees_wholly_and_the_reversed_one_least() -> None:
    own = values([4, 3, 2, 1], [4, 3, 0, 0])
    assert own["nDCG@4"] == pytest.approx([1, 1])
    assert own["Kendall's tau"] == pytest.approx([1, 1])
    assert own["Hit@1"] == [1, 1]
    reverse = values([1, 2, 3, 4], [-4, -3, 0, 0])
    assert reverse["Kendall's tau"] == pytest.approx([-1, -1])
    assert reverse["Hit@1"] == [0, 0]


def test_gains_are_the_llms_ranks() -> None:
    ndcg, _ = values([3, 4, 2, 1], [4, 3, 0, 0])["nDCG@4"]
    discounts = 1 / np.log2([2, 3, 4, 5])
    assert ndcg == pytest.approx(np.dot([3, 4, 2, 1], discounts) / np.dot([4, 3, 2, 1], discounts))


def test_a_system_that_cannot_tell_passages_apart_has_tau_0() -> None:
    assert values([0, 0, 0, 0], [4, 3, 0, 0])["Kendall's tau"] == pytest.approx([0, 1])


@pytest.mark.parametrize("k", [2, 4, 10])
def test_chance_is_the_mean_over_all_orders(k: int) -> None:
    every = []
    for order in itertools.permutations(range(4)):
        by_list = list_values(LISTS, [np.array(order, dtype=float)] * 2, k)[f"nDCG@{k}"]
        every.append(np.mean(list(by_list.values())))
    assert by_chance(LISTS, k) == pytest.approx(np.mean(every))


def test_it_says_what_it_is_and_what_it_cannot_see() -> None:
    old, new = (
        [np.array([1.0, 2, 3, 4]), np.array([0.0, 1, 2, 3])],
        [np.array([4.0, 3, 2, 1]), np.array([4.0, 3, 0, 0])],
    )
    found = Agreement(agreement_table(LISTS, {BEFORE: old, DISTILLED: new}, 4, 0, 100), "", 0.7, NOTHING)
    told = found.to_markdown()
    assert "**Agreement with the LLM on 2 lists that taught nothing" in told
    assert "they do not cover other passages, and do not show whether the LLM is right" in told
    assert "a random order has 0.700" in told
    assert Agreement.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_without_lists_it_says_why() -> None:
    found = Agreement(None, "24 are too few, it takes 40 and better many more", 0.0, NOTHING)
    assert found.to_markdown() == "Not measured: 24 are too few, it takes 40 and better many more.\n"
    assert Agreement.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_even_labels_are_flat_and_a_lower_temperature_sharpens_them() -> None:
    def labelled(*scores: float) -> LabelledQuery:
        return LabelledQuery("q", "q", "unranked", np.arange(len(scores)), np.array(scores, dtype=np.float32))

    assert evenness([labelled(1, 1, 1)], 1.0) == pytest.approx(1)
    assert evenness([labelled(50, 0, 0)], 1.0) == pytest.approx(0, abs=1e-6)
    flat, sharp = (evenness([labelled(3, 1, 0)], temperature) for temperature in (1.0, 0.5))
    assert flat is not None
    assert sharp is not None
    assert 0 < sharp < flat < 1
    assert evenness([labelled(1)], 1.0) is None
