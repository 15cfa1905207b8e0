"""The result of a chain, as commands, notebooks and the model card show it."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rankstill.evaluation import EvaluationTable
from rankstill.evaluation.chain_agreement import read_agreement
from rankstill.evaluation.systems import DISTILLED
from rankstill.report.notebook import outcome_html
from rankstill.report.verdict import verdict

if TYPE_CHECKING:
    from rankstill.components import Components
    from rankstill.evaluation.agreement import Agreement
    from rankstill.report.verdict import Verdict


@dataclass(frozen=True)
class Outcome:
    """The result of a chain.

    Args:
        workspace: the workspace's folder.
        retriever: folder of the distilled retriever, for SentenceTransformer.
        reranker: folder of the ranker that reranks its results, for `Ranker.load`; None if the chain has no ranker.
        table: the measured systems, or None if nothing could be measured.
        notes: what a reader of the figures must know: leaks, what was left out, what could not be measured.
        offer: how to have an LLM judge unjudged queries, and its price; empty if there is nothing to judge.
        agreement: agreement with the LLM on the held-out lists; None if it was not measured, or not yet.
    """

    workspace: Path
    retriever: Path
    reranker: Path | None
    table: EvaluationTable | None
    notes: tuple[str, ...]
    offer: str = ""
    agreement: Agreement | None = None

    def verdict(self, system: str = DISTILLED) -> Verdict:
        """The conclusion on a new retriever of the run, one of `systems.RETRIEVERS`."""
        return verdict(self.table, self.workspace, offer=self.offer, agreement=self.agreement, system=system)

    def _repr_html_(self) -> str:
        return outcome_html(self)


def read_outcome(components: Components, steps: Collection[str], offer: str = "") -> Outcome:
    """Read the result of a chain from its workspace, as far as it is finished."""
    workspace, table = components.workspace, None
    if workspace.record("evaluation"):
        measured = json.loads(workspace.path("metrics.json").read_text(encoding="utf-8"))["table"]
        table = EvaluationTable.from_json(measured) if measured else None
    agreed = "agreement" in steps and workspace.record("agreement") is not None
    notes = [*components.dataset.notes]
    for name, record in workspace.records().items():
        notes += record.notes if name in steps else ()
    return Outcome(
        workspace=workspace.folder,
        retriever=workspace.path("retriever"),
        reranker=workspace.path("reranker") if "ranker" in steps else None,
        table=table,
        notes=tuple(notes),
        offer=offer,
        agreement=read_agreement(workspace.folder) if agreed else None,
    )
