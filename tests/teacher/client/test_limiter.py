import asyncio
import random
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankstill.teacher.client import limiter as limiter_module
from rankstill.teacher.client.limiter import Limiter


@pytest.fixture(autouse=True, scope="module")
def _no_gap() -> Iterator[None]:
    """Lets calls in as fast as the limit allows, so that the tests are fast too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limiter_module, "_GAP", 0.0)
        yield


async def crowd(limiter: Limiter, calls: int, capacity: int, seconds: float = 0.002) -> tuple[int, int]:
    """Calls to an endpoint that takes so many at once, each repeated until taken: refusals, and most at once."""
    under_way = most = refusals = 0

    async def call() -> None:
        nonlocal under_way, most, refusals
        while True:
            async with limiter:
                under_way += 1
                most = max(most, under_way)
                try:
                    if under_way <= capacity:
                        await asyncio.sleep(seconds)
                        limiter.accepted()
                        return
                    refusals += 1
                    await asyncio.sleep(0)
                    limiter.refused()
                finally:
                    under_way -= 1
            await asyncio.sleep(seconds)

    await asyncio.gather(*(call() for _ in range(calls)))
    return refusals, most


def test_an_endpoint_that_takes_the_maximum_gets_it_at_once() -> None:
    refusals, most = asyncio.run(crowd(Limiter(64), calls=200, capacity=64))
    assert (refusals, most) == (0, 64)


def test_no_more_calls_are_under_way_than_the_maximum() -> None:
    _, most = asyncio.run(crowd(Limiter(5), calls=100, capacity=1000))
    assert most == 5


def test_the_first_burst_finds_what_the_endpoint_takes() -> None:
    async def burst() -> int:
        limiter = Limiter(64)

        async def call(number: int) -> None:
            async with limiter:
                await asyncio.sleep(0.001 if number < 60 else 0.01)
                if number < 60:
                    limiter.refused()

        await asyncio.gather(*(call(number) for number in range(64)))
        return limiter.limit

    assert asyncio.run(burst()) == 4


def test_the_limit_found_is_kept_with_few_refusals() -> None:
    async def both() -> tuple[int, int]:
        limiter = Limiter(64)
        finding, _ = await crowd(limiter, calls=64, capacity=8)
        keeping, _ = await crowd(limiter, calls=800, capacity=8)
        assert 6 <= limiter.limit <= 10
        return finding, keeping

    finding, keeping = asyncio.run(both())
    assert finding >= 56  # the burst that found it
    assert keeping < 80  # a tenth of the calls, each refused once and unpaid


def test_a_lower_limit_grows_back_when_the_endpoint_recovers() -> None:
    async def outage() -> tuple[int, int]:
        limiter = Limiter(16)
        for _ in range(40):
            async with limiter:
                limiter.refused()
        low = limiter.limit
        await crowd(limiter, calls=400, capacity=1000, seconds=0.0005)
        return low, limiter.limit

    assert asyncio.run(outage()) == (1, 16)


def test_stray_refusals_that_do_not_depend_on_the_load_do_not_throttle_to_one() -> None:
    async def stray() -> list[int]:
        limiter, draw, limits = Limiter(64), random.Random(3), []

        async def call() -> None:
            async with limiter:
                await asyncio.sleep(0.001)
                limiter.refused() if draw.random() < 0.04 else limiter.accepted()
                limits.append(limiter.limit)

        await asyncio.gather(*(call() for _ in range(3000)))
        return limits[1000:]

    limits = asyncio.run(stray())
    assert sum(limits) / len(limits) > 6


def test_nothing_is_let_in_while_the_endpoint_wants_none() -> None:
    async def pause() -> float:
        limiter = Limiter(4)
        async with limiter:
            limiter.refused(0.1)
        before = asyncio.get_running_loop().time()
        await asyncio.gather(*(crowd(limiter, calls=2, capacity=4), crowd(limiter, calls=2, capacity=4)))
        return asyncio.get_running_loop().time() - before

    assert 0.09 < asyncio.run(pause()) < 1


def test_calls_set_out_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limiter_module, "_GAP", 0.01)

    async def starts() -> list[float]:
        limiter, times = Limiter(10), []

        async def call() -> None:
            async with limiter:
                times.append(asyncio.get_running_loop().time())
                await asyncio.sleep(0.2)

        await asyncio.gather(*(call() for _ in range(10)))
        return times

    times = asyncio.run(starts())
    assert min(later - sooner for sooner, later in pairwise(times)) > 0.005
    assert times[-1] - times[0] < 0.2  # and yet at the same time


def test_calls_are_let_in_in_the_order_in_which_they_came() -> None:
    async def queue() -> list[int]:
        limiter, order = Limiter(2), []

        async def call(number: int) -> None:
            async with limiter:
                order.append(number)
                await asyncio.sleep(0)

        await asyncio.gather(*(call(number) for number in range(20)))
        return order

    assert asyncio.run(queue()) == list(range(20))


@pytest.mark.parametrize("seed", range(20))
def test_cancelled_calls_give_their_places_back(seed: int) -> None:
    async def cancelling() -> int:
        limiter, draw, most = Limiter(3), random.Random(seed), 0
        under_way = 0

        async def call() -> None:
            nonlocal under_way, most
            async with limiter:
                under_way += 1
                most = max(most, under_way)
                try:
                    await asyncio.sleep(0)
                finally:
                    under_way -= 1

        tasks = [asyncio.create_task(call()) for _ in range(60)]
        while not all(task.done() for task in tasks):
            draw.choice(tasks).cancel()
            if draw.random() < 0.7:
                await asyncio.sleep(0)
        assert under_way == 0
        most = 0
        await asyncio.wait_for(asyncio.gather(*(call() for _ in range(9))), 1)
        return most

    assert asyncio.run(cancelling()) == 3


@given(maximum=st.integers(1, 100), outcomes=st.lists(st.sampled_from(["accepted", "refused", "broken"]), max_size=300))
def test_whatever_happens_at_least_one_and_at_most_the_maximum_is_let_in(maximum: int, outcomes: list[str]) -> None:
    async def live() -> list[int]:
        limiter = Limiter(maximum)
        let_in = []
        for outcome in outcomes:
            async with limiter:
                if outcome != "broken":
                    getattr(limiter, outcome)()
            let_in.append(await most_at_once(limiter))
        return let_in

    async def most_at_once(limiter: Limiter) -> int:
        """How many of more calls than the maximum are inside together."""
        under_way = most = 0

        async def call() -> None:
            nonlocal under_way, most
            async with limiter:
                under_way += 1
                most = max(most, under_way)
                await asyncio.sleep(0)
                under_way -= 1

        await asyncio.gather(*(call() for _ in range(maximum + 2)))
        return most

    let_in = asyncio.run(live())
    assert len(let_in) == len(outcomes)
    assert all(1 <= most <= maximum for most in let_in)
    if outcomes and set(outcomes) <= {"accepted", "broken"}:
        assert set(let_in) == {maximum}
