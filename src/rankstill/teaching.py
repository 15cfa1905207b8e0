"""What the command line asks of the teacher beside its rankings: a price, prompts for people, what was spent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rankstill.config import Config
from rankstill.errors import RankstillError

if TYPE_CHECKING:
    from rich.table import Table

    from rankstill.pipeline import Chain
    from rankstill.rag import RagTable
    from rankstill.teacher import CandidateList, Teacher
    from rankstill.teacher.checking import TeacherCheck
    from rankstill.teacher.writing import WrittenQueries


def quote(config: Config, workspace: str | Path) -> list[str]:
    """What having the training queries ranked is expected to take, beyond what the ledger holds, for people.

    Asks nothing.

    Raises:
        RankstillError: as `Teacher`.
    """
    with _at_work(config, workspace) as (teacher, lists):
        expected = teacher.quote(lists)
        lines = [f"expected: {expected}"]
        price, budget = teacher.price, teacher.budget
        if price is not None and price.source:
            lines.append(
                f"price: {price.input:g} and {price.output:g} USD per million tokens, {price.source}, {price.as_of}"
            )
        if budget.max_cost is not None and (budget.cost or 0.0) + (expected.cost or 0.0) > budget.max_cost:
            lines.append("that is more than teacher.max_cost leaves: asking would stop on the way")
        return lines


def export_prompts(config: Config, workspace: str | Path, path: Path) -> int:
    """Write the prompts that wait for an answer, for whoever is to answer them by hand; how many there are."""
    from rankstill.teacher import by_hand

    with _at_work(config, workspace) as (teacher, lists):
        return by_hand.export_prompts(teacher, lists, path)


def import_answers(config: Config, workspace: str | Path, path: Path) -> tuple[int, Sequence[str]]:
    """Take answers back into the ledger: how many, and notes of those that could not be used."""
    from rankstill.teacher import by_hand

    with _at_work(config, workspace) as (teacher, lists):
        return by_hand.import_answers(teacher, lists, path)


def check_teacher(config: Config, workspace: str | Path, count: int) -> TeacherCheck:
    """Ask about a few queries: whether the LLM ranks better than the first stage, and what all of them would cost.

    Raises:
        RankstillError: as `rankstill.teacher.checking.check_teacher`.
    """
    from rankstill.teacher.checking import check_teacher

    with _chain(config, workspace) as chain:
        chain.parts.check_teacher()
        chain.candidates()
        return check_teacher(config, chain.dataset, chain.parts.before, count, chain.parts.account)


def write_queries(config: Config, workspace: str | Path, count: int, path: Path) -> WrittenQueries:
    """Have the LLM write queries for passages, and keep those that find their passage again.

    Raises:
        RankstillError: as `rankstill.teacher.writing.write_queries`.
    """
    from rankstill.teacher.writing import write_queries

    with _chain(config, workspace) as chain:
        chain.parts.check_teacher()
        chain.candidates()
        return write_queries(config, chain.dataset, chain.parts.before, count, path, chain.parts.account)


def answer_questions(config: Config, workspace: str | Path) -> RagTable:
    """Have a reader LLM answer the test questions from what each system found; the table lies in `rag/` as well.

    The chain runs to its end first, where it has not.

    Raises:
        RankstillError: as `rag_table`, or the chain.
    """
    from rankstill.evaluation import read_run
    from rankstill.rag import rag_table
    from rankstill.teacher import Teacher

    with _chain(config, workspace) as chain:
        with Teacher(config.rag.reader or config.teacher, chain.parts.account, config.seed) as reader:
            chain.run()
            names = ("BM25", "retriever before", "retriever AFTER", "ranker on AFTER")
            runs = {name: read_run(chain.workspace.path(f"runs/{name.replace(' ', '-')}.trec")) for name in names}
            table = rag_table(
                reader,
                chain.dataset,
                runs,
                config.rag.k,
                count=config.rag.questions,
                seed=config.seed,
                resamples=config.evaluation.resamples,
            )
        table.write(chain.workspace.path("rag"))
    return table


@contextmanager
def _at_work(config: Config, workspace: str | Path) -> Iterator[tuple[Teacher, list[CandidateList]]]:
    """The teacher and what it is to rank, once the first stage has found it."""
    with _chain(config, workspace) as chain, chain.parts.teacher() as teacher:
        chain.run("candidates")
        yield teacher, chain.parts.candidate_lists()


@contextmanager
def _chain(config: Config, workspace: str | Path) -> Iterator[Chain]:
    from rankstill.datasets import load_dataset
    from rankstill.pipeline import Chain
    from rankstill.workspace import Workspace

    dataset = load_dataset(config.dataset)
    with Workspace(workspace) as opened:
        yield Chain(config, opened, dataset)


def ledger_table(path: Path | None) -> Table:
    """What a ledger holds, a model a row.

    Args:
        path: of the ledger; None for the one of all workspaces.

    Raises:
        RankstillError: there is no such ledger, or it cannot be read.
    """
    from rich.table import Table

    from rankstill.teacher.ledger import Ledger, Spend, default_ledger_path
    from rankstill.teacher.prices import dollars

    place = path or default_ledger_path()
    if not place.is_file():
        raise RankstillError(f"ledger {place}: there is none. It is made by the first call to an LLM.")

    def counts(spend: Spend) -> list[str]:
        cost = "?" if spend.cost is None else dollars(spend.cost)
        return [*(f"{each:,}" for each in (spend.calls, spend.failures, spend.tokens_in, spend.tokens_out)), cost]

    table = Table(title=f"Ledger {place}")
    for heading in (
        "model",
        "calls",
        "failed tries",
        "tokens in",
        "tokens out",
        "cost",
        "p50 s",
        "p90 s",
        "p99 s",
        "last",
    ):
        table.add_column(heading, justify="left" if heading in ("model", "last") else "right")
    with Ledger(place) as ledger:
        for stats in ledger.by_model():
            seconds = ["-" if each is None else f"{each:.2f}" for each in (stats.p50, stats.p90, stats.p99)]
            table.add_row(stats.model, *counts(stats.spend), *seconds, stats.last)
        table.add_section()
        table.add_row("all", *counts(ledger.totals()))
    return table
