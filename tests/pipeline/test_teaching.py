"""The chain with a black-box LLM in place of recorded rankings, and what the command line says of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from llm_server import FakeLLM, Messages

import rankstill
from rankstill.config import Config
from rankstill.errors import DataError, RankstillError
from rankstill.teacher.budget import BudgetReached

MakeConfig = Callable[..., Config]


def by_shared_words(messages: Messages) -> str:
    """Ranks passages by how many words they share with the query: no oracle, but better than nothing."""
    text = messages[-1]["content"]
    wanted = set(re.findall(r"Search query: (.*)", text)[-1].split())
    shown = re.findall(r"^\[(\d+)\] (.*)$", text, re.MULTILINE)
    ranked = sorted(shown, key=lambda each: -len(wanted & set(each[1].lower().split())))
    return " > ".join(f"[{number}]" for number, _ in ranked)


@pytest.fixture
def asking(toy_config: MakeConfig, tmp_path: Path) -> Callable[..., Config]:
    """A config that asks an LLM: `asking(url, changes)`."""

    def make(url: str, **changes: Any) -> Config:
        teacher = {"kind": "api", "model": "fake", "endpoint": url, "ledger": str(tmp_path / "ledger.sqlite")}
        return toy_config({**{f"teacher.{name}": value for name, value in teacher.items()}, **changes})

    return make


def test_a_chain_that_asks_ends_in_a_retriever_and_tells_of_its_teacher(
    asking: Callable[..., Config], tmp_path: Path
) -> None:
    with FakeLLM(by_shared_words) as server:
        config = asking(server.url, **{"teacher.shuffles": 2})
        outcome = rankstill.distill(config, tmp_path / "w")
        paid = server.answered.total()
        again = rankstill.distill(config, tmp_path / "w")
        assert server.answered.total() == paid == 2 * 24
    assert outcome.retriever.is_dir()
    assert again.table == outcome.table
    rankings = [json.loads(line) for line in (tmp_path / "w" / "rankings.jsonl").read_text().splitlines()]
    assert {(each["teacher"], each["prompt"]) for each in rankings} == {("fake", "listwise-v1")}
    assert all(-1 <= each["agreement"] <= 1 for each in rankings)
    health = json.loads((tmp_path / "w" / "teacher.json").read_text())
    assert health["statuses"] == {"exact": paid}
    assert any("48 calls" in note for note in outcome.notes)


def test_other_limits_or_more_haste_ask_nothing_anew(asking: Callable[..., Config], tmp_path: Path) -> None:
    with FakeLLM(by_shared_words) as server:
        rankstill.distill(asking(server.url), tmp_path / "w", until="rankings")
        made = (tmp_path / "w" / "rankings.jsonl").stat().st_mtime_ns
        rankstill.distill(asking(server.url, **{"teacher.concurrency": 3}), tmp_path / "w", until="rankings")
        assert (tmp_path / "w" / "rankings.jsonl").stat().st_mtime_ns == made
        assert server.answered.total() == 24


def test_an_edited_template_is_asked_anew(asking: Callable[..., Config], tmp_path: Path) -> None:
    own = tmp_path / "mine.jinja"
    text = (Path(rankstill.__file__).parent / "teacher" / "templates" / "listwise-v1.jinja").read_text()
    with FakeLLM(by_shared_words) as server:
        config = asking(server.url, **{"teacher.template": str(own)})
        for edited in (text, text.replace("intelligent", "careful")):
            own.write_text(edited)
            rankstill.distill(config, tmp_path / "w", until="rankings")
    assert server.answered.total() == 2 * 24


def test_a_moved_workspace_keeps_its_account(asking: Callable[..., Config], tmp_path: Path) -> None:
    with FakeLLM(by_shared_words) as server:
        rankstill.distill(asking(server.url, **{"teacher.queries": 5}), tmp_path / "w", until="rankings")
        (tmp_path / "w").rename(tmp_path / "moved")
        with pytest.raises(BudgetReached):
            rankstill.distill(asking(server.url, **{"teacher.max_calls": 5}), tmp_path / "moved", until="rankings")
    assert server.answered.total() == 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teacher.template": "nowhere.jinja"}, "nowhere.jinja"),
        ({"teacher.max_cost": 1.0}, "price"),
        ({"teacher.endpoint": "https://elsewhere.example/v1", "teacher.api_key_env": "NO_SUCH_KEY"}, "NO_SUCH_KEY"),
    ],
)
def test_a_mistake_in_asking_shows_before_anything_is_encoded(
    asking: Callable[..., Config], tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(RankstillError, match=message):
        rankstill.distill(asking("http://127.0.0.1:9/v1", **changes), tmp_path / "w")
    assert not (tmp_path / "w" / "candidates.parquet").exists()


def test_more_queries_later_pay_for_the_new_ones_alone(asking: Callable[..., Config], tmp_path: Path) -> None:
    with FakeLLM(by_shared_words) as server:
        for queries, paid in ((5, 5), (9, 9), (None, 24)):
            rankstill.distill(asking(server.url, **{"teacher.queries": queries}), tmp_path / "w", until="rankings")
            assert server.answered.total() == paid


def test_a_teacher_that_says_nothing_readable_ends_in_one_line(asking: Callable[..., Config], tmp_path: Path) -> None:
    with FakeLLM(lambda messages: "Hard to say.") as server, pytest.raises(DataError, match="check-teacher"):
        rankstill.distill(asking(server.url, **{"teacher.queries": 5}), tmp_path / "w")


def test_a_local_llm_takes_the_place_of_the_recorded_rankings(
    toy_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANKSTILL_LEDGER", str(tmp_path / "ledger.sqlite"))
    local = {
        "teacher.kind": "local",
        "teacher.model": "SmolLM2-135M-Instruct",
        "teacher.strategy": "setwise",
        "teacher.top": 2,
        "teacher.queries": 8,  # a model this small ranks some of them, other ones on other processors
        "teacher.passage_tokens": 40,
        "teacher.answer_tokens": 24,
        "teacher.context": 1024,
        "teacher.ask_again": 1,
        "candidates.k": 4,
    }
    outcome = rankstill.distill(toy_config(local), tmp_path / "w")
    rankings = [json.loads(line) for line in (tmp_path / "w" / "rankings.jsonl").read_text().splitlines()]
    health = json.loads((tmp_path / "w" / "teacher.json").read_text())
    assert len(rankings) == health["lists"] > 0
    assert health["lists"] + len(health["left_out"]) == 8
    assert all(0 < len(each["ranking"]) <= 2 and len(each["candidates"]) == 4 for each in rankings)
    assert outcome.retriever.is_dir()
