import asyncio
import re
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankstill.teacher.budget import Budget, BudgetError, BudgetReached, Reservation
from rankstill.teacher.calls import Answer, Call
from rankstill.teacher.ledger import Spend
from rankstill.teacher.prices import Price

PRICE = Price(0.15, 0.60)


def call(text: str = "x" * 92, **parameters: Any) -> Call:
    """By default 100 tokens in at most (92 bytes and 8 for the message), and 50 out."""
    message = {"role": "", "content": text}
    return Call("http://llm/v1", "gpt-4o-mini", (message,), {"max_tokens": 50, **parameters})


def answer(tokens_in: int, tokens_out: int) -> Answer:
    return Answer("[1] > [2]", tokens_in, tokens_out, 0.5)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(work, 5))


def taken(reservation: Reservation | None) -> Reservation:
    assert reservation is not None
    return reservation


def test_a_call_is_reserved_at_its_worst() -> None:
    reservation = taken(Budget(max_tokens=1000).reserve(call()))
    assert (reservation.tokens_in, reservation.tokens_out) == (100, 50)


def test_text_is_bounded_by_its_bytes_not_its_characters() -> None:
    assert taken(Budget().reserve(call("日本語"))).tokens_in == 9 + 8
    assert taken(Budget().reserve(call("\ud800"))).tokens_in == 3 + 8


def test_a_schema_for_the_answer_counts_as_input() -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "ranking" * 20}}
    assert taken(Budget().reserve(call(response_format=schema))).tokens_in > 100 + 140


def test_the_newer_name_of_max_tokens_counts_as_well() -> None:
    assert taken(Budget(max_tokens=1000).reserve(call(max_tokens=None, max_completion_tokens=70))).tokens_out == 70


@pytest.mark.parametrize(
    ("budget", "room"),
    [
        (Budget(max_calls=3), 3),
        (Budget(max_tokens=450), 3),
        (Budget(max_tokens=449), 2),
        # A call costs (100 * 0.15 + 50 * 0.60) / 1e6 = 0.000045 USD.
        (Budget(max_cost=0.000135, price=PRICE), 3),
        (Budget(max_cost=0.000134, price=PRICE), 2),
        (Budget(max_calls=0), 0),
    ],
)
def test_what_just_fits_is_let_through_and_what_just_does_not_is_not(budget: Budget, room: int) -> None:
    for _ in range(room):
        assert budget.reserve(call()) is not None
    assert budget.reserve(call()) is None


def test_without_limits_every_call_is_let_through() -> None:
    budget = Budget()
    assert all(budget.reserve(call(max_tokens=None)) for _ in range(1000))


def test_a_call_that_took_less_than_its_worst_makes_room() -> None:
    budget = Budget(max_tokens=200)
    first = taken(budget.reserve(call()))
    assert budget.reserve(call()) is None
    budget.settle(first, answer(30, 20))
    assert budget.spent == Spend(calls=1, tokens_in=30, tokens_out=20)
    assert budget.reserve(call()) is not None


def test_a_call_that_failed_takes_nothing() -> None:
    budget = Budget(max_calls=1, price=PRICE)
    budget.release(taken(budget.reserve(call())))
    assert budget.spent == Spend()
    assert budget.cost == 0
    assert budget.reserve(call()) is not None


def test_what_an_earlier_run_spent_counts() -> None:
    spent = Spend(calls=9, tokens_in=1000, tokens_out=500, cost=0.00045)
    assert Budget(max_calls=10, spent=spent).reserve(call()) is not None
    assert Budget(max_calls=9, spent=spent).reserve(call()) is None
    assert Budget(max_tokens=1649, spent=spent).reserve(call()) is None
    assert Budget(price=PRICE, spent=spent).cost == 0.00045


def test_room_is_given_back_once() -> None:
    budget = Budget(max_calls=2)
    first = taken(budget.reserve(call()))
    budget.settle(first, answer(1, 1))
    with pytest.raises(ValueError, match="once"):
        budget.release(first)
    assert budget.spent.calls == 1


def test_money_is_not_limited_without_a_price() -> None:
    with pytest.raises(BudgetError, match=r"teacher\.max_cost: the price of this model is not known"):
        Budget(max_cost=1.0)


def test_an_answer_of_any_length_cannot_be_limited() -> None:
    for budget in (Budget(max_tokens=10**9), Budget(max_cost=10.0, price=PRICE)):
        with pytest.raises(BudgetError, match="sets no max_tokens of its own"):
            budget.reserve(call(max_tokens=None))
    assert Budget(max_calls=1).reserve(call(max_tokens=None)) is not None


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        (
            Budget(max_cost=0.5, price=PRICE, spent=Spend(7, 0, 3_333_200, 0, PRICE.cost(3_333_200, 0))),
            "teacher.max_cost is reached: $0.50 of $0.50 spent, and the next call may cost up to $0.000045. "
            "Raise teacher.max_cost and run the same command again: what is done is kept.",
        ),
        (
            Budget(max_tokens=2000, spent=Spend(7, 0, 1900, 50)),
            "teacher.max_tokens is reached: 1,950 of 2,000 tokens spent, and the next call may take up to 150. "
            "Raise teacher.max_tokens and run the same command again: what is done is kept.",
        ),
        (
            Budget(max_calls=7, spent=Spend(7)),
            "teacher.max_calls is reached: 7 of 7 calls made. "
            "Raise teacher.max_calls and run the same command again: what is done is kept.",
        ),
    ],
)
def test_a_limit_that_is_reached_says_which_what_was_spent_and_how_to_go_on(budget: Budget, said: str) -> None:
    with pytest.raises(BudgetReached, match=f"^{re.escape(said)}$"):
        run(budget.admit(call()))


def test_a_call_waits_for_those_under_way_before_the_budget_is_called_spent() -> None:
    async def work() -> None:
        budget = Budget(max_tokens=200)
        first = await budget.admit(call())
        second = asyncio.create_task(budget.admit(call()))
        await asyncio.sleep(0.01)
        assert not second.done()
        budget.settle(first, answer(20, 10))
        assert (await second).tokens_in == 100

    run(work())


def test_a_call_that_waited_in_vain_stops_when_none_is_under_way() -> None:
    async def work() -> None:
        budget = Budget(max_tokens=200)
        first = await budget.admit(call())
        second = asyncio.create_task(budget.admit(call()))
        await asyncio.sleep(0.01)
        budget.settle(first, answer(100, 50))
        with pytest.raises(BudgetReached, match="150 of 200 tokens spent"):
            await second

    run(work())


def test_a_waiting_call_that_is_cancelled_takes_no_room() -> None:
    async def work() -> None:
        budget = Budget(max_calls=1)
        first = await budget.admit(call())
        given_up = asyncio.create_task(budget.admit(call()))
        patient = asyncio.create_task(budget.admit(call()))
        await asyncio.sleep(0.01)
        given_up.cancel()
        budget.release(first)
        assert await patient is not first

    run(work())


@given(
    calls=st.lists(
        st.tuples(st.integers(0, 300), st.integers(1, 200), st.floats(0, 1), st.integers(0, 3), st.booleans()),
        max_size=40,
    ),
    max_calls=st.none() | st.integers(0, 20),
    max_tokens=st.none() | st.integers(0, 5000),
    max_cost=st.none() | st.floats(0, 0.002),
)
def test_no_limit_is_ever_passed_whatever_the_order_of_answers(
    calls: list[tuple[int, int, float, int, bool]],
    max_calls: int | None,
    max_tokens: int | None,
    max_cost: float | None,
) -> None:
    budget = Budget(max_cost, max_tokens, max_calls, PRICE)
    answered: list[Answer] = []

    def keep_limits() -> None:
        assert max_calls is None or budget.spent.calls <= max_calls
        assert max_tokens is None or budget.spent.tokens_in + budget.spent.tokens_out <= max_tokens
        assert max_cost is None or (budget.cost or 0) <= max_cost

    async def one(size: int, longest: int, share: float, turns: int, fails: bool) -> bool:
        try:
            reservation = await budget.admit(call("x" * size, max_tokens=longest))
        except BudgetReached:
            return False
        for _ in range(turns):
            await asyncio.sleep(0)
        if fails:
            budget.release(reservation)
        else:
            reply = answer(int((size + 8) * share), int(longest * share))
            answered.append(reply)
            budget.settle(reservation, reply)
            keep_limits()
        return True

    async def work() -> list[bool]:
        return await asyncio.gather(*(one(*each) for each in calls))

    let_through = run(work())
    assert replace(budget.spent, cost=None) == Spend(
        len(answered), 0, sum(each.tokens_in for each in answered), sum(each.tokens_out for each in answered)
    )
    assert not budget._open
    if max_calls is max_tokens is max_cost is None:
        assert all(let_through)


def test_what_was_spent_at_another_price_counts_at_that_price() -> None:
    dear = Spend(calls=1, tokens_in=10, tokens_out=10, cost=5.0)  # a model that was asked before
    assert Budget(max_cost=1.0, price=PRICE, spent=dear).reserve(call()) is None
    assert Budget(max_cost=5.1, price=PRICE, spent=dear).reserve(call()) is not None


def test_a_limit_in_dollars_is_refused_where_earlier_calls_have_no_price() -> None:
    with pytest.raises(BudgetError, match="earlier"):
        Budget(max_cost=1.0, price=PRICE, spent=Spend(calls=1, tokens_in=10, tokens_out=10))
