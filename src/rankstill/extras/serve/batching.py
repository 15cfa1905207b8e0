"""Requests that arrive together become one batch; what is too much is turned away at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Generic, TypeVar

from rankstill.errors import RankstillError

Item = TypeVar("Item")
Result = TypeVar("Result")


class BusyError(RankstillError):
    """More is waiting than the server takes on: come back in a moment."""


@dataclass(frozen=True)
class Limits:
    """How a batcher works.

    Args:
        window: seconds that the first item of an idle batcher waits for company.
        at_most: items in a batch.
        waiting: items that may wait; a request that would make it more is turned away.
    """

    window: float = 0.003
    at_most: int = 64
    waiting: int = 1024


class Batcher(Generic[Item, Result]):
    """Collects items of concurrent requests while earlier ones are worked on, and hands them over as one list.

    Args:
        work: results of items, in their order. It runs in the executor.
        executor: of one thread, so that models are used by one batch at a time.
    """

    def __init__(
        self, work: Callable[[Sequence[Item]], Sequence[Result]], executor: Executor, limits: Limits | None = None
    ) -> None:
        self._work = work
        self._executor = executor
        self._limits = limits or Limits()
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._draining: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Items that are not worked on yet."""
        return len(self._waiting)

    async def submit(self, items: Sequence[Item]) -> list[Result]:
        """Results of these items, in their order; BusyError if too much is waiting already."""
        if len(self._waiting) + len(items) > self._limits.waiting:
            raise BusyError("The server has all the work that it can take on. Try again in a second.")
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[Result]] = [loop.create_future() for _ in items]
        self._waiting.extend(zip(items, futures, strict=True))
        if self._draining is None:
            self._draining = loop.create_task(self._drain())
        return await asyncio.gather(*futures)

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await asyncio.sleep(self._limits.window)
            while batch := self._next():
                items, futures = zip(*batch, strict=True)
                try:
                    results = await loop.run_in_executor(self._executor, self._work, items)
                except Exception as error:  # belongs to those who wait for it
                    for future in futures:
                        if not future.done():
                            future.set_exception(error)
                    continue
                for future, result in zip(futures, results, strict=True):
                    if not future.done():
                        future.set_result(result)
        finally:
            self._draining = None

    def _next(self) -> list[tuple[Item, asyncio.Future[Result]]]:
        """The next batch, without those whose client has gone."""
        batch: list[tuple[Item, asyncio.Future[Result]]] = []
        while self._waiting and len(batch) < self._limits.at_most:
            item, future = self._waiting.popleft()
            if not future.done():
                batch.append((item, future))
        return batch
