"""Commands of the LLM that judges."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rankstill.cli.options import DryRun, Experiment, ExportPrompts, on_workspace
from rankstill.cli.showing import quote_or_ask_by_hand, show, tell


@on_workspace("judge")
def judge(
    experiment: Experiment,
    others: Annotated[
        list[Path] | None,
        typer.Option("--with", help="Another workspace on the same corpus, whose passages are judged too."),
    ] = None,
    dry_run: DryRun = False,
    export_prompts: ExportPrompts = None,
    import_answers: Annotated[
        Path | None,
        typer.Option("--import", help='Import answers to exported prompts: each line with its "answer".'),
    ] = None,
) -> None:
    """Have an LLM judge what every system found, and measure all systems by its grades."""
    from rankstill.judge import commands as judging

    config, workspace, further = experiment.config, experiment.workspace, others or []
    if not (dry_run or export_prompts or import_answers):
        found = judging.judge(config, workspace, further)
        for line in found.lines:
            tell(line)
        if found.outcome is not None:
            show(found.outcome)
        return
    with judging.at_work(config, workspace, further) as work:
        if dry_run:
            tell(work.extent())
        quote_or_ask_by_hand(
            work.judge,
            work.lists,
            dry_run=dry_run,
            prompts=export_prompts,
            answers=import_answers,
            what="queries",
            done="every query is judged: `rankstill judge` measures by it",
        )


@on_workspace("check-judge")
def check_judge(
    experiment: Experiment,
    queries: Annotated[int, typer.Option(min=1, help="How many queries to ask about, each in two orders.")] = 30,
) -> None:
    """Test the LLM judge on a few queries: whether it agrees with itself, and with people."""
    from rankstill.judge import commands as judging

    for line in judging.check_judge(experiment.config, experiment.workspace, queries).lines():
        tell(line)
