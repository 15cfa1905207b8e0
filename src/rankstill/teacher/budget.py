"""The budget: limits that stop exactly, before the call that could pass them."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace

from rankstill.errors import RankstillError
from rankstill.teacher.calls import Answer, Call
from rankstill.teacher.ledger import Spend
from rankstill.teacher.prices import Price, dollars

_ROUNDING = 1e-9
"""USD: sums of floats are not to the last digit."""
_TOKENS_PER_MESSAGE = 8
"""What a chat format puts around a message and before the reply: role, separators, the reply's own opening."""


class BudgetError(RankstillError):
    """A limit that cannot be kept, for what a call could cost is not known."""


class BudgetReached(RankstillError):  # noqa: N818 - nothing went wrong
    """The next call could pass a limit. What is done is kept."""


@dataclass(frozen=True, eq=False)
class Reservation:
    """Room that is kept for a call under way: the most that it can take. Each is one of a kind."""

    tokens_in: int
    tokens_out: int


class Budget:
    """Limits on what new calls may cost; calls that the ledger answers cost nothing.

    A call is let through only if it would keep every limit even at its worst, on top of what is spent and of the worst
    of all calls under way. So the limits hold whatever the order in which answers come, as long as the endpoint counts
    no more than that worst case. A call that failed is taken for unpaid.

    Args:
        max_cost: USD; None for no limit, here as below.
        max_tokens: the most tokens, in and out together.
        max_calls: answered calls.
        price: the price of the model, if known.
        spent: what the same work has taken before, in an earlier run.

    Raises:
        BudgetError: there is a `max_cost`, and no price of this model or of what was spent.
    """

    def __init__(
        self,
        max_cost: float | None = None,
        max_tokens: int | None = None,
        max_calls: int | None = None,
        price: Price | None = None,
        spent: Spend | None = None,
    ) -> None:
        if max_cost is not None and price is None:
            raise BudgetError(
                "teacher.max_cost: the price of this model is not known, so the limit cannot be kept. Set its price "
                "(USD per million tokens, in and out) in teacher.prices, or set teacher.max_tokens instead; for a "
                "server of your own leave max_cost out."
            )
        if max_cost is not None and spent is not None and spent.calls and spent.cost is None:
            raise BudgetError(
                "teacher.max_cost: of some calls made here earlier the price was not known, so the limit cannot be "
                "kept. Use another workspace, whose account is empty (answers are found again), or teacher.max_tokens."
            )
        self.max_cost = max_cost
        self.max_tokens = max_tokens
        self.max_calls = max_calls
        self.price = price
        self.spent = spent or Spend()
        self._open: set[Reservation] = set()
        self._open_in = self._open_out = 0  # sums over the open ones: a batch reserves tens of thousands
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def cost(self) -> float | None:
        """USD spent; None where the price is not known."""
        if not self.spent.calls:
            return 0.0 if self.price else None
        return self.spent.cost

    def reserve(self, call: Call) -> Reservation | None:
        """Room for a call, to be given back by `settle` or `release`; None when there is none now.

        Raises:
            BudgetError: the call says no `max_tokens`, so it has no worst case, and tokens or money are limited.
        """
        worst = self._worst_case(call)
        return None if self._refusal(worst) else self._take(worst)

    async def admit(self, call: Call) -> Reservation:
        """Room for a call, after waiting for calls under way where it depends on what they will have taken.

        Raises:
            BudgetReached: no call is under way, and there is still no room.
            BudgetError: as `reserve`.
        """
        worst = self._worst_case(call)
        while refusal := self._refusal(worst):
            if not self._open:
                raise BudgetReached(refusal)
            change = asyncio.get_running_loop().create_future()
            self._waiting.append(change)
            await change
        return self._take(worst)

    def settle(self, reservation: Reservation, answer: Answer) -> None:
        """A call was answered: what it really took is spent."""
        self.release(reservation)
        cost = self.cost
        if self.price is not None and cost is not None:
            cost += self.price.cost(answer.tokens_in, answer.tokens_out)
        self.spent = replace(
            self.spent,
            cost=cost,
            calls=self.spent.calls + 1,
            tokens_in=self.spent.tokens_in + answer.tokens_in,
            tokens_out=self.spent.tokens_out + answer.tokens_out,
        )

    def release(self, reservation: Reservation) -> None:
        """Give a call's room back. A call that was not answered spends nothing."""
        if reservation not in self._open:
            raise ValueError("a reservation is settled or released once, by the budget that gave it")
        self._open.remove(reservation)
        self._open_in -= reservation.tokens_in
        self._open_out -= reservation.tokens_out
        # Those who wait look again on the loop's next turn, when the caller has also counted what was spent.
        for change in self._waiting:
            if not change.done():
                change.set_result(None)
        self._waiting.clear()

    def _take(self, worst: Reservation) -> Reservation:
        self._open.add(worst)
        self._open_in += worst.tokens_in
        self._open_out += worst.tokens_out
        return worst

    def _refusal(self, worst: Reservation) -> str | None:
        """Why one more call could pass a limit, the first such limit; None if it keeps all."""
        spent = self.spent
        tokens_in = spent.tokens_in + worst.tokens_in + self._open_in
        tokens_out = spent.tokens_out + worst.tokens_out + self._open_out
        if self.max_calls is not None and spent.calls + len(self._open) + 1 > self.max_calls:
            return _reached("max_calls", f"{spent.calls:,} of {self.max_calls:,} calls made")
        if self.max_tokens is not None and tokens_in + tokens_out > self.max_tokens:
            return _reached(
                "max_tokens",
                f"{spent.tokens_in + spent.tokens_out:,} of {self.max_tokens:,} tokens spent, and the next call may "
                f"take up to {worst.tokens_in + worst.tokens_out:,}",
            )
        if self.max_cost is not None and self.price and self.cost is not None:
            more = self.price.cost(worst.tokens_in + self._open_in, worst.tokens_out + self._open_out)
            if self.cost + more > self.max_cost + _ROUNDING:
                next_call = dollars(self.price.cost(worst.tokens_in, worst.tokens_out))
                return _reached(
                    "max_cost",
                    f"{dollars(self.cost)} of {dollars(self.max_cost)} spent, and the next call may cost up to "
                    f"{next_call}",
                )
        return None

    def _worst_case(self, call: Call) -> Reservation:
        """The most that a call can take.

        A byte-level BPE token stands for at least one byte, so a text has no more tokens than UTF-8 bytes. A schema for
        the answer is read by the model as well.
        """
        asked = [each for name in ("max_tokens", "max_completion_tokens") if (each := call.parameters.get(name))]
        if not asked and (self.max_cost is not None or self.max_tokens is not None):
            raise BudgetError(
                "teacher.max_cost and teacher.max_tokens: the request sets no max_tokens of its own, the length of one "
                "answer, so an answer could pass any limit. Set it among the request's parameters."
            )
        texts = [text for message in call.messages for text in message.values()]
        if "response_format" in call.parameters:
            texts.append(json.dumps(call.parameters["response_format"]))
        tokens_in = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
        return Reservation(tokens_in + _TOKENS_PER_MESSAGE * len(call.messages), max(asked, default=0))


def _reached(limit: str, spent: str) -> str:
    return (
        f"teacher.{limit} is reached: {spent}. "
        f"Raise teacher.{limit} and run the same command again: what is done is kept."
    )
