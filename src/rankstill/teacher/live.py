"""Asking live: many lists at once, within a budget, every answer in the ledger before anything is made of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from rankstill.progress import Advance, say
from rankstill.teacher.asking import CandidateList, Inquiry, S
from rankstill.teacher.budget import Budget, Reservation
from rankstill.teacher.calls import Answer, Call
from rankstill.teacher.client.chat import ChatClient
from rankstill.teacher.client.failures import CallFailed, TeacherError
from rankstill.teacher.ledger import Ledger
from rankstill.teacher.truncation import CUT, TruncationWatch

_ENOUGH_FAILED = 3
"""Calls that are given up, with none answered, before no more are made."""
_ENOUGH_REFUSED = 20
"""Calls that are refused, with none answered, or none since the first of them and no clear reason, likewise."""
_ENOUGH_UNDECIDED = 20
"""Lists whose answers say nothing, with none that does, before no more are asked."""


class NothingDecidedError(TeacherError):
    """An LLM that said nothing of any of the first lists, so that no more are asked."""


class _StoppedError(Exception):
    """Another call met what stops them all."""


class BudgetedCaller:
    """Answers calls: from the ledger if it holds the answer, else from the LLM, within the budget; the ledger keeps it.

    When a call meets what stops all of them, such as a limit of the budget or a refused key, no new call is let out,
    and those under way are awaited and kept: they are paid for.

    Args:
        accept_missing: go on when one call after another is refused.
    """

    def __init__(self, client: ChatClient, ledger: Ledger, budget: Budget, accept_missing: bool = False) -> None:
        self._client = client
        self._ledger = ledger
        self._budget = budget
        self._under_way: dict[str, asyncio.Task[Answer]] = {}
        self._answered = False
        self._accept_missing = accept_missing
        self._given_up = self._refused = 0
        self._watch = TruncationWatch()
        self.shortened = 0
        """Calls that were refused and answered with their passages cut shorter."""
        self.stopped_by: BaseException | None = None

    async def answer(self, call: Call, shorter: Callable[[], Call | None] = lambda: None) -> Answer:
        """The answer to a call; two that ask for the same one at the same time pay once.

        Args:
            shorter: the same with a shorter prompt, if there is one, for when it is too long.

        Raises:
            CallFailed: it was given up.
            RankstillError: nothing more can be asked.
        """
        known = self._ledger.get(call)
        if known is not None:
            return known
        task = self._under_way.get(call.key)
        if task is None:
            task = asyncio.create_task(self._pay(call, shorter))
            self._under_way[call.key] = task
            task.add_done_callback(lambda _: self._under_way.pop(call.key))
        return await task

    async def _pay(self, call: Call, shorter: Callable[[], Call | None]) -> Answer:
        try:
            reservation = await self._admit(call)
            try:
                sent, answer = await self._ask(call, shorter)
            except BaseException:
                self._budget.release(reservation)
                raise
            self._budget.settle(reservation, answer)
            # In a thread: an fsync a call must not hold up the other calls' answers.
            await asyncio.to_thread(self._ledger.put, call, answer, sent=sent)
            if cut := self._watch.saw(call.key, sent, answer):
                self._ledger.withdraw(cut, CUT)
                raise self._watch.error()
        except CallFailed as error:
            self._count(call, error)
            raise
        except BaseException as error:
            self.stop(error)
            raise
        self._answered, self._refused = True, 0
        return answer

    async def _ask(self, call: Call, shorter: Callable[[], Call | None]) -> tuple[Call, Answer]:
        """What was sent, and its answer. A request that may be too long is sent once more with a shorter prompt."""
        try:
            return call, await self._client.ask(call)
        except CallFailed as error:
            short = shorter() if error.then in ("shorten", "unclear") else None
            if short is None:
                raise
        answer = await self._client.ask(short)
        self.shortened += 1
        return short, answer

    def _count(self, call: Call, error: CallFailed) -> None:
        """Stop when nobody is there, or when it is not this prompt alone that is refused."""
        if not error.refused:
            self._given_up += 1
            if not self._answered and self._given_up >= _ENOUGH_FAILED:
                self.stop(error)
            return
        never_answered = not self._answered and not self._ledger.totals(call.model).calls
        self._refused += error.then == "unclear" or never_answered
        if self._refused >= _ENOUGH_REFUSED and not self._accept_missing:
            self.stop(
                TeacherError(
                    f"{self._refused:,} calls were refused one after another, so no more are made. The last one: "
                    f"{error} To leave such lists out and go on, set teacher.accept_missing: true."
                )
            )

    def stop(self, reason: BaseException) -> None:
        """Let out no more calls; the first reason stands."""
        self.stopped_by = self.stopped_by or reason

    async def _admit(self, call: Call) -> Reservation:
        """Room in the budget, unless another call has met what stops all while this one waited."""
        if self.stopped_by is not None:
            raise _StoppedError
        reservation = await self._budget.admit(call)
        if self.stopped_by is not None:
            self._budget.release(reservation)
            raise _StoppedError
        return reservation


async def ask_live(
    lists: Iterable[CandidateList],
    inquiry: Inquiry[S],
    payer: BudgetedCaller,
    ledger: Ledger,
    at_once: int,
    advance: Advance,
) -> dict[str, CallFailed]:
    """Make the calls that every list needs, until the ledger holds the answers.

    Args:
        at_once: lists under way; enough of them keep the client busy.

    Returns:
        Of the lists that will get no answer: query id and why.

    Raises:
        NothingDecidedError: no answer about the first lists says anything.
        RankstillError: the budget is reached or the endpoint cannot be asked. Every answer that was paid is kept.
    """
    waiting = iter(lists)
    left_out: dict[str, CallFailed] = {}
    decided = undecided = 0

    async def work() -> None:
        nonlocal decided, undecided
        for listed in waiting:
            state = await _answered(listed)
            if state is not None:
                decided += state.decided
                undecided += not state.decided
                if not decided and undecided >= _ENOUGH_UNDECIDED:
                    payer.stop(
                        NothingDecidedError(
                            f"none of the first {undecided} lists got an answer that {inquiry.wanted}, so no more are "
                            f"asked: {inquiry.explain_no_answer(state)}."
                        )
                    )
            if payer.stopped_by is not None:
                return

    async def _paid(listed: CandidateList, call: Call) -> Answer:
        answer = await payer.answer(call, lambda: inquiry.shorter(listed, call))
        advance(1)
        return answer

    async def _answered(listed: CandidateList) -> S | None:
        while isinstance(state := inquiry.advance(listed, ledger.get), tuple):
            answers = await asyncio.gather(*(_paid(listed, call) for call in state), return_exceptions=True)
            failed: list[CallFailed] = []
            for each in answers:
                if isinstance(each, CallFailed):
                    failed.append(each)
                elif isinstance(each, BaseException):
                    raise each
            if failed:
                # One that was given up last, so that it counts: the list may be answered another time.
                left_out[listed.query_id] = sorted(failed, key=lambda each: not each.refused)[-1]
                return None
        return state

    await _run_workers(work, at_once, payer)
    if payer.shortened:
        say(f"note: {payer.shortened:,} prompts were refused and asked again with their passages cut to half")
    return left_out


async def ask_calls(calls: Iterable[Call], payer: BudgetedCaller, at_once: int, advance: Advance) -> None:
    """Have each call answered, so that the ledger holds the answers; one that is given up is named and passed over."""
    waiting = iter(calls)

    async def work() -> None:
        for call in waiting:
            try:
                await payer.answer(call)
            except CallFailed as error:
                say(f"note: {error}")
            advance(1)

    await _run_workers(work, at_once, payer)


async def _run_workers(work: Callable[[], Awaitable[None]], workers: int, payer: BudgetedCaller) -> None:
    """All workers to their end, those under way too when one has met what stops all; then the error, if any."""
    ended = await asyncio.gather(*(work() for _ in range(workers)), return_exceptions=True)
    if payer.stopped_by is not None:
        raise payer.stopped_by
    for result in ended:
        if isinstance(result, BaseException):
            raise result
