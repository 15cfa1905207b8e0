"""Commands that show what was gained: proof, an LLM's judgements, question answering, studies."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from rankstill.cli.app import app
from rankstill.cli.options import Experiment, on_workspace
from rankstill.cli.showing import show, tell, tell_exported, tell_taken

study_app = typer.Typer(
    help="Run the paper's studies and baselines: variants over seeds, with paired tests.", no_args_is_help=True
)
app.add_typer(study_app, name="study")


@on_workspace("judge")
def judge(
    experiment: Experiment,
    others: Annotated[
        list[Path] | None,
        typer.Option("--with", help="Another workspace on the same corpus, whose passages are judged too."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Quote calls, tokens and price; make no call.")] = False,
    export_prompts: Annotated[
        Path | None, typer.Option(help="Write the prompts without an answer to this file; make no call.")
    ] = None,
    import_answers: Annotated[
        Path | None,
        typer.Option("--import", help='Import answers to exported prompts: each line with its "answer".'),
    ] = None,
) -> None:
    """Have an LLM judge what every system found, and measure all systems by its grades."""
    from rankstill.judge import commands as judging

    config, workspace, further = experiment.config, experiment.workspace, others or []
    if dry_run:
        for line in judging.quote(config, workspace, further):
            tell(line)
    if export_prompts:
        count = judging.export_prompts(config, workspace, further, export_prompts)
        tell_exported(count, export_prompts)
    if import_answers:
        taken = judging.import_answers(config, workspace, further, import_answers)
        tell_taken(*taken, "queries", "every query is judged: `rankstill judge` measures by it")
    if not (dry_run or export_prompts or import_answers):
        found = judging.judge(config, workspace, further)
        for line in found.lines:
            tell(line)
        if found.outcome is not None:
            show(found.outcome)


@on_workspace("check-judge")
def check_judge(
    experiment: Experiment,
    queries: Annotated[int, typer.Option(min=1, help="How many queries to ask about, each in two orders.")] = 30,
) -> None:
    """Test the LLM judge on a few queries: whether it agrees with itself, and with people."""
    from rankstill.judge import commands as judging

    for line in judging.check_judge(experiment.config, experiment.workspace, queries).lines():
        tell(line)


@on_workspace("prove")
def prove(experiment: Experiment) -> None:
    """Show which queries gain, which link of the chain loses most, and what the retriever forgot."""
    from rankstill.extras.proof import prove

    typer.echo(prove(experiment.config, experiment.workspace))


@on_workspace("rag")
def rag(
    experiment: Experiment,
    choices: Annotated[
        Path | None,
        typer.Option(help="Multiple-choice questions in the form of MMLU (.json, .jsonl), instead of the test set."),
    ] = None,
) -> None:
    """Test question answering: a frozen LLM answers from the passages that each system finds."""
    from rankstill.extras.proof import answer_choices, answer_questions

    if choices is None:
        table = answer_questions(experiment.config, experiment.workspace)
    else:
        table = answer_choices(experiment.config, experiment.workspace, choices)
    typer.echo(table.to_markdown())


def _study(name: str, what: str) -> None:
    @on_workspace(name, what, study_app)
    def run(
        experiment: Experiment,
        seeds: Annotated[int, typer.Option(min=1, help="How many seeds to run, counted up from `seed`.")] = 3,
        only: Annotated[str, typer.Option(help="Variants to run, separated by commas. All if left out.")] = "",
        validate: Annotated[
            bool,
            typer.Option(
                "--validate",
                help="Measure on a third of the judged training queries, which then do not teach. Everything goes to "
                "validation/ in the workspace.",
            ),
        ] = False,
    ) -> None:
        from rankstill.extras.studies import STUDIES, run_study

        chosen = [each.strip() for each in only.split(",") if each.strip()]
        command = shlex.join(["rankstill", *sys.argv[1:]])
        table = run_study(
            STUDIES[name], experiment.config, experiment.workspace, seeds, chosen, validate=validate, command=command
        )
        typer.echo(table.to_markdown())


_study("size", "How many LLM-ranked lists does it take?")
_study("lists", "What kind of list teaches best: the LLM's order, gold labels, the first stage's, a random one?")
_study("ablations", "What is each part of the chain worth?")
_study(
    "baselines", "Is the chain better than what it would replace: BM25, gold labels, a language model read from within?"
)
