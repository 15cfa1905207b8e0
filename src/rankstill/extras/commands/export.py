"""Commands that take a finished workspace's retrievers elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rankstill.cli.app import app
from rankstill.cli.options import AlsoNamed, Dimensions, EvenIfWorse, Experiment, Named, Of, on_workspace, one_workspace
from rankstill.errors import RankstillError
from rankstill.progress import say


@on_workspace("export")
def export(
    experiment: Experiment,
    form: Annotated[
        list[str] | None,
        typer.Option(help="onnx, onnx-int8, openvino or openvino-int8; may be repeated. If left out: the first two."),
    ] = None,
    dimensions: Dimensions = None,
    matryoshka: Annotated[bool, typer.Option("--matryoshka", help="Measure shorter vectors; export no model.")] = False,
    even_if_worse: EvenIfWorse = False,
) -> None:
    """Export the new retriever to other runtimes, and measure what it loses."""
    from rankstill.extras import export
    from rankstill.extras.export.matryoshka import HEADING
    from rankstill.report.verdict import refuse_if_not_better

    config, workspace = experiment.config, experiment.workspace
    if not even_if_worse and (form or not matryoshka):  # measuring hands nothing over
        refuse_if_not_better(workspace)
    if matryoshka:
        typer.echo(export.measure_truncation(config, workspace, keep=dimensions).to_markdown(HEADING))
    if form or not matryoshka:
        forms = form or ["onnx", "onnx-int8"]
        typer.echo(export.export_retriever(config, workspace, forms, dimensions=dimensions).to_markdown())


@on_workspace("export-vectors")
def export_vectors(
    experiment: Experiment,
    to: Annotated[str, typer.Option(help="parquet, qdrant, lancedb, pgvector or plaid.")] = "parquet",
    dimensions: Dimensions = None,
    of: Of = "retriever",
    even_if_worse: EvenIfWorse = False,
    name: Annotated[str, typer.Option(help="Name of the collection, table or index.")] = "rankstill",
    location: Annotated[
        str, typer.Option(help="A file, a folder, a URL or a connection string. Default: the workspace, or PGHOST.")
    ] = "",
) -> None:
    """Export the corpus with its vectors to a Parquet file, a vector database or a PLAID index."""
    from rankstill.evaluation.systems import RETRIEVERS
    from rankstill.extras import export
    from rankstill.report.verdict import refuse_if_not_better

    config, workspace = experiment.config, experiment.workspace
    if to == "parquet" and of != "retriever":
        raise RankstillError("token vectors go into a database. Name one: --to qdrant, --to lancedb or --to plaid.")
    if not even_if_worse:
        refuse_if_not_better(workspace, RETRIEVERS[of])
    if to == "parquet":
        path = Path(location) if location else workspace / "export" / "vectors.parquet"
        count = export.export_vectors(config, workspace, path, dimensions=dimensions)
        say(f"{count:,} passages written to {path}")
        return
    count = export.export_to_store(config, workspace, to, name, location, dimensions=dimensions, of=of)
    say(f"{count:,} passages put into {to}, {name}")


@app.command()
def push(
    repository: Annotated[str, typer.Argument(help="owner/name on the Hugging Face Hub. HF_TOKEN gives access.")],
    workspace: Named = None,
    also: AlsoNamed = None,
    public: Annotated[bool, typer.Option("--public", help="Make it public. It is private if left out.")] = False,
    of: Of = "retriever",
    even_if_worse: EvenIfWorse = False,
) -> None:
    """Push the new retriever and its model card to the Hugging Face Hub."""
    from rankstill.evaluation.systems import RETRIEVERS
    from rankstill.extras.export import push
    from rankstill.report.verdict import refuse_if_not_better

    held = one_workspace(workspace, also)
    if not even_if_worse:
        refuse_if_not_better(held, RETRIEVERS[of])
    say(f"pushed: {push(held / of, repository, private=not public)}")
