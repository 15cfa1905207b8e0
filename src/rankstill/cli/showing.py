"""What a finished chain prints."""

from __future__ import annotations

import shlex
import shutil
import sys
from typing import TYPE_CHECKING, Any

import typer

from rankstill.progress import say, unlogged, wrapped

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rankstill.evaluation import EvaluationTable
    from rankstill.evaluation.agreement import Agreement
    from rankstill.outcome import Outcome
    from rankstill.teacher.asking import CandidateList
    from rankstill.teacher.black_box import BlackBox


def tell(line: str) -> None:
    """A line of a command's answer. A terminal gets it broken between words, a file or another program as it is."""
    if sys.stdout.isatty():
        line = wrapped(line, shutil.get_terminal_size().columns)
    typer.echo(line)


def quote_or_ask_by_hand(
    llm: BlackBox[Any],
    lists: Sequence[CandidateList],
    *,
    dry_run: bool,
    prompts: Path | None,
    answers: Path | None,
    what: str,
    done: str,
) -> None:
    """What a command does instead of asking: quote the price, write prompts for people, take their answers.

    Args:
        prompts: where to write the prompts that wait for an answer; None for nowhere.
        answers: where the answers lie; None for none.
        what: the kind of what waits: "lists".
        done: said where nothing waits.
    """
    from rankstill.teacher import by_hand

    if dry_run:
        for line in llm.quoted(lists):
            tell(line)
    if prompts:
        count = by_hand.export_prompts(llm, lists, prompts)
        tell(f"{count:,} prompts written to {prompts}" if count else "no prompt waits for an answer")
    if answers:
        count, notes = by_hand.import_answers(llm, lists, answers)
        for note in notes:
            say(f"note: {note}")
        waiting = sum(1 for _ in llm.pending(lists))
        more = f"{waiting:,} {what} wait for more, or could not be read: --export-prompts again writes what to ask next"
        tell(f"{count:,} answers taken; {more if waiting else done}")


def show(outcome: Outcome) -> None:
    """Print the table, what must be known of it, and how to use what was made."""
    from rich.console import Console

    from rankstill.evaluation import render

    # Wide enough for the table in a log too, where there is no terminal to ask.
    out = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    if outcome.table is not None:
        out.print(render(outcome.table, width=out.width))
    if outcome.agreement is not None and outcome.agreement.table is not None:
        out.print(render(outcome.agreement.table, outcome.agreement.heading, out.width))
        out.print(outcome.agreement.limits(), markup=False)
    for note in unlogged(outcome.notes):
        out.print(f"note: {note}", markup=False)
    out.print(f"\nWorkspace: {outcome.workspace}", markup=False)
    found = outcome.verdict()
    out.print()
    for line in found.lines():
        out.print(wrapped(line, out.width), markup=False, soft_wrap=True)
    if found.not_better:
        out.print(
            wrapped(
                f"Keep the old retriever. The new one lies in {outcome.retriever}; push and export ask for "
                "--even-if-worse.",
                out.width,
            ),
            markup=False,
            soft_wrap=True,
        )
    else:
        out.print("Use the new retriever:\n" if found.kind == "better" else "To use the new retriever:\n", markup=False)
        out.print("    from sentence_transformers import SentenceTransformer", markup=False)
        out.print(f'    retriever = SentenceTransformer("{outcome.retriever}")', markup=False, soft_wrap=True)
        out.print(
            '    passages, query = retriever.encode_document(["a passage"]), retriever.encode_query("a query")',
            markup=False,
        )
    out.print("\nWhat to do next:", markup=False)
    steps = _next_steps(outcome)
    longest = max(len(what) for what, _ in steps)
    for what, why in steps:
        out.print(f"  {what:{longest}}  {why}", markup=False, soft_wrap=True)


def show_hybrid(workspace: Path, table: EvaluationTable | None, agreement: Agreement, *, late: bool) -> None:
    """Print how good the free hybrid is, its weights, and how to go on.

    Args:
        table: the systems that train nothing, on judged queries, if there are any.
        agreement: the same, on the LLM's held-out lists.
        late: whether late interaction is a part of it.
    """
    from rich.console import Console

    from rankstill.evaluation import render, systems
    from rankstill.report.verdict import verdict
    from rankstill.retrieval.hybrid import Hybrid

    out = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    if table is not None:
        out.print(render(table, width=out.width))
    if agreement.table is not None:
        out.print(render(agreement.table, agreement.heading, out.width))
    out.print(agreement.limits(), markup=False)
    system = systems.MULTI_VECTOR_HYBRID if late else systems.HYBRID_BEFORE
    path = workspace / ("hybrid-multi-vector.json" if late else "hybrid.json")
    hybrid, place = Hybrid.load(path), shlex.quote(str(workspace))
    found = verdict(table, workspace, agreement=agreement, system=system)
    maxsim = f", MaxSim {hybrid.late:.3g}" if late else ""
    lines = [found.sentence, found.test, found.agreement] if found.kind != "none" else []
    lines += [
        f"Weights: cosine {hybrid.dense:.3g}, BM25 {hybrid.bm25:.3g}{maxsim}. {hybrid.lists:,} of the LLM's lists set "
        f"them. They are in {path}.",
        "Search with it in Python, Qdrant, Elasticsearch, OpenSearch or LanceDB: docs/guides/deploy.md.",
        f"To train retrievers on the same lists: rankstill run {place}",
    ]
    out.print()
    for line in filter(None, lines):
        out.print(wrapped(line, out.width), markup=False, soft_wrap=True)


def _next_steps(outcome: Outcome) -> list[tuple[str, str]]:
    """Three things to do with a finished run, each with its reason."""
    place = shlex.quote(str(outcome.workspace))
    prove = (f"rankstill prove {place}", "which queries gain, which step loses most")
    name = "--set judge.model=NAME " if "judge.model=NAME" in outcome.offer else ""
    judge = (f"rankstill judge {place} {name}--dry-run", "what a proof by an LLM judge costs")
    return [
        (str(outcome.workspace / "report.html"), "every query's gain or loss"),
        (f"rankstill serve {place}", "search before and after, side by side"),
        prove if outcome.table is not None else judge,
    ]
