from pathlib import Path
from typing import Any

import pytest
from llm_server import completion

from rankstill.teacher.calls import Call
from rankstill.teacher.client.failures import BadReplyError
from rankstill.teacher.client.transport import answer_in, is_loopback
from rankstill.teacher.ledger import Ledger, Spend
from rankstill.teacher.prices import Price

CALL = Call("http://127.0.0.1/v1", "m", ({"role": "user", "content": "é" * 10},), {})


def test_an_answer_keeps_the_counts_of_the_endpoint() -> None:
    answer = answer_in(completion("[1] > [2]", finish="length"), CALL, 1.5)
    assert (answer.text, answer.tokens_in, answer.tokens_out) == ("[1] > [2]", 7, 3)
    assert (answer.seconds, answer.finish) == (1.5, "length")


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": None, "completion_tokens": "3"}, []])
def test_missing_counts_are_estimated_from_bytes(usage: Any) -> None:
    answer = answer_in({**completion("12345"), "usage": usage}, CALL, 0)
    assert (answer.tokens_in, answer.tokens_out) == (5, 2)


@pytest.mark.parametrize(
    "count", [-5, -(2**70), 2**63, 10**30, 10**9, 7.5, 1e300, float("nan"), float("inf"), True, "7", [7], {"n": 7}]
)
def test_counts_that_cannot_be_are_estimated(count: Any, tmp_path: Path) -> None:
    usage = {"prompt_tokens": count, "completion_tokens": count}
    answer = answer_in({**completion("12345"), "usage": usage}, CALL, 0)
    assert (answer.tokens_in, answer.tokens_out) == (5, 2)
    with Ledger(tmp_path / "ledger.sqlite", "w", Price(1.0, 1.0)) as ledger:
        ledger.put(CALL, answer)
        assert ledger.own() == Spend(1, 0, 5, 2, pytest.approx(7e-6))


def test_a_whole_count_may_be_written_as_a_float() -> None:
    usage = {"prompt_tokens": 7.0, "completion_tokens": 3.0}
    answer = answer_in({**completion("ok"), "usage": usage}, CALL, 0)
    assert (answer.tokens_in, answer.tokens_out, type(answer.tokens_in)) == (7, 3, int)


def test_an_answer_that_never_left_the_reasoning_is_empty_text() -> None:
    assert answer_in(completion(None, finish="length"), CALL, 0).text == ""


def in_parts(*parts: Any) -> dict[str, Any]:
    reply = completion(None)
    reply["choices"][0]["message"]["content"] = list(parts)
    return reply


def test_content_in_parts_is_one_text_without_its_reasoning() -> None:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "[9] seems best"}]}
    reply = in_parts(thought, {"type": "text", "text": "[2] > "}, {"text": "[1]"})
    assert answer_in(reply, CALL, 0).text == "[2] > [1]"


def test_a_refusal_in_a_field_of_its_own_is_the_text() -> None:
    reply = completion(None)
    reply["choices"][0]["message"]["refusal"] = "I'm sorry."
    assert answer_in(reply, CALL, 0).text == "I'm sorry."


def with_error(error: Any) -> dict[str, Any]:
    reply = completion("[1] > [2]", finish="stop")
    reply["choices"][0]["error"] = error
    return reply


def test_an_empty_answer_of_a_content_filter_is_one() -> None:
    assert answer_in(completion(None, finish="content_filter"), CALL, 0).finish == "content_filter"


def test_half_an_emoji_is_replaced_so_that_the_text_can_be_stored() -> None:
    assert answer_in(completion("ok \ud83d"), CALL, 0).text == "ok ?"


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        ({"error": {"message": "upstream is down", "code": 502}}, "upstream is down"),
        ({"choices": []}, "no chat completion"),
        ({"choices": None}, "no chat completion"),
        ({"choices": [{"message": None}]}, "no chat completion"),
        ({"choices": [{"message": {"content": 3}}]}, "not text"),
        ({"choices": [{"message": {"content": ["a"]}}]}, "no chat completion"),
        ({"choices": [{"message": {"content": [{"type": "text"}]}}]}, "no chat completion"),
        ({"choices": [{"message": {"content": [{"type": "text", "text": {}}]}}]}, "no chat completion"),
        (completion("", finish="error"), "ended in an error"),
        (completion("[1] > [2]", finish="error"), "ended in an error"),
        (with_error({"message": "upstream reset", "code": 502}), "upstream reset"),
        (with_error("upstream reset"), "upstream reset"),
        ({**completion("[1] > [2]"), "error": {"message": "upstream reset"}}, "upstream reset"),
        (completion(None), "is empty .finish_reason: stop"),
        (completion(" \n"), "is empty"),
        (in_parts(), "is empty"),
        (in_parts({"type": "thinking", "thinking": []}), "is empty"),
        ([], "no chat completion"),
        ("pong", "pong"),
        (None, "null"),
    ],
)
def test_a_good_status_without_an_answer_is_a_bad_reply(reply: Any, problem: str) -> None:
    with pytest.raises(BadReplyError, match=problem):
        answer_in(reply, CALL, 0)


@pytest.mark.parametrize(
    ("endpoint", "here"),
    [
        ("http://localhost:8000/v1", True),
        ("http://127.0.0.9/v1", True),
        ("http://[::1]:1/v1", True),
        ("https://api.openai.com/v1", False),
        ("http://192.168.0.2/v1", False),
        ("https://localhost.example.com/v1", False),
        ("https://127.0.0.1.example.com/v1", False),
        ("", False),
    ],
)
def test_only_addresses_of_this_machine_are_loopback(endpoint: str, here: bool) -> None:
    assert is_loopback(endpoint) == here
