"""`check-judge`: three bad judges, each named, and good ones that are not taken for them."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from judges import Respond, judge_by, prefers_first, shown_in, true_grade, with_noise, written
from llm_server import FakeLLM, Messages, Reply, completion

from rankstill.config import Config
from rankstill.judge import commands as judging
from rankstill.judge.checking import JudgeCheck

Check = Callable[..., JudgeCheck]


@pytest.fixture
def check(workspace: Path, asking: Callable[..., Config]) -> Check:
    """Checks a judge that answers so, on all eight queries: `check(respond)`."""

    def run(respond: Respond, count: int = 8, **changes: object) -> JudgeCheck:
        with FakeLLM(respond) as server:
            return judging.check_judge(asking(workspace, server.url, changes), workspace, count)

    return run


def wavering(messages: Messages) -> str:
    """As a good judge at a temperature: one grade in eight goes to the neighbour."""
    query, passages = shown_in(messages)
    draw = random.Random(repr(messages))
    true = [true_grade(query, each) for each in passages]
    return written([abs(grade - 1) if draw.random() < 0.12 else grade for grade in true])


@pytest.mark.parametrize("respond", [judge_by(true_grade), wavering])
def test_a_judge_that_knows_is_said_to_be_able(check: Check, respond: Respond) -> None:
    found = check(respond)
    assert found.verdict == "can judge"
    assert found.itself.passages > 100
    assert found.lines()[0].startswith("can judge: ")
    assert any("no judgements by people" in line for line in found.lines())


def test_a_judge_of_whose_grades_a_fifth_are_chance_is_named_noisy(check: Check) -> None:
    found = check(with_noise(true_grade, 0.2))
    assert found.verdict == "cannot judge"
    assert "its grades are noise in part" in found.why
    assert found.itself.by_chance == pytest.approx(0.2, abs=0.12)


@pytest.mark.parametrize("grade", [0, 3])
def test_a_judge_that_always_says_the_same_is_named_so(check: Check, grade: int) -> None:
    found = check(judge_by(lambda query, passage: grade))
    assert found.verdict == "cannot judge"
    assert found.why.startswith(f"it gives one grade, {grade}, whatever it reads")


def test_a_judge_that_prefers_what_is_shown_first_is_named_so(check: Check) -> None:
    found = check(prefers_first(true_grade))
    assert found.verdict == "cannot judge"
    assert "it prefers what is shown first" in found.why


def test_the_first_of_each_prompt_counts_where_a_query_takes_several(check: Check) -> None:
    found = check(prefers_first(true_grade), **{"judge.answer_tokens": 60})  # which hold ten grades
    assert found.verdict == "cannot judge"
    assert "it prefers what is shown first" in found.why
    assert found.itself.earlier == found.itself.changed > 0


def test_a_judge_that_prefers_what_is_shown_last_is_named_so(check: Check) -> None:
    def last(messages: Messages) -> str:
        query, passages = shown_in(messages)
        tenth = -(-len(passages) // 10)
        return written([true_grade(query, each) for each in passages[:-tenth]] + [3] * tenth)

    assert "it prefers what is shown last" in check(last).why


def test_a_judge_that_cannot_be_read_is_a_finding_and_no_error(check: Check) -> None:
    found = check(lambda messages: "All of them are good.")
    assert (found.verdict, found.why) == ("cannot judge", "none of its answers could be read as grades")
    assert found.unreadable > 0


@pytest.mark.parametrize(("cut_off", "verdict"), [(0.8, "not sure"), (0.2, "cannot judge")])
def test_answers_that_are_cut_off_are_an_excuse_where_most_of_them_are(
    workspace: Path, asking: Callable[..., Config], cut_off: float, verdict: str
) -> None:
    def rambling(body: dict[str, Any]) -> Reply:
        cut = random.Random(repr(body["messages"])).random() < cut_off
        return Reply(200, completion("1. 1. 1. 1.", finish="length" if cut else "stop"))

    with FakeLLM(reply=rambling) as server:
        found = judging.check_judge(asking(workspace, server.url, {"teacher.ask_again": 0}), workspace, 8)
    assert found.verdict == verdict
    assert ("raise judge.answer_tokens" in found.why) == (verdict == "not sure")


def test_a_few_queries_are_too_few(check: Check) -> None:
    assert check(judge_by(true_grade), count=5).verdict == "not sure"


def test_what_the_check_has_paid_the_judgement_does_not_pay_again(
    workspace: Path, asking: Callable[..., Config]
) -> None:
    with FakeLLM(judge_by(true_grade)) as server:
        config = asking(workspace, server.url)
        found = judging.check_judge(config, workspace, 3)
        assert server.answered.total() == 6
        assert found.all.calls == 8 - 3
        judging.judge(config, workspace)
        assert server.answered.total() == 6 + 8 - 3
