"""A fake batch API on loopback, as OpenAI's: files, batches, and an LLM that answers what they hold.

with FakeBatches(respond=lambda messages: "[1] > [2]") as server:
    ... server.url ...
assert len(server.batches) == 1
"""

from __future__ import annotations

import email.parser
import email.policy
import json
import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from llm_server import Messages, completion, error

Fault = tuple[int, dict[str, Any]]
"""Status and body of a call that is not answered."""


class FakeBatches:
    """A server in threads of its own, there as long as its `with` block lasts.

    Args:
        respond: makes the text of an answer from the messages.
        fault: for the messages of a call: why it is not answered, if it is not.
        looks: how often a batch is seen under way before it has ended.
        ends: status of each batch in turn when it ends, the last one for all others.
        done: calls of a batch that does not end well that are answered all the same.
        refuse: paths ("POST /v1/batches") whose next requests are answered with these statuses, and do nothing else.
        lose: paths whose next request does what it should, but is answered with 500.

    Attributes:
        uploads: content of each uploaded file.
        batches: all that were started.
        answered: key of each call that was answered: what a provider would bill.
        keys: that requests came with.
    """

    def __init__(
        self,
        respond: Callable[[Messages], str] = lambda messages: "ok",
        *,
        fault: Callable[[Messages], Fault | None] = lambda messages: None,
        looks: int = 1,
        ends: Sequence[str] = ("completed",),
        done: int = 0,
    ) -> None:
        self.respond, self.fault, self.looks, self.ends, self.done = respond, fault, looks, list(ends), done
        self.refuse: dict[str, list[int]] = {}
        self.lose: list[str] = []
        self.uploads: list[bytes] = []
        self.batches: list[dict[str, Any]] = []
        self.answered: list[str] = []
        self.keys: set[str] = set()
        self.content_type = "application/json"
        self._files: dict[str, bytes] = {}
        self._lock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # else each reply waits 40 ms between its head and its body
            do_GET = do_POST = lambda handler: self._handle(handler)  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        """Base URL for an OpenAI-compatible client."""
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    @property
    def submitted(self) -> list[str]:
        """Keys of the calls of all batches."""
        return [call["custom_id"] for batch in self.batches for call in self._calls(batch)]

    def __enter__(self) -> FakeBatches:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("content-length", "0")))
        path = handler.path.partition("?")[0]
        what = f"{handler.command} {path}"
        with self._lock:
            self.keys.add(handler.headers.get("authorization", ""))
            status, reply = 0, b""
            if statuses := self.refuse.get(what):
                status, reply = statuses.pop(0), json.dumps(error("not now, Bearer sk-secret-of-mine")).encode()
            else:
                try:
                    status, reply = 200, self._reply(what, path, body, handler.headers.get("content-type", ""))
                except KeyError:
                    status, reply = 404, json.dumps(error(f"no such object: {path}")).encode()
                if what in self.lose:
                    self.lose.remove(what)
                    status, reply = 500, b"{}"
        handler.send_response(status)
        handler.send_header("content-type", self.content_type)
        handler.send_header("content-length", str(len(reply)))
        handler.end_headers()
        handler.wfile.write(reply)

    def _reply(self, what: str, path: str, body: bytes, kind: str) -> bytes:
        if what == "POST /v1/files":
            return json.dumps({"id": self._file(_uploaded(body, kind)), "object": "file"}).encode()
        if what == "POST /v1/batches":
            return json.dumps(self._start(json.loads(body))).encode()
        if what == "GET /v1/batches":
            return json.dumps({"object": "list", "data": self.batches[::-1], "has_more": False}).encode()
        name = path.split("/")[3]
        if path.startswith("/v1/files/"):
            return self._files[name]
        return json.dumps(self._look({batch["id"]: batch for batch in self.batches}[name])).encode()

    def _file(self, content: bytes) -> str:
        name = f"file-{len(self._files)}"
        self._files[name] = content
        return name

    def _start(self, request: dict[str, Any]) -> dict[str, Any]:
        assert request["endpoint"] == "/v1/chat/completions"
        assert request["completion_window"] == "24h"
        self.uploads.append(self._files[request["input_file_id"]])
        batch = {
            "id": f"batch_{len(self.batches)}",
            "object": "batch",
            "input_file_id": request["input_file_id"],
            "status": "validating",
            "looks": 0,
        }
        self.batches.append(batch)
        return batch

    def _calls(self, batch: dict[str, Any]) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._files[batch["input_file_id"]].splitlines()]

    def _look(self, batch: dict[str, Any]) -> dict[str, Any]:
        batch["looks"] += 1
        if batch["looks"] > self.looks and batch["status"] in ("validating", "in_progress"):
            self._end(batch)
        elif batch["looks"] > 1 and batch["status"] == "validating":
            batch["status"] = "in_progress"
            batch["request_counts"] = {"total": len(self._calls(batch)), "completed": 1, "failed": 0}
        return batch

    def _end(self, batch: dict[str, Any]) -> None:
        batch["status"] = self.ends.pop(0) if len(self.ends) > 1 else self.ends[0]
        calls = self._calls(batch)
        if batch["status"] == "failed":
            batch["errors"] = {
                "object": "list",
                "data": [{"code": "bad", "message": "Invalid file, sk-secret-of-mine"}],
            }
            return
        outputs, errors = [], []
        for number, call in enumerate(calls):
            line = {"id": f"r{number}", "custom_id": call["custom_id"], "response": None, "error": None}
            fault = self.fault(call["body"]["messages"])
            if batch["status"] != "completed" and number >= self.done:
                errors.append({**line, "error": {"code": "batch_expired", "message": "not executed in time"}})
            elif fault is not None:
                errors.append({**line, "response": {"status_code": fault[0], "request_id": "q", "body": fault[1]}})
            else:
                body = completion(self.respond(call["body"]["messages"]))
                outputs.append({**line, "response": {"status_code": 200, "request_id": "q", "body": body}})
                self.answered.append(call["custom_id"])
        for name, lines in (("output_file_id", outputs[::-1]), ("error_file_id", errors)):  # in any order
            if lines:
                batch[name] = self._file("".join(json.dumps(each) + "\n" for each in lines).encode())


def _uploaded(body: bytes, kind: str) -> bytes:
    """The file of a multipart form."""
    parser = email.parser.BytesParser(policy=email.policy.HTTP)
    form = parser.parsebytes(f"content-type: {kind}\r\n\r\n".encode() + body)
    parts = {part.get_param("name", header="content-disposition"): part for part in form.iter_parts()}
    assert parts["purpose"].get_content().strip() == "batch"
    content = parts["file"].get_payload(decode=True)
    assert isinstance(content, bytes)
    return content
