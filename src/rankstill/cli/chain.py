"""Commands that make a better retriever: the demo, the chain, its steps, and what comes before them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rankstill.cli.app import app
from rankstill.cli.options import Experiment, Replace, Seed, Set, changes_of, on_workspace
from rankstill.cli.showing import show, show_hybrid, tell
from rankstill.errors import RankstillError
from rankstill.progress import say

_NO_SOURCE = "path/to/a/beir/folder"


@app.command()
def demo(
    workspace: Annotated[
        Path, typer.Option("--workspace", "-w", help="The workspace: where the demo's files go.")
    ] = Path("rankstill-demo"),
    quick: Annotated[bool, typer.Option("--quick", help="Run on a small sample, in a few minutes.")] = False,
    all_claims: Annotated[
        bool, typer.Option("--all-claims", help="Train on all 809 claims, also those that leak; every figure says so.")
    ] = False,
    replace: Replace = False,
    seed: Seed = None,
    set_: Set = None,
) -> None:
    """Run the whole chain on SciFact with 809 recorded LLM rankings, without an API key."""
    from rankstill.config import refuse_unused
    from rankstill.demo import demo_config, run_demo

    changes = changes_of(seed=seed, set_=set_)
    refuse_unused(demo_config(changes), "demo", changes)
    show(run_demo(workspace, quick=quick, all_claims=all_claims, replace=replace, changes=changes))


def _step(name: str, until: str, what: str) -> None:
    @on_workspace(name, what)
    def run(experiment: Experiment, replace: Replace = False) -> None:
        experiment.run(until, replace=replace)


@on_workspace("run")
def run(
    experiment: Experiment,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Estimate time, memory, disk and price; run nothing.")
    ] = False,
    replace: Replace = False,
) -> None:
    """Run the whole chain on your own data, or continue where it stopped."""
    if not dry_run:
        experiment.run("evaluation", replace=replace)
        return
    from rankstill.forecast import forecast
    from rankstill.pipeline import open_chain

    with open_chain(experiment.settled(), experiment.workspace) as chain:
        for line in forecast(chain):
            tell(line)


_step("candidates", "candidates", "Find candidate passages for every query, with BM25 and the retriever.")


@on_workspace("hybrid")
def hybrid(experiment: Experiment, replace: Replace = False) -> None:
    """Weigh BM25, your retriever and its token vectors by the LLM's lists, and measure the sum. Nothing is trained."""
    from rankstill.distributed.processes import is_rank_zero, only_rank_zero_prints
    from rankstill.evaluation.chain_agreement import agreement_untrained
    from rankstill.evaluation.chain_runs import evaluate_untrained
    from rankstill.pipeline import open_chain

    config = experiment.settled()
    if config.labels.ranked_by not in ("both", "ranker"):
        raise RankstillError(f"labels.ranked_by: {config.labels.ranked_by} fits no hybrid. Leave it out.")
    with only_rank_zero_prints(), open_chain(config, experiment.workspace, replace=replace) as chain:
        chain.run("hybrid")
        if not is_rank_zero():
            return
        components = chain.components
        table, agreement = evaluate_untrained(components), agreement_untrained(components)
        show_hybrid(chain.workspace.folder, table, agreement, late=components.has_multi_vector)


_step("train-ranker", "ranker", "Train the ranker on the LLM's rankings.")
_step("label", "labels", "Let the ranker label queries and passages.")
_step("train-retriever", "retriever", "Train the retriever on the labels.")
_step("evaluate", "evaluation", "Measure every system on the test queries.")


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("rankstill.yaml"),
    source: Annotated[str, typer.Option(help="Your dataset.")] = _NO_SOURCE,
    full: Annotated[bool, typer.Option("--full", help="Write every option, with its default and its meaning.")] = False,
) -> None:
    """Write a config with the options that most people set, and three choices of teacher."""
    from rankstill.config import commented_config, starting_config

    if path.exists():
        raise RankstillError(f"{path}: already exists. Name another file or move it away.")
    try:
        path.write_text((commented_config if full else starting_config)(source), encoding="utf-8")
    except OSError as error:
        raise RankstillError(f"{path}: cannot be written ({error.strerror}). Name another file.") from None
    missing = "set dataset.source and " if source == _NO_SOURCE else ""
    say(f"Wrote {path}. In it, {missing}choose a teacher (docs/teacher.md). Then: rankstill check {path}")


@on_workspace("check")
def check(
    experiment: Experiment,
    near: Annotated[
        bool, typer.Option("--near", help="Also look for near-duplicate queries; loads the model.")
    ] = False,
) -> None:
    """Check a dataset: its sizes, what loading changes, and whether training queries leak into the test."""
    from rankstill.checks import check_dataset

    for line in check_dataset(experiment.config, near_duplicates=near):
        tell(line)
