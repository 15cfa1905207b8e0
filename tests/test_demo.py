"""The demo with a local LLM in place of the recorded rankings: a real server, a real model, real malformed answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rankstill.demo import run_demo

LOCAL = {
    "teacher.kind": "local",
    "teacher.model": "SmolLM2-135M-Instruct",
    "teacher.strategy": "setwise",
    "teacher.structured": True,  # llama.cpp holds the model to the schema
    "teacher.top": 2,
    "teacher.queries": 3,
    "teacher.passage_tokens": 60,
    "teacher.answer_tokens": 24,
    "teacher.context": 2048,
    "labels.pseudo_queries": 200,
    "head.steps": 5,
}


@pytest.mark.usefixtures("minilm")
def test_the_demo_runs_with_a_local_llm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANKSTILL_LEDGER", str(tmp_path / "ledger.sqlite"))
    outcome = run_demo(tmp_path / "w", quick=True, changes=LOCAL)
    assert (outcome.table.n, outcome.table.systems[-1].name) == (60, "ranker on AFTER")
    rankings = [json.loads(line) for line in (tmp_path / "w" / "rankings.jsonl").read_text().splitlines()]
    health = json.loads((tmp_path / "w" / "teacher.json").read_text())
    assert len(rankings) == health["lists"] > 0
    assert health["lists"] + len(health["left_out"]) == 3
    for each in rankings:
        assert each["teacher"].startswith("SmolLM2")
        assert len(each["candidates"]) == 10
        assert 1 <= len(set(each["ranking"]) & set(each["candidates"])) == len(each["ranking"]) <= 2
    # Nine comparisons at most find the best of ten by fours, more the second, and an answer may be asked for thrice.
    assert 3 * 3 <= health["spend"]["calls"] == sum(health["statuses"].values())
    assert health["spend"]["cost"] == 0
