"""The verdict: no more than interval and test allow."""

from __future__ import annotations

from pathlib import Path

import pytest

from rankstill.cli.showing import show
from rankstill.evaluation import EvaluationTable, evaluate_runs
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
    runs = {"retriever before": ranked(before), "retriever AFTER": ranked(after)}
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
    assert ("cannot tell" in found.sentence) == (kind == "open")


def test_another_retriever_of_the_run_is_named_where_it_scores_higher(capsys: pytest.CaptureFixture[str]) -> None:
    others = {"hybrid_before": [2] * 30, "hybrid_AFTER": [1] * 30, "ranker": [1] * 30}
    table = measured([3] * 30, [2] * 30, **others)
    found = verdict(table, Path("w"))
    assert "hybrid AFTER, with nDCG@10 1.000. It is `hybrid-distilled.json` with `retriever`" in found.advice
    show(Outcome(Path("w"), Path("w/retriever"), None, table, ()))
    said = " ".join(capsys.readouterr().out.split())
    assert " ".join(found.test.split()) in said
    assert found.advice in said


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
    assert found.advice == 'Its next step is "rankings": `rankstill run mine/config.yaml -w mine` goes on there.'
    assert next_step(["vectors", "candidates"], {"rankings", "multi_vector", "token_index", "ranker"}) == "labels"
    assert next_step(["evaluation"]) is None


@pytest.mark.parametrize(
    ("before", "after", "advised"),
    [
        ([3] * 30, [1] * 30, "Use the new retriever:"),
        ([1] * 30, [3] * 30, "Keep the old retriever. The new one lies in w/retriever"),
        ([1, 3] * 15, [3, 1] * 15, "To use the new retriever:"),
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
