"""Servers of a workspace on loopback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Answer:
    """A reply, its body JSON or text."""

    status: int
    headers: dict[str, str]
    body: Any


class Served:
    """A server of a workspace in a thread of this process, there as long as its `with` block lasts.

    Args:
        folder: of the workspace.
        options: of `create_app`.
    """

    def __init__(self, folder: Path, **options: Any) -> None:
        import uvicorn

        from rankstill.extras.serve.app import create_app
        from rankstill.extras.serve.reading import open_workspace

        self.folder = folder
        self.opened = open_workspace(folder)
        app = create_app(self.opened, **options)
        self._server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def __enter__(self) -> Served:
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive()
            time.sleep(0.01)
        self.port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=30)

    def ask(
        self, path: str, body: Any = None, *, method: str | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """One request; a body that is not bytes is sent as JSON."""
        return ask(self.port, path, body, method=method, headers=headers)

    def search(self, query: str, **options: Any) -> dict[str, Any]:
        """What each system finds, by its name, and the rest of the answer."""
        answer = self.ask("/search", {"query": query, **options})
        assert answer.status == 200, answer.body
        lists = {result["system"]: result["passages"] for result in answer.body["results"]}
        return {**answer.body, **lists}


def ask(
    port: int, path: str, body: Any = None, *, method: str | None = None, headers: dict[str, str] | None = None
) -> Answer:
    """One request to a server on loopback."""
    from http.client import HTTPConnection

    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    given = {"content-type": "application/json", **(headers or {})}
    connection.request(method or ("GET" if data is None else "POST"), path, data, given)
    response = connection.getresponse()
    told = response.read().decode()
    found = {name.lower(): value for name, value in response.getheaders()}
    connection.close()
    is_json = found.get("content-type", "").startswith("application/json")
    return Answer(response.status, found, json.loads(told) if is_json else told)


class Process:
    """`run_server` in a process of its own, there as long as its `with` block lasts."""

    def __init__(self, folder: Path) -> None:
        call = f"run_server(Path({str(folder)!r}), port=0)"
        code = f"from pathlib import Path; from rankstill.extras.serve.server import run_server; {call}"
        self._popen = subprocess.Popen(
            [sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "200"}
        )

    def __enter__(self) -> Process:
        assert self._popen.stderr is not None
        said = ""
        for line in self._popen.stderr:
            said += line
            if line.startswith("ready"):
                self.port = int(line.split("http://127.0.0.1:")[1].split("/")[0])
                return self
        raise AssertionError(said)

    def __exit__(self, *_: object) -> None:
        if self._popen.poll() is None:
            self._popen.kill()
        self._popen.communicate()

    def terminate(self) -> None:
        """Ask it to stop, as a service manager does."""
        self._popen.send_signal(signal.SIGTERM)

    def end(self) -> int:
        """Its exit code, once it has ended."""
        return self._popen.wait(timeout=60)
