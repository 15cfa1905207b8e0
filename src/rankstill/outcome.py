"""What a chain made, for people: shown by the commands, in notebooks, and on the model card."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rankstill.notebook import outcome_html, outcome_markdown

if TYPE_CHECKING:
    from rankstill.evaluation import EvaluationTable


@dataclass(frozen=True)
class Outcome:
    """What a chain made.

    Args:
        workspace: its folder.
        retriever: folder of the distilled retriever, for SentenceTransformer.
        reranker: folder of the ranker that goes on top of it, for `Ranker.load`; None if the chain has no ranker.
        table: what was measured, or None if the dataset has nothing to measure with.
        notes: what a reader of the figures must know: leaks, what was left out, what could not be measured.
        offer: how to have an LLM judge what nobody has judged, and its price; empty where there is nothing to judge.
    """

    workspace: Path
    retriever: Path
    reranker: Path | None
    table: EvaluationTable | None
    notes: tuple[str, ...]
    offer: str = ""

    def _repr_html_(self) -> str:
        return outcome_html(self)

    def _repr_markdown_(self) -> str:
        return outcome_markdown(self)
