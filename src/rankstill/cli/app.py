"""The application: how a command line starts and ends."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from rankstill.errors import RankstillError
from rankstill.progress import say

_GROUPS = {
    "Start": ("demo", "init", "check", "check-teacher", "write-queries"),
    "Run": ("hybrid", "run"),
    "Single steps": ("candidates", "teach", "train-ranker", "label", "train-retriever", "evaluate"),
    "Judge": ("judge", "check-judge"),
    "Inspect": ("prove", "rag", "report", "compare", "serve", "votes", "ledger", "cache"),
    "Ship": ("export", "export-vectors", "push"),
    "Research": ("study",),
}
"""What `--help` shows together."""


class _Commands(TyperGroup):
    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """In groups, each with the whole first sentence of its help; the library would cut it at the line's end."""
        grouped = {name for names in _GROUPS.values() for name in names}
        others = tuple(name for name in self.list_commands(ctx) if name not in grouped)
        for group, names in {**_GROUPS, "Other": others}.items():
            found = [command for name in names if (command := self.get_command(ctx, name))]
            if found:
                with formatter.section(group):
                    formatter.write_dl([(each.name, each.get_short_help_str(limit=10_000)) for each in found])

    def invoke(self, ctx: Any) -> Any:
        """Run the command; typer itself would end an interrupt without a word."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            say("Interrupted. Run the same command again: finished steps are kept.")
            sys.exit(130)


app = typer.Typer(cls=_Commands, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"rankstill {version('rankstill')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Distil a black-box LLM's rankings into a small, fast, better retriever."""


def main() -> None:
    """Entry point: a user's mistake ends in one line, not in a traceback."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        app()
    except RankstillError as error:
        say(f"error: {error}")
        sys.exit(2)
