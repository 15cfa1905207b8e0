"""Every command that the documentation shows in a block runs: on a toy, small, against a real HTTP endpoint."""

from __future__ import annotations

import itertools
import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from llm_server import FakeLLM, Messages

from pages import DOCS, PAGES, SMALL, commands_in_blocks, rank_by_shared_words, run_command
from rankstill.config import read_config
from rankstill.data import load_dataset
from rankstill.extras.serve.votes import Votes
from rankstill.pipeline import distill


def respond(messages: Messages) -> str:
    """Ranks by words shared with the query, or writes a query: the passage's first words, the other way round."""
    text = messages[-1]["content"]
    if "Search query: " not in text:
        return " ".join(reversed(re.findall(r"The \w+ of the \w+", text)[-1].lower().split()))
    return rank_by_shared_words(messages)


def test_the_commands_of_the_teachers_guide_run(
    toy_dataset_folder: Path,
    tiny_model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RANKSTILL_LEDGER", str(tmp_path / "ledger.sqlite"))
    text = (DOCS / "teacher.md").read_text(encoding="utf-8")
    commands = [shlex.join(words) for words in commands_in_blocks(text)]
    assert len(commands) == 9
    shown = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)[0])
    with FakeLLM(respond) as server:
        mine: dict[str, Any] = {
            "dataset": {"source": str(toy_dataset_folder)},
            "retriever": {"model": str(tiny_model_folder)},
            **SMALL,
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
    return run_command(words, monkeypatch, capsys)


def read_or_judge(messages: Messages) -> str:
    """Grades passages, or answers a question with one word."""
    text = messages[-1]["content"]
    if "Grade each passage" not in text:
        return "magma"
    shown = re.findall(r"^\[(\d+)\] ", text, re.MULTILINE)
    return "\n".join(f"[{number}]: {int(number) % 4}" for number in shown)


@pytest.fixture(scope="module")
def place(
    toy_dataset_folder: Path, tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """A folder as a reader has it: data with answers, `mine.yaml`, a finished workspace that was voted on, another.

    And `questions.json` as docs/proof.md shows it. An LLM reads and judges.
    """
    folder = tmp_path_factory.mktemp("reader")
    shutil.copytree(toy_dataset_folder, folder / "my-data")
    lines = (folder / "my-data" / "queries.jsonl").read_text().splitlines()
    answered = [{**(query := json.loads(line)), "answers": [query["text"].split()[3]]} for line in lines]
    (folder / "my-data" / "queries.jsonl").write_text("".join(json.dumps(each) + "\n" for each in answered))
    with FakeLLM(read_or_judge) as reader:
        mine: dict[str, Any] = {
            "dataset": {"source": str(folder / "my-data")},
            "retriever": {"model": str(tiny_model_folder)},
            **SMALL,
            "rag": {"k": 2, "reader": {"kind": "api", "model": "m", "endpoint": reader.url}},
            "judge": {"model": "m", "endpoint": reader.url},
        }
        (folder / "mine.yaml").write_text(yaml.safe_dump(mine))
        made = distill(read_config(folder / "mine.yaml"), folder / "my-workspace")
        Votes(made.workspace, load_dataset(read_config(folder / "mine.yaml").dataset), "").mark("magma", "volcano-0", 1)
        shutil.copytree(made.workspace, folder / "another")
        (choices,) = re.findall(r"```json\n(.*?)```", (DOCS / "proof.md").read_text(encoding="utf-8"), flags=re.DOTALL)
        (folder / "questions.json").write_text(choices)
        yield folder


# Pages whose own tests run their commands in their order, with what their readers bring.
TOLD_ELSEWHERE = {"start.md", "teacher.md"}
# What does not end by itself (tests/extras/serve), goes to the hub (tests/extras/export/test_hub.py) or takes minutes
# (test_demo.py).
RUN_ELSEWHERE = {"serve", "push", "demo"}
COMMANDS = {
    shlex.join(words)
    for page in PAGES
    if page.name not in TOLD_ELSEWHERE
    for words in commands_in_blocks(page.read_text(encoding="utf-8"))
    if words[1] not in RUN_ELSEWHERE
}


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_a_command_in_a_block_makes_what_its_reader_wants(
    command: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setenv("RANKSTILL_LEDGER", str(place / "ledger.sqlite"))
    words = shlex.split(command)
    words = ["new.yaml" if words[1] == "init" and word == "mine.yaml" else word for word in words]
    wanted = what_it_makes(words, place)
    before = {path: path.stat().st_mtime_ns for path in wanted if path.exists()}
    manifest = place / "my-workspace" / "manifest.json"
    made_before = manifest.stat().st_mtime_ns
    said = run_command([*words, *what_makes_it_small(words, place)], monkeypatch, capsys)
    for path in wanted:
        assert path.is_file(), path
        assert path.stat().st_size > 0, path
        assert path.stat().st_mtime_ns != before.get(path), f"{path} is of an earlier command"
    if words[1] in ("judge", "check-judge") and not wanted:
        assert re.search(r"expected: \d+ calls|cannot judge|can judge|not sure", said)
    elif words[1] == "hybrid":
        assert "Weights: cosine " in said
    elif words[1] == "run" and not wanted:
        assert re.search(r"^time .* \d+ s$", said, re.M)
        assert manifest.stat().st_mtime_ns == made_before
    elif not wanted:
        assert "60 passages, 24 training, 8 test" in said
        assert "leaks: 0 of 8 test queries" in said


def what_it_makes(words: list[str], place: Path) -> list[Path]:
    """The files for which a reader gives the command; none for those that print."""
    after = dict(itertools.pairwise(words))
    workspace, to = after.get("-w", words[2]), after.get("--to")
    by_command = {
        "check": [],
        "compare": [to],
        "init": [words[2]],
        "hybrid": [],
        "judge": [] if "--dry-run" in words else [f"{workspace}/judged.tsv", f"{workspace}/judged.json"],
        "check-judge": [],
        "prove": [f"{workspace}/proof.md", f"{workspace}/proof.json"],
        "rag": [
            f"{workspace}/{'choices' if '--choices' in words else 'rag'}/rag.{ending}"
            for ending in ("md", "csv", "json")
        ],
        "report": [f"{workspace}/report.html"],
        "run": [] if "--dry-run" in words else [f"{workspace}/report.html", f"{workspace}/retriever/README.md"],
        "study": [f"{workspace}/{words[2]}.{ending}" for ending in ("md", "csv", "svg")],
        "votes": [f"{to}/qrels/votes.tsv"],
    }
    exported = {
        "onnx-int8": "export/onnx/model-int8.onnx",
        "openvino": "export/openvino/model.xml",
        "--matryoshka": "export/matryoshka.md",
    }
    by_command["export-vectors"] = [
        f"{after['--location']}/meta.json" if to == "qdrant" else f"{workspace}/export/vectors.parquet"
    ]
    by_command["export"] = [f"{workspace}/{path}" for word, path in exported.items() if word in words]
    return [place / path for path in by_command[words[1]]]


def what_makes_it_small(words: list[str], place: Path) -> Iterator[str]:
    """Further words: the toy in the place of a bundled dataset, few steps, few questions, one variant of a study."""
    # One variant of each study, and what it is compared with: each has tests of its own.
    short = {"lists": "direct-random", "size": "chain-24", "ablations": "chain-n10", "baselines": "gold,pdist"}
    if words[1] == "study":
        yield from ("--seeds", "1", "--only", short[words[2]])
    if words[1] == "init" or "--source" not in words:
        return
    settings = {"dataset.source": place / "my-data"}
    if words[1] != "check":
        own = yaml.safe_load((place / "mine.yaml").read_text())
        sections = ("candidates", "retriever") if "preset=paper" in words else (*SMALL, "retriever")
        settings |= {f"{name}.{option}": value for name in sections for option, value in own[name].items()}
        settings["rag.questions"] = 2
        if "preset=paper" in words and not any("ranked_by=" in word for word in words):
            settings["ranker.model"] = own["retriever"]["model"]  # nothing is fetched in a test
        if any("white_box." in word for word in words):
            settings["white_box.queries"] = 2
    for name, value in settings.items():
        yield from ("--set", f"{name}={value}")
