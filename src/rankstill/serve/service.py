"""What the server does for a request: search, rerank, embed, vote. Models are used by one thread, batch by batch."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rankstill.errors import RankstillError
from rankstill.serve.batching import Batcher, Limits
from rankstill.serve.reading import Kind, Opened, System
from rankstill.serve.schemas import MOST_PASSAGES, SystemName

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rankstill.candidates.dense import Embeddings
    from rankstill.ranker import Ranked

_LISTS_AT_ONCE = 8
"""Of the ranker, which reads some dozen passages for each."""


@dataclass(frozen=True)
class Embedded:
    """A text's vector. [dimensions]"""

    vector: Embeddings
    tokens: int


@dataclass(frozen=True)
class Found:
    """What one system found for a query.

    Args:
        positions: of passages in the corpus, best first; at most 100.
        scores: theirs.
        milliseconds: of the batch that the query was in.
    """

    positions: tuple[int, ...]
    scores: tuple[float, ...]
    milliseconds: float


class NoRankerError(RankstillError):
    """The ranker was asked for where there is none."""


class Service:
    """The opened workspace behind batchers.

    Args:
        opened: what is served.
        limits: of each batcher.
    """

    def __init__(self, opened: Opened, limits: Limits) -> None:
        self.opened = opened
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="models")
        self._embedding = Batcher(self._embed_all, self._executor, limits)
        self._searching: dict[SystemName, Batcher[str, Found]] = {
            system.name: Batcher(_Search(system, opened.dataset.corpus.repeats), self._executor, limits)
            for system in (opened.before, opened.after)
        }
        few = Limits(limits.window, _LISTS_AT_ONCE, limits.waiting)
        self._searching["ranker"] = Batcher(self._rank_all, self._executor, few)
        self._reranking = Batcher(self._rerank_all, self._executor, few)
        self._loading = asyncio.Lock()

    def close(self) -> None:
        """End the thread of the models, after what it is doing."""
        self._executor.shutdown()

    @property
    def waiting(self) -> int:
        """Texts that wait to be worked on."""
        searching = sum(batcher.waiting for batcher in self._searching.values())
        return self._embedding.waiting + self._reranking.waiting + searching

    async def embed(self, texts: Sequence[str], kind: Kind) -> list[Embedded]:
        """Vectors by the new retriever.

        Raises:
            BusyError: too much is waiting already.
        """
        return await self._embedding.submit([(kind, text) for text in texts])

    async def search(self, query: str, systems: Sequence[SystemName]) -> dict[SystemName, Found]:
        """Each system's list.

        Raises:
            BusyError: too much is waiting already.
            NoRankerError: the ranker is asked for, and there is none.
        """
        if "ranker" in systems:
            await self._load_ranker()
        found = await asyncio.gather(*(self._searching[system].submit([query]) for system in systems))
        return {system: each[0] for system, each in zip(systems, found, strict=True)}

    async def rerank(self, query: str, documents: Sequence[str]) -> list[Ranked]:
        """The documents in the ranker's order.

        Raises:
            BusyError: too much is waiting already.
            NoRankerError: there is none.
        """
        await self._load_ranker()
        return (await self._reranking.submit([(query, tuple(documents))]))[0]

    async def _load_ranker(self) -> None:
        """Not in the models' thread: searches go on meanwhile."""
        if not self.opened.has_ranker:
            raise NoRankerError("This workspace has no ranker: its labels come from a baseline that does without.")
        async with self._loading:
            await asyncio.to_thread(lambda: self.opened.reranking)

    def _embed_all(self, items: Sequence[tuple[Kind, str]]) -> list[Embedded]:
        system = self.opened.after
        made: list[Embedded | None] = [None] * len(items)
        for kind in ("query", "document"):
            rows = [row for row, item in enumerate(items) if item[0] == kind]
            if rows:
                texts = [items[row][1] for row in rows]
                vectors, tokens = system.encode(texts, kind), system.count_tokens(texts)
                for row, vector, count in zip(rows, vectors, tokens, strict=True):
                    made[row] = Embedded(vector, count)
        return [each for each in made if each is not None]

    def _rank_all(self, queries: Sequence[str]) -> list[Found]:
        """The evaluation's "ranker on AFTER", so that the page shows what the table measured."""
        from rankstill.evaluation.systems import reranked_run

        started = time.perf_counter()
        first_stage, ranker = self.opened.reranking
        corpus, depth = self.opened.dataset.corpus, self.opened.config.evaluation.rerank_depth
        named = {str(row): query for row, query in enumerate(queries)}
        run = reranked_run(first_stage, ranker, named, depth)
        milliseconds = (time.perf_counter() - started) * 1000
        return [_found_of(run[name], corpus.position, milliseconds) for name in named]

    def _rerank_all(self, items: Sequence[tuple[str, tuple[str, ...]]]) -> list[list[Ranked]]:
        _, ranker = self.opened.reranking
        return [ranker.rank(query, documents) for query, documents in items]


class _Search:
    """Exact search by cosine with one system, for a batch of queries.

    Args:
        system: whose vectors.
        left_out: which passages say what an earlier one says, as `Corpus.repeats`. [passages]
    """

    def __init__(self, system: System, left_out: NDArray[np.bool_] | None) -> None:
        self._system = system
        self._left_out = left_out

    def __call__(self, queries: Sequence[str]) -> list[Found]:
        from rankstill.candidates import nearest_passages

        started = time.perf_counter()
        system = self._system
        encoded = system.encode(queries, "query")
        device = str(system.model.device)
        nearest = nearest_passages(encoded, system.passages, MOST_PASSAGES, device, self._left_out)
        milliseconds = (time.perf_counter() - started) * 1000
        return [
            Found(tuple(positions.tolist()), tuple(scores.tolist()), milliseconds)
            for positions, scores in zip(*nearest, strict=True)
        ]


def _found_of(scores: Mapping[str, float], position: Callable[[str], int], milliseconds: float) -> Found:
    best = sorted(scores, key=lambda passage: -scores[passage])[:MOST_PASSAGES]
    return Found(tuple(map(position, best)), tuple(scores[passage] for passage in best), milliseconds)
