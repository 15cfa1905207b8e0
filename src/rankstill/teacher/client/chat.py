"""The client: one call in, one answer out, however often the endpoint stumbles on the way."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import openai

from rankstill.progress import say
from rankstill.teacher.calls import Answer, Call
from rankstill.teacher.client.failures import REFUSED, BadReplyError, CallFailed, Failure, TeacherError, failure_of
from rankstill.teacher.client.keys import read_key
from rankstill.teacher.client.limiter import Limiter
from rankstill.teacher.client.transport import INSTEAD, adapted, answer_in, sender

if TYPE_CHECKING:
    from rankstill.config import TeacherConfig
    from rankstill.teacher.client.endpoint import Endpoint

T = TypeVar("T")

_FIRST_BACKOFF = 0.5  # seconds
_LONGEST_BACKOFF = 30.0


class ChatClient:
    """Asks a chat endpoint, many calls at once, and tries again what may heal. An async context manager.

    Tried again, after an exponential backoff with full jitter (Brooker 2015, "Exponential Backoff And Jitter", AWS
    Architecture Blog) or as long as the endpoint asks: connection errors, timeouts, 408, 409, 425, 429, 5xx, and
    replies that are cut short or hold no answer. A parameter that the endpoint does not take is left out of this call
    and all later ones (`adapted`). Anything else stops at once. How many calls are under way adapts to
    the endpoint (`Limiter`). To be told "too many requests" counts as a try only if the endpoint has answered no other
    call since the last one: an endpoint that answers others will answer this one in its turn.

    Args:
        config: the name of the key, how often a call is tried, and the time of a try, to the last byte of the reply.
        place: the endpoint.
        on_failure: told of each failed try, the last one too: the call, why, the seconds it took.

    Raises:
        TeacherError: the endpoint is no URL, its key is missing or cannot be sent, or litellm is not installed.
    """

    def __init__(self, config: TeacherConfig, place: Endpoint, on_failure: Callable[[Call, str, float], None]) -> None:
        self._endpoint = place.url
        self._timeout = config.timeout
        self._tries = config.tries
        self._on_failure = on_failure
        self._limiter = Limiter(place.concurrency)
        self._draw = random.Random()  # not the global one, whose seed the experiment may have set
        self._answered = 0
        self._refused: set[str] = set()  # parameters that the endpoint has said that it does not take
        self._key = None if place.send else read_key(config, place.url)
        self._send, self._client = (place.send, None) if place.send else sender(config, place.url, self._key)

    async def __aenter__(self) -> ChatClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._client is not None:
            await self._client.close()

    async def ask(self, call: Call) -> Answer:
        """The endpoint's answer to this call.

        Raises:
            CallFailed: given up after as many tries as allowed; or `refused`: too long, by the content filter, or for
                a reason that is not clear.
            TeacherError: the endpoint refuses for a reason that does not heal: the key, the credit, the address.
        """
        where = f"{self._endpoint or 'litellm'}, model {call.model}"
        failed, answered = 0, self._answered
        while True:
            result = await self._try(call)
            if isinstance(result, Answer):
                return result
            if result.then == "adapt" and result.parameter in call.parameters:
                if result.parameter not in self._refused:
                    self._refused.add(result.parameter)
                    say(f"note: {where}: {result.what}; {INSTEAD[result.parameter]}")
                call = adapted(call, {result.parameter})
                continue
            if result.then == "stop" or (result.then == "astray" and not self._answered):
                raise TeacherError(f"{where}: {result.what}. {result.advice}")
            if result.then in REFUSED:
                # "adapt": to a parameter that is not in the request.
                then = "unclear" if result.then == "adapt" else result.then
                raise CallFailed(f"{where}: {result.what}. {result.advice}", then)
            if result.then != "slower" or self._answered == answered:
                failed += 1
            answered = self._answered
            if failed >= self._tries:
                raise CallFailed(
                    f"{where}: a call was given up after {failed} {'try' if failed == 1 else 'tries'}, the last one: "
                    f"{result.what}. Run the same command again to ask it again."
                )
            backoff = self._draw.uniform(0, min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2 ** max(0, failed - 1)))
            await asyncio.sleep(max(backoff, result.wait or 0.0))

    async def _try(self, call: Call) -> Answer | Failure:
        async with self._limiter:
            started = time.monotonic()
            try:
                reply = await asyncio.wait_for(self._send(adapted(call, self._refused)), self._timeout)
                answer = answer_in(reply, call, time.monotonic() - started)
            except (openai.APIError, asyncio.TimeoutError, BadReplyError) as error:
                failure = failure_of(error, self._timeout, self._key)
                if failure.then == "slower":
                    self._limiter.refused(failure.wait)
                self._on_failure(call, failure.what, time.monotonic() - started)
                return failure
            self._limiter.accepted()
            self._answered += 1
            return answer


def run(work: Coroutine[Any, Any, T]) -> T:
    """The result of the work: in this thread, or in one of its own where this one has a running loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as aside:
        return aside.submit(asyncio.run, work).result()
