"""The application: how a command line starts and ends."""

from __future__ import annotations

import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from rankstill.errors import RankstillError
from rankstill.progress import console, say


class _Commands(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        """Run the command; typer itself would end an interrupt without a word."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            say("Interrupted. Run the same command again: finished steps are kept.")
            sys.exit(130)


app = typer.Typer(
    cls=_Commands,
    help="Distil a black-box LLM's rankings into a small, fast, better retriever.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """Entry point: a user's mistake ends in one line, not in a traceback."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        app()
    except RankstillError as error:
        console.print(f"error: {error}", markup=False, soft_wrap=True)
        sys.exit(2)
