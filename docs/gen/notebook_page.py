"""A notebook as a page: its text, its code, and the outputs that are kept in it."""

from __future__ import annotations

import html
from typing import Any


def notebook_page(notebook: dict[str, Any], link: str) -> str:
    """The page, as Markdown.

    Args:
        notebook: as in its file.
        link: where a reader gets the file.
    """
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        parts += [text for text in map(_output, cell.get("outputs", [])) if text]
    parts.insert(1, f"[Download this notebook]({link}). A test runs it from top to bottom.")
    return "\n\n".join(parts) + "\n"


def _output(output: dict[str, Any]) -> str:
    """An output: Markdown as it is, anything else as text."""
    data = output.get("data", {})
    if "text/markdown" in data:
        return "".join(data["text/markdown"])
    text = "".join(data.get("text/plain") or output.get("text", []))
    return f'<pre class="output">{html.escape(text)}</pre>' if text.strip() else ""
