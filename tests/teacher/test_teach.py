"""The teacher, asked over HTTP: every list answered once, nothing paid twice, limits kept, killed or not."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from llm_server import FakeLLM, Messages, Reply, completion, error

from rankstill.config import TeacherConfig
from rankstill.errors import RankstillError
from rankstill.teacher.asking import CandidateList
from rankstill.teacher.budget import Budget, BudgetReached
from rankstill.teacher.calls import Call
from rankstill.teacher.client.failures import TeacherError
from rankstill.teacher.prompts import count_tokens
from rankstill.teacher.teach import Teacher

SIZE = 5


def a_list(number: int) -> CandidateList:
    """Its passages say how good they are."""
    worth = random.Random(number).sample(range(100, 1000), SIZE)
    ids = tuple(f"q{number}-{each}" for each in worth)
    return CandidateList(f"q{number}", f"question {number}", ids, tuple(f"worth {each} points" for each in worth))


def oracle(messages: Messages) -> str:
    """Ranks by what the passages say of themselves."""
    shown = re.findall(r"\[(\d+)\]:? worth (\d+) points", messages[-1]["content"])
    ranked = [f"[{number}]" for number, _ in sorted(shown, key=lambda each: -int(each[1]))]
    return ranked[0] if len(ranked) == 2 else " > ".join(ranked)


def config(url: str, folder: Path, **options: Any) -> TeacherConfig:
    values = {"kind": "api", "model": "fake", "endpoint": url, "ledger": str(folder / "ledger.sqlite")}
    return TeacherConfig.model_validate({**values, **options})


def right(number: int) -> tuple[str, ...]:
    return tuple(sorted(a_list(number).ids, key=lambda each: -int(each.split("-")[1])))


def test_every_list_is_ranked_and_asked_once(tmp_path: Path) -> None:
    lists = [a_list(number) for number in range(30)]
    with FakeLLM(oracle) as server, Teacher(config(server.url, tmp_path), "w", 0) as teacher:
        rankings, health = teacher.rank(lists)
        again, _ = teacher.rank(lists)
    assert [each.ranking for each in rankings] == [right(number) for number in range(30)]
    assert again == rankings
    assert server.answered.total() == 30
    assert (health.lists, health.left_out, health.statuses) == (30, {}, {"exact": 30})
    assert (health.spend.calls, health.spend.tokens_in, health.spend.cost) == (30, 210, None)


def test_the_same_call_is_not_paid_again_in_another_workspace(tmp_path: Path) -> None:
    lists = [a_list(number) for number in range(5)]
    with FakeLLM(oracle) as server:
        for workspace in ("one", "two"):
            with Teacher(config(server.url, tmp_path), workspace, 0) as teacher:
                rankings, health = teacher.rank(lists)
            assert len(rankings) == 5
    assert server.answered.total() == 5
    assert health.spend.calls == 0  # the second workspace paid nothing


def test_two_lists_that_ask_the_same_pay_once(tmp_path: Path) -> None:
    twins = [CandidateList(name, "question", a_list(1).ids, a_list(1).passages) for name in ("q1", "q2")]
    with FakeLLM(oracle, latency=0.1) as server, Teacher(config(server.url, tmp_path), "w", 0) as teacher:
        rankings, _ = teacher.rank(twins)
    assert [each.query_id for each in rankings] == ["q1", "q2"]
    assert server.answered.total() == 1


def test_with_injected_faults_every_list_is_answered_once_and_none_is_lost(tmp_path: Path) -> None:
    faults = {"429": 0.05, "500": 0.05, "drop": 0.05, "truncate": 0.03, "cut": 0.02}
    lists = [a_list(number) for number in range(150)]
    settings = config("http://set-below", tmp_path, concurrency=32, tries=10)
    with FakeLLM(oracle, faults=faults, seed=3) as server:
        settings = settings.model_copy(update={"endpoint": server.url})
        with Teacher(settings, "w", 0) as teacher:
            rankings, health = teacher.rank(lists)
    assert [each.ranking for each in rankings] == [right(number) for number in range(150)]
    assert set(server.answered.values()) == {1}
    assert health.left_out == {}
    assert health.spend.failures > 10  # they are in the ledger


def test_a_list_that_cannot_be_read_is_left_out_counted_and_named(tmp_path: Path) -> None:
    def sometimes(messages: Messages) -> str:
        return "I like them all." if "question 3" in messages[-1]["content"] else oracle(messages)

    lists = [a_list(number) for number in range(6)]
    with FakeLLM(sometimes) as server, Teacher(config(server.url, tmp_path), "w", 0) as teacher:
        rankings, health = teacher.rank(lists)
    assert [each.query_id for each in rankings] == ["q0", "q1", "q2", "q4", "q5"]
    assert dict(health.left_out) == {"q3": "unreadable"}
    assert any("q3" in line for line in health.lines())
    assert server.answered.total() == 6 + 2  # asked again twice


def worst_tokens(settings: TeacherConfig) -> int:
    """The most that one of our calls could take, by the budget's own account."""
    with Teacher(settings, "nobody", 0) as teacher:
        [(_, calls)] = teacher.pending([a_list(0)])
        worst = Budget().reserve(calls[0])
    assert worst is not None
    return worst.tokens_in + worst.tokens_out


@pytest.mark.parametrize("limit", ["max_calls", "max_tokens", "max_cost"])
def test_a_limit_stops_before_it_is_passed_and_the_same_command_goes_on(tmp_path: Path, limit: str) -> None:
    lists = [a_list(number) for number in range(20)]
    options: dict[str, Any] = {"prices": {"fake": {"input": 1.0, "output": 1.0}}, "answer_tokens": 50}
    with FakeLLM(oracle) as server:
        # Calls take 10 tokens each, so the last one that may be made leaves room for the worst of one.
        tokens = worst_tokens(config(server.url, tmp_path, **options)) + 65
        limits: dict[str, float] = {"max_calls": 7, "max_tokens": tokens, "max_cost": tokens / 1e6}
        for _ in range(2):  # the second run has what the first has spent against it
            with (
                Teacher(config(server.url, tmp_path, **options, **{limit: limits[limit]}), "w", 0) as teacher,
                pytest.raises(BudgetReached, match=limit),
            ):
                teacher.rank(lists)
            assert server.answered.total() == teacher.budget.spent.calls == 7
        with Teacher(config(server.url, tmp_path, **options), "w", 0) as teacher:
            rankings, _ = teacher.rank(lists)
    assert len(rankings) == 20
    assert server.answered.total() == 20


def test_a_refused_key_stops_at_once_with_one_line(tmp_path: Path) -> None:
    replies = [Reply(401, error("Incorrect API key provided"))] * 100
    with (
        FakeLLM(oracle, script=replies) as server,
        Teacher(config(server.url, tmp_path, concurrency=4), "w", 0) as teacher,
        pytest.raises(TeacherError, match="Incorrect API key") as caught,
    ):
        teacher.rank([a_list(number) for number in range(50)])
    assert "\n" not in str(caught.value)
    assert server.requests.total() <= 8  # those that were on their way


def test_nobody_there_is_found_out_after_a_few_calls(tmp_path: Path) -> None:
    settings = config("http://127.0.0.1:9/v1", tmp_path, tries=1, concurrency=1)
    with Teacher(settings, "w", 0) as teacher, pytest.raises(TeacherError):
        teacher.rank([a_list(number) for number in range(50)])
    assert teacher.ledger.path.exists()


def test_a_list_whose_call_was_given_up_is_asked_anew_by_the_same_command(tmp_path: Path) -> None:
    lists = [a_list(number) for number in range(6)]
    broken = [Reply(500, error("overloaded"))] * 2
    with FakeLLM(oracle, script=broken) as server:
        settings = config(server.url, tmp_path, tries=1, concurrency=1)
        with Teacher(settings, "w", 0) as teacher:
            with pytest.raises(TeacherError, match=r"2 lists got no answer .*same command again"):
                teacher.rank(lists)
            rankings, _ = teacher.rank(lists)
    assert [each.ranking for each in rankings] == [right(number) for number in range(6)]
    assert server.answered.total() == 6


def test_lists_without_an_answer_can_be_done_without(tmp_path: Path) -> None:
    with (
        FakeLLM(oracle, script=[Reply(500, error("overloaded"))] * 2) as server,
        Teacher(config(server.url, tmp_path, tries=1, concurrency=1, accept_missing=True), "w", 0) as teacher,
    ):
        rankings, health = teacher.rank([a_list(number) for number in range(6)])
    assert len(rankings) == 4
    assert len(health.left_out) == 2


def test_a_prompt_that_the_endpoint_refuses_is_left_out_and_the_others_are_ranked(tmp_path: Path) -> None:
    lists = [a_list(number) for number in range(6)]
    too_long = Reply(400, error("This model's maximum context length is 10 tokens", "context_length_exceeded"))
    with (
        FakeLLM(oracle, script=[too_long] * 4) as server,
        Teacher(config(server.url, tmp_path, concurrency=1), "w", 0) as teacher,
    ):
        rankings, health = teacher.rank(lists)
    assert len(rankings) == 2
    assert len(health.left_out) == 4
    assert all("context length" in why for why in health.left_out.values())


def a_long_list(number: int) -> CandidateList:
    """As `a_list`, with passages of some hundred tokens each, no two lists of one length."""
    short = a_list(number)
    passages = tuple(f"{text} {'and more ' * (100 + number)}" for text in short.passages)
    return CandidateList(f"long{number}", short.query, short.ids, passages)


def refuses_above(characters: int, reply: Reply) -> Callable[[dict[str, Any]], Reply | None]:
    return lambda body: reply if len(body["messages"][-1]["content"]) > characters else None


UNKNOWN = Reply(400, error("I cannot process that"))
TOO_LONG = [
    Reply(400, {"message": "Input is too long for requested model."}),
    Reply(400, error("input length and `max_tokens` exceed context limit: 198667 + 8192 > 200000")),
    Reply(422, {"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 2048"}),
    Reply(400, {"detail": "ValidationException: Input is too long for requested model."}),
    Reply(413, "<html>"),
    UNKNOWN,
]


@pytest.mark.parametrize("reply", TOO_LONG)
def test_a_prompt_that_is_too_long_is_asked_once_more_shorter(tmp_path: Path, reply: Reply) -> None:
    lists = [a_long_list(0), *(a_list(number) for number in range(1, 6))]
    with (
        FakeLLM(oracle, reply=refuses_above(4000, reply)) as server,
        Teacher(config(server.url, tmp_path, concurrency=1), "w", 0) as teacher,
    ):
        rankings, health = teacher.rank(lists)
        paid = server.requests.total()
        assert teacher.rank(lists)[0] == rankings  # the rerun finds the answer and asks nothing
        assert server.requests.total() == paid == 7
        assert teacher.ledger.own().calls == 6
    assert [each.ranking for each in rankings] == [right(number) for number in range(6)]
    assert health.left_out == {}


@pytest.mark.parametrize("reply", TOO_LONG)
def test_a_prompt_that_stays_too_long_is_left_out_alone_on_every_run(tmp_path: Path, reply: Reply) -> None:
    lists = [a_long_list(0), *(a_list(number) for number in range(1, 6))]
    with FakeLLM(oracle, reply=refuses_above(1500, reply)) as server:
        for _ in range(2):
            with Teacher(config(server.url, tmp_path), "w", 0) as teacher:
                rankings, health = teacher.rank(lists)
            assert [each.query_id for each in rankings] == [f"q{number}" for number in range(1, 6)]
            assert list(health.left_out) == ["long0"]
    assert server.answered.total() == 5


def test_requests_that_are_all_refused_stop_the_work_and_are_named(tmp_path: Path) -> None:
    with FakeLLM(oracle, reply=lambda body: UNKNOWN) as server:
        settings = config(server.url, tmp_path, concurrency=4)
        with Teacher(settings, "w", 0) as teacher:
            with pytest.raises(TeacherError, match=r"calls were refused one after another.*I cannot process that"):
                teacher.rank([a_list(number) for number in range(200)])
            assert server.requests.total() < 40
            with pytest.raises(TeacherError, match=r"3 lists got no answer \(query q0: .*I cannot process that"):
                teacher.rank([a_list(number) for number in range(3)])


def test_when_the_endpoint_begins_to_refuse_all_requests_no_list_is_left_out(tmp_path: Path) -> None:
    taken: list[str] = []

    def ends(body: dict[str, Any]) -> Reply | None:
        taken.append("one")
        return UNKNOWN if len(taken) > 30 else None

    lists = [a_list(number) for number in range(100)]
    with FakeLLM(oracle, reply=ends) as server:
        with (
            Teacher(config(server.url, tmp_path, concurrency=2), "w", 0) as teacher,
            pytest.raises(TeacherError, match=r"refused one after another.*accept_missing"),
        ):
            teacher.rank(lists)
        assert server.requests.total() < 70
        with Teacher(config(server.url, tmp_path, accept_missing=True), "w", 0) as teacher:
            assert len(teacher.rank(lists)[0]) == 30


def counts_at_most(context: int, of: Callable[[str], float]) -> Callable[[dict[str, Any]], Reply]:
    """Answers, and counts the prompt's tokens up to the context that it cuts prompts to without a word."""

    def reply(body: dict[str, Any]) -> Reply:
        whole = sum(of(message["content"]) for message in body["messages"])
        return Reply(200, completion(oracle(body["messages"]), tokens_in=min(context, round(whole))))

    return reply


def test_prompts_that_the_server_cuts_stop_the_work_and_their_answers_are_not_used(tmp_path: Path) -> None:
    lists = [*(a_list(number) for number in range(10)), *(a_long_list(number) for number in range(60))]
    with FakeLLM(reply=counts_at_most(512, count_tokens)) as server:
        settings = config(server.url, tmp_path, concurrency=2)
        with (
            Teacher(settings, "w", 0) as teacher,
            pytest.raises(TeacherError, match=r"counts 512 tokens of each long prompt.*OLLAMA_CONTEXT_LENGTH"),
        ):
            teacher.rank(lists)
        assert server.answered.total() <= 10 + 5 + 4  # those that were on their way are not used either
        with Teacher(settings, "w", 0) as teacher:
            assert sum(1 for _ in teacher.pending(lists)) == 60
            assert teacher.ledger.own().tokens_in > 5 * 512  # but paid
        server._own_reply = counts_at_most(100_000, count_tokens)
        with Teacher(settings, "w", 0) as teacher:
            assert len(teacher.rank(lists)[0]) == 70


@pytest.mark.parametrize("share", [0.4, 0.6, 1.0, 2.5])
def test_a_tokenizer_that_counts_otherwise_is_not_taken_for_a_server_that_cuts(tmp_path: Path, share: float) -> None:
    lists = [a_long_list(number) for number in range(30)]
    with FakeLLM(reply=counts_at_most(100_000, lambda text: share * count_tokens(text))) as server:
        settings = config(server.url, tmp_path, shuffles=5, passage_tokens=2000)
        with Teacher(settings, "w", 0) as teacher:
            assert len(teacher.rank(lists)[0]) == 30


@pytest.mark.parametrize("count", [-1, 10**30, 7.5, "9", None])
def test_absurd_token_counts_harm_neither_ledger_nor_budget(tmp_path: Path, count: Any) -> None:
    def absurd(body: dict[str, Any]) -> Reply:
        return Reply(200, completion(oracle(body["messages"]), tokens_in=count))

    with (
        FakeLLM(reply=absurd) as server,
        Teacher(config(server.url, tmp_path, max_tokens=100_000), "w", 0) as teacher,
    ):
        rankings, health = teacher.rank([a_list(number) for number in range(10)])
    assert len(rankings) == 10
    assert 10 * 20 < health.spend.tokens_in == teacher.budget.spent.tokens_in < 10 * 1000


def test_an_endpoint_without_schemas_is_asked_for_plain_text(tmp_path: Path) -> None:
    refused = Reply(400, error("response_format of type json_schema is not supported"))
    settings = {"structured": True, "concurrency": 1}
    with FakeLLM(oracle, script=[refused]) as server:
        with Teacher(config(server.url, tmp_path, **settings), "w", 0) as teacher:
            rankings, _ = teacher.rank([a_list(number) for number in range(4)])
            teacher.rank([a_list(number) for number in range(4)])
        assert [each.ranking for each in rankings] == [right(number) for number in range(4)]
        assert ["response_format" in body for body in server.bodies] == [True] + [False] * 4


def test_a_teacher_that_is_never_readable_is_not_paid_to_the_end(tmp_path: Path) -> None:
    lists = [a_list(number) for number in range(200)]
    with FakeLLM(lambda messages: "Hard to say.") as server:
        settings = config(server.url, tmp_path, ask_again=0, concurrency=2)
        with Teacher(settings, "w", 0) as teacher, pytest.raises(TeacherError, match="none of the first 20 lists"):
            teacher.rank(lists)
    assert server.answered.total() < 30


def test_a_teacher_that_only_repeats_the_order_shown_is_not_paid_to_the_end_and_told_of(tmp_path: Path) -> None:
    def parrot(messages: Messages) -> str:
        return " > ".join(f"[{number}]" for number in range(1, SIZE + 1))

    lists = [a_list(number) for number in range(200)]
    with FakeLLM(parrot) as server:
        settings = config(server.url, tmp_path, shuffles=2, concurrency=2)
        with (
            Teacher(settings, "w", 0) as teacher,
            pytest.raises(TeacherError, match="it ranks differently when the passages are shown in another order"),
        ):
            teacher.rank(lists)
    assert server.answered.total() < 60


@pytest.mark.parametrize("fault", [completion("", finish="error"), completion(None)])
def test_a_passing_fault_is_not_kept_as_an_answer(tmp_path: Path, fault: dict[str, Any]) -> None:
    with FakeLLM(oracle, script=[Reply(200, fault)] * 2) as server:
        settings = config(server.url, tmp_path, concurrency=1, ask_again=0)
        with Teacher(settings, "w", 0) as teacher:
            rankings, _ = teacher.rank([a_list(0)])
            assert teacher.ledger.own().failures == 2
    assert [each.ranking for each in rankings] == [right(0)]


def test_it_can_be_asked_from_a_running_loop_as_in_a_notebook(tmp_path: Path) -> None:
    async def cell() -> int:
        with Teacher(config(server.url, tmp_path), "w", 0) as teacher:
            return len(teacher.rank([a_list(number) for number in range(3)])[0])

    with FakeLLM(oracle) as server:
        assert asyncio.run(cell()) == 3


def test_single_calls_are_answered_in_their_order_and_those_given_up_are_none(tmp_path: Path) -> None:
    def no_second(messages: Messages) -> str:
        return f"answer to {messages[-1]['content']}"

    broken = [Reply(500, error("overloaded"))]
    with FakeLLM(no_second, script=broken) as server:
        settings = config(server.url, tmp_path, tries=1, concurrency=1)
        calls = [Call(server.url, "fake", ({"role": "user", "content": str(n)},), {"max_tokens": 9}) for n in range(4)]
        with Teacher(settings, "w", 0) as teacher:
            first = teacher.answers(calls, "asking")
            again = teacher.answers(calls, "asking")
    assert [answer and answer.text for answer in first] == [None, "answer to 1", "answer to 2", "answer to 3"]
    assert [answer and answer.text for answer in again] == [f"answer to {n}" for n in range(4)]
    assert server.answered.total() == 4


def test_what_a_model_cost_before_the_price_changed_stays_spent(tmp_path: Path) -> None:
    def priced(dollars: float, **more: Any) -> TeacherConfig:
        return config(server.url, tmp_path, prices={"fake": {"input": dollars, "output": dollars}}, **more)

    with FakeLLM(oracle) as server:
        with Teacher(priced(1e6), "w", 0) as teacher:
            teacher.rank([a_list(0)])  # 10 tokens
        with Teacher(priced(1.0, max_cost=9.0), "w", 0) as teacher:
            assert teacher.budget.cost == pytest.approx(10.0)
            with pytest.raises(BudgetReached, match="max_cost"):
                teacher.rank([a_list(1)])


def test_a_quote_asks_nothing_and_leaves_out_what_is_paid(tmp_path: Path) -> None:
    lists = [a_list(number) for number in range(10)]
    options = {"prices": {"fake": {"input": 2.0, "output": 8.0}}}
    with FakeLLM(oracle) as server, Teacher(config(server.url, tmp_path, **options), "w", 0) as teacher:
        before = teacher.quote(lists)
        assert server.requests.total() == 0
        teacher.rank(lists[:4])
        after = teacher.quote(lists)
    assert (before.calls, after.calls) == (10, 6)
    assert before.cost is not None
    assert before.cost == pytest.approx((before.tokens_in * 2 + before.tokens_out * 8) / 1e6)
    assert after.tokens_out == 6 * 3  # by now it is known how long the answers are


def test_no_key_is_needed_when_nothing_is_left_to_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "secret-of-mine")
    lists = [a_list(number) for number in range(3)]
    with FakeLLM(oracle) as server:
        settings = config(server.url, tmp_path, api_key_env="A_KEY")
        with Teacher(settings, "w", 0) as teacher:
            rankings, _ = teacher.rank(lists)
        assert server.headers[0]["authorization"] == "Bearer secret-of-mine"
    monkeypatch.delenv("A_KEY")
    with Teacher(settings, "w", 0) as teacher:
        assert teacher.rank(lists)[0] == rankings
    assert b"secret-of-mine" not in b"".join(path.read_bytes() for path in tmp_path.glob("ledger*"))


ASK = """
import json, sys
from test_teach import a_list, config
from pathlib import Path
from rankstill.teacher.teach import Teacher
url, folder, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
with Teacher(config(url, folder, concurrency=16), "w", 0) as teacher:
    rankings, _ = teacher.rank([a_list(number) for number in range(count)])
print(json.dumps([each.ranking for each in rankings]))
"""


def test_killed_at_random_moments_it_ends_with_the_same_rankings_and_loses_only_calls_in_flight(tmp_path: Path) -> None:
    count, at_once, kills = 200, 16, 0
    draw = random.Random(5)
    with FakeLLM(oracle, latency=0.05) as server:

        def start() -> subprocess.Popen[str]:
            arguments = [sys.executable, "-c", ASK, server.url, str(tmp_path), str(count)]
            search = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
            environment = {**os.environ, "PYTHONPATH": search}
            return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment)

        for _ in range(10):
            running, paid = start(), server.answered.total()
            wanted = min(paid + draw.randint(1, 25), count - 5)
            deadline = time.monotonic() + 60
            while server.answered.total() < wanted and running.poll() is None and time.monotonic() < deadline:
                time.sleep(0.002)
            running.send_signal(signal.SIGKILL)
            kills += running.wait() == -signal.SIGKILL
        last = start()
        said, _ = last.communicate(timeout=120)
    assert kills == 10
    assert json.loads(said) == [list(right(number)) for number in range(count)]
    paid_again = server.answered.total() - len(server.answered)
    assert len(server.answered) == count
    assert paid_again <= kills * at_once


@pytest.mark.slow
def test_a_thousand_lists_take_no_more_than_a_tenth_beyond_the_ideal(tmp_path: Path) -> None:
    count, at_once, latency = 1000, 64, 0.5
    lists = [a_list(number) for number in range(count)]
    took = []
    for trial in range(3):  # a busy machine may spoil one
        folder = tmp_path / str(trial)
        with FakeLLM(oracle, latency=latency) as server:
            settings = config(server.url, folder, concurrency=at_once)
            with Teacher(settings, "w", 0) as teacher:
                started = time.monotonic()
                rankings, _ = teacher.rank(lists)
                took.append(time.monotonic() - started)
        assert len(rankings) == count
        assert server.answered.total() == count
        if took[-1] <= 1.1 * count / at_once * latency:
            break
    assert min(took) <= 1.1 * count / at_once * latency


def test_memory_is_flat_in_the_number_of_calls(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        lists = [a_list(number) for number in range(count)]
        settings = config(server.url, tmp_path / str(count), strategy="pairwise", concurrency=4)
        with Teacher(settings, "w", 0) as teacher:
            teacher.rank(lists[:2])  # what is loaded on the way does not count
            tracemalloc.start()
            teacher.rank(lists)
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        return most

    class Forgetful(list[Any]):
        """The server is in this process: what it remembers would count too."""

        def append(self, _: Any) -> None:
            pass

    with FakeLLM(oracle) as server:
        server.bodies = server.headers = Forgetful()
        few, many = peak(15), peak(45)
    assert server.answered.total() == 60 * 20
    assert many < few + 600_000  # 600 calls more, of 3 KB each with their prompts


def test_a_template_of_ones_own_is_named_in_each_ranking(tmp_path: Path) -> None:
    own = tmp_path / "mine.jinja"
    own.write_text(
        "{% block user %}{{ query }}\n{% for passage in passages %}{{ passage.identifier }} {{ passage.text }}\n"
        "{% endfor %}{% if structured %}JSON{% endif %}{% endblock %}"
    )
    with FakeLLM(oracle) as server, Teacher(config(server.url, tmp_path, template=str(own)), "w", 0) as teacher:
        [ranking], _ = teacher.rank([a_list(0)])
    assert ranking.prompt is not None
    assert ranking.prompt.startswith("mine.jinja@")
    assert ranking.ranking == right(0)


def test_a_limit_in_dollars_needs_a_price(tmp_path: Path) -> None:
    with pytest.raises(RankstillError, match="price"):
        Teacher(config("http://127.0.0.1:9/v1", tmp_path, max_cost=1.0), "w", 0)
