"""What mkdocs calls while it builds the site: pages made from the code, and formulas as MathML."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cli_page import cli_page
from config_page import config_page
from notebook_page import notebook_page

DOCS = Path(__file__).resolve().parent.parent


def on_config(config: Any) -> Any:
    """Lets pages write formulas as LaTeX in a block of kind `math`, and links the repository."""
    config.repo_url = repository()
    if config.repo_url:
        config.repo_name = urlsplit(config.repo_url).path.strip("/")
    fences = config.mdx_configs.setdefault("pymdownx.superfences", {})
    fences["custom_fences"] = [{"name": "math", "class": "formula", "format": formula}]
    return config


def repository() -> str | None:
    """Where the sources can be read: as set for this build, or as the checkout's remote says; None if neither does."""
    url = os.environ.get("REPOSITORY_URL", "")
    if not url:
        command = ["git", "-C", str(DOCS), "remote", "get-url", "origin"]
        with contextlib.suppress(OSError):
            url = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    url = re.sub(r"^git@([^:]+):", r"https://\1/", url).removesuffix(".git")
    parts = urlsplit(url)
    # Without a name or password that the address may hold.
    return f"https://{parts.hostname}{parts.path}" if parts.scheme in ("http", "https") and parts.hostname else None


def on_files(files: Any, config: Any) -> Any:
    """Adds the pages that no file holds."""
    from mkdocs.structure.files import File

    notebook = json.loads((DOCS / "notebook.ipynb").read_text(encoding="utf-8"))
    pages = {
        "reference/cli.md": cli_page(),
        "reference/config.md": config_page(),
        "notebook.md": notebook_page(notebook, "notebook.ipynb"),
        "changelog.md": (DOCS.parent / "CHANGELOG.md").read_text(encoding="utf-8"),
    }
    for path, content in pages.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_post_page(output: str, **_: Any) -> str:
    """Gives the theme's search dialog the name that screen readers need, and fetches nothing about the repository."""
    dialog = 'data-md-component="search" role="dialog"'
    output = output.replace(dialog, f'{dialog} aria-label="Search"')
    # By this mark the theme's script asks GitHub for stars and forks.
    return output.replace(' data-md-component="source"', "")


def formula(source: str, *_: Any, **__: Any) -> str:
    """LaTeX as MathML, which browsers draw themselves: no script and no font is loaded."""
    from latex2mathml.converter import convert

    return f'<div class="formula">{convert(source, display="block")}</div>'
