"""Judges whose noise is known, and a finished chain with nothing but unjudged queries to measure by."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from llm_server import Messages

import rankstill
from rankstill.config import Config
from rankstill.outcome import Outcome

PASSAGE = re.compile(r"^\[(\d+)\] (.*)$", re.MULTILINE)
QUERY = re.compile(r"^Search query: (.*)$", re.MULTILINE)

Grade = Callable[[str, str], int]
"""The grade of a passage for a query, by their texts."""
Respond = Callable[[Messages], str]


def true_grade(query: str, passage: str) -> int:
    """Of the toy dataset: 3 for the passage that the query asks for, 1 for one of its topic, else 0."""
    [(own, topic)] = re.findall(r"^how does (\w+) of the (\w+) change$", query)
    if passage.lower().startswith(f"the {own} of the {topic}"):
        return 3
    return 1 if f"of the {topic} " in passage.lower() else 0


def shown_in(messages: Messages) -> tuple[str, list[str]]:
    """The query of a judge's prompt, and its passages in the order shown."""
    prompt = messages[-1]["content"]
    return QUERY.findall(prompt)[0], [text for _, text in PASSAGE.findall(prompt)]


def written(grades: list[int]) -> str:
    return "\n".join(f"[{number}]: {grade}" for number, grade in enumerate(grades, 1))


def judge_by(grade: Grade) -> Respond:
    """A judge that gives this grade wherever a passage stands."""

    def respond(messages: Messages) -> str:
        query, passages = shown_in(messages)
        return written([grade(query, passage) for passage in passages])

    return respond


def with_noise(grade: Grade, share: float) -> Respond:
    """The same, but this share of the grades is drawn evenly from the four, anew for each prompt."""

    def respond(messages: Messages) -> str:
        query, passages = shown_in(messages)
        draw = random.Random(repr(messages))
        return written([draw.randrange(4) if draw.random() < share else grade(query, each) for each in passages])

    return respond


def prefers_first(grade: Grade) -> Respond:
    """The same, but the first tenth of what is shown, one passage at least, gets the highest grade."""

    def respond(messages: Messages) -> str:
        query, passages = shown_in(messages)
        return written([3 if place * 10 < len(passages) else grade(query, each) for place, each in enumerate(passages)])

    return respond


@pytest.fixture(scope="session")
def unlabelled(toy_dataset_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy dataset as a user without labels has it: no judgements, and the list of the queries that may teach.

    The other eight teach nothing.
    """
    folder = shutil.copytree(toy_dataset_folder, tmp_path_factory.mktemp("unlabelled") / "toy")
    train = [line.split("\t")[0] for line in (folder / "qrels" / "train.tsv").read_text().splitlines()[1:]]
    shutil.rmtree(folder / "qrels")
    (folder / "splits").mkdir()
    (folder / "splits" / "train.txt").write_text("".join(f"{each}\n" for each in train))
    return folder


@pytest.fixture(scope="session")
def finished(toy_config: Callable[..., Config], unlabelled: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """A chain without judgements, run to its end. Read-only: copy its workspace to change it."""
    small = {"retriever.epochs": 0, "ranker.cross_encoder": False}
    unset = {f"ranker.{name}": None for name in ("model",)}
    config = toy_config({**small, **unset, "ranker.max_length": 192}, source=unlabelled)
    return rankstill.distill(config, tmp_path_factory.mktemp("finished") / "w")


@pytest.fixture
def workspace(finished: Outcome, tmp_path: Path) -> Path:
    """The finished workspace, to be changed."""
    return shutil.copytree(finished.workspace, tmp_path / "w")


@pytest.fixture
def asking(tmp_path: Path) -> Callable[..., Config]:
    """The workspace's config with a judge: `asking(workspace, url, {changes})`."""

    def make(workspace: Path, url: str, changes: Mapping[str, Any] | None = None) -> Config:
        from rankstill.config import read_config

        ours = {
            "judge.model": "fake-judge",
            "judge.endpoint": url,
            "teacher.ledger": str(tmp_path / "ledger.sqlite"),
            "teacher.prices": {"fake-judge": {"input": 1.0, "output": 2.0}},
        }
        return read_config(workspace / "config.yaml", {**ours, **(changes or {})})

    return make


def judged(workspace: Path) -> dict[str, Any]:
    """What `judged.json` holds."""
    found: dict[str, Any] = json.loads((workspace / "judged.json").read_text())
    return found
