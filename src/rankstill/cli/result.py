"""Commands that look at finished workspaces."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rankstill.cli.app import app
from rankstill.cli.options import AlsoNamed, Named, one_workspace
from rankstill.errors import RankstillError
from rankstill.progress import say


@app.command()
def report(workspace: Named = None, also: AlsoNamed = None) -> None:
    """Write report.html: the verdict, every system, every query's gain or loss, how to reproduce it."""
    from rankstill.report import write_report

    say(f"Wrote {write_report(one_workspace(workspace, also))}")


@app.command()
def compare(
    workspaces: Annotated[
        list[Path] | None, typer.Argument(help="Two workspaces or more. All are compared with the first.")
    ] = None,
    also: Annotated[
        list[Path] | None, typer.Option("--workspace", "-w", help="A workspace. Repeat it for each, in their order.")
    ] = None,
    to: Annotated[Path, typer.Option(help="The page to write.")] = Path("compare.html"),
) -> None:
    """Compare several workspaces: their systems, with paired tests, and the settings that differ."""
    from rankstill.report import compare_workspaces

    if workspaces and also:
        raise RankstillError("workspaces are named both as arguments and by -w. Name all of them one way, in order.")
    say(f"Wrote {compare_workspaces(workspaces or also or (), to)}")
