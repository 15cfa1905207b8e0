"""A black-box LLM that is asked about lists, within the budget, every answer kept."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Generic

from rankstill.progress import Advance, progress
from rankstill.teacher.asking import CandidateList, Inquiry, S
from rankstill.teacher.batch import ask_in_batches
from rankstill.teacher.budget import Budget
from rankstill.teacher.calls import Answer, Call
from rankstill.teacher.client.chat import ChatClient, T, run
from rankstill.teacher.client.endpoint import Endpoint, reach
from rankstill.teacher.client.failures import CallFailed, TeacherError
from rankstill.teacher.ledger import Ledger, default_ledger_path
from rankstill.teacher.live import BudgetedCaller, ask_calls, ask_live
from rankstill.teacher.prices import Price, Quote, price_of, quote
from rankstill.teacher.prompts import count_tokens

if TYPE_CHECKING:
    from typing_extensions import Self

    from rankstill.config import TeacherConfig
    from rankstill.teacher.client.endpoint import Reach

_LISTS_A_CALL = 2
"""Lists under way for each call that may be: while one list waits for its ledger row, another one asks."""


class BlackBox(Generic[S]):
    """A black-box LLM with its ledger and its budget. A context manager, which closes the ledger.

    Args:
        paid_by: on whose account new calls are noted, such as a workspace; its budget counts what is noted there.
        by_workers: reaches the LLM through the workers of a cluster; None: this process sends the calls.

    Raises:
        RankstillError: the ledger or a local model cannot be used, or a limit cannot be kept.
    """

    def __init__(self, config: TeacherConfig, asker: Inquiry[S], paid_by: str, by_workers: Reach | None = None) -> None:
        self.config = config
        self.asker = asker
        self._reach = by_workers or reach
        self._keys_elsewhere = by_workers is not None and not config.batch
        self.price = price_in(config, asker.model)
        path = Path(config.ledger).expanduser() if config.ledger else default_ledger_path()
        self.ledger = Ledger(path, paid_by, self.price)
        self.budget = Budget(config.max_cost, config.max_tokens, config.max_calls, self.price, self.ledger.own())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.ledger.close()

    def pending(self, lists: Iterable[CandidateList]) -> Iterator[tuple[CandidateList, tuple[Call, ...]]]:
        """The lists that are not settled yet, and for each the calls to make next."""
        for listed in lists:
            state = self.asker.advance(listed, self.ledger.get)
            if isinstance(state, tuple):
                yield listed, state

    def quote(self, lists: Iterable[CandidateList]) -> Quote:
        """The expected cost of finishing the lists, beyond what the ledger holds."""
        mean = self.ledger.mean_answer(self.asker.model)

        def expected() -> Iterator[tuple[int, int]]:
            for listed in lists:
                for call, answer in self.asker.expected(listed, self.ledger.get, mean):
                    yield sum(count_tokens(text) for message in call.messages for text in message.values()), answer

        return quote(expected(), self.price)

    def quoted(self, lists: Iterable[CandidateList]) -> list[str]:
        """The quote for people, with the price that it is made with, and whether the limit allows it."""
        expected, price, budget = self.quote(lists), self.price, self.budget
        lines = [f"expected: {expected}"]
        if price is not None and price.source:
            lines.append(
                f"price: {price.input:g} USD in and {price.output:g} out per million tokens, "
                f"{price.source}, {price.as_of}"
            )
        if budget.max_cost is not None and (budget.cost or 0.0) + (expected.cost or 0.0) > budget.max_cost:
            lines.append("that is more than teacher.max_cost leaves: asking would stop on the way")
        return lines

    def ask(self, lists: Sequence[CandidateList]) -> dict[str, str]:
        """Ask the LLM whatever the lists still need.

        Returns:
            Of the lists that will get no answer, because their prompts are refused, or because their calls failed and
            the config accepts that: query id and why.

        Raises:
            RankstillError: the budget is reached, the endpoint cannot be asked, or calls failed. What is done is kept.
        """
        if not any(True for _ in self.pending(lists)):  # no key and no server is needed
            return {}
        left_out = ask_in_batches(self, lists) if self.config.batch else self._ask_live(lists)
        refused = {query_id: str(why) for query_id, why in left_out.items() if why.refused}
        given_up = {query_id: str(why) for query_id, why in left_out.items() if not why.refused}
        if given_up and not self.config.accept_missing:
            raise TeacherError(
                f"{_without_an_answer(given_up)} Or set teacher.accept_missing: true to go on without them."
            )
        return {**refused, **given_up}

    def settled(self, lists: Iterable[CandidateList], missing: Mapping[str, str]) -> list[S]:
        """The results of the lists whose answers are all in the ledger; nothing is asked.

        Args:
            missing: lists that will get no answer: query id and why.

        Raises:
            TeacherError: there are such lists, and no other.
        """
        found = []
        for listed in lists:
            state = () if listed.query_id in missing else self.asker.advance(listed, self.ledger.get)
            if not isinstance(state, tuple):
                found.append(state)
        if missing and not found:
            raise TeacherError(f"no list can be used: {_without_an_answer(missing)}")
        return found

    def answers(self, calls: Sequence[Call], what: str) -> list[Answer | None]:
        """The answer to each call, paid within the budget; None for one that was given up."""

        async def ask_all(payer: BudgetedCaller, at_once: int, advance: Advance) -> None:
            await ask_calls(calls, payer, at_once, advance)

        if not all(self.ledger.answered(call.key) for call in calls):
            self._live(ask_all, what, len(calls))
        return [self.ledger.get(call) for call in calls]

    def check_key(self) -> None:
        """Whether the endpoint could be asked from here, unless workers ask it, whose keys are theirs.

        Raises:
            TeacherError: its address is none, or its key is missing.
        """
        if self.config.kind != "local" and not self._keys_elsewhere:
            ChatClient(self.config, Endpoint(self.config.base_url() or "", 1), self.ledger.fail)

    def _ask_live(self, lists: Sequence[CandidateList]) -> dict[str, CallFailed]:
        # A list may take hundreds of calls: what is counted is calls, of which some more may be needed.
        calls = sum(1 for listed in lists for _ in self.asker.expected(listed, self.ledger.get))

        async def ask_all(payer: BudgetedCaller, at_once: int, advance: Advance) -> dict[str, CallFailed]:
            return await ask_live(lists, self.asker, payer, self.ledger, _LISTS_A_CALL * at_once, advance)

        return self._live(ask_all, self.asker.doing, calls)

    def _live(self, ask_all: Callable[[BudgetedCaller, int, Advance], Awaitable[T]], what: str, calls: int) -> T:
        """Runs what asks live: it is given who answers and pays its calls, how many at once, and the progress."""

        async def work(place: Endpoint) -> T:
            with progress(what, calls) as advance:
                async with ChatClient(self.config, place, self.ledger.fail) as client:
                    payer = BudgetedCaller(client, self.ledger, self.budget, self.config.accept_missing)
                    return await ask_all(payer, place.concurrency, advance)

        with self._reach(self.config) as place:
            return run(work(place))


def price_in(config: TeacherConfig, model: str) -> Price | None:
    """The model's price: the config's, ours, or None; a local model costs nothing."""
    if config.kind == "local":
        return price_of("local")
    own = {name: Price(price.input, price.output) for name, price in config.prices.items()}
    return price_of(model, own)


def _without_an_answer(lists: Mapping[str, str]) -> str:
    query_id, why = next(iter(lists.items()))
    return f"{len(lists):,} {'list' if len(lists) == 1 else 'lists'} got no answer (query {query_id}: {why})"
