import asyncio
import email.utils
import time
from typing import Any

import openai
import pytest

from rankstill.teacher.client.failures import BadReplyError, failure_of, message_in, retry_after


class Response:
    """As much of an HTTP library's response as the errors of openai read."""

    def __init__(self, status: int, headers: dict[str, str]) -> None:
        self.status_code, self.headers, self.request = status, headers, None


def refusal(status: int, body: Any, headers: dict[str, str] | None = None) -> openai.APIStatusError:
    response: Any = Response(status, headers or {})
    return openai.APIStatusError("no message", response=response, body=body)


@pytest.mark.parametrize(
    ("status", "then"),
    [
        *((status, "stop") for status in (401, 402, 403, 404, 405)),
        *((status, "unclear") for status in (400, 422)),
        (413, "shorten"),
        *((status, "again") for status in (408, 409, 500, 502, 504)),
        *((status, "slower") for status in (429, 503, 529)),
    ],
)
def test_only_what_may_heal_is_tried_again(status: int, then: str) -> None:
    failure = failure_of(refusal(status, {"message": "why"}), 10)
    assert (failure.then, failure.what) == (then, f"HTTP {status}: why")
    assert bool(failure.advice) == (then in ("stop", "unclear", "shorten"))


@pytest.mark.parametrize("field", ["code", "type"])
def test_an_exhausted_quota_is_not_taken_for_a_rate_limit(field: str) -> None:
    failure = failure_of(refusal(429, {"message": "You exceeded your quota", field: "insufficient_quota"}), 10)
    assert failure.then == "stop"
    assert "Add credit" in failure.advice


@pytest.mark.parametrize(
    "body",
    [
        {"message": "too big", "code": "context_length_exceeded"},
        {"message": "This model's maximum context length is 4096 tokens. However, you requested 5000."},
        {"message": "request (9000 tokens) exceeds the available context size (4096 tokens)"},
        {"message": "prompt is too long: 210000 tokens > 200000 maximum"},
        {"message": "Input is too long for requested model."},
        {"detail": "An error occurred (ValidationException): Input is too long for requested model."},
        {"detail": [{"msg": "Input is too long for requested model."}]},
        {"message": "input length and `max_tokens` exceed context limit: 198667 + 8192 > 200000"},
        {"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs`"},
        {"error": "Input validation error: `inputs` must have less than 1024 tokens. Given: 3000"},
        {"message": "Input length 72054 exceeds the maximum length 65536"},
        {"message": "The decoder prompt (length 9000) is longer than the maximum model length of 4096."},
        {"message": "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."},
        {"message": "This model's maximum prompt length is 131072 but the request contains 200000 tokens."},
        {"message": "Range of input length should be [1, 30720]"},
        {"message": "Please reduce the length of the messages or completion."},
        {"message": "the number of input tokens 5000 cannot exceed the total tokens limit 4096"},
        {"message": "too many tokens: size limit exceeded by 4000 tokens"},
    ],
)
def test_a_prompt_that_is_too_long_concerns_one_call_only_and_gets_advice_of_its_own(body: dict[str, str]) -> None:
    failure = failure_of(refusal(400, body), 10)
    assert failure.then == "shorten"
    assert "show fewer passages" in failure.advice


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (
            400,
            {"message": "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model."},
        ),
        (400, {"message": "Unsupported value", "param": "response_format"}),
        (400, {"message": "This response_format type is unavailable now"}),
        (422, {"detail": "unknown field: response_format.json_schema"}),
    ],
)
def test_an_endpoint_without_schemas_is_told_from_other_refusals(status: int, body: dict[str, str]) -> None:
    failure = failure_of(refusal(status, body), 10)
    assert (failure.then, failure.parameter) == ("adapt", "response_format")
    assert "teacher.structured: false" in failure.advice


def test_other_refusals_say_nothing_of_schemas() -> None:
    assert "structured" not in failure_of(refusal(400, {"message": "bad temperature"}), 10).advice
    assert "structured" not in failure_of(refusal(401, {"message": "no response_format for you"}), 10).advice


def test_throttling_by_tokens_is_not_taken_for_a_prompt_that_is_too_long() -> None:
    body = {"message": "Too many tokens, please wait before trying again."}
    assert failure_of(refusal(429, body), 10).then == "slower"


def test_a_content_filter_concerns_one_call_only() -> None:
    assert failure_of(refusal(400, {"message": "filtered", "code": "content_filter"}), 10).then == "skip"


def test_timeouts_broken_connections_and_broken_replies_may_heal() -> None:
    request: Any = None
    errors = [
        asyncio.TimeoutError(),
        openai.APITimeoutError(request=request),
        openai.APIConnectionError(request=request),
        BadReplyError("the reply is cut short"),
    ]
    failures = [failure_of(error, 2.5) for error in errors]
    assert {failure.then for failure in failures} == {"again"}
    assert [failure.what for failure in failures[:2]] == ["no answer within 2.5 s"] * 2
    assert failures[2].what == "connection failed: Connection error"


def test_a_repeated_key_is_taken_out_even_where_the_message_is_cut() -> None:
    key = "sk-" + "x" * 40
    for before in range(150, 205):
        what = failure_of(refusal(401, {"message": "a" * before + key + " is wrong"}), 10, key).what
        assert "xx" not in what
        assert len(what) <= 200


def test_a_message_of_many_lines_becomes_one() -> None:
    assert (
        failure_of(refusal(502, "<html>\n  Bad\r\n gateway</html>"), 10).what == "HTTP 502: <html> Bad gateway</html>"
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"message": "a"}}, "a"),
        ({"error": "model not found"}, "model not found"),
        ([{"error": {"message": "Gemini"}}], "Gemini"),
        ({"detail": [{"msg": "unknown form", "loc": ["body", "x"]}]}, "unknown form (body.x)"),
        ({"detail": [{"msg": "unknown form"}]}, "unknown form"),
        ({"message": None, "detail": "vLLM"}, "vLLM"),
        ({"message": 3}, ""),
        ([], ""),
        (None, ""),
    ],
)
def test_the_providers_words_are_found_in_each_form(body: Any, message: str) -> None:
    assert message_in(body) == message


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2"}, 2),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9),
        ({"retry-after": "86400"}, 60),
        ({"retry-after": "-5"}, 0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "tomorrow"}, None),
        ({"retry-after": "Fri, 31 Dec 1999 23:59:59 GMT"}, 0),
        ({}, None),
    ],
)
def test_the_wait_that_a_reply_asks_for_is_read(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


def test_a_wait_until_a_date_is_read() -> None:
    date = email.utils.formatdate(time.time() + 20, usegmt=True)
    assert 18 < (retry_after({"retry-after": date}) or 0) <= 20


def test_an_error_with_fields_of_strange_types_is_still_told() -> None:
    failure = failure_of(refusal(429, {"message": "m", "code": 7, "type": {"a": []}}, {"retry-after": "3"}), 10)
    assert (failure.then, failure.wait) == ("slower", 3)
