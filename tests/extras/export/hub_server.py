"""A stand-in for the Hugging Face Hub on loopback: takes what is pushed and notes every call."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LARGE = ".safetensors"
"""Goes by way of LFS, as weights do on the real one."""


@dataclass
class StandIn:
    """What arrived.

    Args:
        address: to be pushed to.
        calls: method and path, in order.
        tokens: that the calls carried.
        made: what each repository was asked to be.
        files: path -> content, as committed.
        refuses: whether it turns every token away.
    """

    address: str = ""
    calls: list[str] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)
    made: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    refuses: bool = False


@contextmanager
def hub_stand_in() -> Iterator[StandIn]:
    """A running one."""
    state, stored = StandIn(), {}

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *arguments: Any) -> None: ...

        def _answer(self, body: Any, status: int = 200) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _received(self) -> bytes:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            state.calls.append(f"{self.command} {self.path.split('?')[0]}")
            return body

        def do_PUT(self) -> None:
            stored[self.path.rsplit("/", 1)[1]] = self._received()
            self._answer({})

        def do_GET(self) -> None:
            self._received()
            self._answer({"id": "me/retriever", "sha": "0" * 40, "siblings": [], "tags": []})

        def do_POST(self) -> None:
            body, path = self._received(), self.path.split("?")[0]
            state.tokens.add(self.headers.get("Authorization"))
            if state.refuses:
                self._answer({"error": "Invalid credentials"}, 401)
            elif path == "/api/repos/create":
                state.made.append(json.loads(body))
                self._answer({"url": f"{state.address}/me/retriever"})
            elif path.endswith("/preupload/main"):
                files = [
                    {"path": each["path"], "uploadMode": "lfs" if each["path"].endswith(LARGE) else "regular"}
                    for each in json.loads(body)["files"]
                ]
                self._answer({"files": [{**each, "shouldIgnore": False, "oid": None} for each in files]})
            elif path.endswith("/info/lfs/objects/batch"):
                objects = [
                    {**each, "actions": {"upload": {"href": f"{state.address}/lfs/{each['oid']}"}}}
                    for each in json.loads(body)["objects"]
                ]
                self._answer({"transfer": "basic", "objects": objects})
            elif path.endswith("/commit/main"):
                for line in map(json.loads, body.splitlines()):
                    if line["key"] == "file":
                        state.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                    elif line["key"] == "lfsFile":
                        state.files[line["value"]["path"]] = stored[line["value"]["oid"]]
                commit = f"{state.address}/me/retriever/commit/{'1' * 40}"
                self._answer({"success": True, "commitUrl": commit, "commitOid": "1" * 40, "hookOutput": ""})
            else:
                self._answer({})

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
