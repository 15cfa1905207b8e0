"""What the command line asks of the teacher beside its rankings: a price, prompts for people, what was spent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from rankstill.config import Config
from rankstill.errors import RankstillError
from rankstill.pipeline import open_chain
from rankstill.teacher import check as checking
from rankstill.teacher.ledger import Ledger, Spend, default_ledger_path
from rankstill.teacher.prices import dollars
from rankstill.teacher.write_queries import writing

if TYPE_CHECKING:
    from rankstill.teacher.asking import CandidateList
    from rankstill.teacher.check import TeacherCheck
    from rankstill.teacher.teach import Teacher
    from rankstill.teacher.write_queries.writing import WrittenQueries


@contextmanager
def at_work(config: Config, workspace: str | Path) -> Iterator[tuple[Teacher, list[CandidateList]]]:
    """The teacher and what it is to rank, once the first stage has found it."""
    with open_chain(config, workspace) as chain, chain.components.teacher() as teacher:
        chain.run("candidates")
        yield teacher, chain.components.candidate_lists()


def check_teacher(config: Config, workspace: str | Path, count: int) -> TeacherCheck:
    """Ask about a few queries: whether the LLM ranks better than the first stage, and what all of them would cost."""
    with open_chain(config, workspace) as chain:
        chain.components.check_teacher()
        chain.candidates()
        return checking.check_teacher(config, chain.dataset, chain.components.before, count, chain.components.account)


def write_queries(config: Config, workspace: str | Path, count: int, path: Path) -> WrittenQueries:
    """Have the LLM write queries for passages, and keep those that find their passage again."""
    with open_chain(config, workspace) as chain:
        chain.components.check_teacher()
        chain.candidates()
        return writing.write_queries(
            config, chain.dataset, chain.components.before, count, path, chain.components.account
        )


def ledger_table(path: Path | None) -> Table:
    """What a ledger holds, a model a row.

    Args:
        path: the path of the ledger; None for the one of all workspaces.

    Raises:
        RankstillError: there is no such ledger, or it cannot be read.
    """
    place = path or default_ledger_path()
    if not place.is_file():
        raise RankstillError(f"ledger {place}: there is no such ledger. The first call to an LLM makes it.")

    def counts(spend: Spend) -> list[str]:
        cost = "?" if spend.cost is None else dollars(spend.cost)
        return [*(f"{each:,}" for each in (spend.calls, spend.failures, spend.tokens_in, spend.tokens_out)), cost]

    table = Table(title=f"Ledger {place}")
    amounts = ("calls", "failed tries", "tokens in", "tokens out", "cost", "p50 s", "p90 s", "p99 s")
    for heading in ("model", *amounts, "last"):
        table.add_column(heading, justify="left" if heading in ("model", "last") else "right")
    with Ledger(place) as ledger:
        for stats in ledger.by_model():
            seconds = ["-" if each is None else f"{each:.2f}" for each in (stats.p50, stats.p90, stats.p99)]
            table.add_row(stats.model, *counts(stats.spend), *seconds, stats.last)
        table.add_section()
        table.add_row("all", *counts(ledger.totals()))
    return table
