"""Commands around the teacher: ask it, check it, have it write queries, see what was spent."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from rankstill.cli.app import app
from rankstill.cli.options import AlsoNamed, DryRun, Experiment, ExportPrompts, ledger_of, on_workspace
from rankstill.cli.showing import quote_or_ask_by_hand, tell


@on_workspace("teach")
def teach(
    experiment: Experiment,
    dry_run: DryRun = False,
    export_prompts: ExportPrompts = None,
    import_rankings: Annotated[
        Path | None, typer.Option(help='Import answers to exported prompts: each line with its "answer".')
    ] = None,
) -> None:
    """Have the LLM rank each training query's candidates."""
    from rankstill.teacher import commands as teaching

    if not (dry_run or export_prompts or import_rankings):
        experiment.run("rankings")
        return
    with teaching.at_work(experiment.config, experiment.workspace) as (teacher, lists):
        quote_or_ask_by_hand(
            teacher,
            lists,
            dry_run=dry_run,
            prompts=export_prompts,
            answers=import_rankings,
            what="lists",
            done="every list is ranked: `rankstill teach` goes on from them",
        )


@on_workspace("check-teacher")
def check_teacher(
    experiment: Experiment, queries: Annotated[int, typer.Option(min=1, help="How many queries to ask about.")] = 30
) -> None:
    """Test the LLM on a few queries: whether it ranks better than the first stage, and what all would cost."""
    from rankstill.teacher import commands as teaching

    for line in teaching.check_teacher(experiment.config, experiment.workspace, queries).lines():
        tell(line)


@on_workspace("write-queries")
def write_queries(
    experiment: Experiment,
    count: Annotated[int, typer.Option(min=1, help="How many passages to write queries for.")] = 1_000,
    to: Annotated[Path, typer.Option(help="Where to write them.")] = Path("written-queries.jsonl"),
) -> None:
    """Have the LLM write queries for passages, and keep those that find their passage."""
    from rankstill.teacher import commands as teaching

    for line in teaching.write_queries(experiment.config, experiment.workspace, count, to).lines():
        tell(line)


@app.command()
def ledger(
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="[CONFIG]", help="A YAML config, a workspace or a ledger; the ledger of all workspaces if left out."
        ),
    ] = None,
    workspace: AlsoNamed = None,
) -> None:
    """Show what was spent on LLMs: calls, failures, tokens, price, latency."""
    from rich.console import Console

    from rankstill.teacher.commands import ledger_table

    place = ledger_of(path or workspace)
    Console(width=None if sys.stdout.isatty() else 160, highlight=False).print(ledger_table(place))


@app.command()
def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Delete them. Workspaces keep their own.")] = False,
) -> None:
    """Show which passages' vectors are kept for other workspaces of the same corpus."""
    from datetime import datetime

    from rankstill.cache import cache_of_all

    kept = cache_of_all(limit=1.0)
    if kept is None:
        typer.echo("there is no cache: RANKSTILL_CACHE is set to nothing")
    elif clear:
        typer.echo(f"{kept.clear() / 1e6:,.0f} MB deleted from {kept.folder}")
    else:
        entries = kept.entries()
        for entry in entries:
            used = datetime.fromtimestamp(entry.used).strftime("%Y-%m-%d %H:%M")
            typer.echo(f"{entry.size / 1e6:10,.1f} MB  last used {used}  {entry.name}")
        typer.echo(f"{sum(entry.size for entry in entries) / 1e6:10,.1f} MB in {kept.folder}")
