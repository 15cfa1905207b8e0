"""Tables in a notebook: HTML and Markdown in which every text is escaped."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from markupsafe import Markup, escape

_NOTE_CHARACTERS = 600
_MARKUP = re.compile(r"[\\`*_\[\]<>|~$&#!:@]")


def table_html(title: str, rows: Sequence[Sequence[str]], caption: str) -> str:
    """A table in the notebook's own style.

    Args:
        title: above it.
        rows: the headings, then one row each; the first column is text, the others are figures.
        caption: below it.
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
        ).format(escaped(title), head, body, escaped(caption))
    )


def table_markdown(title: str, rows: Sequence[Sequence[str]], caption: str) -> str:
    """The same as GitHub Markdown; arguments as for `table_html`."""
    lines = ["| " + " | ".join(markdown_text(cell) for cell in row) + " |" for row in rows]
    rule = "|" + " --- |" + " ---: |" * (len(rows[0]) - 1)
    return "\n".join(
        [f"**{markdown_text(title)}**", "", lines[0], rule, *lines[1:], "", f"{markdown_text(caption)}", ""]
    )


def markdown_text(text: str) -> str:
    """Text that Markdown, HTML and MathJax all leave as it is: what could mean something stands as a number."""
    return _MARKUP.sub(lambda found: f"&#{ord(found[0])};", plain(text))


def _cell(tag: str, content: str, column: int) -> Markup:
    side = "left" if column == 0 else "right"
    return Markup('<{0} style="text-align: {1}">{2}</{0}>').format(tag, side, escaped(content))


def escaped(text: str) -> Markup:
    """Text for HTML: `plain`, with nothing left that HTML reads."""
    return escape(plain(text))


def plain(text: str) -> str:
    """On one line, not endless, and without characters that are not seen or that turn the direction of writing."""
    line = " ".join(text[: 4 * _NOTE_CHARACTERS].split())
    seen = "".join("\ufffd" if unicodedata.category(each) in ("Cc", "Cf", "Co", "Cs") else each for each in line)
    return seen if len(seen) <= _NOTE_CHARACTERS else seen[:_NOTE_CHARACTERS] + " …"
