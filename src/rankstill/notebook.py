"""How results look in a notebook: HTML and Markdown in which every text is escaped."""

from __future__ import annotations

import base64
import re
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from rankstill.outcome import Outcome
    from rankstill.report.svg import Figure

_NOTE_CHARACTERS = 600
_MARKUP = re.compile(r"[\\`*_\[\]<>|~$&#!:@]")


def table_html(title: str, rows: Sequence[Sequence[str]], caption: str) -> str:
    """A table in the notebook's own style.

    Args:
        rows: the headings, then one row each; the first column is text, the others are figures.
    """
    headings, *others = rows
    head = Markup("").join(_cell("th", each, column) for column, each in enumerate(headings))
    body = Markup("").join(
        Markup("<tr>{}</tr>").format(Markup("").join(_cell("td", each, column) for column, each in enumerate(row)))
        for row in others
    )
    return str(
        Markup(
            "<div><p><strong>{}</strong></p><table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>"
            "<p><small>{}</small></p></div>"
        ).format(_text(title), head, body, _text(caption))
    )


def table_markdown(title: str, rows: Sequence[Sequence[str]], caption: str) -> str:
    """The same as GitHub Markdown; arguments as for `table_html`."""
    lines = ["| " + " | ".join(markdown_text(cell) for cell in row) + " |" for row in rows]
    rule = "|" + " --- |" + " ---: |" * (len(rows[0]) - 1)
    return "\n".join(
        [f"**{markdown_text(title)}**", "", lines[0], rule, *lines[1:], "", f"{markdown_text(caption)}", ""]
    )


def outcome_html(outcome: Outcome) -> str:
    """What a chain made: the verdict, the systems as a figure and as a table, where things lie, what to know."""
    from rankstill.report.drawing import systems_figure

    table, agreement = outcome.table, outcome.agreement
    parts = [Markup("<p>{}</p>").format(_text(each)) for each in _verdict(outcome)]
    parts += [] if table is None else [_image(systems_figure(table)), Markup(table._repr_html_())]
    if agreement is not None and agreement.table is not None:
        parts.append(Markup(agreement.table.to_html(agreement.heading)))
        parts.append(Markup("<p><small>{}</small></p>").format(_text(agreement.limits())))
    facts = Markup("").join(Markup("<li>{}: <code>{}</code></li>").format(*each) for each in _facts(outcome))
    notes = Markup("").join(Markup("<li>{}</li>").format(_text(note)) for note in outcome.notes)
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


def markdown_text(text: str) -> str:
    """Text that Markdown, HTML and MathJax all leave as it is: what could mean something stands as a number."""
    return _MARKUP.sub(lambda found: f"&#{ord(found[0])};", _plain(text))


def _verdict(outcome: Outcome) -> list[str]:
    """The finding first, then what may explain it."""
    found = outcome.verdict()
    return [each for each in (found.sentence, found.cause) if each]


def _facts(outcome: Outcome) -> list[tuple[str, Markup]]:
    """The folders and files of the result."""
    found = {"retriever": outcome.retriever, "reranker": outcome.reranker, "workspace": outcome.workspace}
    return [(name, _text(str(path))) for name, path in found.items() if path is not None]


def _image(figure: Figure) -> Markup:
    """A figure whose styles stay its own, which those of an SVG in the page would not."""
    data = base64.b64encode(figure.alone().encode()).decode()
    return Markup('<img alt="{}" src="data:image/svg+xml;base64,{}" style="max-width: 100%">').format(
        _plain(figure.description), data
    )


def _cell(tag: str, content: str, column: int) -> Markup:
    side = "left" if column == 0 else "right"
    return Markup('<{0} style="text-align: {1}">{2}</{0}>').format(tag, side, _text(content))


def _text(text: str) -> Markup:
    return escape(_plain(text))


def _plain(text: str) -> str:
    """On one line, not endless, and without characters that are not seen or that turn the direction of writing."""
    line = " ".join(text[: 4 * _NOTE_CHARACTERS].split())
    seen = "".join("\ufffd" if unicodedata.category(each) in ("Cc", "Cf", "Co", "Cs") else each for each in line)
    return seen if len(seen) <= _NOTE_CHARACTERS else seen[:_NOTE_CHARACTERS] + " …"
