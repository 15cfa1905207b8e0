from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from llm_server import FakeLLM, Messages, Reply, error

from rankstill.config import Config, make_config
from rankstill.data import Dataset, Query
from rankstill.errors import DataError, RankstillError
from rankstill.retrieval import FirstStage
from rankstill.teacher.budget import BudgetReached
from rankstill.teacher.check import TeacherCheck, check_teacher
from rankstill.teacher.check_questions import planted_questions

PASSAGE = re.compile(r"^\[(\d+)\] (.*)$", re.MULTILINE)
QUERY = re.compile(r"^Search query: (.*)$", re.MULTILINE)
QUERIES = 10  # of 24; how many have their answer among the candidates depends on the processor

Judge = Callable[[str, str], float]
"""How relevant a passage is to a query."""
Check = Callable[..., TeacherCheck]


def ranker(judge: Judge) -> Callable[[Messages], str]:
    """A teacher that sorts by a judge, wherever the passages stand."""

    def respond(messages: Messages) -> str:
        prompt = messages[-1]["content"]
        query = QUERY.findall(prompt)[0]
        shown = PASSAGE.findall(prompt)
        shown.sort(key=lambda passage: (-judge(query, passage[1]), passage[1]))
        return " > ".join(f"[{number}]" for number, _ in shown)

    return respond


def parrot(messages: Messages) -> str:
    """Repeats the order shown."""
    return " > ".join(f"[{number}]" for number, _ in PASSAGE.findall(messages[-1]["content"]))


def dice(messages: Messages) -> str:
    """Ranks by chance."""
    shown = [f"[{number}]" for number, _ in PASSAGE.findall(messages[-1]["content"])]
    random.Random(repr(messages)).shuffle(shown)
    return " > ".join(shown)


@pytest.fixture
def dataset(toy_dataset: Dataset) -> Dataset:
    """The toy dataset with queries that name the topic and a number only, so that the first stage must guess."""
    queries = {
        query_id: Query(query_id, f"what of the {query_id.removeprefix('q-').replace('-', ' number ')}")
        for query_id in toy_dataset.queries
    }
    return replace(toy_dataset, queries=queries)


@pytest.fixture
def oracle(dataset: Dataset) -> Judge:
    """Knows the judgements."""
    corpus = dataset.corpus
    relevant = {
        query.text: {corpus.text(corpus.position(passage_id)) for passage_id in dataset.qrels[query.id]}
        for query in dataset.queries.values()
    }
    return lambda query, passage: float(passage in relevant[query])


@pytest.fixture
def check(toy_first_stage: FirstStage, dataset: Dataset, tmp_path: Path) -> Check:
    """Checks a teacher that answers so: `check(respond, {changes of the config}, dataset=..., count=...)`."""

    def run(
        respond: Callable[[Messages], str],
        changes: dict[str, Any] | None = None,
        dataset: Dataset = dataset,
        count: int = QUERIES,
    ) -> TeacherCheck:
        with FakeLLM(respond=respond) as server:
            return check_teacher(config(server, tmp_path, changes), dataset, toy_first_stage, count, "check")

    return run


def config(server: FakeLLM, folder: Path, changes: dict[str, Any] | None = None) -> Config:
    ours = {
        "candidates.k": 8,
        "teacher.kind": "api",
        "teacher.model": "fake",
        "teacher.endpoint": server.url,
        "teacher.ask_again": 0,
        "teacher.ledger": str(folder / "ledger.sqlite"),
        "teacher.prices": {"fake": {"input": 1.0, "output": 2.0}},
        "evaluation.resamples": 1000,
    }
    return make_config({"dataset": {"source": "toy"}}, {**ours, **(changes or {})})


def text_of(check: TeacherCheck) -> str:
    return "\n".join(check.lines())


def test_a_teacher_that_knows_the_judgements_can_help(check: Check, oracle: Judge) -> None:
    found = check(ranker(oracle))
    assert found.verdict == "can help"
    assert found.comparison is not None
    assert found.comparison.after == 1
    assert found.comparison.low > 0
    assert found.health.agreement == 1
    assert found.health.bias is not None
    assert abs(found.health.bias.slope) < 1e-9
    assert text_of(found).startswith("can help: ")
    assert "answers: 100 % exact" in text_of(found)


def test_a_teacher_that_puts_the_relevant_last_cannot_help(check: Check, oracle: Judge) -> None:
    found = check(ranker(lambda query, passage: -oracle(query, passage)))
    assert found.verdict == "cannot help"
    assert found.comparison is not None
    assert found.comparison.high < 0


def test_a_teacher_that_ranks_by_chance_is_never_said_to_help(check: Check) -> None:
    found = check(dice, {"teacher.shuffles": 4})
    assert found.verdict != "can help"
    assert found.health.agreement is not None
    assert abs(found.health.agreement) < 0.3


def test_a_teacher_that_repeats_the_order_shown_cannot_help(check: Check) -> None:
    found = check(parrot)
    assert found.verdict == "cannot help"
    assert "in another order" in found.why
    assert found.health.bias is not None
    assert found.health.bias.slope == pytest.approx(1)


def test_a_teacher_that_cannot_be_read_cannot_help(check: Check) -> None:
    found = check(lambda messages: "All 8 passages are about 3 things.")
    assert found.verdict == "cannot help"
    assert "could be read" in found.why
    assert found.comparison is None
    assert "answers: 100 % unreadable" in text_of(found)


@pytest.mark.parametrize("shuffles", [1, 3, 4])
def test_a_teacher_that_repeats_the_order_shown_is_said_to_be_biased(check: Check, shuffles: int) -> None:
    found = check(parrot, {"teacher.shuffles": shuffles}, count=24)
    assert found.verdict == "cannot help"
    assert found.why.endswith("(position bias 1.00)")


MANY = 40  # more than are asked by `teach` when none of them is ranked


def test_many_lists_without_a_ranking_are_a_verdict_and_no_error(check: Check, unjudged: Dataset) -> None:
    found = check(parrot, dataset=unjudged, count=MANY)
    assert found.verdict == "cannot help"
    assert found.why.endswith("(position bias 1.00)")


def test_a_teacher_that_turns_the_order_shown_round_cannot_help(check: Check) -> None:
    found = check(lambda messages: " > ".join(reversed(parrot(messages).split(" > "))), count=24)
    assert found.verdict == "cannot help"
    assert found.why.endswith("(position bias -1.00)")


@pytest.mark.parametrize("strategy", ["pairwise", "setwise"])
def test_a_teacher_that_always_chooses_the_first_gets_its_verdict(check: Check, strategy: str) -> None:
    found = check(lambda messages: "[1]", {"teacher.strategy": strategy, "candidates.k": 4}, count=24)
    assert found.verdict != "can help"


def test_many_unreadable_answers_are_a_verdict_and_no_error(check: Check, unjudged: Dataset) -> None:
    found = check(lambda messages: "All 8 passages are about 3 things.", dataset=unjudged, count=MANY)
    assert found.verdict == "cannot help"
    assert "could be read" in found.why


def test_a_call_that_is_given_up_costs_its_list_and_not_the_verdict(
    dataset: Dataset, oracle: Judge, toy_first_stage: FirstStage, tmp_path: Path
) -> None:
    broken = [Reply(500, error("overloaded"))]
    with FakeLLM(respond=ranker(oracle), script=broken) as server:
        ours = config(server, tmp_path, {"teacher.tries": 1, "teacher.concurrency": 1})
        found = check_teacher(ours, dataset, toy_first_stage, QUERIES, "check")
    assert found.verdict == "can help"
    assert len(found.health.left_out) == 1
    assert "overloaded" in text_of(found)


def test_a_few_queries_are_too_few_for_a_verdict(check: Check, oracle: Judge) -> None:
    assert check(ranker(oracle), count=5).verdict == "not sure"
    assert check(lambda messages: "?", count=5).verdict == "not sure"


def test_a_list_is_asked_in_two_orders_even_if_the_config_says_one(check: Check, oracle: Judge) -> None:
    found = check(ranker(oracle), {"teacher.shuffles": 1})
    assert found.shuffles == 2
    assert found.one.calls == 2


def test_the_cost_of_all_training_queries_is_told_for_the_shuffles_of_the_config(
    check: Check, oracle: Judge, dataset: Dataset
) -> None:
    once = check(ranker(oracle))
    # The fake counts 7 tokens in and 3 out a call, at 1 and 2 dollars a million.
    assert once.one.cost == pytest.approx(2 * 13e-6)
    assert once.all.calls == once.training_queries == len(dataset.train) == 24
    assert once.all.cost == pytest.approx(24 * 13e-6)
    assert "all 24 training queries as configured: 24 calls" in text_of(once)
    assert check(ranker(oracle), {"teacher.shuffles": 4, "teacher.queries": 10}).all.calls == 40


def test_the_same_check_again_pays_nothing_and_finds_the_same(
    dataset: Dataset, oracle: Judge, toy_first_stage: FirstStage, tmp_path: Path
) -> None:
    with FakeLLM(respond=ranker(oracle)) as server:
        ours = config(server, tmp_path)
        first = check_teacher(ours, dataset, toy_first_stage, QUERIES, "check")
        asked = server.answered.total()
        again = check_teacher(ours, dataset, toy_first_stage, QUERIES, "check")
        assert server.answered.total() == asked == 2 * QUERIES
    assert again == first


def test_a_budget_stops_the_check(check: Check, oracle: Judge) -> None:
    with pytest.raises(BudgetReached):
        check(ranker(oracle), {"teacher.max_calls": 3})


def test_only_queries_whose_candidates_can_be_ordered_better_or_worse_are_asked(
    check: Check, oracle: Judge, dataset: Dataset
) -> None:
    # Every second query's relevant passage is not in the corpus.
    qrels = {
        query_id: grades if number % 2 else {"elsewhere": 1}
        for number, (query_id, grades) in enumerate(dataset.qrels.items())
    }
    asked: list[str] = []

    def respond(messages: Messages) -> str:
        asked.extend(QUERY.findall(messages[-1]["content"]))
        return ranker(oracle)(messages)

    found = check(respond, dataset=replace(dataset, qrels=qrels), count=24)
    by_text = {query.text: query.id for query in dataset.queries.values()}
    assert asked
    assert all("elsewhere" not in qrels[by_text[text]] for text in asked)
    assert "of 24 judged ones" in found.note


def test_judgements_that_no_candidate_meets_are_an_error_that_names_the_remedy(check: Check, dataset: Dataset) -> None:
    nowhere = replace(dataset, qrels={query_id: {"elsewhere": 1} for query_id in dataset.qrels})
    with pytest.raises(DataError, match=r"Raise candidates\.k"):
        check(parrot, dataset=nowhere)


def test_test_queries_are_never_asked(check: Check, dataset: Dataset, oracle: Judge) -> None:
    asked: set[str] = set()

    def respond(messages: Messages) -> str:
        asked.update(QUERY.findall(messages[-1]["content"]))
        return ranker(oracle)(messages)

    check(respond, count=1000)
    assert asked <= set(dataset.texts_of(dataset.train))


def test_a_recorded_teacher_cannot_be_checked(check: Check) -> None:
    with pytest.raises(RankstillError, match=r"teacher\.kind is recorded"):
        check(parrot, {"teacher.kind": "recorded"})


@pytest.fixture
def unjudged(dataset: Dataset) -> Dataset:
    """No training query is judged; the test queries are, which does not count."""
    return replace(dataset, qrels={query_id: dataset.qrels[query_id] for query_id in dataset.test})


def holds(query: str, passage: str) -> float:
    return float(query in passage)


def test_without_judgements_a_sentence_s_own_passage_is_to_be_found(check: Check, unjudged: Dataset) -> None:
    found = check(ranker(holds), dataset=unjudged)
    assert found.comparison is not None
    assert found.comparison.after == 1
    assert found.verdict != "cannot help"
    assert "easier question" in text_of(found)


@pytest.mark.parametrize(
    "respond", [parrot, ranker(lambda query, passage: -holds(query, passage)), lambda messages: "no idea"]
)
def test_without_judgements_a_teacher_that_is_no_better_than_chance_cannot_help(
    check: Check, unjudged: Dataset, respond: Callable[[Messages], str]
) -> None:
    assert check(respond, dataset=unjudged).verdict == "cannot help"


def test_without_judgements_a_good_teacher_is_not_blamed_for_a_first_stage_that_sees_the_same_words(
    check: Check, unjudged: Dataset
) -> None:
    def mostly(query: str, passage: str) -> float:
        return holds(query, passage) if len(query) % 4 else 0.5

    found = check(ranker(mostly), dataset=unjudged)
    assert found.verdict == "not sure"
    assert "better than chance" in found.why


def test_a_planted_passage_that_the_first_stage_missed_is_among_the_candidates(
    dataset: Dataset, toy_first_stage: FirstStage
) -> None:
    ours = make_config({"dataset": {"source": "toy"}}, {"candidates.k": 2, "candidates.n": 2})
    questions = planted_questions(ours, toy_first_stage, 60)
    for listed in questions.lists:
        [relevant] = questions.qrels[listed.query_id]
        assert relevant in listed.ids
        assert len(set(listed.ids)) == 2
