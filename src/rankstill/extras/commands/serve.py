"""Commands around the search page."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from rankstill.cli.app import app
from rankstill.cli.options import AlsoNamed, Named, one_workspace
from rankstill.progress import say


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
