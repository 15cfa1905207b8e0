"""What the server does for a request: search, rerank, embed, vote. Models are used by one thread, batch by batch.

Test queries show what the run itself found for them.
"""

from __future__ import annotations

import asyncio
import csv
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankstill.errors import DataError, RankstillError
from rankstill.evaluation.runs import Run, rank_order, read_run
from rankstill.evaluation.systems import BEFORE, DISTILLED, run_name
from rankstill.extras.serve.batching import Batcher, Limits
from rankstill.extras.serve.reading import Kind, ServedWorkspace
from rankstill.extras.serve.systems import LOADED, SYSTEMS, Search, SystemName

if TYPE_CHECKING:
    from rankstill.ranker import ScoredPassage
    from rankstill.retrieval.dense import Embeddings


EmbeddedText = tuple["Embeddings", int]
"""A text's vector [dimensions], and how many tokens were read."""
_AT_LEAST_SHARED = 0.9
_TOLERANCE = 0.05
_SHOWN = 10
_FEW = 8
"""Queries in a batch: whoever scores the whole corpus holds a number a passage for each query, and the ranker reads
some dozen passages. The two bi-encoders take as many as the server does."""


class MeasuredRuns:
    """The runs and figures that lie in a workspace, read when they are first asked for."""

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace
        self._runs: dict[str, Run] = {}

    def settle(self, system: str, query_id: str, found: Mapping[str, float]) -> Mapping[str, float]:
        """A list in the report's order: a batch of other queries moves scores a little, and near ties change places.

        Args:
            found: passage id -> score, best first, as a search has just found them.

        Returns:
            The measured list, best first, if it is the one found but for such differences; else `found`.
        """
        measured = self._run(system).get(query_id, {})
        shared = measured.keys() & found.keys()
        if not shared or len(shared) < _AT_LEAST_SHARED * max(len(measured), len(found)):
            return found
        scores = [measured[passage] for passage in shared]
        most = _TOLERANCE * (max(scores) - min(scores)) + 1e-6
        if any(abs(measured[passage] - found[passage]) > most for passage in shared):
            return found  # of another model: a run was stopped before it searched anew
        return {passage: measured[passage] for passage in rank_order(measured)}

    def most_changed(self) -> Sequence[str]:
        """Test queries, those first that changed most from before to after; none where nothing was searched.

        By the main measure where it was measured; else by how many of the first passages are new.
        """
        changes = self._changes_in_measure()
        if not any(changes.values()):
            before, after = self._run(BEFORE), self._run(DISTILLED)
            changes = {
                query_id: float(len(_first(after[query_id]) - _first(found)))
                for query_id, found in before.items()
                if query_id in after
            }
        return sorted(changes, key=lambda query_id: -abs(changes[query_id]))

    def _changes_in_measure(self) -> dict[str, float]:
        values: dict[str, dict[str, float]] = {BEFORE: {}, DISTILLED: {}}
        try:
            with (self._workspace / "per-query.csv").open(encoding="utf-8", newline="") as file:
                for query_id, system, *measured in list(csv.reader(file))[1:]:
                    if system in values:
                        values[system][query_id] = float(measured[0])
        except (OSError, ValueError, IndexError):  # not measured yet, or written by another version
            return {}
        before, after = values[BEFORE], values[DISTILLED]
        return {query_id: after[query_id] - value for query_id, value in before.items() if query_id in after}

    def _run(self, system: str) -> Run:
        if system not in self._runs:
            try:
                self._runs[system] = read_run(self._workspace / "runs" / f"{run_name(system)}.trec")
            except DataError:  # not searched yet
                self._runs[system] = {}
        return self._runs[system]


def _first(found: Mapping[str, float]) -> set[str]:
    return set(rank_order(found)[:_SHOWN])


@dataclass(frozen=True)
class SystemHits:
    """What one system found for a query.

    Args:
        positions: the positions of passages in the corpus, best first; at most 100.
        milliseconds: of the batch that the query was in.
    """

    positions: tuple[int, ...]
    scores: tuple[float, ...]
    milliseconds: float


class NoSystemError(RankstillError):
    """A system was asked for that this workspace does not have."""


class Service:
    """The opened workspace behind batchers.

    Attributes:
        offered: the systems that the workspace has.
        measured: what the run found for its test queries.
    """

    def __init__(self, opened: ServedWorkspace, limits: Limits) -> None:
        self.opened = opened
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="models")
        self._embedding: dict[Kind, Batcher[str, EmbeddedText]] = {
            kind: Batcher(partial(self._embed_all, kind), self._executor, limits) for kind in ("query", "document")
        }
        few = replace(limits, at_most=min(limits.at_most, _FEW))
        self.offered = {name: system for name, system in SYSTEMS.items() if system.row in opened.made_systems}
        # Those that were asked for, and the two that are loaded in any case.
        self._searches: dict[SystemName, Search] = {name: SYSTEMS[name].open(opened) for name in LOADED}
        self._searching: dict[SystemName, Batcher[str, SystemHits]] = {
            name: Batcher(partial(self._search_all, name), self._executor, limits if name in LOADED else few)
            for name, system in self.offered.items()
        }
        self._reranking = Batcher(self._rerank_all, self._executor, few)
        self._loading = asyncio.Lock()
        self.measured = MeasuredRuns(opened.workspace.folder)
        dataset = opened.dataset
        self._asked_in_test = {dataset.queries[each].text: each for each in (*dataset.test, *dataset.unjudged)}

    def close(self) -> None:
        """End the thread of the models, after what it is doing."""
        self._executor.shutdown()

    @property
    def waiting(self) -> int:
        """Texts that wait to be worked on."""
        batchers: list[Batcher[Any, Any]] = [*self._embedding.values(), *self._searching.values(), self._reranking]
        return sum(batcher.waiting for batcher in batchers)

    async def embed(self, texts: Sequence[str], kind: Kind) -> list[EmbeddedText]:
        """Vectors by the new retriever; BusyError if too much is waiting already."""
        return await self._embedding[kind].submit(texts)

    async def search(self, query: str, systems: Sequence[SystemName]) -> dict[SystemName, SystemHits]:
        """Each system's list.

        Raises:
            BusyError: too much is waiting already.
            NoSystemError: the workspace does not have one of them.
        """
        for system in systems:
            await self._open(system)
        found = await asyncio.gather(*(self._searching[system].submit([query]) for system in systems))
        return {system: each[0] for system, each in zip(systems, found, strict=True)}

    async def rerank(self, query: str, documents: Sequence[str]) -> list[ScoredPassage]:
        """The documents in the ranker's order.

        Raises:
            BusyError: too much is waiting already.
            NoSystemError: there is none.
        """
        await self._open("ranker")
        return (await self._reranking.submit([(query, tuple(documents))]))[0]

    async def _open(self, name: SystemName) -> None:
        """On first use, and not in the models' thread: searches go on meanwhile."""
        if name in self._searches:
            return
        if name not in self.offered:
            has = ", ".join(self.offered)
            raise NoSystemError(f"This workspace has no {name}, for its run made none. It has {has}.")
        async with self._loading:
            if name not in self._searches:
                self._searches[name] = await asyncio.to_thread(SYSTEMS[name].open, self.opened)

    def _embed_all(self, kind: Kind, texts: Sequence[str]) -> list[EmbeddedText]:
        retriever = self.opened.after
        return list(zip(retriever.encode(texts, kind), retriever.count_tokens(texts), strict=True))

    def _search_all(self, name: SystemName, queries: Sequence[str]) -> list[SystemHits]:
        started = time.perf_counter()
        named = {str(row): query for row, query in enumerate(queries)}
        run = self._searches[name](named)
        milliseconds = (time.perf_counter() - started) * 1000
        position = self.opened.dataset.corpus.position
        lists = [self._as_measured(name, query, run[row]) for row, query in named.items()]
        return [SystemHits(tuple(map(position, each)), tuple(each.values()), milliseconds) for each in lists]

    def _as_measured(self, name: SystemName, query: str, found: Mapping[str, float]) -> Mapping[str, float]:
        """A test query's list in the report's order."""
        query_id = self._asked_in_test.get(query)
        if query_id is None:
            return found
        settled = self.measured.settle(SYSTEMS[name].row, query_id, found)
        return settled if all(passage in self.opened.dataset.corpus for passage in settled) else found

    def _rerank_all(self, items: Sequence[tuple[str, tuple[str, ...]]]) -> list[list[ScoredPassage]]:
        _, ranker = self.opened.reranking
        return [ranker.rank(query, documents) for query, documents in items]
