"""What a workspace holds, read without taking it: the report is written beside a chain that is using it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rankstill.config import Config, read_config
from rankstill.errors import WorkspaceError
from rankstill.evaluation import EvaluationTable
from rankstill.evaluation.agreement import Agreement
from rankstill.evaluation.holding_out import HELD_OUT_FILE
from rankstill.evaluation.systems import run_name
from rankstill.workspace import FORMAT, StepRecord

_LOSSES = {
    "ranker": ("ranker", "ranker-losses.json"),
    "encoder": ("retriever", "retriever-losses.json"),
    "multi-vector": ("multi_vector_distilled", "multi-vector-losses.json"),
}
"""What was trained: by which step, and where its curve lies."""


@dataclass(frozen=True)
class Finished:
    """What the finished steps of a workspace left.

    Args:
        steps: record by name, in the order in which they finished.
        table: what was measured; None if nothing was, or not yet.
        agreement: with the LLM, on the lists that taught nothing; None where that step is not made.
        losses: training curve of the ranker and of the encoder; empty where nothing was trained.
        teacher: its health, as `teacher.json` keeps it; None for recorded rankings.
        proof: what `rankstill prove` found, by title; empty if it was not run on this chain.
    """

    folder: Path
    config: Config
    steps: Mapping[str, StepRecord]
    table: EvaluationTable | None
    agreement: Agreement | None
    held_out: Collection[str]
    losses: Mapping[str, Sequence[Mapping[str, float]]]
    teacher: Mapping[str, Any] | None
    proof: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    def run_path(self, system: str) -> Path:
        """Where a system's run lies."""
        return self.folder / "runs" / f"{run_name(system)}.trec"

    @property
    def rankings(self) -> Path | None:
        """The teacher's rankings, where that step is finished."""
        return self.folder / "rankings.jsonl" if "rankings" in self.steps else None


def read_workspace(folder: Path) -> Finished:
    """Read a workspace, finished or not.

    Raises:
        WorkspaceError: it is no workspace, or one of its files is damaged.
        RankstillError: its config cannot be read.
    """
    if not (folder / "config.yaml").is_file() or not (folder / "manifest.json").is_file():
        raise WorkspaceError(
            f"{folder}: no workspace with a finished step (config.yaml and manifest.json). Name one that `rankstill "
            "run` made."
        )
    config = read_config(folder / "config.yaml")
    steps = _steps(folder / "manifest.json")
    if not (config.multi_vector.make and config.multi_vector.epochs):
        steps.pop("multi_vector_distilled", None)  # by an earlier configuration
    measured = _json(folder / "metrics.json") if "evaluation" in steps else {}
    table = EvaluationTable.from_json(measured["table"]) if measured.get("table") else None
    proof, notes = _proof(folder)
    teacher = "rankings" in steps and "teacher.json" in steps["rankings"].outputs
    if "rankings" in steps and teacher != (config.teacher.kind != "recorded"):
        notes += (
            "config.yaml was changed after the chain ran: its teacher is not the one whose rankings lie here. So the "
            "settings on this page are not those of its figures. Run the chain to its end with the one or the other.",
        )
    return Finished(
        folder=folder,
        config=config,
        steps=steps,
        table=table,
        agreement=Agreement.from_json(_json(folder / "agreement.json")) if "agreement" in steps else None,
        held_out=frozenset(_json(folder / HELD_OUT_FILE)["queries"]) if "held_out" in steps else frozenset(),
        losses={
            what: _json(folder / name) if step in steps and name in steps[step].outputs else []
            for what, (step, name) in _LOSSES.items()
        },
        teacher=_json(folder / "teacher.json") if teacher else None,
        proof=proof,
        notes=notes,
    )


def _proof(folder: Path) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    path, metrics = folder / "proof.json", folder / "metrics.json"
    if not path.is_file():
        return {}, ()
    if metrics.is_file() and path.stat().st_mtime < metrics.stat().st_mtime:
        return {}, (
            "proof.json is older than the last evaluation and was left aside. Run `rankstill prove` again, then "
            "`rankstill report`.",
        )
    return _json(path), ()


def _steps(path: Path) -> dict[str, StepRecord]:
    try:
        manifest = _json(path)
        made_by = manifest["format"]
        steps = {name: StepRecord.from_json(record) for name, record in manifest["steps"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise WorkspaceError(f"{path}: not a workspace's manifest ({error!r}). Run the chain again.") from None
    if made_by != FORMAT:
        raise WorkspaceError(
            f"{path}: format {made_by}, but this version of rankstill reads format {FORMAT}. Install the version that "
            "made it."
        )
    return steps


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WorkspaceError(f"{path}: cannot be read ({error}). Run the chain again to make it.") from None
