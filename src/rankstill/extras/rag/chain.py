"""Question answering on a workspace: a reader LLM answers from what the systems of its chain find."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rankstill.config import Config
from rankstill.data import Dataset, load_dataset
from rankstill.errors import RankstillError
from rankstill.evaluation.chain_runs import chain_systems
from rankstill.evaluation.systems import BEFORE, read_runs
from rankstill.extras.rag.choices import read_choice_questions
from rankstill.extras.rag.study import answered_queries, choice_table, rag_table
from rankstill.extras.rag.table import RagTable
from rankstill.pipeline import Chain, open_chain
from rankstill.teacher.teach import Teacher


def answer_test_questions(config: Config, workspace: str | Path) -> RagTable:
    """Have a reader LLM answer the test questions from what each system found; the table lies in `rag/` as well.

    The chain runs to its end first, where it has not.
    """
    dataset = load_dataset(config.dataset)
    answered_queries(dataset)  # or the chain would run for nothing
    with _reading(config, workspace, dataset) as (chain, reader):
        measured = read_runs(chain.workspace.path("runs"))
        runs = {name: measured[name] for name in _read_from(config, measured)}
        table = rag_table(reader, chain.dataset, runs, config)
        table.write(chain.workspace.path("rag"))
    return table


def answer_choices(config: Config, workspace: str | Path, questions: Path) -> RagTable:
    """Have a reader LLM answer multiple-choice questions from what each system finds; accuracy by subject.

    The chain runs to its end first, where it has not. The table lies in `choices/` as well.
    """
    asked = read_choice_questions(questions)
    with _reading(config, workspace) as (chain, reader):
        queries = {each.id: each.text for each in asked}
        systems = chain_systems(chain.components, queries, with_ranker=chain.has_ranker)
        runs = {name: systems[name]() for name in _read_from(config, systems)}
        table = choice_table(reader, asked, chain.dataset.corpus, runs, config)
        table.write(chain.workspace.path("choices"))
    return table


@contextmanager
def _reading(config: Config, workspace: str | Path, dataset: Dataset | None = None) -> Iterator[tuple[Chain, Teacher]]:
    """A chain that has run to its end, and the LLM that reads what it finds; a mistake in the latter shows first."""
    with (
        open_chain(config, workspace, dataset) as chain,
        Teacher(config.rag.reader or config.teacher, chain.components.account, config.seed) as reader,
    ):
        chain.run()
        yield chain, reader


def _read_from(config: Config, systems: Iterable[str]) -> list[str]:
    """Those of a run's systems whose passages the reader gets: as configured, and the one they are compared with."""
    systems = list(systems)
    wanted = systems if config.rag.systems is None else [BEFORE, *config.rag.systems]
    lacking = [name for name in wanted if name not in systems]
    if lacking:
        raise RankstillError(
            f"rag.systems: this run has no {' and no '.join(lacking)}. Name some of: {', '.join(systems)}."
        )
    return [name for name in systems if name in wanted]
