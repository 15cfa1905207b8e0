"""A fake LLM behind an OpenAI-compatible API on loopback, with latency, a limit and injected faults.

with FakeLLM(respond=lambda messages: "[1] > [2]", latency=0.5, faults={"429": 0.1, "drop": 0.1}) as server:
    ... server.url ...
assert server.answered.total() == 1000
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

Messages = list[dict[str, str]]

FAULTS = {
    "429": "rate limited, at once and without saying for how long",
    "500": "an internal error",
    "timeout": "no reply, until the client hangs up",
    "drop": "the connection is closed without a reply",
    "truncate": "the connection is closed amid the body",
    "cut": "a whole reply whose JSON ends amid the answer",
}


@dataclass(frozen=True)
class Reply:
    """An HTTP reply, its body JSON (or a text that is sent as it is)."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def encode(self) -> bytes:
        body = (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()
        lines = {"content-type": "application/json", "content-length": str(len(body)), **self.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"HTTP/1.1 {self.status} Status\r\n{head}\r\n".encode() + body


def completion(text: str | None, *, usage: bool = True, finish: str = "stop", tokens_in: Any = 7) -> dict[str, Any]:
    """A chat completion, as OpenAI's API sends it."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    counted = {"usage": {"prompt_tokens": tokens_in, "completion_tokens": 3, "total_tokens": 10}} if usage else {}
    return {"id": "c1", "object": "chat.completion", "created": 0, "model": "fake", "choices": [choice], **counted}


def error(message: str, code: str | None = None) -> dict[str, Any]:
    """An error, as OpenAI's API sends it."""
    return {"error": {"message": message, "type": "some_error", "param": None, "code": code}}


class FakeLLM:
    """A server in a thread of its own, there as long as its `with` block lasts.

    Args:
        respond: makes the text of the answer from the messages.
        latency: seconds that an answer takes.
        capacity: of calls at once; any beyond is refused with 429.
        faults: share of the requests that meet each fault, by the names in `FAULTS`.
        seed: which requests those are: by the request's body and how often it has been sent, so in any order alike.
        reply: makes the reply to a request from its body, or None for the usual one.
        script: replies to the first requests, in their order of arrival, in place of all the above.

    Attributes:
        requests: how often each request came, by the SHA-256 of its body.
        answered: how often each was answered in full: what a provider would bill.
        bodies: of all requests, in their order of arrival, as parsed from JSON.
        headers: likewise, names in lower case.
        most: the most requests that were under way at once.
    """

    def __init__(
        self,
        respond: Callable[[Messages], str] = lambda messages: "ok",
        *,
        latency: float = 0.0,
        capacity: int | None = None,
        faults: Mapping[str, float] | None = None,
        seed: int = 0,
        reply: Callable[[dict[str, Any]], Reply | None] = lambda body: None,
        script: Iterable[Reply] = (),
    ) -> None:
        self._respond = respond
        self._latency = latency
        self._capacity = capacity
        self._faults = dict(faults or {})
        if unknown := self._faults.keys() - FAULTS.keys():
            raise ValueError(f"no such fault: {unknown}; there are {', '.join(FAULTS)}")
        self._seed = seed
        self._own_reply = reply
        self._script = deque(script)
        self._under_way = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake LLM", daemon=True)
        self.requests: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.most = 0

    @property
    def url(self) -> str:
        """Base URL for an OpenAI-compatible client."""
        return f"http://127.0.0.1:{self._port}/v1"

    def __enter__(self) -> FakeLLM:
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024))
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)

    async def _stop(self) -> None:
        self._server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, kept open for request after request."""
        try:
            while await self._exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client hung up, or the server stops
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its reply; whether the connection stays open."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        path = head[0].split(" ")[1]
        if path != "/v1/chat/completions":
            writer.write(Reply(404, error(f"no such path: {path}")).encode())
            await writer.drain()
            return True
        request = json.loads(body)
        digest = hashlib.sha256(body).hexdigest()
        self.bodies.append(request)
        self.headers.append(headers)
        fault = None if self._script else self._fault(digest)
        self.requests[digest] += 1
        self._under_way += 1
        self.most = max(self.most, self._under_way)
        try:
            return await self._reply(request, digest, fault, reader, writer)
        finally:
            self._under_way -= 1

    def _fault(self, digest: str) -> str | None:
        draw = random.Random(f"{self._seed} {digest} {self.requests[digest]}").random()
        for fault, share in self._faults.items():
            if draw < share:
                return fault
            draw -= share
        return None

    async def _reply(
        self,
        request: dict[str, Any],
        digest: str,
        fault: str | None,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        if self._script:
            reply = self._script.popleft()
        elif fault == "429" or (self._capacity is not None and self._under_way > self._capacity):
            reply = Reply(429, error("Rate limit reached", "rate_limit_exceeded"))
        elif fault == "timeout":
            await reader.read(1)  # comes back when the client hangs up
            return False
        elif fault == "drop":
            return False
        else:
            await asyncio.sleep(self._latency)
            reply = self._own_reply(request) or Reply(200, completion(self._respond(request["messages"])))
        if fault == "500":
            reply = Reply(500, error("The server had an error"))
        if fault == "cut":
            whole = json.dumps(reply.body)
            reply = Reply(200, whole[: len(whole) // 2])
        data = reply.encode()
        if fault == "truncate":
            writer.write(data[: len(data) - 40])
            await writer.drain()
            return False
        writer.write(data)
        await writer.drain()
        if reply.status == 200 and fault != "cut":
            self.answered[digest] += 1
        return True
