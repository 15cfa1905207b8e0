"""`rankstill hybrid`: weights from the LLM's lists, measured, without training anything."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rankstill
from rankstill.config import Config, write_config
from rankstill.evaluation import EvaluationTable
from rankstill.evaluation.chain_agreement import agreement_untrained
from rankstill.evaluation.chain_runs import evaluate_untrained
from rankstill.evaluation.systems import BEFORE, FREE
from rankstill.pipeline import open_chain
from rankstill.retrieval.hybrid import Hybrid

MakeConfig = Callable[..., Config]
Command = Callable[..., Any]


def test_the_figures_are_those_of_a_whole_run_and_the_run_goes_on_from_there(
    toy_config: MakeConfig, tmp_path: Path
) -> None:
    config = toy_config()
    with open_chain(config, tmp_path / "w") as chain:
        chain.run("hybrid")
        table, agreement = evaluate_untrained(chain.components), agreement_untrained(chain.components)
        before = {step: record.fingerprint for step, record in chain.workspace.records().items()}
    assert table is not None
    assert {each.name for each in table.systems} == {BEFORE, *FREE}
    outcome = rankstill.distill(config, tmp_path / "w")
    assert isinstance(outcome.table, EvaluationTable)
    for each in table.systems:
        assert each.values == outcome.table.system(each.name).values
    assert agreement.table is None  # 24 lists are too few to hold some out
    steps = json.loads((tmp_path / "w" / "manifest.json").read_text())["steps"]
    assert {step: steps[step]["fingerprint"] for step in before} == before


def test_the_command_prints_the_table_the_finding_and_the_weights(
    command: Command, toy_config: MakeConfig, tmp_path: Path
) -> None:
    (tmp_path / "config.yaml").write_text(write_config(toy_config()))
    said = command("hybrid", tmp_path / "config.yaml", "-w", tmp_path / "w")
    assert said.code == 0, said.errors
    text = " ".join(said.output.split())
    hybrid = Hybrid.load(tmp_path / "w" / "hybrid-multi-vector.json")
    assert "The multi-vector hybrid is " in text
    assert "On 8 test queries: " in text
    assert f"cosine {hybrid.dense:.3g}, BM25 {hybrid.bm25:.3g}, MaxSim {hybrid.late:.3g}" in text
    assert not (tmp_path / "w" / "ranker").exists()


def test_a_baseline_without_a_ranker_has_no_hybrid(command: Command, toy_config: MakeConfig, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(write_config(toy_config({"labels.ranked_by": "llm"})))
    message = command("hybrid", tmp_path / "config.yaml", "-w", tmp_path / "w").one_error()
    assert message == "labels.ranked_by: llm fits no hybrid. Leave it out."
