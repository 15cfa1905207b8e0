from __future__ import annotations

import json
import re
import socket
from typing import Any

import pytest
from loopback import Served

MARKUP = "<script>alert(1)</script>"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "evil.example:80"])
def test_another_host_name_gets_nothing(server: Served, host: str) -> None:
    for path in ("/", "/health", "/page/app.js"):
        answer = server.ask(path, headers={"host": host})
        assert answer.status == 421
        assert "host name" in answer.body["error"]["message"]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9", "127.0.0.1", "[::1]:80"])
def test_loopback_by_any_of_its_names_is_served(server: Served, host: str) -> None:
    assert server.ask("/health", headers={"host": host}).status == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://[broken"])
def test_a_page_of_another_origin_can_neither_ask_nor_vote(server: Served, origin: str) -> None:
    body = {"query": "a", "better": "after"}
    assert server.ask("/votes", body, headers={"origin": origin}).status == 403
    answer = server.ask("/votes", headers={"origin": origin}, method="OPTIONS")
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_form_cannot_be_posted_across(server: Served) -> None:
    answer = server.ask("/votes", b'{"query": "a", "better": "after"}', headers={"content-type": "text/plain"})
    assert answer.status == 415


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/search", {"query": "x" * 2_001}, "2000"),
        ("/search", {"query": " \n"}, "query"),
        ("/search", {"query": "a", "k": 101}, "100"),
        ("/search", {"query": "a", "systems": [MARKUP]}, "'before'"),
        ("/search", {"query": "a", MARKUP: 1}, "field"),
        ("/search", [], "dictionary"),
        ("/embed", {"input": ["x"] * 257}, "256"),
        ("/embed", {"input": "x" * 20_001}, "20000"),
        ("/embed", {"input": []}, "1 item"),
        ("/embed", {"input": "a", "encoding_format": MARKUP}, "base64"),
        ("/rerank", {"query": "a", "documents": ["x"] * 101}, "100"),
        ("/marks", {"query": "a", "passage_id": "volcano-0", "grade": 2}, "grade"),
        ("/search", f"{{{MARKUP}".encode(), "JSON"),
        ("/search", ("[" * 100_000).encode(), "read"),
        ("/search", b'{"query": "\\ud800"}', "query"),
        ("/search", b"\xff\xfe", "JSON"),
    ],
)
def test_what_cannot_be_taken_is_refused_in_plain_words(server: Served, path: str, body: Any, said: str) -> None:
    answer = server.ask(path, body)
    assert answer.status in (400, 422)
    assert said in answer.body["error"]["message"]
    assert answer.headers["content-type"] == "application/json"
    assert "<" not in json.dumps(answer.body)


def test_a_body_too_large_is_refused_whether_or_not_it_says_its_size(server: Served) -> None:
    assert server.ask("/embed", b"x" * (8 * 1024 * 1024 + 1)).status == 413
    lines = ("POST /embed HTTP/1.1", "Host: localhost", "Content-Type: application/json", "Transfer-Encoding: chunked")
    head = "".join(f"{line}\r\n" for line in (*lines, "")).encode()
    chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(head + chunk * 9)
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


def test_a_browser_may_run_nothing_but_the_pages_own_files(server: Served) -> None:
    for path in ("/", "/page/app.js", "/health", "/nothing", "/page/../app.py"):
        headers = server.ask(path).headers
        assert "default-src 'none'; script-src 'self'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
    page = server.ask("/").body
    assert not re.search(r"https?:|//|<style|style=|<script>|\son\w+=", page)
    assert server.ask(f"/{MARKUP}".replace("<", "%3C")).body["error"]["param"] is None
