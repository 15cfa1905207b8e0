"""Commands that repeat the paper's studies."""

from __future__ import annotations

import shlex
import sys
from typing import Annotated

import typer

from rankstill.cli.app import app
from rankstill.cli.options import Experiment, on_workspace

study_app = typer.Typer(
    help="Run the paper's studies and baselines: variants over seeds, with paired tests.", no_args_is_help=True
)
app.add_typer(study_app, name="study")


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
