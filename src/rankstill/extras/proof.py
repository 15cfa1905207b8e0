"""What one figure does not say: for which queries, which link lost most, what was forgotten, and are answers better?"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from rankstill.config import Config, DatasetConfig, System
from rankstill.data import load_dataset
from rankstill.errors import RankstillError
from rankstill.evaluation import read_run
from rankstill.evaluation.chain_agreement import read_agreement
from rankstill.evaluation.chain_runs import chain_systems
from rankstill.evaluation.chain_scores import attribute_workspace
from rankstill.evaluation.forgetting import forgetting_of_workspace
from rankstill.evaluation.slices import slice_runs
from rankstill.evaluation.systems import BEFORE, DISTILLED, run_name
from rankstill.labels import read_labels
from rankstill.pipeline import Chain, open_chain

if TYPE_CHECKING:
    from rankstill.data import Dataset
    from rankstill.extras.rag import RagSettings, RagTable
    from rankstill.teacher import Teacher

SECOND = "nq-open"
"""The dataset that shows what was forgotten: it comes with the package, and training never touches it."""


def prove(config: Config, workspace: str | Path) -> str:
    """Slices, attribution, agreement and forgetting of a chain, as Markdown; kept in `proof.md` and `proof.json`.

    The chain runs to its end first, where it has not.
    """
    with open_chain(config, workspace) as chain:
        opened = chain.workspace
        chain.run()
        dataset = chain.components.test_set
        # A baseline has no ranker, and then no links to tell apart.
        parts = {"Which link lost most": attribute_workspace(chain.components)} if chain.has_ranker else {}
        pages = [(title, part.to_markdown(), part.to_json()) for title, part in parts.items()]
        if "agreement" in chain.steps:
            agreement = read_agreement(opened.folder)
            pages.append((agreement.heading, agreement.to_markdown(), agreement.to_json()))
        if dataset.test:
            before, after = (read_run(opened.path(f"runs/{run_name(each)}.trec")) for each in (BEFORE, DISTILLED))
            labels = read_labels(opened.path("labels.parquet"))
            slices = slice_runs(
                before,
                after,
                dataset,
                {query.id for query in labels if query.source == "teacher"},
                language=config.candidates.language,
                measure=config.evaluation.measures[0],
                seed=config.seed,
                resamples=config.evaluation.resamples,
            )
            pages.append(("For which queries", slices.to_markdown(), slices.to_json()))
        if config.dataset.source != SECOND:
            forgotten = forgetting_of_workspace(chain.components, load_dataset(DatasetConfig(source=SECOND)))
            pages.append((f"What was forgotten, on {SECOND}", forgotten.to_markdown(), forgotten.to_json()))
        text = "\n".join(f"## {title}\n\n{page.rstrip()}\n" for title, page, _ in pages)
        opened.write("proof.md", text)
        opened.write("proof.json", json.dumps({title: found for title, _, found in pages}, ensure_ascii=False) + "\n")
    return text


def answer_questions(config: Config, workspace: str | Path) -> RagTable:
    """Have a reader LLM answer the test questions from what each system found; the table lies in `rag/` as well.

    The chain runs to its end first, where it has not.
    """
    from rankstill.extras.rag import answered_queries, rag_table  # loads openai

    dataset = load_dataset(config.dataset)
    answered_queries(dataset)  # or the chain would run for nothing
    with _reading(config, workspace, dataset) as (chain, reader):
        paths = {name: chain.workspace.path(f"runs/{run_name(name)}.trec") for name in get_args(System)}
        measured = [name for name, path in paths.items() if path.exists()]
        runs = {name: read_run(paths[name]) for name in _read_from(config, measured)}
        table = rag_table(reader, chain.dataset, runs, _settings(config))
        table.write(chain.workspace.path("rag"))
    return table


def answer_choices(config: Config, workspace: str | Path, questions: Path) -> RagTable:
    """Have a reader LLM answer multiple-choice questions from what each system finds; accuracy by subject.

    The chain runs to its end first, where it has not. The table lies in `choices/` as well.
    """
    from rankstill.extras.rag import choice_table, read_choice_questions  # loads openai

    asked = read_choice_questions(questions)
    with _reading(config, workspace) as (chain, reader):
        queries = {each.id: each.text for each in asked}
        systems = chain_systems(chain.components, queries, with_ranker=chain.has_ranker)
        runs = {name: systems[name]() for name in _read_from(config, systems)}
        table = choice_table(reader, asked, chain.dataset.corpus, runs, _settings(config))
        table.write(chain.workspace.path("choices"))
    return table


@contextmanager
def _reading(config: Config, workspace: str | Path, dataset: Dataset | None = None) -> Iterator[tuple[Chain, Teacher]]:
    """A chain that has run to its end, and the LLM that reads what it finds; a mistake in the latter shows first."""
    from rankstill.teacher import Teacher  # loads openai

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


def _settings(config: Config) -> RagSettings:
    from rankstill.extras.rag import RagSettings  # loads openai

    return RagSettings(
        k=config.rag.k,
        baseline=BEFORE,
        count=config.rag.questions,
        seed=config.seed,
        resamples=config.evaluation.resamples,
    )
