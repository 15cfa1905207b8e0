"""Attribution: the link that loses is the one that is named, and disagreement is measured as its formula says."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankstill.evaluation import compare, holm, per_query
from rankstill.evaluation.attribution import Attribution, attribute, kendall_tau, kl_divergence

ONE = {"teacher": 1.0, "ranker": 1.0, "retriever": 1.0}
SCORES = st.lists(st.floats(-20, 20), min_size=2, max_size=12)


def order(*passages: str) -> dict[str, float]:
    """Scores that put the passages in this order."""
    return {passage: -float(rank) for rank, passage in enumerate(passages)}


QRELS = {f"q{number}": {"gold": 1} for number in range(20)}
RIGHT = {query_id: order("gold", "x", "y") for query_id in QRELS}
SECOND = {query_id: order("x", "gold", "y") for query_id in QRELS}
WRONG = {query_id: order("x", "y", "gold") for query_id in QRELS}


def group(teacher=RIGHT, ranker=RIGHT, retriever=RIGHT, proof=True, name="held-out queries"):
    chain = {"teacher": teacher, "ranker": ranker, "retriever": retriever}
    return attribute(name, chain, QRELS, proof=proof, temperatures=ONE, seed=2, resamples=500)


def test_tau_of_hand_worked_orders():
    assert kendall_tau(np.array([3.0, 2.0, 1.0]), np.array([9.0, 8.0, 0.0])) == pytest.approx(1)
    assert kendall_tau(np.array([3.0, 2.0, 1.0]), np.array([1.0, 2.0, 3.0])) == pytest.approx(-1)
    # 3 pairs: one swapped, two kept.
    assert kendall_tau(np.array([3.0, 2.0, 1.0]), np.array([2.0, 3.0, 1.0])) == pytest.approx(1 / 3)
    # tau-b: the tie is in neither order: (2 - 0) / sqrt(3 * 2).
    assert kendall_tau(np.array([3.0, 2.0, 1.0]), np.array([1.0, 0.0, 0.0])) == pytest.approx(2 / math.sqrt(6))
    assert kendall_tau(np.array([3.0, 2.0, 1.0]), np.array([1.0, 1.0, 1.0])) is None


def test_kl_of_a_hand_worked_pair():
    half, most = np.log([0.5, 0.5]), np.log([0.9, 0.1])
    assert kl_divergence(half, most) == pytest.approx(0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1), abs=1e-12)
    assert kl_divergence(most, half) == pytest.approx(0.9 * math.log(1.8) + 0.1 * math.log(0.2), abs=1e-12)


@given(SCORES, st.floats(-5, 5))
def test_kl_is_0_for_scores_that_differ_by_a_constant_and_never_negative(scores, shift):
    first = np.array(scores)
    assert kl_divergence(first, first + shift) == pytest.approx(0, abs=1e-9)
    assert kl_divergence(first, first[::-1]) >= -1e-12


def test_temperatures_divide_the_scores_before_kl_and_leave_the_order_alone():
    chain = {"ranker": {"q": {"a": 2.0, "b": 0.0}}, "retriever": {"q": {"a": 0.2, "b": 0.0}}}
    found = attribute(
        "test queries", chain, {"q": {"a": 1}}, proof=True, temperatures={"ranker": 1.0, "retriever": 0.1}
    )
    assert found.links[0].kl == pytest.approx(0, abs=1e-12)
    assert found.links[0].tau == 1.0


def test_each_system_and_link_has_the_figures_of_the_ordinary_measure_and_test():
    found = group(ranker=SECOND, retriever=WRONG)
    ndcg = {
        name: list(per_query(run, QRELS, ["nDCG@10"])["nDCG@10"].values())
        for name, run in (("teacher", RIGHT), ("ranker", SECOND), ("retriever", WRONG))
    }
    assert found.n == 20
    assert found.ndcg == pytest.approx({"teacher": 1.0, "ranker": 1 / math.log2(3), "retriever": 0.5})
    assert [(link.source, link.target) for link in found.links] == [("teacher", "ranker"), ("ranker", "retriever")]
    assert found.links[0].comparison == compare(ndcg["teacher"], ndcg["ranker"], 2, 500)
    assert found.links[1].comparison == compare(ndcg["ranker"], ndcg["retriever"], 2, 500)
    assert [link.tau for link in found.links] == pytest.approx([1 / 3, 1 / 3])


@pytest.mark.parametrize(
    ("systems", "sentence"),
    [
        (
            {"ranker": WRONG, "retriever": WRONG},
            "teacher -> ranker loses most (against ranker -> retriever: p ≤ 0.0020): nDCG@10 1.000 to 0.500",
        ),
        (
            {"retriever": WRONG},
            "ranker -> retriever loses most (against teacher -> ranker: p ≤ 0.0020): nDCG@10 1.000 to 0.500",
        ),
        ({}, "No link loses nDCG@10; teacher -> ranker gains least"),
    ],
)
def test_the_sentence_names_the_link_that_loses_most(systems, sentence):
    assert Attribution((group(**systems),)).conclusion().startswith(sentence)


def test_two_links_that_lose_about_alike_are_not_told_apart():
    # The first link loses on ten queries, the second on nine others.
    half = {query_id: WRONG[query_id] if number < 10 else RIGHT[query_id] for number, query_id in enumerate(QRELS)}
    both = {query_id: WRONG[query_id] if number < 19 else RIGHT[query_id] for number, query_id in enumerate(QRELS)}
    found = group(ranker=half, retriever=both)
    start = "teacher -> ranker loses most here, with no significant difference from ranker -> retriever (p = "
    assert Attribution((found,)).conclusion().startswith(start)
    lost = [np.array([-0.5] * 10 + [0.0] * 10), np.array([0.0] * 10 + [-0.5] * 9 + [0.0])]
    assert found.lead is not None
    assert found.lead.comparison == compare(lost[1], lost[0], 2, 500)


def test_p_values_are_corrected_for_all_links_of_the_table():
    unsure = {**RIGHT, **{f"q{number}": WRONG[f"q{number}"] for number in range(5)}}
    found = Attribution((group(retriever=unsure), group(ranker=WRONG, proof=False, name="training queries")))
    raw = [link.comparison.p_value for each in found.groups for link in each.links]
    assert found.adjusted_p() == holm(raw)
    assert holm(raw)[1] == pytest.approx(2 * raw[1])  # two of the four are smaller
    rows = [line.split("|") for line in found.to_markdown().splitlines() if "->" in line and line.startswith("|")]
    assert [row[5].strip().removeprefix("≤") for row in rows] == [f"{each:.4f}" for each in holm(raw)]
    links = [link for each in found.to_json()["groups"] for link in each["links"]]
    assert [link["adjusted_p"] for link in links] == holm(raw)


def test_a_loss_that_may_be_chance_is_said_to_be_one():
    unsure = {**RIGHT, "q0": WRONG["q0"]}  # one query of twenty
    assert "the interval includes 0" in Attribution((group(retriever=unsure),)).conclusion()
    assert "the interval includes 0" not in Attribution((group(retriever=WRONG),)).conclusion()


def test_queries_that_taught_prove_nothing_whatever_they_show():
    taught = group(ranker=WRONG, proof=False, name="training queries")
    alone = Attribution((taught,))
    assert alone.conclusion().startswith("No judged query that taught nothing was measured")
    both = Attribution((taught, group(retriever=WRONG)))
    assert both.conclusion().startswith("ranker -> retriever loses most")
    assert "training queries, n = 20 (no proof)" in both.to_markdown()


def test_a_chain_that_is_measured_whole_comes_before_one_of_its_links():
    link = attribute(
        "test queries", {"ranker": RIGHT, "retriever": WRONG}, QRELS, proof=True, temperatures=ONE, resamples=200
    )
    assert "the only link measured" in Attribution((link,)).conclusion()
    assert Attribution((link, group(ranker=WRONG, retriever=WRONG))).conclusion().startswith("teacher -> ranker")


def test_a_tie_of_all_candidates_has_no_order_and_is_left_out_of_tau():
    tied = {query_id: {"gold": 1.0, "x": 1.0, "y": 1.0} for query_id in QRELS}
    assert group(ranker=tied).links[0].tau is None
    assert group(ranker={**tied, "q3": RIGHT["q3"]}).links[0].tau == 1.0


def test_the_table_has_one_row_a_link_and_json_holds_everything():
    found = Attribution((group(ranker=SECOND), group(proof=False, name="training queries")), ("a note",))
    text = found.to_markdown()
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 4
    assert {row.count("|") for row in rows} == {8}
    assert text.startswith(f"**{found.conclusion()}**")
    assert "a note" in text
    data = json.loads(json.dumps(found.to_json()))
    assert data["groups"][0]["ndcg"]["ranker"] == pytest.approx(1 / math.log2(3))
    assert data["groups"][0]["links"][0]["comparison"]["n"] == 20
