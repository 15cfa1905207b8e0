"""How a chain's outcome looks in a notebook: the verdict, the systems, where things lie, what to know."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from markupsafe import Markup

from rankstill.report.drawing import systems_figure
from rankstill.tables import html_text, plain_line

if TYPE_CHECKING:
    from rankstill.outcome import Outcome
    from rankstill.report.svg import Figure


def outcome_html(outcome: Outcome) -> str:
    """What a chain made: the verdict, the systems as a figure and as a table, where things lie, what to know."""
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
