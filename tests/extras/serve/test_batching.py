from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from rankstill.extras.serve.batching import Batcher, BusyError, Limits


def test_each_gets_its_own_result_and_batches_stay_within_their_size() -> None:
    batches: list[int] = []

    def double(items: Sequence[int]) -> list[int]:
        batches.append(len(items))
        return [2 * item for item in items]

    async def ask() -> list[list[int]]:
        with ThreadPoolExecutor(1) as executor:
            batcher = Batcher(double, executor, Limits(at_most=8))
            return await asyncio.gather(*(batcher.submit([number, -number]) for number in range(20)))

    assert asyncio.run(ask()) == [[2 * number, -2 * number] for number in range(20)]
    assert batches == [8] * 5


def test_more_than_may_wait_is_turned_away_and_the_rest_is_served() -> None:
    started, go_on = threading.Event(), threading.Event()

    def wait(items: Sequence[int]) -> list[int]:
        started.set()
        assert go_on.wait(10)
        return list(items)

    async def ask() -> None:
        with ThreadPoolExecutor(1) as executor:
            batcher = Batcher(wait, executor, Limits(window=0, waiting=3))
            worked_on = asyncio.create_task(batcher.submit([1]))
            await asyncio.to_thread(started.wait, 10)
            waiting = asyncio.create_task(batcher.submit([2, 3, 4]))
            await asyncio.sleep(0)
            with pytest.raises(BusyError):
                await batcher.submit([5])
            go_on.set()
            assert [await worked_on, await waiting] == [[1], [2, 3, 4]]
            assert await batcher.submit([5]) == [5]

    asyncio.run(ask())


def test_an_error_reaches_those_in_its_batch_and_no_later_one() -> None:
    def fail(items: Sequence[int]) -> list[int]:
        if 0 in items:
            raise ZeroDivisionError
        return list(items)

    async def ask() -> None:
        with ThreadPoolExecutor(1) as executor:
            batcher = Batcher(fail, executor)
            with pytest.raises(ZeroDivisionError):
                await batcher.submit([1, 0])
            assert await batcher.submit([1]) == [1]

    asyncio.run(ask())


def test_what_a_client_that_went_away_asked_is_not_worked_on() -> None:
    seen: list[int] = []

    async def ask() -> None:
        with ThreadPoolExecutor(1) as executor:
            batcher = Batcher(
                lambda items: [seen.append(item) or item for item in items], executor, Limits(window=0.05)
            )
            gone = asyncio.create_task(batcher.submit([1]))
            await asyncio.sleep(0.01)
            gone.cancel()
            assert await batcher.submit([2]) == [2]

    asyncio.run(ask())
    assert seen == [2]
