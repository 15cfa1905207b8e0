"""What goes to an LLM and comes back: a question about candidates, the call that carries it, the answer."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

Kind = Literal["listwise", "setwise", "pairwise", "grades"]
Labels = Literal["numbers", "letters"]
Status = Literal["exact", "repaired", "refused", "unreadable"]

_ENDED_EARLY = {"length", "content_filter"}
"""Reasons to have said nothing that asking the same again would not change."""


@dataclass(frozen=True)
class Ask:
    """A question about some of a query's candidates.

    Args:
        kind: "listwise" asks for an order, "setwise" for the best of several, "pairwise" for the better of two,
            "grades" for the grade of each.
        shown: candidate numbers, from 0 in the first stage's order, in the order shown.
    """

    kind: Kind
    shown: tuple[int, ...]


@dataclass(frozen=True)
class Call:
    """One request to the LLM: the ledger hashes it, the client sends it, the budget pays it.

    Args:
        endpoint: base URL; no key in it.
        messages: of the chat: {"role", "content"}.
        parameters: the parameters of the request: temperature, max_tokens, response_format and others.
        attempt: from 0; asking again after an unreadable answer is another call.
        ask: that it carries, if any; not hashed, for the messages say it all.
    """

    endpoint: str
    model: str
    messages: tuple[dict[str, str], ...]
    parameters: dict[str, Any]
    attempt: int = 0
    ask: Ask | None = field(default=None, compare=False, repr=False)

    @cached_property
    def key(self) -> str:
        """SHA-256 of all of it: the same call is never paid twice."""
        hashed = {
            "endpoint": self.endpoint,
            "model": self.model,
            "messages": self.messages,
            "parameters": self.parameters,
            "attempt": self.attempt,
        }
        text = json.dumps(hashed, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class Answer:
    """The LLM's reply to a call.

    Args:
        tokens_in: that the endpoint counted, or an estimate; so for `tokens_out`.
        seconds: how long it took; 0 where that was not measured.
        finish: why it ended, if said: "stop", "length", "content_filter" or "error".
        counted: whether the endpoint counted `tokens_in`; not known of an answer from the ledger.
    """

    text: str
    tokens_in: int
    tokens_out: int
    seconds: float
    finish: str | None = None
    counted: bool = field(default=False, compare=False)

    @property
    def is_fault(self) -> bool:
        """Whether it is no answer but a fault that may pass: an error in between, or nothing said for no reason."""
        return self.finish == "error" or not (self.text.strip() or self.finish in _ENDED_EARLY)


@dataclass(frozen=True)
class Reading:
    """An answer as a ranking, or the reason why it is none.

    Args:
        status: "exact" (a whole permutation, in the form asked for), "repaired", "refused" or "unreadable".
        order: positions of the ask's `shown`, from 0, best first: the LLM's own only, so perhaps not all.
        cut: it could not be read, and had reached the longest answer allowed.
    """

    status: Status
    order: tuple[int, ...] = ()
    cut: bool = False
