"""What a black box is asked about a list, step by step: what ways of asking have in common."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, TypeVar

from rankstill.teacher.asking import CandidateList, Lookup
from rankstill.teacher.calls import Call


class ListAnswer(Protocol):
    """The result for one list, when nothing more is asked about it."""

    @property
    def decided(self) -> bool:
        """Whether its answers say anything."""


S = TypeVar("S", bound=ListAnswer)


class Inquiry(Protocol[S]):
    """Turns lists into calls, and answers into what they say. It has no state but what the ledger holds."""

    model: str
    """The LLM, as calls name it."""
    doing: str
    """What the progress line calls the work."""
    wanted: str
    """How a useful answer is described, after "an answer that"."""

    def advance(self, listed: CandidateList, lookup: Lookup) -> S | tuple[Call, ...]:
        """What came of the list, or the calls that must be answered before it can go on."""

    def expected(self, listed: CandidateList, lookup: Lookup, mean: float | None = None) -> Iterator[tuple[Call, int]]:
        """The calls without an answer that the list is expected to take, and how many tokens each answer may have.

        Args:
            mean: tokens of this model's answers so far; None if there are none.
        """

    def shorter(self, listed: CandidateList, call: Call) -> Call | None:
        """The same question with its passages cut to half; None where that cuts nothing."""

    def explain_no_answer(self, last: S) -> str:
        """Why no list got an answer that says anything, and what to do; `last` is what came of the last one."""
