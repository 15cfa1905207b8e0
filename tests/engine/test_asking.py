"""LLM calls from workers: one client decides when, whoever sends."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import time
from pathlib import Path

import psutil
import pytest
from llm_server import FakeLLM

from rankstill.config import TeacherConfig
from rankstill.engine import RayEngine
from rankstill.engine.asking import Place, Senders
from rankstill.teacher import CandidateList, Teacher
from rankstill.teacher.calls import Answer, Call
from rankstill.teacher.client import ChatClient

pytestmark = pytest.mark.slow


def call(number: int) -> Call:
    return Call("there", "fake", ({"role": "user", "content": f"question {number}"},), {"temperature": 0})


async def asked(senders: Senders, url: str, calls: int, failures: list[str], kill: bool = False) -> list[Answer]:
    arguments = {"timeout": 60.0, "tries": 5, "concurrency": 4}
    async with ChatClient(
        url, None, on_failure=lambda _, what, __: failures.append(what), send=senders, **arguments
    ) as client:
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
    if "send" not in inspect.signature(ChatClient).parameters:
        pytest.skip("ChatClient takes no other sender yet")
    with FakeLLM(lambda messages: messages[-1]["content"], latency=0.3, capacity=3) as server:
        failures: list[str] = []
        with Senders(Place(server.url, None), 2, cpus=0.5) as senders:
            asyncio.run(asked(senders, server.url, 2, failures))  # both are up
            answers = asyncio.run(asked(senders, server.url, 30, failures, kill=True))
    assert [answer.text for answer in answers] == [f"question {number}" for number in range(30)]
    assert server.most <= 4
    assert any("lost" in failure for failure in failures)
    assert any("429" in failure for failure in failures)


def test_a_key_is_read_where_the_worker_is_and_a_refusal_comes_back_as_one(ray_engine: RayEngine) -> None:
    if "send" not in inspect.signature(ChatClient).parameters:
        pytest.skip("ChatClient takes no other sender yet")
    os.environ.pop("RANKSTILL_TEST_KEY", None)
    with (
        FakeLLM(lambda messages: "yes") as server,
        Senders(Place(server.url, "RANKSTILL_TEST_KEY"), 1, cpus=0.5) as senders,
    ):
        started = time.monotonic()
        (answer,) = asyncio.run(asked(senders, server.url, 1, []))
        assert (answer.text, time.monotonic() - started < 60) == ("yes", True)
        assert server.headers[0]["authorization"] == "Bearer a-key"


def test_a_teacher_ranks_alike_whoever_sends_and_every_answer_is_in_the_drivers_ledger(
    ray_engine: RayEngine, tmp_path: Path
) -> None:
    if "engine" not in inspect.signature(Teacher).parameters:
        pytest.skip("Teacher takes no engine yet")
    lists = [
        CandidateList(f"q{row}", f"query {row}", tuple("abc"), tuple(f"passage {row} {each}" for each in "abc"))
        for row in range(6)
    ]
    with FakeLLM(lambda messages: "[2] > [3] > [1]") as server:
        made = []
        for name, engine in (("here", None), ("there", ray_engine)):
            config = TeacherConfig(kind="api", endpoint=server.url, model="fake", ledger=str(tmp_path / name))
            with Teacher(config, "test", 0, engine) as teacher:
                made.append(teacher.rank(lists)[0])
                asked = sum(server.answered.values())
                teacher.rank(lists)
            assert sum(server.answered.values()) == asked  # again, from the ledger alone
    assert made[0] == made[1]
    assert len(made[0]) == 6
