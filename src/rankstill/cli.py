"""The command line: parse, call, print."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from rankstill.errors import RankstillError
from rankstill.progress import console, say

if TYPE_CHECKING:
    from rankstill.config import Config
    from rankstill.pipeline import Outcome


class _Commands(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        """Run the command; typer itself would end an interrupt without a word."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            say("Interrupted. Run the same command again: finished steps are kept.")
            sys.exit(130)


app = typer.Typer(
    cls=_Commands,
    help="Distil a black-box LLM's rankings into a small, fast, better retriever.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

study_app = typer.Typer(help="The paper's studies: variants over seeds, with paired tests.", no_args_is_help=True)
app.add_typer(study_app, name="study")

ConfigFile = Annotated[Path | None, typer.Argument(help="A YAML config; `rankstill init` writes one.")]
Folder = Annotated[Path, typer.Option("--workspace", "-w", help="Where the experiment's files go.")]
Source = Annotated[str | None, typer.Option(help="The dataset: sets dataset.source.")]
Rankings = Annotated[Path | None, typer.Option(help="Recorded rankings: sets teacher.rankings.")]
Model = Annotated[str | None, typer.Option(help="The retriever to improve: sets retriever.model.")]
Seed = Annotated[int | None, typer.Option(help="Sets seed.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="SECTION.OPTION=VALUE", help="Sets any option of the config.")
]


@app.command()
def demo(
    workspace: Folder = Path("rankstill-demo"),
    quick: Annotated[bool, typer.Option("--quick", help="A sample: the same shape in a few minutes.")] = False,
    all_claims: Annotated[
        bool, typer.Option("--all-claims", help="Train on all 809 claims, leaking ones too; every figure says so.")
    ] = False,
    seed: Seed = None,
    set_: Set = None,
) -> None:
    """Run the whole chain on SciFact with 809 recorded LLM rankings: no key, no hub."""
    from rankstill.demo import run_demo

    show(run_demo(workspace, quick=quick, all_claims=all_claims, changes=_changes(seed=seed, set_=set_)))


@dataclass(frozen=True)
class Experiment:
    """What a command works on: the options that all commands on a workspace share.

    Args:
        path: of the config, if one is given.
        workspace: its folder.
        changes: options that flags set, by dotted path.
    """

    path: Path | None
    workspace: Path
    changes: dict[str, Any]

    @property
    def config(self) -> Config:
        """The configuration."""
        return _config(self.path, self.changes)

    def run(self, until: str) -> None:
        """The chain up to a step; steps before it that are missing are made first."""
        from rankstill.pipeline import distill

        outcome = distill(self.config, self.workspace, until=until)
        if until == "evaluation":
            show(outcome)


def _shared(
    config: ConfigFile = None,
    workspace: Folder = Path("workspace"),
    source: Source = None,
    rankings: Rankings = None,
    model: Model = None,
    seed: Seed = None,
    set_: Set = None,
) -> Experiment:
    return Experiment(config, workspace, _changes(source, rankings, model, seed, set_))


def _on_workspace(
    name: str, what: str | None = None, group: typer.Typer = app
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a function a command: beside its own options it takes those of `_shared`, and gets them as one `Experiment`.

    An option of its own that has the name of a shared one takes its place.
    """
    shared = inspect.signature(_shared, eval_str=True).parameters

    def register(command: Callable[..., None]) -> Callable[..., None]:
        _, *own = inspect.signature(command, eval_str=True).parameters.values()
        options = {**shared, **{option.name: option for option in own}}

        @wraps(command)
        def run(**given: Any) -> None:
            mine = {option.name: given.pop(option.name) for option in own}
            command(_shared(**given), **mine)

        run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [option.replace(kind=inspect.Parameter.KEYWORD_ONLY) for option in options.values()]
        )
        run.__annotations__ = {option.name: option.annotation for option in options.values()}
        group.command(name, help=what)(run)
        return command

    return register


def _step(name: str, until: str, what: str) -> None:
    _on_workspace(name, what)(lambda experiment: experiment.run(until))


_step("run", "evaluation", "Run the whole chain on your own data; run again, it goes on where it stopped.")
_step("candidates", "candidates", "First stage: find candidates for every query.")


@_on_workspace("teach")
def teach(
    experiment: Experiment,
    model: Annotated[str | None, typer.Option(help="The LLM to ask: sets teacher.model.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Quote calls, tokens and price; ask nothing.")] = False,
    export_prompts: Annotated[
        Path | None, typer.Option(help="Write the prompts that wait for an answer here; ask nothing.")
    ] = None,
    import_rankings: Annotated[
        Path | None, typer.Option(help='Take answers to exported prompts back: each line with its "answer".')
    ] = None,
) -> None:
    """Teacher: get an order of each training query's candidates."""
    from rankstill import teaching

    if model is not None:
        experiment.changes["teacher.model"] = model
    if not (dry_run or export_prompts or import_rankings):
        experiment.run("rankings")
    if dry_run:
        for line in teaching.quote(experiment.config, experiment.workspace):
            typer.echo(line)
    if export_prompts:
        count = teaching.export_prompts(experiment.config, experiment.workspace, export_prompts)
        typer.echo(f"{count:,} prompts written to {export_prompts}" if count else "no prompt waits for an answer")
    if import_rankings:
        count, notes = teaching.import_answers(experiment.config, experiment.workspace, import_rankings)
        for note in notes:
            say(f"note: {note}")
        typer.echo(f"{count:,} answers taken; `rankstill teach` goes on from them")


_step("train-ranker", "ranker", "LLM -> ranker.")
_step("label", "labels", "Ranker -> labels.")
_step("train-retriever", "retriever", "Labels -> retriever.")
_step("evaluate", "evaluation", "Measure every system on the test queries.")


@_on_workspace("prove")
def prove(experiment: Experiment) -> None:
    """For which queries it is better, which link of the chain lost most, and what the retriever forgot elsewhere."""
    from rankstill.proof import prove

    typer.echo(prove(experiment.config, experiment.workspace))


@_on_workspace("rag")
def rag(experiment: Experiment) -> None:
    """Question answering: a frozen LLM answers from what each system finds; better passages, better answers?"""
    from rankstill.proof import answer_questions

    typer.echo(answer_questions(experiment.config, experiment.workspace).to_markdown())


def _study(name: str, what: str) -> None:
    @_on_workspace(name, what, study_app)
    def run(
        experiment: Experiment,
        seeds: Annotated[int, typer.Option(min=1, help="How many seeds, from seed on.")] = 3,
        only: Annotated[str, typer.Option(help="Variants, by comma; all if left out.")] = "",
    ) -> None:
        from rankstill.studies import STUDIES, run_study

        chosen = [each.strip() for each in only.split(",") if each.strip()]
        typer.echo(run_study(STUDIES[name], experiment.config, experiment.workspace, seeds, chosen).to_markdown())


_study("size", "How many LLM-ranked lists does it take?")
_study("lists", "What kind of list teaches best: the LLM's order, gold labels, the first stage's, a random one?")
_study("ablations", "What is each part of the chain worth?")


Workspace = Annotated[Path, typer.Argument(help="A workspace, finished or not.")]


@app.command()
def report(workspace: Workspace = Path("workspace")) -> None:
    """Write report.html: the verdict, where quality is lost, every query's gain or loss, how to reproduce."""
    from rankstill.report import write_report

    say(f"Wrote {write_report(workspace)}")


@app.command()
def compare(
    workspaces: Annotated[list[Path], typer.Argument(help="Two workspaces or more; the first is compared with.")],
    to: Annotated[Path, typer.Option(help="The page to write.")] = Path("compare.html"),
) -> None:
    """Put several workspaces beside each other: systems, paired tests, the settings that differ."""
    from rankstill.report import compare_workspaces

    say(f"Wrote {compare_workspaces(workspaces, to)}")


@app.command()
def serve(
    workspace: Workspace = Path("workspace"),
    host: Annotated[
        str, typer.Option(help="Where to listen; beyond loopback others get in: there is no password.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8080,
    allow_host: Annotated[list[str] | None, typer.Option(help="A further host name that it answers to.")] = None,
) -> None:
    """Search before and after side by side in a browser, and an HTTP API of the new retriever."""
    from rankstill.serve import run_server

    run_server(workspace, host, port, allow_host or ())


@app.command()
def votes(
    workspace: Annotated[Path, typer.Argument(help="The workspace that was voted on.")],
    to: Annotated[Path, typer.Option(help="Where to write the BEIR folder.")],
) -> None:
    """Write what was voted on the page as a dataset, to measure the next run on."""
    from rankstill.config import read_config
    from rankstill.datasets import load_dataset
    from rankstill.serve import write_votes_dataset

    count = write_votes_dataset(workspace, load_dataset(read_config(workspace / "config.yaml").dataset), to)
    say(
        f"{count:,} judged queries: rankstill run --source {to} --rankings {workspace}/rankings.jsonl "
        "--set dataset.test_split=votes"
    )


@_on_workspace("check-teacher")
def check_teacher(
    experiment: Experiment,
    queries: Annotated[int, typer.Option(min=1, help="How many queries to ask about.")] = 30,
) -> None:
    """Ask about a few queries: does the LLM rank better than the first stage, and what would all of them cost?"""
    from rankstill import teaching

    for line in teaching.check_teacher(experiment.config, experiment.workspace, queries).lines():
        typer.echo(line)


@_on_workspace("write-queries")
def write_queries(
    experiment: Experiment,
    count: Annotated[int, typer.Option(min=1, help="Passages to have queries written for.")] = 1_000,
    to: Annotated[Path, typer.Option(help="Where to write them.")] = Path("written-queries.jsonl"),
) -> None:
    """Have the LLM write queries for passages, and keep those that find their passage again."""
    from rankstill import teaching

    for line in teaching.write_queries(experiment.config, experiment.workspace, count, to).lines():
        typer.echo(line)


@app.command()
def ledger(
    path: Annotated[Path | None, typer.Argument(help="A ledger; the one of all workspaces if left out.")] = None,
) -> None:
    """Show what was spent on LLMs, and how they did: calls, failures, tokens, price, latency."""
    from rich.console import Console

    from rankstill.teaching import ledger_table

    Console(width=None if sys.stdout.isatty() else 160, highlight=False).print(ledger_table(path))


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("rankstill.yaml"),
    source: Annotated[str, typer.Option(help="Your dataset.")] = "path/to/a/beir/folder",
) -> None:
    """Write a config with every option, its default and its meaning."""
    from rankstill.config import commented_config

    if path.exists():
        raise RankstillError(f"{path}: is there already. Name another file or move it away.")
    try:
        path.write_text(commented_config(source), encoding="utf-8")
    except OSError as error:
        raise RankstillError(f"{path}: cannot be written ({error.strerror}). Name another file.") from None
    say(f"Wrote {path}. Set dataset.source and the teacher (docs/teacher.md), then: rankstill run {path}")


@app.command()
def check(
    config: ConfigFile = None,
    source: Source = None,
    near: Annotated[
        bool, typer.Option("--near", help="Also look for near-duplicate queries; loads the model.")
    ] = False,
    set_: Set = None,
) -> None:
    """Check a dataset: what loading changes, and whether its training split leaks into its test split."""
    from rankstill.checks import check_dataset

    for line in check_dataset(_config(config, _changes(source=source, set_=set_)), near_duplicates=near):
        typer.echo(line)


def _config(path: Path | None, changes: dict[str, Any]) -> Config:
    from rankstill.config import make_config, read_config

    if path is not None:
        return read_config(path, changes)
    if "dataset.source" not in changes:
        raise RankstillError("say what to work on: a CONFIG.yaml (`rankstill init` writes one) or --source.")
    return make_config({}, changes, "flags")


def _changes(
    source: str | None = None,
    rankings: Path | None = None,
    model: str | None = None,
    seed: int | None = None,
    set_: list[str] | None = None,
) -> dict[str, Any]:
    import yaml

    flags = {
        "dataset.source": source,
        "teacher.rankings": str(rankings) if rankings else None,
        "retriever.model": model,
        "seed": seed,
    }
    changes: dict[str, Any] = {name: value for name, value in flags.items() if value is not None}
    for each in set_ or []:
        name, separator, value = each.partition("=")
        if not separator:
            raise RankstillError(f"--set {each}: write it as SECTION.OPTION=VALUE, such as --set ranker.prior=false.")
        try:
            changes[name] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise RankstillError(
                f"--set {each}: the value is not readable as YAML. Put it in quotes: {name}='\"...\"'."
            ) from None
    return changes


def show(outcome: Outcome) -> None:
    """Print the table, what must be known of it, and how to use what was made."""
    from rich.console import Console

    from rankstill.evaluation import render

    # Wide enough for the table in a log too, where there is no terminal to ask.
    out = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    if outcome.table is not None:
        out.print(render(outcome.table))
    for note in outcome.notes:
        out.print(f"note: {note}", markup=False)
    out.print(f"\nWorkspace: {outcome.workspace}", markup=False)
    if (page := outcome.workspace / "report.html").exists():
        out.print(f"Report: {page}", markup=False, soft_wrap=True)
    out.print("Use the new retriever:\n", markup=False)
    out.print("    from sentence_transformers import SentenceTransformer", markup=False)
    out.print(f'    retriever = SentenceTransformer("{outcome.retriever}")', markup=False, soft_wrap=True)
    out.print(
        '    passages, query = retriever.encode_document(["a passage"]), retriever.encode_query("a query")',
        markup=False,
    )


def main() -> None:
    """Entry point: a user's mistake ends in one line, not in a traceback."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        app()
    except RankstillError as error:
        console.print(f"error: {error}", markup=False, soft_wrap=True)
        sys.exit(2)
