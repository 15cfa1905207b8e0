"""How many calls an endpoint takes at once: found by asking, kept, and found again when it changes."""

from __future__ import annotations

import asyncio
import math
from collections import deque

_PROBE = 0.25
"""How fast, of the usual growth, the limiter goes past a level that the endpoint has refused."""

_GAP = 0.002
"""Seconds between two calls that are let in. Calls that set out together come back together, and each then waits while
the client deals with the others: 1,000 calls of 500 ms, 64 at a time, took 8.5 to 8.8 s without it, 8.3 s with it."""


class Limiter:
    """Holds calls back so that no more are under way than the endpoint takes: additive increase and decrease.

    The limit starts at the maximum, since an endpoint that takes it should not be kept waiting. Each refusal shows one
    call too many and takes one from the limit, so a burst of 64 of which 60 are refused leaves 4 at once. (Halving, as
    in TCP's AIMD, would need four more rounds of refusals for that, and would throttle a good endpoint for a stray
    refusal.) Each answer adds 1/limit, so one more call a round. The level that was refused is remembered: it is
    approached at full speed, and passed at a quarter of it; once passed, it is forgotten.

    Calls are let in in the order in which they came. Use it as an async context manager around one call, and say how
    that went with `accepted` or `refused` before leaving; after any other failure say neither.

    Args:
        maximum: of calls at once, at least 1.
    """

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._limit = float(maximum)
        self._refused_at = math.inf
        self._under_way = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._opens_at = -math.inf
        self._alarm: asyncio.TimerHandle | None = None

    @property
    def limit(self) -> int:
        """Calls that may be under way at once now."""
        return int(self._limit)

    def accepted(self) -> None:
        """The endpoint took this call."""
        growth = 1.0 if self._limit < self._refused_at - 1 else _PROBE
        self._limit = min(self._maximum, self._limit + growth / self._limit)
        if self._limit >= self._refused_at + 1:
            self._refused_at = math.inf

    def refused(self, wait: float | None = None) -> None:
        """The endpoint said that this call was one too many.

        Args:
            wait: seconds for which the endpoint wants no further call, if it said so.
        """
        self._refused_at = self._under_way
        self._limit = max(1.0, min(self._limit, self._under_way) - 1)
        if wait:
            self._opens_at = max(self._opens_at, asyncio.get_running_loop().time() + wait)

    async def __aenter__(self) -> None:
        ticket = asyncio.get_running_loop().create_future()
        self._waiting.append(ticket)
        self._wake()
        try:
            await ticket
        except asyncio.CancelledError:
            if not ticket.cancelled():  # let in and cancelled in the same turn of the loop
                self._release()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._release()

    def _release(self) -> None:
        self._under_way -= 1
        self._wake()

    def _wake(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting and self._under_way < self.limit:
            now = loop.time()
            if now < self._opens_at:
                if self._alarm is not None:
                    self._alarm.cancel()
                self._alarm = loop.call_at(self._opens_at, self._wake)
                return
            ticket = self._waiting.popleft()
            if not ticket.cancelled():
                self._under_way += 1
                self._opens_at = now + _GAP
                ticket.set_result(None)
