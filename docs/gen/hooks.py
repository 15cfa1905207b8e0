"""What mkdocs calls while it builds the site: pages made from the code, and formulas as MathML."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cli_page import cli_page
from config_page import config_page
from notebook_page import notebook_page

DOCS = Path(__file__).resolve().parent.parent


def on_config(config: Any) -> Any:
    """Lets pages write formulas as LaTeX in a block of kind `math`."""
    fences = config.mdx_configs.setdefault("pymdownx.superfences", {})
    fences["custom_fences"] = [{"name": "math", "class": "formula", "format": formula}]
    return config


def on_files(files: Any, config: Any) -> Any:
    """Adds the pages that no file holds."""
    from mkdocs.structure.files import File

    notebook = json.loads((DOCS / "notebook.ipynb").read_text(encoding="utf-8"))
    pages = {
        "reference/cli.md": cli_page(),
        "reference/config.md": config_page(),
        "notebook.md": notebook_page(notebook, "notebook.ipynb"),
    }
    for path, content in pages.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_post_page(output: str, **_: Any) -> str:
    """Gives the theme's search dialog the name that screen readers need."""
    dialog = 'data-md-component="search" role="dialog"'
    return output.replace(dialog, f'{dialog} aria-label="Search"')


def formula(source: str, *_: Any, **__: Any) -> str:
    """LaTeX as MathML, which browsers draw themselves: no script and no font is loaded."""
    from latex2mathml.converter import convert

    return f'<div class="formula">{convert(source, display="block")}</div>'
