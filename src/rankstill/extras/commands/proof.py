"""Commands that show what was gained: proof and question answering."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rankstill.cli.options import Experiment, on_workspace


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
    from rankstill.extras.rag.study import answer_choices, answer_test_questions

    if choices is None:
        table = answer_test_questions(experiment.config, experiment.workspace)
    else:
        table = answer_choices(experiment.config, experiment.workspace, choices)
    typer.echo(table.to_markdown())
