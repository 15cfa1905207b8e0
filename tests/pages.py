"""What the documentation shows, read from its pages, and what it takes to run it in seconds."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from llm_server import Messages

from rankstill.cli import main

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", *DOCS.rglob("*.md")])

SMALL: dict[str, dict[str, Any]] = {
    "candidates": {"k": 5, "n": 5},
    "ranker": {"cross_encoder": False},
}
"""A chain on the toy dataset."""


def commands_in_blocks(text: str) -> Iterator[list[str]]:
    """The words of every rankstill command in a page's blocks: these are shown to be run as they are."""
    for block in re.findall(r"^```\w*\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE):
        yield from _commands(block.replace("\\\n", " ").splitlines())


def shown_commands(text: str) -> Iterator[list[str]]:
    """These, and those that its lines name, which may lack what goes without saying."""
    yield from commands_in_blocks(text)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    yield from _commands(re.findall(r"`(rankstill [^`]+)`", prose))


def run_command(words: Sequence[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command prints; it must end well. A retriever of eight test queries is not shown to be better."""
    shipped = ["--even-if-worse"] if words[1] in ("export", "export-vectors") else []
    monkeypatch.setattr("sys.argv", [*words, *shipped])
    with pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr()
    assert not end.value.code, f"{shlex.join(words)}: {said.err}"
    return said.out


def rank_by_shared_words(messages: Messages) -> str:
    """An LLM's answer: passages in the order of how many words they share with the query."""
    text = messages[-1]["content"]
    wanted = set(re.findall(r"Search query: (.*)", text)[-1].lower().split())
    shown = re.findall(r"^\[(\d+)\] (.*)$", text, re.MULTILINE)
    ranked = sorted(shown, key=lambda each: -len(wanted & set(each[1].lower().split())))
    return " > ".join(f"[{number}]" for number, _ in ranked)


def _commands(lines: Sequence[str]) -> Iterator[list[str]]:
    for line in lines:
        words = shlex.split(line.removeprefix(".venv/bin/"), comments=True) if "rankstill " in line else []
        if len(words) > 1 and words[0] == "rankstill" and words[1] != "COMMAND":
            yield words
