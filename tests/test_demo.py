"""The demo with a local LLM in place of the recorded rankings: a real server, a real model, real malformed answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rankstill.config import read_config
from rankstill.demo import run_demo
from rankstill.labels import read_labels
from rankstill.pipeline import open_chain

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
}


@pytest.mark.usefixtures("minilm")
def test_the_demo_runs_with_a_local_llm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANKSTILL_LEDGER", str(tmp_path / "ledger.sqlite"))
    run_demo(tmp_path / "w", quick=True, changes=LOCAL)
    rankings = [json.loads(line) for line in (tmp_path / "w" / "rankings.jsonl").read_text().splitlines()]
    health = json.loads((tmp_path / "w" / "teacher.json").read_text())
    assert len(rankings) == health["lists"] == 3
    for each in rankings:
        assert each["teacher"].startswith("SmolLM2")
        assert len(set(each["ranking"])) == 2
        assert set(each["ranking"]) < set(each["candidates"])
    calls = health["spend"]["calls"]
    # By fours the best of ten takes three questions, and the second one or two more: nothing was asked again.
    assert 3 * 4 <= calls <= 3 * 5
    assert health["statuses"] == {"exact": calls}
    # These lists teach, and not the recorded ones, of which there are sixty.
    taught = [each.id for each in read_labels(tmp_path / "w" / "labels.parquet") if each.source == "teacher"]
    assert sorted(taught) == sorted(each["query_id"] for each in rankings)
    # `serve`, `prove` and other commands read the dataset again, by what the workspace's config says.
    with open_chain(read_config(tmp_path / "w" / "config.yaml"), tmp_path / "w") as chain:
        assert chain.workspace.record("evaluation")
        assert any("a sample of 800 of 5,183 passages" in each for each in chain.dataset.notes)
