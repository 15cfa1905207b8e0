"""`rankstill rag`: a reader LLM answers from what each system of a finished chain found."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

import pytest
from llm_server import FakeLLM, Messages

from rankstill.config import Config, System
from rankstill.errors import RankstillError
from rankstill.evaluation.systems import SYSTEMS
from rankstill.extras.rag.study import answer_choices, answer_test_questions

MakeConfig = Callable[..., Config]
Answering = Callable[[Messages], str]


def reader(messages: Messages) -> str:
    """Knows nothing but what it reads: the passage whose title stands in the question."""
    text = messages[-1]["content"]
    asked = re.search(r"how does (.*?) change", text)
    found = re.search(rf"The {asked.group(1)} .*?needs the (\w+)", text, re.IGNORECASE) if asked else None
    return found.group(1) if found else "I do not know."


@pytest.fixture
def with_answers(toy_copy: Path) -> Path:
    """The toy dataset, each query with the answer that its passage gives."""
    passages = {each["_id"]: each for each in map(json.loads, (toy_copy / "corpus.jsonl").read_text().splitlines())}
    lines = []
    for query in map(json.loads, (toy_copy / "queries.jsonl").read_text().splitlines()):
        text = passages[query["_id"].removeprefix("q-")]["text"]
        answer = re.search(r"needs the (\w+)", text)
        assert answer
        lines.append(json.dumps({**query, "answers": [answer.group(1)]}))
    (toy_copy / "queries.jsonl").write_text("\n".join(lines))
    return toy_copy


@contextmanager
def read_by(answer: Answering, folder: Path) -> Iterator[tuple[FakeLLM, dict[str, str]]]:
    """A server, and the options that make it the reader."""
    with FakeLLM(answer) as server:
        options = {"kind": "api", "model": "fake", "endpoint": server.url, "ledger": str(folder / "ledger.sqlite")}
        yield server, {f"rag.reader.{name}": value for name, value in options.items()}


def test_better_passages_make_better_answers_and_none_is_paid_twice(
    toy_config: MakeConfig, with_answers: Path, tmp_path: Path
) -> None:
    with read_by(reader, tmp_path) as (server, changes):
        config = toy_config({**changes, "rag.k": 3}, source=with_answers)
        table = answer_test_questions(config, tmp_path / "w")
        paid = server.answered.total()
        again = answer_test_questions(config, tmp_path / "w")
        assert server.answered.total() == paid
    assert again.to_markdown() == table.to_markdown()
    values = {(row.system, row.question_id): row.values["EM"] for row in table.rows}
    mean = {system: [value for (name, _), value in values.items() if name == system] for system, _ in values}
    assert sum(mean["gold passage"]) == len(mean["gold passage"]) == 8
    assert sum(mean["closed book"]) == 0
    assert (tmp_path / "w" / "rag" / "rag.md").read_text() == table.to_markdown()


def test_every_row_of_the_table_is_read_for_unless_some_are_named(
    toy_config: MakeConfig, with_answers: Path, tmp_path: Path
) -> None:
    with read_by(reader, tmp_path) as (_, changes):
        everything = answer_test_questions(toy_config(changes, source=with_answers), tmp_path / "w")
        found = json.loads((tmp_path / "w" / "metrics.json").read_text())
        measured = [system["name"] for system in found["table"]["systems"]]
        assert get_args(System) == tuple(SYSTEMS)
        assert measured == [name for name in SYSTEMS if not name.startswith("distilled multi-vector")]  # not trained
        names = [system.name for system in everything.table.systems]
        assert names == ["closed book", *measured, "gold passage"]
        named = toy_config({**changes, "rag.systems": ["distilled hybrid", "multi-vector"]}, source=with_answers)
        some = answer_test_questions(named, tmp_path / "w")
        rows = ["closed book", "retriever before", "distilled hybrid", "multi-vector", "gold passage"]
        assert [system.name for system in some.table.systems] == rows
        assert {row.call for row in some.rows} < {row.call for row in everything.rows}


def test_a_system_that_the_run_lacks_is_named(toy_config: MakeConfig, with_answers: Path, tmp_path: Path) -> None:
    with read_by(reader, tmp_path) as (server, changes):
        changes = {**changes, "rag.systems": ["multi-vector"], "multi_vector.make": False}
        with pytest.raises(
            RankstillError, match=r"rag\.systems: this run has no multi-vector\. Name some of: BM25, ret"
        ):
            answer_test_questions(toy_config(changes, source=with_answers), tmp_path / "w")
        assert not server.bodies


def test_questions_without_answers_are_noticed_before_anything_is_made(toy_config: MakeConfig, tmp_path: Path) -> None:
    with (
        read_by(reader, tmp_path) as (_, changes),
        pytest.raises(RankstillError, match='no test query has "answers"'),
    ):
        answer_test_questions(toy_config(changes), tmp_path / "w")
    assert not (tmp_path / "w").exists()


def test_a_recorded_teacher_cannot_read(toy_config: MakeConfig, with_answers: Path, tmp_path: Path) -> None:
    with pytest.raises(RankstillError, match="no LLM to ask"):
        answer_test_questions(toy_config(source=with_answers), tmp_path / "w")


def test_multiple_choice_is_asked_with_what_each_system_finds(
    toy_config: MakeConfig, with_answers: Path, tmp_path: Path
) -> None:
    def choosing(messages: Messages) -> str:
        """The choice that its passages name with the question's subject; else the last, which is wrong."""
        text = messages[-1]["content"]
        word = reader(messages)
        letter = re.search(rf"\[([A-D])\] {word}$", text, re.MULTILINE)
        return letter.group(1) if letter else "D"

    asked = []
    for number, query in enumerate(map(json.loads, (with_answers / "queries.jsonl").read_text().splitlines()[24:])):
        (right,) = query["answers"]
        choices = [*(each for each in ("alpha", "beta") if each != right), "gamma", "delta"]
        choices[number % 3] = right
        asked.append({"question": query["text"], "choices": choices, "answer": number % 3, "subject": f"s{number % 2}"})
    (tmp_path / "mmlu.json").write_text(json.dumps(asked))
    with read_by(choosing, tmp_path) as (_, changes):
        table = answer_choices(toy_config(changes, source=with_answers), tmp_path / "w", tmp_path / "mmlu.json")
    accuracy = {system.name: system.values["Accuracy"] for system in table.table.systems}
    assert accuracy["closed book"] == 0
    assert accuracy["BM25"] > 0.5
    assert table.by_subject().keys() == {"s0", "s1"}
    assert (tmp_path / "w" / "choices" / "rag.md").read_text() == table.to_markdown()
