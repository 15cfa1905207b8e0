"""What is judged: for each query the best passages of every system, as one set, in an order that means nothing."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rankstill.data.dataset import Dataset, Qrels
from rankstill.errors import DataError, WorkspaceError
from rankstill.evaluation.runs import Run, rank_order
from rankstill.evaluation.systems import read_runs
from rankstill.teacher.asking import CandidateList

if TYPE_CHECKING:
    from rankstill.data import Query


def draw_queries(queries: Sequence[Query], count: int, seed: int) -> list[Query]:
    """As many queries, drawn by the seed alone: a larger draw begins with the smaller one, which is judged."""
    drawn = list(queries)
    random.Random(seed).shuffle(drawn)
    return drawn[:count]


def pool(
    queries: Sequence[Query], systems: Sequence[Run], dataset: Dataset, k: int, seed: int, judged: Qrels
) -> list[CandidateList]:
    """The passages to be judged for each query, shuffled: depth-k pooling, as TREC has done it since 1992.

    A passage stands where the seed, its query and its id say, whatever else is in the pool: so a set that several
    workspaces make is shown, and paid, once.

    Returns:
        The queries with something to judge.

    Raises:
        DataError: a run names a passage that the corpus lacks.
    """
    corpus = dataset.corpus
    lists = []
    for query in queries:
        found = {each for run in systems for each in rank_order(run.get(query.id, {}))[:k]}
        for passage_id in found:
            if passage_id not in corpus:
                raise DataError(
                    f'passage "{passage_id}", found for query "{query.id}", is not in the corpus of {dataset.name}. '
                    "Pool systems that search the same corpus."
                )
        places = {_place(seed, query.id, each): each for each in found - judged.get(query.id, {}).keys()}
        ids = [places[place] for place in sorted(places)]
        if ids:
            lists.append(CandidateList.at(map(corpus.position, ids), corpus, query.id, query.text))
    return lists


def runs_of(workspaces: Sequence[Path], queries: Sequence[Query]) -> dict[str, Run]:
    """The runs of other workspaces, by workspace and system.

    Raises:
        WorkspaceError: one has no runs, or searched for none of these queries.
    """
    found: dict[str, Run] = {}
    for folder in workspaces:
        runs = read_runs(folder / "runs")
        if not any(query.id in run for run in runs.values() for query in queries):
            raise WorkspaceError(
                f"{folder}: it has not searched for the queries that are to be judged. Run `rankstill run` on it, with "
                "the same dataset section, or leave it out."
            )
        found |= {f"{folder}: {system}": run for system, run in runs.items()}
    return found


def _place(seed: int, query_id: str, passage_id: str) -> bytes:
    return hashlib.sha256(f"{seed}\n{query_id}\n{passage_id}".encode("utf-8", "surrogatepass")).digest()
