"""The verdict: no more than interval and test allow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rankstill.cli.showing import show
from rankstill.evaluation import Comparison, EvaluationTable, compare, evaluate_runs
from rankstill.evaluation.agreement import Agreement, Symptoms
from rankstill.outcome import Outcome
from rankstill.report.verdict import next_step, verdict


def ranked(positions: list[int]) -> dict[str, dict[str, float]]:
    """A run in which query number n has its gold passage at the n-th of these ranks."""
    return {
        f"q{number}": {("gold" if rank == position else f"p{rank}"): 1 / rank for rank in range(1, 11)}
        for number, position in enumerate(positions)
    }


def measured(before: list[int], after: list[int], **others: list[int]) -> EvaluationTable:
    qrels = {f"q{number}": {"gold": 1} for number in range(len(before))}
    runs = {"retriever before": ranked(before), "distilled retriever": ranked(after)}
    runs |= {name.replace("_", " "): ranked(positions) for name, positions in others.items()}
    return evaluate_runs(runs, qrels, "retriever before", ["nDCG@10"], resamples=1_000)


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        ([3] * 30, [1] * 30, "better"),
        ([1] * 30, [3] * 30, "worse"),
        ([1, 3] * 15, [3, 1] * 15, "open"),
        ([3] * 2, [1] * 2, "open"),  # the interval is above 0, but two queries prove nothing
    ],
)
def test_better_and_worse_take_an_interval_without_zero_and_a_small_p(
    before: list[int], after: list[int], kind: str
) -> None:
    found = verdict(measured(before, after), Path("w"))
    assert found.kind == kind
    assert "95 % interval" in found.sentence
    assert ("not shown to be better" in found.sentence) == (kind == "open")
    assert found.not_better == (kind != "better")


def test_another_retriever_of_the_run_is_named_where_it_scores_higher(capsys: pytest.CaptureFixture[str]) -> None:
    others = {"hybrid_before": [2] * 30, "distilled_hybrid": [1] * 30, "ranker": [1] * 30}
    table = measured([3] * 30, [2] * 30, **others)
    found = verdict(table, Path("w"))
    assert "distilled hybrid, with nDCG@10 1.000. That is +0.500 against the old retriever (p" in found.advice
    assert "Holm-corrected). It is `hybrid-distilled.json` with `retriever`; see" in found.advice
    show(Outcome(Path("w"), Path("w/retriever"), None, table, ()))
    said = " ".join(capsys.readouterr().out.split())
    assert " ".join(found.test.split()) in said
    assert " ".join(found.advice.split()) in said


def test_the_advice_says_how_little_of_the_rankers_gain_arrived_with_judgements_and_without() -> None:
    table = measured([3] * 30, [2] * 30, hybrid_before=[1] * 30, ranker=[1] * 30)
    said = (
        "The ranker has nDCG@10 1.000; the distilled retriever holds 26% of its gain. One vector may be too small for "
        "the rest. Another retriever of this run scores highest: hybrid before, with nDCG@10 1.000."
    )
    assert verdict(table, Path("w")).advice.startswith(said)
    unjudged = verdict(None, Path("w"), agreement=agreed(table)).advice
    assert unjudged.startswith(f"By agreement with the LLM on 30 lists that taught nothing: {said}")
    assert "No test query is judged." in unjudged
    most = measured([20] * 30, [2] * 30, hybrid_before=[1] * 30, ranker=[1] * 30)
    assert verdict(most, Path("w")).advice.startswith("Another retriever of this run scores highest")


@pytest.mark.parametrize("other", [[3] * 30, [5] * 30])
def test_none_is_named_that_does_not_score_higher(other: list[int]) -> None:
    assert verdict(measured([3] * 30, [2] * 30, hybrid_before=other, ranker=[1] * 30), Path("w")).advice == ""
    assert verdict(measured([2] * 30, [3] * 30, hybrid_before=other), Path("w")).advice == ""


def test_a_finished_chain_without_judgements_says_how_to_get_some() -> None:
    found = verdict(None, Path("mine"))
    assert found.kind == "none"
    assert "The chain is finished. No test query is judged" in found.sentence
    assert "`rankstill serve mine`" in found.advice
    assert "`rankstill votes mine --to judged`" in found.advice


def test_an_unfinished_chain_says_which_step_comes_next_and_how() -> None:
    found = verdict(None, Path("mine"), next_step(["vectors", "candidates"]))
    assert "The chain is not finished" in found.sentence
    assert found.advice == 'Its next step is "teach": `rankstill run mine/config.yaml -w mine` goes on there.'
    unneeded = {"rankings", "held_out", "multi_vector", "token_index", "hybrid", "ranker", "agreement"}
    assert next_step(["vectors", "candidates"], unneeded) == "labels"
    assert next_step(["evaluation"]) is None


@pytest.mark.parametrize(
    ("before", "after", "advised"),
    [
        ([3] * 30, [1] * 30, "Use the new retriever:"),
        ([1] * 30, [3] * 30, "Keep the old retriever. The new one lies in w/retriever"),
        ([1, 3] * 15, [3, 1] * 15, "Keep the old retriever. The new one lies in w/retriever"),
    ],
)
def test_the_terminal_ends_with_the_verdict_and_advises_what_it_says(
    before: list[int], after: list[int], advised: str, capsys: pytest.CaptureFixture[str]
) -> None:
    table = measured(before, after)
    show(Outcome(Path("w"), Path("w/retriever"), None, table, ()))
    said = " ".join(capsys.readouterr().out.split())
    assert verdict(table, Path("w")).sentence in said
    assert advised in said
    assert ("SentenceTransformer" in said) == ("Keep" not in advised)


SYMPTOMS = Symptoms(lists=500, enough=50, evenness=0.8, by_people=None, carried_over=None)


def agreed(table: EvaluationTable, symptoms: Symptoms = SYMPTOMS) -> Agreement:
    """As on lists, with tau of every system certain to be above 0."""
    systems = tuple(
        replace(
            each,
            values={**each.values, "Kendall's tau": 0.3},
            intervals={**each.intervals, "Kendall's tau": (0.2, 0.4)},
        )
        for each in table.systems
    )
    return Agreement(replace(table, systems=systems), "", 0.8, symptoms)


def test_without_judgements_the_held_out_lists_decide_under_their_own_name() -> None:
    found = verdict(None, Path("w"), agreement=agreed(measured([3] * 30, [1] * 30)))
    assert found.kind == "better"
    assert found.sentence.startswith(
        "By agreement with the LLM on 30 lists that taught nothing, the distilled retriever is better: nDCG@10 goes "
    )
    assert found.test.startswith("On 30 lists: 30 better, 0 worse, 0 unchanged.")
    assert "not cover passages outside the lists, and does not show whether the LLM is right" in found.test
    assert found.why == "no test query is judged"
    assert "`rankstill votes w --to judged`" in found.advice


def test_judgements_decide_where_there_are_some_and_the_lists_stand_beside_them() -> None:
    better, worse = measured([3] * 30, [1] * 30), measured([1] * 30, [3] * 30)
    found = verdict(better, Path("w"), agreement=agreed(worse))
    assert found.kind == "better"
    assert found.sentence.startswith("The distilled retriever is better")
    assert "lists that taught nothing, the distilled retriever is worse" in found.agreement
    assert found.cause == ""
    found = verdict(worse, Path("w"), agreement=agreed(better))
    assert (found.kind, found.not_better) == ("worse", True)
    assert found.lines()[0] == found.sentence


def test_an_unchanged_retriever_is_said_not_to_be_better() -> None:
    found = verdict(measured([2] * 30, [2] * 30), Path("w"))
    assert found.not_better
    assert "is not better: nDCG@10 stays at 0.631, unchanged on every query." in found.sentence


@pytest.mark.parametrize(
    ("hybrid", "bm25", "said"),
    [
        ([2] * 30, [2] * 30, "better than hybrid before (0.631), BM25 (0.631)."),
        ([1] * 30, [2] * 30, "better than BM25 (0.631); not shown to be better than hybrid before (1.000)."),
        ([1] * 30, [1] * 30, "not shown to be better than hybrid before (1.000), BM25 (1.000)."),
    ],
)
def test_the_headline_names_every_free_rival_and_whether_it_is_beaten(
    hybrid: list[int], bm25: list[int], said: str
) -> None:
    table = measured([3] * 30, [1] * 30, hybrid_before=hybrid, BM25=bm25)
    found = verdict(EvaluationTable.from_json(table.to_json()), Path("w"))
    assert found.sentence == f"{found.finding} {found.rivals}"
    assert found.rivals == f"Against the free rivals, which need no training: {said}"


def test_the_headline_names_a_free_rival_that_is_better() -> None:
    found = verdict(measured([3] * 30, [2] * 30, hybrid_before=[1] * 30, BM25=[3] * 30), Path("w"))
    assert found.kind == "better"
    assert found.sentence.endswith(": better than BM25 (0.500); worse than hybrid before (1.000).")


@pytest.mark.parametrize(("resamples", "told"), [(1_000, "p ≤ 0.0010"), (2_000, "p ≤ 0.0005")])
def test_at_the_tests_floor_p_is_said_to_be_at_most_that(resamples: int, told: str) -> None:
    qrels = {f"q{number}": {"gold": 1} for number in range(30)}
    runs = {"retriever before": ranked([3] * 30), "distilled retriever": ranked([1] * 30)}
    table = evaluate_runs(runs, qrels, "retriever before", ["nDCG@10"], resamples=resamples)
    assert told in verdict(table, Path("w")).test.replace("\u00a0", " ")
    assert f"| {told.removeprefix('p ').replace(' ', '')} |" in table.to_markdown()
    unsure = evaluate_runs({**runs, "distilled retriever": ranked([1, 5] * 15)}, qrels, "retriever before", ["nDCG@10"])
    assert "p = " in verdict(unsure, Path("w")).test.replace("\u00a0", " ")


def compared(before: list[float], after: list[float]) -> Comparison:
    return compare(before, after, 0, 200)


SAME, UP = compared([0.5] * 30, [0.5] * 30), compared([0.5] * 30, [0.9] * 30)


@pytest.mark.parametrize(
    ("symptoms", "cause"),
    [
        ({"lists": 49}, "Likely cause: Too few lists: 49 taught"),
        ({"by_people": SAME}, "Likely cause: The LLM ranks no better than the first stage on the 30 held-out lists"),
        ({"carried_over": SAME}, "Likely cause: The LLM's lists say little that the first stage does not"),
        ({"carried_over": SAME, "by_people": UP}, "No likely cause stands out."),
        ({"carried_over": UP}, "No likely cause stands out."),
        ({"evenness": 0.99}, "Likely cause: Labels that are too flat: 99.0% of the highest possible entropy"),
        ({"evenness": 0.99, "lists": 3}, "Likely causes: Too few lists"),
    ],
)
def test_what_is_not_better_has_a_likely_cause_and_something_to_try(symptoms: dict[str, Any], cause: str) -> None:
    table = measured([1, 3] * 15, [3, 1] * 15, BM25=[2] * 30)
    found = verdict(table, Path("w"), agreement=agreed(table, replace(SYMPTOMS, **symptoms)))
    assert found.cause.startswith(cause)
    assert "`" in found.cause or "retriever.teacher_temperature" in found.cause


def test_an_order_that_no_systems_is_like_may_be_random() -> None:
    table = measured([1, 3] * 15, [3, 1] * 15, BM25=[2] * 30)
    shown = agreed(table).table
    assert shown is not None
    unlike = tuple(replace(each, intervals={**each.intervals, "Kendall's tau": (-0.1, 0.4)}) for each in shown.systems)
    found = verdict(table, Path("w"), agreement=Agreement(replace(shown, systems=unlike), "", 0.8, SYMPTOMS))
    assert "(Kendall's tau at most 0.30, which may be 0): it may rank at random" in found.cause
