"""What stands before every request: whose page may ask, how much it may send, and what a browser may do with it.

The server has no password, so nobody but the person at this machine may reach it through their browser: a page from
elsewhere could otherwise ask in their name (CSRF), or point its own host name at this address (DNS rebinding).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException

from rankstill.extras.serve.problems import problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",
}
_PATIENCE = 30.0
"""Seconds in which a request's body must arrive."""


class Guard:
    """ASGI middleware: checks host, origin, type and size of a request, and sets a reply's security headers.

    Args:
        app: what it stands before.
        hosts: names under which the server may be addressed, without ports.
        largest_body: bytes.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str], largest_body: int) -> None:
        self._app = app
        self._hosts = frozenset(hosts)
        self._largest_body = largest_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        try:
            body = await self._admit(scope, receive)
        except HTTPException as refusal:
            await problem(refusal.status_code, refusal.detail)(scope, receive, send_with_headers)
            return
        await self._app(scope, _replay(body, receive), send_with_headers)

    async def _admit(self, scope: Scope, receive: Receive) -> bytes:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if not self._names_us(f"//{headers.get('host', '')}"):
            raise HTTPException(
                421, "This server does not answer to that host name. Start it with the name as allowed."
            )
        if "origin" in headers and not self._names_us(headers["origin"]):
            raise HTTPException(403, "Pages of other origins may not use this server.")
        if scope["method"] not in ("POST", "PUT", "PATCH"):
            return b""
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise HTTPException(415, "Send the body as application/json.")
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self._largest_body:
            raise self._too_large()
        try:
            return await asyncio.wait_for(self._read(receive), _PATIENCE)
        except asyncio.TimeoutError:
            raise HTTPException(408, "The request's body did not arrive in time.") from None

    async def _read(self, receive: Receive) -> bytes:
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                break
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self._largest_body:
                raise self._too_large()
        return bytes(body)

    def _too_large(self) -> HTTPException:
        return HTTPException(
            413, f"A request may have {self._largest_body:,} bytes at most. Send fewer or shorter texts."
        )

    def _names_us(self, url: str) -> bool:
        try:
            return urlsplit(url).hostname in self._hosts
        except ValueError:  # brackets that hold no address
            return False


def _replay(body: bytes, receive: Receive) -> Receive:
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
