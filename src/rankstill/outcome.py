"""What a chain made, for people: shown by the commands, in notebooks, and on the model card."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from rankstill.evaluation import EvaluationTable
from rankstill.evaluation.chain_agreement import read_agreement
from rankstill.evaluation.systems import DISTILLED
from rankstill.report.verdict import verdict
from rankstill.tables import html_text, markdown_text, plain_line

if TYPE_CHECKING:
    from rankstill.components import Components
    from rankstill.evaluation.agreement import Agreement
    from rankstill.report.svg import Figure
    from rankstill.report.verdict import Verdict


def outcome_html(outcome: Outcome) -> str:
    """What a chain made: the verdict, the systems as a figure and as a table, where things lie, what to know."""
    from rankstill.report.drawing import systems_figure

    table, agreement = outcome.table, outcome.agreement
    parts = [Markup("<p>{}</p>").format(html_text(each)) for each in _verdict(outcome)]
    parts += [] if table is None else [_image(systems_figure(table)), Markup(table._repr_html_())]
    if agreement is not None and agreement.table is not None:
        parts.append(Markup(agreement.table.to_html(agreement.heading)))
        parts.append(Markup("<p><small>{}</small></p>").format(html_text(agreement.limits())))
    facts = Markup("").join(Markup("<li>{}: <code>{}</code></li>").format(*each) for each in _facts(outcome))
    notes = Markup("").join(Markup("<li>{}</li>").format(html_text(note)) for note in outcome.notes)
    told = Markup("<details><summary>What to know</summary><ul>{}</ul></details>").format(notes) if notes else ""
    return str(Markup("<div>{}<ul>{}</ul>{}</div>").format(Markup("").join(parts), facts, told))


def outcome_markdown(outcome: Outcome) -> str:
    """The same as Markdown, without the figure."""
    table, agreement = outcome.table, outcome.agreement
    parts = [markdown_text(each) for each in _verdict(outcome)]
    parts += [] if table is None else [table._repr_markdown_()]
    if agreement is not None and agreement.table is not None:
        parts += [agreement.table.to_notebook_markdown(agreement.heading), markdown_text(agreement.limits())]
    parts.append("\n".join(f"- {name}: {markdown_text(str(value))}" for name, value in _facts(outcome)))
    if outcome.notes:
        parts.append("What to know:\n\n" + "\n".join(f"- {markdown_text(note)}" for note in outcome.notes))
    return "\n\n".join(parts) + "\n"


def _verdict(outcome: Outcome) -> list[str]:
    """The finding first, then what may explain it."""
    found = outcome.verdict()
    return [each for each in (found.sentence, found.cause) if each]


def _facts(outcome: Outcome) -> list[tuple[str, Markup]]:
    """The folders and files of the result."""
    found = {"retriever": outcome.retriever, "reranker": outcome.reranker, "workspace": outcome.workspace}
    return [(name, html_text(str(path))) for name, path in found.items() if path is not None]


def _image(figure: Figure) -> Markup:
    """A figure whose styles stay its own, which those of an SVG in the page would not."""
    data = base64.b64encode(figure.alone().encode()).decode()
    return Markup('<img alt="{}" src="data:image/svg+xml;base64,{}" style="max-width: 100%">').format(
        plain_line(figure.description), data
    )


@dataclass(frozen=True)
class Outcome:
    """The result of a chain.

    Args:
        workspace: the workspace's folder.
        retriever: folder of the distilled retriever, for SentenceTransformer.
        reranker: folder of the ranker that goes on top of it, for `Ranker.load`; None if the chain has no ranker.
        table: what was measured, or None if the dataset has nothing to measure with.
        notes: what a reader of the figures must know: leaks, what was left out, what could not be measured.
        offer: how to have an LLM judge what nobody has judged, and its price; empty where there is nothing to judge.
        agreement: with the LLM, on the lists that taught nothing; None where that was not measured, or not yet.
    """

    workspace: Path
    retriever: Path
    reranker: Path | None
    table: EvaluationTable | None
    notes: tuple[str, ...]
    offer: str = ""
    agreement: Agreement | None = None

    def verdict(self, system: str = DISTILLED) -> Verdict:
        """The conclusion on a new retriever, `DISTILLED` or `MULTI_VECTOR`."""
        return verdict(self.table, self.workspace, offer=self.offer, agreement=self.agreement, system=system)

    def _repr_html_(self) -> str:
        return outcome_html(self)

    def _repr_markdown_(self) -> str:
        return outcome_markdown(self)


def read_outcome(components: Components, steps: Collection[str], offer: str = "") -> Outcome:
    """What a workspace holds by now."""
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
