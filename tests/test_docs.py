"""Every command that the teacher's guide shows runs, in its order, against a real HTTP endpoint."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from llm_server import FakeLLM, Messages

from rankstill.cli import main

GUIDE = Path(__file__).resolve().parent.parent / "docs" / "teacher.md"


def respond(messages: Messages) -> str:
    """Ranks by words shared with the query, or writes a query: the passage's first words, the other way round."""
    text = messages[-1]["content"]
    if "Search query: " not in text:
        return " ".join(reversed(re.findall(r"The \w+ of the \w+", text)[-1].lower().split()))
    wanted = set(re.findall(r"Search query: (.*)", text)[-1].lower().split())
    shown = re.findall(r"^\[(\d+)\] (.*)$", text, re.MULTILINE)
    ranked = sorted(shown, key=lambda each: -len(wanted & set(each[1].lower().split())))
    return " > ".join(f"[{number}]" for number, _ in ranked)


def test_the_commands_of_the_teachers_guide_run(
    toy_dataset_folder: Path,
    tiny_model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RANKSTILL_LEDGER", str(tmp_path / "ledger.sqlite"))
    text = GUIDE.read_text(encoding="utf-8")
    commands = re.findall(r"^rankstill .*$", text, re.MULTILINE)
    assert len(commands) == 9
    shown = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)[0])
    with FakeLLM(respond) as server:
        mine: dict[str, Any] = {
            "dataset": {"source": str(toy_dataset_folder)},
            "candidates": {"k": 5, "n": 5},
            "ranker": {"cross_encoder": False},
            "labels": {"pseudo_queries": 20, "depth": 8},
            "retriever": {"model": str(tiny_model_folder)},
            "head": {"steps": 5, "width": 16, "token_dimensions": 8},
            "teacher": {**shown["teacher"], "endpoint": server.url},
        }
        (tmp_path / "mine.yaml").write_text(yaml.safe_dump(mine))
        outputs = {command: run(command, tmp_path, monkeypatch, capsys) for command in commands}
    said = [outputs[command] for command in commands]
    assert any(verdict in said[0] for verdict in ("can help", "cannot help", "not sure"))
    assert re.search(r"expected: \d+ calls", said[1])
    assert "gpt-4o-mini" in said[3]
    assert "no prompt waits" in outputs[next(each for each in commands if "--export-prompts" in each)]
    written = [json.loads(line) for line in (tmp_path / "written.jsonl").read_text().splitlines()]
    assert all({"_id", "text"} <= each.keys() for each in written)


def run(command: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """The command's output; models and answers that a reader would bring are put in place."""
    words = shlex.split(command)
    if "--import-rankings" in words:
        (folder / "answered.jsonl").write_text("")
    words = [word.replace("model.gguf", "SmolLM2-135M-Instruct") for word in words]
    if "teacher.kind=local" in words:
        small = {"queries": 6, "top": 1, "passage_tokens": 30, "answer_tokens": 24, "context": 1024}
        words += [piece for name, value in small.items() for piece in ("--set", f"teacher.{name}={value}")]
        words[words.index("my-workspace")] = "local-workspace"
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr()
    assert not end.value.code, said.err
    return said.out
