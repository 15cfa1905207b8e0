"""LLM calls from workers: one client decides when, whoever sends."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from llm_server import FakeLLM, Reply, completion, error

from rankstill.config import TeacherConfig
from rankstill.engine import EngineError, RayEngine
from rankstill.engine.asking import CallWorkers, reach_by_workers
from rankstill.teacher.asking import CandidateList
from rankstill.teacher.calls import Answer, Call
from rankstill.teacher.client.chat import ChatClient
from rankstill.teacher.client.endpoint import Endpoint
from rankstill.teacher.client.failures import TeacherError
from rankstill.teacher.teach import Teacher


def call(number: int) -> Call:
    return Call("there", "fake", ({"role": "user", "content": f"question {number}"},), {"temperature": 0})


def target(url: str, key: str | None = None) -> TeacherConfig:
    return TeacherConfig(kind="api", model="fake", endpoint=url, api_key_env=key, timeout=60.0, tries=5)


async def asked(senders: CallWorkers, url: str, calls: int, failures: list[str], kill: bool = False) -> list[Answer]:
    place = Endpoint(url, 4, senders)
    async with ChatClient(target(url), place, lambda _, what, __: failures.append(what)) as client:
        answers = asyncio.gather(*(client.ask(call(number)) for number in range(calls)))
        if kill:
            await asyncio.sleep(0.5)
            pids = [each.pid for each in psutil.process_iter(["cmdline"]) if _sends(each.info["cmdline"])]
            assert len(pids) == 2
            os.kill(pids[0], signal.SIGKILL)
        return await answers


def _sends(command: list[str] | None) -> bool:
    return bool(command) and command[0].startswith("ray::_Sender")


def test_workers_keep_one_limit_together_and_a_lost_one_costs_its_calls_a_try(ray_engine: RayEngine) -> None:
    with FakeLLM(lambda messages: messages[-1]["content"], latency=0.3, capacity=3) as server:
        failures: list[str] = []
        with CallWorkers(target(server.url), 2, cpus=0.5) as senders:
            answers = asyncio.run(asked(senders, server.url, 30, failures, kill=True))
    assert [answer.text for answer in answers] == [f"question {number}" for number in range(30)]
    assert server.most <= 4
    assert any("lost" in failure for failure in failures)
    assert any("429" in failure for failure in failures)


def test_a_key_is_read_where_the_worker_is_and_a_refusal_comes_back_without_it(
    ray_engine: RayEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RANKSTILL_TEST_KEY", raising=False)
    refusal = Reply(401, error("Incorrect API key provided: a-key", "invalid_api_key"))
    with (
        FakeLLM(script=[Reply(200, completion("yes")), refusal]) as server,
        CallWorkers(target(server.url, "RANKSTILL_TEST_KEY"), 1, cpus=0.5) as senders,
    ):
        (answer,) = asyncio.run(asked(senders, server.url, 1, []))
        assert (answer.text, server.headers[0]["authorization"]) == ("yes", "Bearer a-key")
        with pytest.raises(TeacherError, match=r"HTTP 401: Incorrect API key provided: \[API key\]") as told:
            asyncio.run(asked(senders, server.url, 1, []))
        assert "a-key" not in str(told.value)
        assert len(server.bodies) == 2


def test_a_worker_that_lacks_something_says_so_before_anything_is_asked(ray_engine: RayEngine) -> None:
    place = target("https://llm.invalid/v1", "RANKSTILL_NO_SUCH_KEY")
    words = (
        rf"on {socket.gethostname()}, where a worker is to ask the LLM: .*environment variable RANKSTILL_NO_SUCH_KEY"
    )
    with pytest.raises(TeacherError, match=words), CallWorkers(place, 1, cpus=0.5):
        pass


def test_a_call_whose_time_is_up_is_called_back_from_its_worker(ray_engine: RayEngine) -> None:
    async def give_up(senders: CallWorkers, when: Callable[[], bool]) -> None:
        sent = asyncio.ensure_future(senders(call(0)))
        while not when():
            await asyncio.sleep(0.01)
        sent.cancel()
        assert isinstance((await asyncio.gather(sent, return_exceptions=True))[0], asyncio.CancelledError)

    with FakeLLM(faults={"timeout": 1.0}) as server:
        starting = CallWorkers(target(server.url), 1, cpus=0.5)
        begun = time.monotonic()
        asyncio.run(give_up(starting, lambda: time.monotonic() > begun + 0.1))  # it is queued until the worker is there
        with starting:
            time.sleep(0.5)
            assert not server.bodies
            asyncio.run(give_up(starting, lambda: bool(server.bodies)))
            until = time.monotonic() + 5
            while server._under_way and time.monotonic() < until:
                time.sleep(0.01)
            assert server._under_way == 0  # the worker hung up


def test_an_engine_is_there_when_something_is_asked_and_not_before(tmp_path: Path) -> None:
    started = []

    def start(_: TeacherConfig) -> Any:
        started.append(1)
        raise EngineError("no cluster")

    listed = CandidateList("q", "query", ("a", "b"), ("passage a", "passage b"))
    key = {"endpoint": "https://llm.invalid/v1", "api_key_env": "RANKSTILL_NO_SUCH_KEY", "model": "fake"}
    config = TeacherConfig(kind="api", ledger=str(tmp_path / "ledger"), **key)
    with Teacher(config, "test", 0, start) as teacher:
        teacher.check_key()  # that is its workers' business
        assert teacher.rank([])[0] == []
        assert not started
        with pytest.raises(EngineError, match="no cluster"):
            teacher.rank([listed])
    in_batches = config.model_copy(update={"batch": True})
    with (
        Teacher(in_batches, "test", 0, start) as teacher,
        pytest.raises(TeacherError, match="RANKSTILL_NO_SUCH_KEY"),
    ):
        teacher.check_key()
    assert len(started) == 1


def test_a_teacher_ranks_alike_whoever_sends_and_every_answer_is_in_the_drivers_ledger(
    ray_engine: RayEngine, tmp_path: Path
) -> None:
    lists = [
        CandidateList(f"q{row}", f"query {row}", tuple("abc"), tuple(f"passage {row} {each}" for each in "abc"))
        for row in range(6)
    ]
    with FakeLLM(lambda messages: "[2] > [3] > [1]") as server:
        made = []
        by_workers = partial(reach_by_workers, engine=ray_engine)
        for name, reach in (("here", None), ("there", by_workers)):
            config = TeacherConfig(kind="api", endpoint=server.url, model="fake", ledger=str(tmp_path / name))
            with Teacher(config, "test", 0, reach) as teacher:
                made.append(teacher.rank(lists)[0])
                asked = sum(server.answered.values())
                teacher.rank(lists)
            assert sum(server.answered.values()) == asked  # again, from the ledger alone
    assert made[0] == made[1]
    assert len(made[0]) == 6
