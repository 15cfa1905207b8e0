import asyncio
import json
import random
import socket
import sys
import time
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from llm_server import FakeLLM, Reply, completion, error

from rankstill.config import TeacherConfig
from rankstill.teacher.calls import Answer, Call
from rankstill.teacher.client import chat as client_module
from rankstill.teacher.client.chat import ChatClient
from rankstill.teacher.client.endpoint import Endpoint, reach
from rankstill.teacher.client.failures import CallFailed, TeacherError

KEY = "sk-very-secret-key"
Failures = list[tuple[Call, str, float]]


@pytest.fixture(autouse=True)
def _key_and_short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", KEY)
    monkeypatch.setattr(client_module, "_FIRST_BACKOFF", 0.01)


def call_of(number: int = 0, **parameters: Any) -> Call:
    return Call("there", "fake", ({"role": "user", "content": f"question {number}"},), parameters)


def api(url: str, tries: int = 1, timeout: float = 5.0, key: str = "TEST_KEY") -> TeacherConfig:
    return TeacherConfig(kind="api", model="fake", endpoint=url, api_key_env=key, tries=tries, timeout=timeout)


def ask(
    server: FakeLLM, *calls: Call, tries: int = 3, concurrency: int = 64, timeout: float = 5.0, key: str = "TEST_KEY"
) -> tuple[list[Answer | BaseException], Failures]:
    """The outcome of each call, all asked at once, and the failures that were told."""
    failures: Failures = []

    async def all_of_them() -> list[Answer | BaseException]:
        config = api(server.url, tries, timeout, key)
        place = Endpoint(server.url, concurrency)
        async with ChatClient(config, place, lambda *failure: failures.append(failure)) as client:
            return await asyncio.gather(*(client.ask(call) for call in calls), return_exceptions=True)

    return asyncio.run(all_of_them()), failures


def test_a_call_is_sent_with_its_parameters_and_answered() -> None:
    parameters = {
        "temperature": 0.0,
        "max_tokens": 9,
        "seed": 4,
        "response_format": {"type": "json_object"},
        "top_k": 1,
    }
    with FakeLLM(lambda messages: messages[0]["content"].upper(), latency=0.05) as server:
        (answer,), failures = ask(server, call_of(7, **parameters))
    assert isinstance(answer, Answer)
    assert (answer.text, answer.tokens_in, answer.tokens_out, answer.finish) == ("QUESTION 7", 7, 3, "stop")
    assert 0.05 <= answer.seconds < 2
    assert server.bodies == [
        {"model": "fake", "messages": [{"role": "user", "content": "question 7"}], **parameters},
    ]
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    assert failures == []


@pytest.mark.parametrize(
    "reply",
    [
        Reply(408, error("slow")),
        Reply(409, error("conflict")),
        Reply(429, error("rate")),
        Reply(500, error("oops")),
        Reply(502, "<html>"),
        Reply(529, error("overloaded")),
        Reply(200, '{"choices": [{"mess'),
        Reply(200, ""),
        Reply(200, "pong"),
        Reply(200, error("upstream")),
        Reply(200, completion("", finish="error")),
        Reply(200, completion(None)),
        Reply(200, completion("ok"), {"content-length": "4000", "connection": "close"}),
    ],
)
def test_what_may_heal_is_tried_again_and_told(reply: Reply) -> None:
    with FakeLLM(script=[reply, reply]) as server:
        (answer,), failures = ask(server, call := call_of(), timeout=0.2)
    assert isinstance(answer, Answer)
    assert [failed for failed, _, _ in failures] == [call, call]
    assert server.requests.total() == 3


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Reply(405, "<html>"), "often ends in /v1"),
        (Reply(401, error(f"Incorrect API key provided: {KEY}")), r"HTTP 401: .* \[API key\]. Check the API key"),
        (Reply(403, error("not in your country")), "may use this model"),
        (Reply(404, error("no such model")), "name of the model"),
        (Reply(400, error("Your credit balance is too low to access the API")), "Add credit"),
        (
            Reply(200, "<!DOCTYPE html><html><body>Sign in", {"content-type": "text/html"}),
            "web page.*often ends in /v1",
        ),
        (Reply(200, "\n<html>"), "web page.*often ends in /v1"),
        (Reply(200, 'data: {"choices": []}\n\n', {"content-type": "text/event-stream"}), "event stream.*Check the end"),
        (Reply(200, ": PROCESSING\n\ndata: {}\n\n"), "event stream.*Check the endpoint"),
        (Reply(200, '{"done": false}\n{"done": true}\n', {"content-type": "application/x-ndjson"}), "event stream"),
        (Reply(429, error("no money", "insufficient_quota")), "Add credit"),
    ],
)
def test_what_cannot_heal_stops_after_one_request_in_one_line(reply: Reply, message: str) -> None:
    with FakeLLM(script=[reply]) as server:
        (outcome,), failures = ask(server, call_of())
    with pytest.raises(TeacherError, match=message) as caught:
        raise outcome  # type: ignore[misc]
    assert not isinstance(outcome, CallFailed)
    assert str(outcome).startswith(f"{server.url}, model fake: ")
    assert "\n" not in str(outcome)
    assert KEY not in str(outcome) + "".join(why for _, why, _ in failures)
    assert caught.value.__cause__ is caught.value.__context__ is None  # the library's error holds the key
    assert server.requests.total() == len(failures) == 1


def test_a_call_is_given_up_after_as_many_tries_as_allowed() -> None:
    with FakeLLM(script=[Reply(500, error("oops"))] * 9) as server:
        (outcome,), failures = ask(server, call_of(), tries=4)
    assert isinstance(outcome, CallFailed)
    assert not outcome.refused
    assert "given up after 4 tries, the last one: HTTP 500: oops. Run" in str(outcome)
    assert server.requests.total() == len(failures) == 4


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Reply(400, error("filtered", "content_filter")), "content filter refuses this prompt"),
        (Reply(400, error("too long", "context_length_exceeded")), "HTTP 400: too long. .*show fewer passages"),
        (Reply(413, "<html>"), "show fewer passages"),
        (Reply(500, error("the request exceeds the available context size")), "show fewer passages"),
        (Reply(429, error("Request too large for m: Limit 30000, Requested 40000.")), "show fewer passages"),
        (Reply(403, error("Your input was flagged by moderation")), "content filter refuses this prompt"),
        (Reply(400, error("no such parameter")), "HTTP 400: no such parameter. .*check the teacher's model"),
        (Reply(422, {"detail": "bad form"}), "HTTP 422: bad form"),
    ],
)
def test_a_prompt_that_is_refused_for_itself_fails_alone_and_at_once(reply: Reply, message: str) -> None:
    with FakeLLM(script=[reply]) as server:
        outcomes, failures = ask(server, call_of(1), call_of(2), concurrency=1)
    assert [type(outcome) for outcome in outcomes] == [CallFailed, Answer]
    with pytest.raises(CallFailed, match=message) as caught:
        raise outcomes[0]  # type: ignore[misc]
    assert caught.value.refused
    assert len(failures) == 1


def test_a_page_in_the_place_of_an_api_that_has_answered_is_tried_again() -> None:
    replies = [Reply(200, completion("yes")), Reply(200, "<html>back soon")]
    with FakeLLM(script=replies) as server:
        outcomes, failures = ask(server, call_of(1), call_of(2), concurrency=1)
    assert all(isinstance(outcome, Answer) for outcome in outcomes)
    assert len(failures) == 1


@pytest.mark.parametrize(
    ("words", "name", "instead"),
    [
        (
            "Unsupported parameter: 'max_tokens' is not supported here. Use 'max_completion_tokens' instead.",
            "max_tokens",
            {"temperature": 0.0, "max_completion_tokens": 9},
        ),
        (
            "body.max_tokens: Extra inputs are not permitted",
            "max_tokens",
            {"temperature": 0.0, "max_completion_tokens": 9},
        ),
        (
            "Unsupported value: 'temperature' does not support 0.0 with this model. Only the default (1) is supported.",
            "temperature",
            {"max_tokens": 9},
        ),
        ("`temperature` is deprecated for this model.", "temperature", {"max_tokens": 9}),
        ("Input validation error: `temperature` must be strictly positive", "temperature", {"max_tokens": 9}),
    ],
)
def test_a_parameter_that_the_endpoint_does_not_take_is_left_out_from_then_on(
    words: str, name: str, instead: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    def choosy(body: dict[str, Any]) -> Reply | None:
        return Reply(400, error(words)) if name in body else None

    with FakeLLM(reply=choosy) as server:
        calls = [call_of(number, temperature=0.0, max_tokens=9) for number in range(4)]
        outcomes, failures = ask(server, *calls, concurrency=1)
    assert all(isinstance(outcome, Answer) for outcome in outcomes)
    assert len(failures) == 1
    asked = [{key: body[key] for key in body.keys() - {"model", "messages"}} for body in server.bodies]
    assert asked == [{"temperature": 0.0, "max_tokens": 9}, *[instead] * 4]
    assert capfd.readouterr().err.count("continuing with") == 1


def test_all_parameters_that_an_endpoint_does_not_take_are_found_with_many_calls_at_once() -> None:
    def choosy(body: dict[str, Any]) -> Reply | None:
        names = [name for name in ("response_format", "max_tokens", "temperature") if name in body]
        return Reply(400, error(f"Unsupported parameter: '{names[0]}'")) if names else None

    with FakeLLM(reply=choosy, latency=0.02) as server:
        calls = [call_of(n, temperature=0.0, max_tokens=9, response_format={"type": "json_object"}) for n in range(20)]
        outcomes, _ = ask(server, *calls)
    assert all(isinstance(outcome, Answer) for outcome in outcomes)
    assert server.answered.total() == 20


def test_a_parameter_that_is_refused_for_its_value_is_not_left_out() -> None:
    words = "max_tokens is too large: 9. This model supports at most 4 completion tokens"
    with FakeLLM(script=[Reply(400, error(words))]) as server:
        (outcome,), _ = ask(server, call_of(max_tokens=9))
    assert isinstance(outcome, CallFailed)
    assert "too large: 9" in str(outcome)


def test_a_timeout_counts_the_whole_reply_not_the_silence_between_its_bytes() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        try:
            for _ in range(100):
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.02)
        except ConnectionError:
            pass

    async def talk() -> None:
        server = await asyncio.start_server(drip, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        async with ChatClient(api(url, timeout=0.3), Endpoint(url, 1), lambda *_: None) as client:
            with pytest.raises(CallFailed, match=r"no answer within 0\.3 s"):
                await client.ask(call_of())
        server.close()

    started = time.monotonic()
    asyncio.run(talk())
    assert time.monotonic() - started < 1.5


def test_an_endpoint_that_is_not_there_is_named() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"

        async def talk() -> None:
            async with ChatClient(api(url, tries=2), Endpoint(url, 1), lambda *_: None) as client:
                await client.ask(call_of())

        with pytest.raises(CallFailed, match=f"{url}, model fake: .*connection failed"):
            asyncio.run(talk())


@pytest.mark.parametrize("header", [{"retry-after": "0.3"}, {"retry-after-ms": "300"}])
def test_the_wait_that_the_endpoint_asks_for_is_kept_by_all_calls(header: dict[str, str]) -> None:
    arrivals: list[float] = []

    def respond(messages: Any) -> str:
        arrivals.append(time.monotonic())
        return "ok"

    with FakeLLM(respond, script=[Reply(429, error("rate"), header)]) as server:
        started = time.monotonic()
        outcomes, _ = ask(server, *map(call_of, range(5)), concurrency=1)
    assert all(isinstance(outcome, Answer) for outcome in outcomes)
    assert min(arrivals) - started >= 0.3


def test_a_storm_of_rate_limits_loses_no_call_even_with_two_tries() -> None:
    with FakeLLM(latency=0.005, capacity=4) as server:
        outcomes, failures = ask(server, *map(call_of, range(300)), tries=2)
        assert sum(isinstance(outcome, Answer) for outcome in outcomes) == 300
        assert set(server.answered.values()) == {1}
        assert len(failures) < 300  # the limit of 4 was found and kept


def test_with_a_fifth_of_all_requests_failing_every_call_is_answered_once() -> None:
    faults = {"429": 0.04, "500": 0.04, "timeout": 0.02, "drop": 0.04, "truncate": 0.03, "cut": 0.03}
    calls = [call_of(number) for number in range(400)]
    with FakeLLM(lambda messages: messages[0]["content"], latency=0.01, faults=faults, seed=5) as server:
        outcomes, failures = ask(server, *calls, tries=8, timeout=0.5)
        texts = [outcome.text for outcome in outcomes if isinstance(outcome, Answer)]
        assert texts == [call.messages[0]["content"] for call in calls]
        assert server.answered.total() == len(server.answered) == 400  # paid once each, beyond what was injected
        assert server.requests.total() == 400 + len(failures)
    assert 0.1 < len(failures) / server.requests.total() < 0.3
    kinds = Counter(why.split(":")[0] for _, why, _ in failures)
    assert {"HTTP 429", "HTTP 500", "no answer within 0.5 s", "connection failed"} < kinds.keys()


@pytest.mark.slow
def test_sixty_four_at_a_time_take_at_most_a_tenth_longer_than_ideal() -> None:
    ideal = 1000 / 64 * 0.5
    ratios: list[float] = []
    while len(ratios) < 3 and min(ratios, default=9.0) > 1.1:  # other programs may have taken the machine's time
        with FakeLLM(latency=0.5) as server:
            started = time.monotonic()
            outcomes, _ = ask(server, *map(call_of, range(1000)))
            ratios.append((time.monotonic() - started) / ideal)
        assert all(isinstance(outcome, Answer) for outcome in outcomes)
        assert server.most == 64
    assert min(ratios) <= 1.1, ratios


def test_a_cancelled_call_frees_its_place() -> None:
    async def talk(url: str) -> Answer:
        async with ChatClient(api(url), Endpoint(url, 1), lambda *_: None) as client:
            first = asyncio.create_task(client.ask(call_of(1)))
            await asyncio.sleep(0.05)
            first.cancel()
            return await client.ask(call_of(2))

    with FakeLLM(lambda messages: messages[0]["content"], latency=0.2) as server:
        assert asyncio.run(talk(server.url)).text == "question 2"


def test_an_endpoint_on_this_machine_needs_no_key_and_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with FakeLLM() as server:
        (answer,), _ = ask(server, call_of(), key="NO_SUCH_KEY")
    assert isinstance(answer, Answer)


def test_without_litellm_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "litellm", None)
    with pytest.raises(TeacherError, match=r'litellm, which is not installed: pip install "rankstill\[litellm\]"'):
        ChatClient(TeacherConfig(kind="litellm", model="m"), Endpoint("", 1), lambda *_: None)


def by_litellm(monkeypatch: pytest.MonkeyPatch, **settings: Any) -> dict[str, Any]:
    """What litellm is asked with these settings of the teacher."""
    asked: list[dict[str, Any]] = []

    async def acompletion(**arguments: Any) -> Any:
        asked.append(arguments)
        return SimpleNamespace(model_dump=lambda: completion("[2] > [1]"))

    monkeypatch.setitem(sys.modules, "litellm", SimpleNamespace(acompletion=acompletion))
    config = TeacherConfig(kind="litellm", model="gemini/some", **settings)

    async def talk() -> Answer:
        with reach(config) as place:
            client = ChatClient(config, place, lambda *_: None)
        async with client:
            return await client.ask(call_of(1, temperature=0.5))

    assert asyncio.run(talk()).text == "[2] > [1]"
    (arguments,) = asked
    return arguments


def test_litellm_gets_the_same_call_and_none_of_its_own_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = by_litellm(monkeypatch)
    assert (arguments["model"], arguments["messages"]) == ("fake", list(call_of(1).messages))
    assert (arguments["temperature"], arguments["num_retries"], arguments["max_retries"]) == (0.5, 0, 0)


def test_litellm_finds_address_and_key_itself_unless_they_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-for-openai-alone")
    arguments = by_litellm(monkeypatch)
    assert (arguments["api_base"], arguments["api_key"]) == (None, None)
    arguments = by_litellm(monkeypatch, endpoint="https://proxy.example.com", api_key_env="TEST_KEY")
    assert (arguments["api_base"], arguments["api_key"]) == ("https://proxy.example.com", KEY)


def test_json_of_another_content_type_is_read_for_it_is_paid() -> None:
    with FakeLLM(script=[Reply(200, completion("yes"), {"content-type": "text/plain"})]) as server:
        (answer,), failures = ask(server, call_of())
    assert isinstance(answer, Answer)
    assert (answer.text, failures) == ("yes", [])


def test_the_experiments_own_random_draws_are_left_alone() -> None:
    random.seed(1)
    expected = random.random()
    random.seed(1)
    with FakeLLM(script=[Reply(500, error("oops"))]) as server:
        ask(server, call_of())
    assert random.random() == expected


def test_the_fake_server_fails_the_same_requests_whatever_their_order() -> None:
    def failing(order: list[int]) -> set[str]:
        with FakeLLM(faults={"500": 0.3}, seed=2) as server:
            _, failures = ask(server, *map(call_of, order), tries=1)
        return {json.dumps(call.messages) for call, _, _ in failures}

    assert failing(list(range(50))) == failing(list(range(49, -1, -1))) != set()
