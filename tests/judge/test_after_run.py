"""`judge.after_run`: a run without judgements has its unjudged queries judged before it measures, within its limits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from judges import judge_by, true_grade
from llm_server import FakeLLM

import rankstill
from rankstill.config import Config
from rankstill.errors import RankstillError

Asking = Callable[..., Config]


def test_a_run_without_judgements_is_judged_and_the_same_run_again_pays_nothing(
    workspace: Path, asking: Asking
) -> None:
    with FakeLLM(judge_by(true_grade)) as server:
        config = asking(workspace, server.url, {"judge.after_run": True})
        outcome = rankstill.distill(config, workspace)
        assert server.answered.total() == 8
        assert rankstill.distill(config, workspace).table == outcome.table
        assert server.answered.total() == 8
    assert outcome.table is not None
    assert outcome.table.n == 8
    assert outcome.table.judged_by.startswith("fake-judge, on 20")
    assert outcome.offer == ""
    assert (workspace / "judged.tsv").is_file()


def test_a_step_before_the_last_is_not_judged(workspace: Path, asking: Asking) -> None:
    config = asking(workspace, "http://127.0.0.1:9/v1", {"judge.after_run": True})
    rankstill.distill(config, workspace, until="runs")
    assert not (workspace / "judged.json").exists()


def test_a_limit_costs_the_run_its_judgement_alone_and_a_higher_one_goes_on(workspace: Path, asking: Asking) -> None:
    with FakeLLM(judge_by(true_grade)) as server:
        limited = {"judge.after_run": True, "teacher.max_calls": 3}
        outcome = rankstill.distill(asking(workspace, server.url, limited), workspace)
        assert server.answered.total() == 3
        assert outcome.table is None
        assert any("the judge did not finish" in note and "teacher.max_calls" in note for note in outcome.notes)
        assert "rankstill judge" in outcome.offer
        assert not (workspace / "judged.json").exists()
        raised = asking(workspace, server.url, {**limited, "teacher.max_calls": 8})
        assert rankstill.distill(raised, workspace).table is not None
        assert server.answered.total() == 8


def test_a_missing_key_shows_before_anything_is_made(
    workspace: Path, asking: Asking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    config = asking(workspace, "", {"judge.endpoint": None, "judge.after_run": True})
    with pytest.raises(RankstillError, match="OPENAI_API_KEY"):
        rankstill.distill(config, tmp_path / "new")
    assert not (tmp_path / "new" / "vectors").exists()


def test_where_people_judged_nothing_is_asked(
    toy_config: Callable[..., Config], asking: Asking, tmp_path: Path
) -> None:
    config = toy_config({"ranker.cross_encoder": False})
    before = rankstill.distill(config, tmp_path / "human")
    again = asking(tmp_path / "human", "http://127.0.0.1:9/v1", {"judge.after_run": True})
    assert rankstill.distill(again, tmp_path / "human").table == before.table
