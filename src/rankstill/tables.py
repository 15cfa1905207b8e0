"""Tables for people: as GitHub Markdown, and as HTML in a notebook's own style."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from markupsafe import Markup, escape

NOTE_CHARACTERS = 600


def markdown_rows(rows: Sequence[Sequence[str]], text_columns: int = 1) -> list[str]:
    """The lines of a table in GitHub Markdown: the headings, a rule, then one row each.

    Args:
        text_columns: how many columns, from the left, hold text; the others hold figures and end at the right.
    """
    headings, *body = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return [headings, "|" + " --- |" * text_columns + " ---: |" * (len(rows[0]) - text_columns), *body]


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
        ).format(html_text(title), head, body, html_text(caption))
    )


def html_text(text: str) -> Markup:
    """Text on one line, escaped."""
    return escape(plain_line(text))


def plain_line(text: str) -> str:
    """On one line, not endless, and without characters that are not seen or that turn the direction of writing."""
    line = " ".join(text[: 4 * NOTE_CHARACTERS].split())
    seen = "".join("\ufffd" if unicodedata.category(each) in ("Cc", "Cf", "Co", "Cs") else each for each in line)
    return seen if len(seen) <= NOTE_CHARACTERS else seen[:NOTE_CHARACTERS] + " …"


def _cell(tag: str, content: str, column: int) -> Markup:
    side = "left" if column == 0 else "right"
    return Markup('<{0} style="text-align: {1}">{2}</{0}>').format(tag, side, html_text(content))
