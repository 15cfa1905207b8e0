"""Asking through a batch API: the same rankings as live, nothing submitted twice, nothing paid that was not wanted."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import batch_server
import pytest
from batch_server import FakeBatches
from llm_server import Messages, completion, error

from rankstill.config import TeacherConfig
from rankstill.teacher import batch
from rankstill.teacher.asking import CandidateList
from rankstill.teacher.batch import Submission, submissions
from rankstill.teacher.budget import BudgetReached
from rankstill.teacher.client import batch_api
from rankstill.teacher.client.failures import TeacherError
from rankstill.teacher.ledger import LedgerError
from rankstill.teacher.teach import Teacher

KEY = "sk-secret-of-mine"
LISTS = [
    CandidateList(
        f"q{query}", f"question {query}", tuple(f"p{n}" for n in range(6)), tuple(f"weight {n}" for n in "304152")
    )
    for query in range(4)
]
BEST_FIRST = ("p4", "p2", "p0", "p5", "p3", "p1")  # the heaviest first


class Killed(BaseException):
    """As if the process had ended here."""


@dataclass(frozen=True)
class Elsewhere:
    """A server of another process."""

    url: str


def by_weight(messages: Messages) -> str:
    """An LLM that ranks passages by the number in their text."""
    shown = re.findall(r"\[(\d+)\] weight (\d)", messages[-1]["content"])
    return " > ".join(f"[{number}]" for number, _ in sorted(shown, key=lambda each: -int(each[1])))


def asks_about(query: int, messages: Messages) -> bool:
    return f"question {query}" in messages[-1]["content"]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_api, "FIRST_PAUSE", 0.001)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
def server() -> Iterator[FakeBatches]:
    with FakeBatches(by_weight) as running:
        yield running


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


def teacher(server: FakeBatches | Elsewhere, ledger: Path, paid_by: str = "here", **settings: Any) -> Teacher:
    config = {"kind": "api", "model": "gpt-4o-mini", "endpoint": server.url, "batch": True, "ledger": str(ledger)}
    config["api_key_env"] = "OPENAI_API_KEY"
    return Teacher(TeacherConfig(**{**config, **settings}), paid_by, seed=0)


def rank(
    server: FakeBatches | Elsewhere, ledger: Path, lists: list[CandidateList] = LISTS, **settings: Any
) -> dict[str, Any]:
    """Rankings by query id, and the reasons of the lists left out."""
    with teacher(server, ledger, **settings) as asked:
        rankings, health = asked.rank(lists)
    return {**{each.query_id: each.ranking for each in rankings}, **health.left_out}


def records(ledger: Path) -> list[Path]:
    return list(Path(f"{ledger}.batches").glob("*"))


def kill_while_waiting(server: FakeBatches, ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that ends while its batch is under way."""

    async def killed(seconds: float) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(asyncio, "sleep", killed)
        with pytest.raises(Killed):
            rank(server, ledger)


def test_a_batch_gives_the_ranking_that_the_llm_gave(server: FakeBatches, ledger: Path) -> None:
    assert rank(server, ledger) == {f"q{query}": BEST_FIRST for query in range(4)}
    assert len(server.batches) == 1
    assert records(ledger) == []


def test_sliding_windows_take_a_batch_for_each_window(server: FakeBatches, ledger: Path) -> None:
    whole = rank(server, ledger, window=4, step=2)
    assert whole["q0"][:2] == BEST_FIRST[:2]
    assert len(server.batches) == 2
    assert len(set(server.submitted)) == len(server.submitted) == 8


def test_an_unreadable_answer_is_asked_again_in_the_next_batch(server: FakeBatches, ledger: Path) -> None:
    server.respond = lambda messages: (
        "no idea" if asks_about(1, messages) and len(server.batches) < 2 else by_weight(messages)
    )
    assert rank(server, ledger)["q1"] == BEST_FIRST
    assert [len(each.splitlines()) for each in server.uploads] == [4, 1]


def test_what_was_answered_is_not_asked_again(server: FakeBatches, ledger: Path) -> None:
    rank(server, ledger)
    rank(server, ledger)
    assert len(server.batches) == 1


def test_killed_while_waiting_resumes_without_a_second_submission(
    server: FakeBatches, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_while_waiting(server, ledger, monkeypatch)
    assert len(records(ledger)) == 1
    assert rank(server, ledger)["q3"] == BEST_FIRST
    assert len(server.batches) == 1
    assert records(ledger) == []


def test_a_sigkill_while_waiting_costs_nothing(server: FakeBatches, ledger: Path) -> None:
    server.looks = 1_000_000
    script = "import sys, test_batch; test_batch.rank(test_batch.Elsewhere(sys.argv[1]), test_batch.Path(sys.argv[2]))"
    process = subprocess.Popen(
        [sys.executable, "-c", script, server.url, str(ledger)], cwd=Path(__file__).parent, stderr=subprocess.DEVNULL
    )
    until = time.monotonic() + 60
    while not any(each.batch for each in submissions(ledger)):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)
    process.kill()
    process.wait()
    server.looks = 0
    assert rank(server, ledger)["q0"] == BEST_FIRST
    assert len(server.batches) == 1


@pytest.mark.parametrize("started", [True, False])
def test_killed_while_starting_a_batch_finds_it_if_it_was_started(
    server: FakeBatches, ledger: Path, monkeypatch: pytest.MonkeyPatch, started: bool
) -> None:
    start = batch_api.BatchAPI.start

    async def killed(api: batch_api.BatchAPI, file: str) -> str:
        if started:
            await start(api, file)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(batch_api.BatchAPI, "start", killed)
        with pytest.raises(Killed):
            rank(server, ledger)
    assert rank(server, ledger)["q0"] == BEST_FIRST
    assert len(server.batches) == 1
    assert records(ledger) == []


def test_a_start_whose_reply_is_lost_is_not_repeated(server: FakeBatches, ledger: Path) -> None:
    server.lose = ["POST /v1/batches"]
    assert rank(server, ledger)["q0"] == BEST_FIRST
    assert len(server.batches) == 1


def test_killed_while_collecting_keeps_what_is_left(
    server: FakeBatches, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = []

    def killed(ledger: Any, call: Any, answer: Any, **more: Any) -> None:
        put.append(call)
        if len(put) == 3:
            raise Killed
        original(ledger, call, answer, **more)

    from rankstill.teacher.ledger import Ledger

    original = Ledger.put
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "put", killed)
        with pytest.raises(Killed):
            rank(server, ledger)
    assert len(rank(server, ledger)) == 4
    assert len(server.answered) == 4


def test_killed_after_the_last_answer_leaves_no_false_alarm(
    server: FakeBatches, ledger: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def killed(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Submission, "collected", killed)
        with pytest.raises(Killed):
            rank(server, ledger, lists=LISTS[:2])
    assert len(rank(server, ledger)) == 4
    assert "not needed now" not in capfd.readouterr().err
    assert records(ledger) == []


def test_another_experiment_collects_its_own_and_leaves_the_rest(
    server: FakeBatches, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_while_waiting(server, ledger, monkeypatch)
    assert len(rank(server, ledger, lists=LISTS[:1], paid_by="there")) == 1
    assert len(records(ledger)) == 1
    assert len(rank(server, ledger)) == 4
    assert len(server.batches) == 1
    assert records(ledger) == []


def test_a_batch_that_is_no_longer_needed_is_named(
    server: FakeBatches, ledger: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    kill_while_waiting(server, ledger, monkeypatch)
    rank(server, ledger, temperature=0.5)
    said = " ".join(capfd.readouterr().err.split())
    assert "batch batch_0, submitted from here earlier, holds 4 calls that are not needed now" in said


def test_calls_are_split_by_the_providers_limits(
    server: FakeBatches, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "MOST_REQUESTS", 3)
    assert len(rank(server, ledger)) == 4
    assert sorted(len(each.splitlines()) for each in server.uploads) == [1, 3]


def test_no_batch_file_is_larger_than_allowed(
    server: FakeBatches, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with teacher(server, ledger) as asked:
        lines = [batch_api.batch_line(call.key, call) for _, calls in asked.pending(LISTS) for call in calls]
    most = 2 * max(map(len, lines))
    monkeypatch.setattr(batch, "MOST_BYTES", most)
    assert len(rank(server, ledger)) == 4
    assert len(server.uploads) == 2
    assert max(map(len, server.uploads)) <= most


def test_lists_that_ask_the_same_submit_it_once(server: FakeBatches, ledger: Path) -> None:
    twins = [LISTS[0], CandidateList("twin", LISTS[0].query, LISTS[0].ids, LISTS[0].passages)]
    assert rank(server, ledger, lists=twins) == {"q0": BEST_FIRST, "twin": BEST_FIRST}
    assert len(server.submitted) == 1


def test_a_refused_call_leaves_out_its_list_alone(server: FakeBatches, ledger: Path) -> None:
    too_long = (400, error("This model's maximum context length is 8192 tokens", "context_length_exceeded"))
    server.fault = lambda messages: too_long if asks_about(2, messages) else None
    found = rank(server, ledger)
    assert found["q1"] == BEST_FIRST
    assert found["q2"].startswith("HTTP 400: This model's maximum context length")
    assert "show fewer passages" in found["q2"]
    assert len(server.batches) == 1


def test_the_other_answers_of_a_list_that_is_left_out_are_kept(
    server: FakeBatches, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rank(server, ledger, lists=LISTS[1:2])
    monkeypatch.setattr(batch, "MOST_REQUESTS", 1)
    server.fault = lambda messages: (400, error("bad")) if "[1] weight 3" in messages[-1]["content"] else None
    with pytest.raises(TeacherError, match="query q0: HTTP 400: bad"):
        rank(server, ledger, lists=LISTS[:1], shuffles=2)
    assert records(ledger) == []
    server.fault = lambda messages: None
    assert rank(server, ledger, lists=LISTS[:1], shuffles=2) == {"q0": BEST_FIRST}
    assert len(server.answered) == len(set(server.answered)) == 3


def test_a_call_that_is_refused_alone_does_not_stop_the_next_run(server: FakeBatches, ledger: Path) -> None:
    server.fault = lambda messages: (400, error("bad")) if asks_about(2, messages) else None
    first = rank(server, ledger)
    assert rank(server, ledger) == first


def test_when_all_calls_are_refused_the_reason_stops_the_work(server: FakeBatches, ledger: Path) -> None:
    server.fault = lambda messages: (401, error(f"Incorrect API key provided: {KEY}"))
    with pytest.raises(TeacherError, match=r"HTTP 401: Incorrect API key .*Check the API key") as caught:
        rank(server, ledger)
    assert KEY not in str(caught.value)
    assert len(server.batches) == 1


def test_lists_whose_calls_failed_stop_the_run_as_they_do_live(server: FakeBatches, ledger: Path) -> None:
    server.fault = lambda messages: (500, error("overloaded")) if asks_about(2, messages) else None
    with pytest.raises(TeacherError, match=r"1 list got no answer \(query q2: .*given up after 3 batches.*HTTP 500"):
        rank(server, ledger, tries=3)
    assert len(server.batches) == 3
    with teacher(server, ledger) as asked:
        assert asked.ledger.totals().failures == 3
    server.fault = lambda messages: None
    assert rank(server, ledger) == {f"q{query}": BEST_FIRST for query in range(4)}  # the same command goes on
    assert len(server.answered) == 4


def test_lists_whose_calls_failed_can_be_done_without(server: FakeBatches, ledger: Path) -> None:
    server.fault = lambda messages: (500, error("overloaded")) if asks_about(2, messages) else None
    found = rank(server, ledger, tries=1, accept_missing=True)
    assert found["q0"] == BEST_FIRST
    assert "given up after 1 batches" in found["q2"]


def test_credit_that_ends_amid_a_batch_leaves_out_no_list(server: FakeBatches, ledger: Path) -> None:
    server.fault = lambda messages: (429, error("no", "insufficient_quota")) if asks_about(2, messages) else None
    with pytest.raises(TeacherError, match=r"query q2: HTTP 429: no\. Add credit"):
        rank(server, ledger)


@pytest.mark.parametrize("accept_missing", [False, True])
def test_when_all_calls_fail_the_calls_are_blamed_and_not_the_answers(
    server: FakeBatches, ledger: Path, accept_missing: bool
) -> None:
    server.fault = lambda messages: (500, error("overloaded"))
    with pytest.raises(TeacherError, match=r"4 lists got no answer \(query q0: .*HTTP 500: overloaded"):
        rank(server, ledger, tries=1, accept_missing=accept_missing)


def test_a_prompt_that_is_too_long_is_submitted_again_shorter(server: FakeBatches, ledger: Path) -> None:
    too_long = (400, error("Input is too long for requested model."))
    server.fault = lambda messages: too_long if len(messages[-1]["content"]) > 3000 else None
    passages = tuple(f"{text} {'word ' * 100}" for text in LISTS[0].passages)
    long = CandidateList("long", "question 9", LISTS[0].ids, passages)
    found = rank(server, ledger, lists=[*LISTS, long])
    assert found["long"] == BEST_FIRST
    assert [len(each.splitlines()) for each in server.uploads] == [5, 1]
    assert rank(server, ledger, lists=[*LISTS, long]) == found
    assert len(server.batches) == 2


def test_prompts_that_the_server_cuts_stop_the_work(
    server: FakeBatches, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_to(context: int) -> None:
        monkeypatch.setattr(batch_server, "completion", lambda text: completion(text, tokens_in=context))

    def long(number: int) -> CandidateList:
        passages = tuple(f"{text} {'word ' * (100 + number)}" for text in LISTS[0].passages)
        return CandidateList(f"long{number}", f"question {number}", LISTS[0].ids, passages)

    cut_to(300)
    with pytest.raises(TeacherError, match="counts 300 tokens of each long prompt"):
        rank(server, ledger, lists=list(map(long, range(9))))
    cut_to(900)
    assert len(rank(server, ledger, lists=list(map(long, range(9))))) == 9
    assert [len(each.splitlines()) for each in server.uploads] == [9, 9]


def test_a_parameter_that_is_not_taken_is_left_out_of_the_next_batch(server: FakeBatches, ledger: Path) -> None:
    refusal = (400, error("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."))
    server.fault = lambda messages: refusal if len(server.batches) < 2 else None
    assert rank(server, ledger) == {f"q{query}": BEST_FIRST for query in range(4)}
    last = [json.loads(line)["body"] for line in server.uploads[1].splitlines()]
    assert {each.get("max_completion_tokens") for each in last} == {512}
    assert not any("max_tokens" in each for each in last)


def test_an_expired_batch_keeps_its_answers_and_the_next_run_asks_for_the_rest(
    server: FakeBatches, ledger: Path
) -> None:
    server.ends, server.done = ["expired", "completed"], 3
    with pytest.raises(TeacherError, match=r"batch_0 expired\. 3 of its 4 calls were answered and are kept"):
        rank(server, ledger)
    assert records(ledger) == []
    assert len(rank(server, ledger)) == 4
    assert [len(each.splitlines()) for each in server.uploads] == [4, 1]


def test_a_batch_that_fails_says_why_in_the_providers_words(server: FakeBatches, ledger: Path) -> None:
    server.ends = ["failed", "completed"]
    with pytest.raises(TeacherError, match="batch_0 failed: Invalid file") as caught:
        rank(server, ledger)
    assert KEY not in str(caught.value)
    assert len(rank(server, ledger)) == 4


@pytest.mark.parametrize("limit", [{"max_calls": 3}, {"max_calls": 0}, {"max_tokens": 3000}, {"max_cost": 0.001}])
def test_a_round_that_could_pass_the_budget_is_not_submitted(
    server: FakeBatches, ledger: Path, limit: dict[str, Any]
) -> None:
    with pytest.raises(BudgetReached, match=f"teacher.{next(iter(limit))}: of the 4 calls") as caught:
        rank(server, ledger, **limit)
    assert "Raise" in str(caught.value)
    assert server.uploads == server.batches == []
    assert records(ledger) == []


def test_what_batches_took_counts_in_the_budget(server: FakeBatches, ledger: Path) -> None:
    with teacher(server, ledger, max_calls=6, window=4, step=2) as asked:
        with pytest.raises(BudgetReached):  # four calls a round
            asked.rank(LISTS)
        assert asked.budget.spent.calls == 4
        assert asked.budget.spent.tokens_in == 4 * 7
    assert len(server.batches) == 1


def test_requests_that_stumble_are_tried_again(server: FakeBatches, ledger: Path) -> None:
    server.refuse = {"POST /v1/files": [500, 429], "POST /v1/batches": [503], "GET /v1/batches/batch_0": [502, 500]}
    assert len(rank(server, ledger)) == 4
    assert len(server.batches) == 1


def test_an_endpoint_that_stays_away_ends_the_run_but_not_the_batch(server: FakeBatches, ledger: Path) -> None:
    server.refuse = {"GET /v1/batches/batch_0": [500] * 2}
    with pytest.raises(TeacherError, match=r"given up after 2 tries.*HTTP 500") as caught:
        rank(server, ledger, tries=2)
    assert KEY not in str(caught.value)
    assert len(rank(server, ledger)) == 4
    assert len(server.batches) == 1


def test_a_refused_key_says_so(server: FakeBatches, ledger: Path) -> None:
    server.refuse = {"POST /v1/files": [401]}
    with pytest.raises(TeacherError, match=r"HTTP 401.*Check the API key"):
        rank(server, ledger)


@pytest.mark.parametrize("content_type", ["application/json", "text/html"])
@pytest.mark.parametrize("what", ["POST /v1/files", "POST /v1/batches", "GET /v1/batches", "GET /v1/batches/batch_0"])
def test_a_web_page_in_the_place_of_a_batch_api_stops_the_run(
    server: FakeBatches, ledger: Path, monkeypatch: pytest.MonkeyPatch, what: str, content_type: str
) -> None:
    usual = server._reply

    def reply(asked: str, *more: Any) -> bytes:
        server.content_type = content_type if asked == what else "application/json"
        return b"<!DOCTYPE html><html>Sign in</html>" if asked == what else usual(asked, *more)

    monkeypatch.setattr(server, "_reply", reply)
    if what == "GET /v1/batches":
        server.refuse = {"POST /v1/batches": [500]}  # so that it looks whether the batch was started all the same
    with pytest.raises(TeacherError, match=r"the reply is (a web page, not JSON\. Check|not of a batch API)") as caught:
        rank(server, ledger)
    assert "\n" not in str(caught.value)


def test_a_batch_that_is_gone_says_how_to_submit_its_calls_anew(
    server: FakeBatches, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.refuse = {"GET /v1/batches/batch_0": [404, 404]}
    with pytest.raises(TeacherError, match=r"If batch batch_0 is gone, move .*\.json away"):
        rank(server, ledger)
    [record] = records(ledger)
    record.unlink()
    assert len(rank(server, ledger)) == 4
    assert len(server.batches) == 2


def test_a_missing_key_is_named_before_anything_is_sent(
    server: FakeBatches, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(TeacherError, match="no API key in the environment variable OPENAI_API_KEY"):
        rank(server, ledger, endpoint="https://api.openai.com/v1")


def test_broken_result_lines_cost_their_calls_alone(
    server: FakeBatches, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = batch_api.BatchAPI._lines
    broken = []

    async def damaged(api: batch_api.BatchAPI, file: str) -> list[bytes]:
        whole = await lines(api, file)
        if broken:
            return whole
        broken.append(whole[0])
        return [whole[0][:40], b'"text"', b"{}", *whole[1:]]

    monkeypatch.setattr(batch_api.BatchAPI, "_lines", damaged)
    assert len(rank(server, ledger)) == 4
    assert [len(each.splitlines()) for each in server.uploads] == [4, 1]


def test_the_batch_file_holds_the_requests_as_they_would_be_sent_live(server: FakeBatches, ledger: Path) -> None:
    with teacher(server, ledger) as asked:
        [(_, [call])] = asked.pending(LISTS[:1])
        asked.rank(LISTS[:1])
    [line] = server.uploads[0].splitlines()
    assert json.loads(line) == {
        "custom_id": call.key,
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": "gpt-4o-mini", "messages": list(call.messages), "temperature": 0.0, "max_tokens": 512},
    }


def test_the_key_is_sent_and_written_nowhere(server: FakeBatches, ledger: Path) -> None:
    server.fault = lambda messages: (500, error(f"who is {KEY}?")) if len(server.batches) < 2 else None
    server.looks = 3
    seen = []
    look = server._look

    def looking(started: dict[str, Any]) -> dict[str, Any]:
        seen.extend(path.read_text() for path in records(ledger))
        return look(started)

    server._look = looking  # type: ignore[method-assign]
    assert len(rank(server, ledger)) == 4
    assert server.keys == {f"Bearer {KEY}"}
    files = [path for path in ledger.parent.rglob("*") if path.is_file()]
    assert seen
    assert all(KEY not in text for text in seen)
    assert all(KEY.encode() not in path.read_bytes() for path in files)
    assert all(KEY.encode() not in upload for upload in server.uploads)


def test_a_damaged_record_is_named(server: FakeBatches, ledger: Path) -> None:
    folder = Path(f"{ledger}.batches")
    folder.mkdir()
    (folder / "x.json").write_text("{")
    with pytest.raises(LedgerError, match=r"x\.json: damaged"):
        rank(server, ledger)
    assert server.batches == []
