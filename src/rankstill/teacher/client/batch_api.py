"""A provider's batch API: upload calls, start a batch, wait for its end, fetch what came of it.

As OpenAI documents it (https://platform.openai.com/docs/guides/batch) and others have copied it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import openai
from openai.types import Batch, FileObject

from rankstill.progress import progress, say
from rankstill.teacher.calls import Answer, Call
from rankstill.teacher.client.failures import BadReplyError, Failure, TeacherError, failure_of, message_in, not_json
from rankstill.teacher.client.keys import read_key
from rankstill.teacher.client.transport import answer_in, openai_client

if TYPE_CHECKING:
    from rankstill.config import TeacherConfig

FIRST_PAUSE, LONGEST_PAUSE = 5.0, 60.0
"""Seconds between two looks at a batch, and between two tries of a request."""

_ENDED = {"completed", "failed", "expired", "cancelled"}

_NO_BATCH_API = "the reply is not of a batch API"

_T = TypeVar("_T")
_Reply = TypeVar("_Reply", FileObject, Batch)


class BatchRefused(TeacherError):  # noqa: N818 - what happened, not a mistake of the user's
    """A request that the provider refuses for a reason that does not heal."""


class _LineError(openai.APIError):
    """What the library would raise for this reply, had the call been made live."""

    def __init__(self, status: int, body: Any) -> None:
        inner = body.get("error", body) if isinstance(body, dict) else body
        super().__init__(message_in(body) or json.dumps(body), request=None, body=inner)  # type: ignore[arg-type]  # it had no request
        self.status_code = status


class BatchAPI:
    """A provider's batch API. An async context manager.

    Raises:
        TeacherError: the endpoint is no URL, or its key is missing or cannot be sent; for all methods, the provider
            refuses or cannot be reached.
    """

    def __init__(self, config: TeacherConfig) -> None:
        endpoint = config.base_url() or ""
        self._where = f"{endpoint}, batch API"
        self._timeout = config.timeout
        self._tries = config.tries
        self._key = read_key(config, endpoint)
        self._client = openai_client(endpoint, self._key, config.timeout)

    async def __aenter__(self) -> BatchAPI:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def upload(self, calls: Path) -> str:
        """Upload a file of calls, as `batch_line` writes them; its id there."""

        async def once() -> str:
            with calls.open("rb") as file:
                return _checked(await self._client.files.create(file=file, purpose="batch")).id

        return await self._request(once)

    async def start(self, file: str) -> str:
        """Start the batch of an uploaded file; its id."""
        tried = False

        async def once() -> str:
            # A request that seemed to fail may have started the batch all the same.
            nonlocal tried
            found = await self._find(file) if tried else None
            tried = True
            if found is not None:
                return found
            batch = await self._client.batches.create(
                input_file_id=file, endpoint="/v1/chat/completions", completion_window="24h"
            )
            return _checked(batch).id

        return await self._request(once)

    async def find(self, file: str) -> str | None:
        """The id of the batch that was started for an uploaded file, if one was."""
        return await self._request(lambda: self._find(file))

    async def _find(self, file: str) -> str | None:
        try:
            page = await self._client.batches.list(limit=100)
        except AttributeError as error:  # the library's own, for a reply that does not call itself JSON
            raise BadReplyError(_NO_BATCH_API) from error
        async for batch in page:
            if batch.input_file_id == file:
                return batch.id
        return None

    async def wait(self, batch_id: str, calls: int) -> Batch:
        """The batch, when it has ended, well or not."""

        async def once() -> Batch:
            return _checked(await self._client.batches.retrieve(batch_id))

        pause, done = FIRST_PAUSE, 0
        with progress(f"batch {batch_id}", calls) as advance:
            while True:
                batch = await self._request(once)
                if batch.status in _ENDED:
                    return batch
                counts = batch.request_counts
                now = counts.completed + counts.failed if counts else 0
                if now > done:
                    advance(now - done)
                    done = now
                await asyncio.sleep(pause)
                pause = min(1.5 * pause, LONGEST_PAUSE)

    async def results(self, batch: Batch) -> dict[str, dict[str, Any]]:
        """What came of the calls of a batch: the line of its output or its error file for each call's key."""
        found: dict[str, dict[str, Any]] = {}
        broken = 0
        for file in (batch.output_file_id, batch.error_file_id):
            for line in await self._lines(file) if file else ():
                try:
                    result = json.loads(line)
                    found[result["custom_id"]] = result
                except (ValueError, KeyError, TypeError):
                    broken += 1
        if broken:
            say(f"note: batch {batch.id}: {broken:,} lines of its results are broken; their calls count as failed")
        return found

    async def _lines(self, file: str) -> list[bytes]:
        content = (await self._request(lambda: self._client.files.content(file))).content
        return [line for line in content.split(b"\n") if line.strip()]

    def outcome(self, result: dict[str, Any] | None, call: Call) -> Answer | Failure:
        """What one call's line says. A batch does not say how long an answer took, so it counts as no time."""
        if result is None:
            return Failure("the batch's results leave this call out", "again")
        response = result.get("response")
        if not isinstance(response, dict) or not isinstance(status := response.get("status_code"), int):
            said = message_in(result.get("error")) or "the call was not made, and no reason is given"
            return self._failure(BadReplyError(said))
        body = response.get("body")
        if status == 200:
            try:
                return answer_in(body, call, 0.0)
            except BadReplyError as error:
                return self._failure(error)
        return self._failure(_LineError(status, body))

    def reason(self, batch: Batch) -> str:
        """Why a batch did not complete, in the provider's words."""
        errors = batch.errors.data if batch.errors else None
        said = errors[0].message if errors else None
        return self._failure(BadReplyError(f"{batch.status}: {said}" if said else batch.status)).what

    def refused(self, failure: Failure) -> TeacherError:
        """The error that says so."""
        return BatchRefused(f"{self._where}: {failure.what}. {failure.advice}")

    async def _request(self, once: Callable[[], Awaitable[_T]]) -> _T:
        failed = 0
        while True:
            try:
                return await once()
            except (openai.APIError, BadReplyError) as error:
                failure = self._failure(error)
            except ValueError as error:
                failure = self._failure(not_json(getattr(error, "doc", ""), str(error)))
            failed += 1
            if failure.then not in ("again", "slower"):
                raise self.refused(failure)
            if failed >= self._tries:
                raise TeacherError(
                    f"{self._where}: given up after {failed} {'try' if failed == 1 else 'tries'}, the last one: "
                    f"{failure.what}. Run the same command again: a batch under way is not submitted again."
                )
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (failed - 1))
            await asyncio.sleep(max(pause, failure.wait or 0.0))

    def _failure(self, error: Exception) -> Failure:
        return failure_of(error, self._timeout, self._key)


def _checked(reply: _Reply) -> _Reply:
    """The reply, if it is one: the library does not check what came."""
    if isinstance(reply, str):  # the library hands on what does not call itself JSON
        raise not_json(reply, "by its content type")
    if not isinstance(getattr(reply, "id", None), str):
        raise BadReplyError(_NO_BATCH_API)
    return reply


def batch_line(key: str, call: Call) -> bytes:
    """A line of a batch file."""
    request = {
        "custom_id": key,
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": call.model, "messages": call.messages, **call.parameters},
    }
    return json.dumps(request).encode() + b"\n"
