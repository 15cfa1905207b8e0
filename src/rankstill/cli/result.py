"""Commands on a finished workspace: look at it, search with it, take its retriever elsewhere."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from rankstill.cli.app import app
from rankstill.cli.options import AlsoNamed, Dimensions, EvenIfWorse, Experiment, Named, Of, on_workspace, one_workspace
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


@app.command()
def serve(
    workspace: Named = None,
    also: AlsoNamed = None,
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen on. If it is not a loopback address, others can connect: there is no password."
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on. 0 takes any free one.")] = 8080,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Another host name that the server answers to; may be repeated.")
    ] = None,
) -> None:
    """Open a search page that shows before and after side by side, with an HTTP API."""
    from rankstill.extras.serve.server import run_server

    run_server(one_workspace(workspace, also), host, port, allow_host or ())


@app.command()
def votes(
    to: Annotated[Path, typer.Option(help="Where to write the BEIR folder.")],
    workspace: Named = None,
    also: AlsoNamed = None,
) -> None:
    """Write the votes from the search page as a dataset, to measure the next run on."""
    from rankstill.config import read_config
    from rankstill.data import load_dataset
    from rankstill.extras.serve.votes import write_votes_dataset

    workspace = one_workspace(workspace, also)
    count = write_votes_dataset(workspace, load_dataset(read_config(workspace / "config.yaml").dataset), to)
    # A workspace of its own: the one that was voted on holds its own figures.
    options = ["--source", to, "--rankings", workspace / "rankings.jsonl", "--set", "dataset.test_split=votes"]
    command = shlex.join(["rankstill", "run", *map(str, options), "-w", f"{to}-workspace"])
    say(f"{count:,} judged queries: {command}")


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
    from rankstill.report.verdict import refuse_if_not_better

    config, workspace = experiment.config, experiment.workspace
    if not even_if_worse and (form or not matryoshka):  # measuring hands nothing over
        refuse_if_not_better(workspace)
    if matryoshka:
        typer.echo(export.measure_truncation(config, workspace, keep=dimensions).to_markdown())
    if form or not matryoshka:
        forms = form or ["onnx", "onnx-int8"]
        typer.echo(export.export_retriever(config, workspace, forms, dimensions=dimensions).to_markdown())


@on_workspace("export-vectors")
def export_vectors(
    experiment: Experiment,
    to: Annotated[str, typer.Option(help="parquet, qdrant, lancedb or pgvector.")] = "parquet",
    dimensions: Dimensions = None,
    of: Of = "retriever",
    even_if_worse: EvenIfWorse = False,
    name: Annotated[str, typer.Option(help="Name of the database's collection or table.")] = "rankstill",
    location: Annotated[
        str, typer.Option(help="A file, a folder, a URL or a connection string. Default: the workspace, or PGHOST.")
    ] = "",
) -> None:
    """Export the corpus with its vectors to a Parquet file or a vector database."""
    from rankstill.evaluation.systems import RETRIEVERS
    from rankstill.extras import export
    from rankstill.report.verdict import refuse_if_not_better

    config, workspace = experiment.config, experiment.workspace
    if to == "parquet" and of != "retriever":
        raise RankstillError("token vectors go into a database. Name one: --to qdrant or --to lancedb.")
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
