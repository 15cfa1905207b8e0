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
    from rankstill.teacher import CandidateList, Teacher
    from rankstill.teacher.checking import TeacherCheck
    from rankstill.teacher.prices import Quote
    from rankstill.teacher.writing import WrittenQueries


def quote(config: Config, workspace: str | Path) -> Quote:
    """What having the training queries ranked is expected to take, beyond what the ledger holds. Asks nothing.

    Raises:
        RankstillError: the teacher replays recorded rankings, which cost nothing; or as `Teacher`.
    """
    with _at_work(config, workspace) as (teacher, lists):
        return teacher.quote(lists)


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
        chain.run("candidates")
        return check_teacher(config, chain.dataset, chain.parts.before, count, chain.parts.account)


def write_queries(config: Config, workspace: str | Path, count: int, path: Path) -> WrittenQueries:
    """Have the LLM write queries for passages, and keep those that find their passage again.

    Raises:
        RankstillError: as `rankstill.teacher.writing.write_queries`.
    """
    from rankstill.teacher.writing import write_queries

    with _chain(config, workspace) as chain:
        chain.candidates()
        return write_queries(config, chain.dataset, chain.parts.before, count, path, chain.parts.account)


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

    from rankstill.teacher.ledger import Ledger, default_ledger_path
    from rankstill.teacher.prices import dollars, price_of

    place = path or default_ledger_path()
    if not place.is_file():
        raise RankstillError(f"ledger {place}: there is none. It is made by the first call to an LLM.")
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
            spend, price = stats.spend, price_of(stats.model)
            cost = "?" if price is None else dollars(price.cost(spend.tokens_in, spend.tokens_out))
            seconds = ["-" if each is None else f"{each:.2f}" for each in (stats.p50, stats.p90, stats.p99)]
            counts = [f"{each:,}" for each in (spend.calls, spend.failures, spend.tokens_in, spend.tokens_out)]
            table.add_row(stats.model, *counts, cost, *seconds, stats.last)
    return table
