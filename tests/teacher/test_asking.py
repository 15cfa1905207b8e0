"""Replaying a list from its answers: which calls are missing, and what the ranking is once none is."""

from __future__ import annotations

from typing import Any

import pytest

from rankstill.config import TeacherConfig
from rankstill.teacher.asking import Asker, CandidateList, RankedAnswer
from rankstill.teacher.calls import Answer, Call

PASSAGES = ("about tides", "about lava", "about lava and ash", "about bread", "about ash")
LISTED = CandidateList("q1", "what is lava", tuple("abcde"), PASSAGES)


def asker(seed: int = 0, **options: Any) -> Asker:
    return Asker(TeacherConfig.model_validate({"kind": "api", "model": "m", **options}), seed)


class Answers:
    """What a ledger would hold."""

    def __init__(self) -> None:
        self.by_key: dict[str, Answer] = {}

    def __call__(self, call: Call) -> Answer | None:
        return self.by_key.get(call.key)

    def give(self, calls: tuple[Call, ...] | RankedAnswer, text: str, finish: str | None = "stop") -> None:
        assert isinstance(calls, tuple)
        for call in calls:
            self.by_key[call.key] = Answer(text, 10, 5, 0.1, finish)


def test_a_list_waits_for_its_call_and_is_ranked_once_it_is_answered() -> None:
    answers, ask = Answers(), asker()
    waiting = ask.advance(LISTED, answers)
    assert isinstance(waiting, tuple)
    assert len(waiting) == 1
    assert "[3] about lava and ash" in waiting[0].messages[-1]["content"]
    answers.give(waiting, "[3] > [2] > [5] > [1] > [4]")
    done = ask.advance(LISTED, answers)
    assert isinstance(done, RankedAnswer)
    ranking = done.ranking("m", "listwise-v1")
    assert ranking is not None
    assert ranking.ranking == ("c", "b", "e", "a", "d")
    assert (ranking.status, ranking.agreement, ranking.prompt) == ("exact", None, "listwise-v1")


def test_only_what_the_llm_placed_itself_is_in_the_ranking() -> None:
    answers, ask = Answers(), asker()
    answers.give(ask.advance(LISTED, answers), "Here are the top 2 passages: [3] > [2]")
    done = ask.advance(LISTED, answers)
    assert isinstance(done, RankedAnswer)
    ranking = done.ranking("m", "p")
    assert ranking is not None
    assert (ranking.ranking, ranking.unranked, ranking.status) == (("c", "b"), ("a", "d", "e"), "repaired")


def test_an_unreadable_answer_is_asked_for_again_warmer_and_then_given_up() -> None:
    answers, ask = Answers(), asker(ask_again=2)
    temperatures = []
    for attempt in range(3):
        waiting = ask.advance(LISTED, answers)
        assert isinstance(waiting, tuple)
        assert waiting[0].attempt == attempt
        temperatures.append(waiting[0].parameters["temperature"])
        answers.give(waiting, "The best passages are about lava.")
    assert temperatures == [0.0, 0.7, 0.7]
    done = ask.advance(LISTED, answers)
    assert isinstance(done, RankedAnswer)
    assert done.ranking("m", "p") is None
    assert [reading.status for reading in done.readings] == ["unreadable"]


def test_what_a_content_filter_cut_off_is_refused() -> None:
    answers, ask = Answers(), asker(ask_again=0)
    answers.give(ask.advance(LISTED, answers), "", finish="content_filter")
    done = ask.advance(LISTED, answers)
    assert isinstance(done, RankedAnswer)
    assert [reading.status for reading in done.readings] == ["refused"]


def test_shuffles_are_asked_at_once_and_their_agreement_kept() -> None:
    answers, ask = Answers(), asker(shuffles=2)
    waiting = ask.advance(LISTED, answers)
    assert isinstance(waiting, tuple)
    assert len(waiting) == 2
    answers.give(waiting[:1], "[3] > [2] > [5] > [1] > [4]")
    assert ask.advance(LISTED, answers) == waiting[1:]
    answers.give(waiting[1:], "[3] > [4] > [1] > [5] > [2]")  # shown in reverse: the same order
    done = ask.advance(LISTED, answers)
    assert isinstance(done, RankedAnswer)
    assert done.agreement == 1.0
    assert done.order.order == (2, 1, 4, 0, 3)


def test_windows_go_on_from_what_is_answered() -> None:
    answers, ask = Answers(), asker(window=3, step=2)
    first = ask.advance(LISTED, answers)
    answers.give(first, "[3] > [1] > [2]")  # e, c, d
    second = ask.advance(LISTED, answers)
    assert isinstance(second, tuple)
    assert "[3] about ash" in second[0].messages[-1]["content"]
    answers.give(second, "[3] > [2] > [1]")
    done = ask.advance(LISTED, answers)
    assert isinstance(done, RankedAnswer)
    assert done.order.order == (4, 1, 0, 2, 3)


def test_the_expected_calls_are_those_that_a_readable_teacher_takes() -> None:
    answers = Answers()
    assert len(list(asker().expected(LISTED, answers))) == 1
    assert len(list(asker(window=3, step=2, shuffles=2).expected(LISTED, answers))) == 4
    assert len(list(asker(strategy="pairwise").expected(LISTED, answers))) == 20
    ask = asker(shuffles=2)
    first, _ = ask.expected(LISTED, answers)
    answers.give((first[0],), "[1] > [2] > [3] > [4] > [5]")
    assert len(list(ask.expected(LISTED, answers))) == 1


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"temperature": 0.0, "max_tokens": 512}),
        ({"parameters": {"max_tokens": None, "max_completion_tokens": 4000}}, {"max_completion_tokens": 4000}),
        ({"parameters": {"seed": 7}, "temperature": 0.5, "answer_tokens": 99}, {"seed": 7, "max_tokens": 99}),
    ],
)
def test_the_users_parameters_come_last(options: dict[str, Any], expected: dict[str, Any]) -> None:
    [call] = asker(**options).advance(LISTED, Answers())  # type: ignore[misc]
    assert expected.items() <= call.parameters.items()
    assert None not in call.parameters.values()


def test_structured_answers_are_asked_for_by_schema() -> None:
    [call] = asker(structured=True).advance(LISTED, Answers())  # type: ignore[misc]
    assert call.parameters["response_format"]["json_schema"]["strict"] is True


def test_an_unreadable_answer_that_was_cut_off_is_told_apart() -> None:
    answers, ask = Answers(), asker(ask_again=0)
    answers.give(ask.advance(LISTED, answers), "<think>Passage 3 speaks of", finish="length")
    done = ask.advance(LISTED, answers)
    assert isinstance(done, RankedAnswer)
    assert done.readings[0].cut
