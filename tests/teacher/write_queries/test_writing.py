from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from llm_server import FakeLLM, Messages

from rankstill.config import Config, make_config
from rankstill.data import Dataset
from rankstill.data.extra import add_extra_queries
from rankstill.errors import DataError, RankstillError
from rankstill.retrieval import FirstStage
from rankstill.teacher.budget import BudgetReached
from rankstill.teacher.write_queries.writing import WrittenQueries, write_queries

PASSAGE = re.compile(r"^Passage: (.*)$", re.MULTILINE)
TITLE = re.compile(r"The (\w+) of the (\w+)")

Respond = Callable[[Messages], str]


def passage_in(messages: Messages) -> str:
    [passage] = PASSAGE.findall(messages[-1]["content"])
    return passage


def good(messages: Messages) -> str:
    """A query that leads back to the passage, as a model dresses it."""
    found = TITLE.match(passage_in(messages))
    assert found
    return f'Sure! Here is a search query:\n\n"measuring {found[2]} {found[1]} over years"'


class Writer:
    """Runs `write_queries` against a fake LLM, in a folder of its own."""

    def __init__(self, first_stage: FirstStage, dataset: Dataset, folder: Path) -> None:
        self.first_stage = first_stage
        self.dataset = dataset
        self.path = folder / "made" / "queries.jsonl"
        self.ledger = folder / "ledger.sqlite"

    def write(self, server: FakeLLM, count: int = 10, changes: dict[str, Any] | None = None) -> WrittenQueries:
        return write_queries(self.config(server, changes), self.dataset, self.first_stage, count, self.path, "writing")

    def answered(self, respond: Respond, count: int = 10, changes: dict[str, Any] | None = None) -> WrittenQueries:
        with FakeLLM(respond=respond) as server:
            return self.write(server, count, changes)

    def config(self, server: FakeLLM, changes: dict[str, Any] | None) -> Config:
        ours = {
            "candidates.k": 20,
            "candidates.n": 20,
            "teacher.kind": "api",
            "teacher.model": "fake",
            "teacher.endpoint": server.url,
            "teacher.tries": 1,
            "teacher.ledger": str(self.ledger),
            "teacher.prices": {"fake": {"input": 1.0, "output": 2.0}},
        }
        return make_config({"dataset": {"source": "toy"}}, {**ours, **(changes or {})})

    def records(self) -> list[dict[str, str]]:
        return [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def writer(toy_first_stage: FirstStage, toy_dataset: Dataset, tmp_path: Path) -> Writer:
    return Writer(toy_first_stage, toy_dataset, tmp_path)


def test_queries_that_lead_back_to_their_passage_are_kept_and_can_be_trained_on(writer: Writer) -> None:
    written = writer.answered(good)
    assert (written.asked, written.kept, written.dropped) == (10, 10, {})
    for record in writer.records():
        title = writer.dataset.corpus.titles[writer.dataset.corpus.position(record["made_from"])]
        found = TITLE.match(title)
        assert found
        assert record["text"] == f"measuring {found[2]} {found[1]} over years"
    added = add_extra_queries(writer.dataset, writer.path)
    assert added.texts_of(added.extra) == [record["text"] for record in writer.records()]
    assert added.notes == writer.dataset.notes


def test_a_query_that_does_not_lead_back_to_its_passage_is_dropped(writer: Writer) -> None:
    passages = iter(range(100))

    def astray(messages: Messages) -> str:
        other = "glacier" if "volcano" in passage_in(messages) else "volcano"
        return f"which {other} changes {next(passages)}"

    written = writer.answered(astray, changes={"candidates.k": 2})
    assert written.kept == 0
    assert written.dropped == {"not leading back to their passage": 10}
    assert writer.records() == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ('""', "empty"),
        ("I'm sorry, but I can't help with that.", "refused"),
        ("magma " * 50, "over 40 words"),
        ('{"query": "magma"}', "data, not text"),
        ("<think>they want a query about", "empty"),
    ],
)
def test_answers_without_a_query_are_dropped_with_the_reason(writer: Writer, answer: str, reason: str) -> None:
    written = writer.answered(lambda messages: answer, count=3)
    assert (written.kept, written.dropped) == (0, {reason: 3})
    assert f"3 {reason}" in "\n".join(written.lines())


def test_a_sentence_copied_from_the_passage_is_no_query(writer: Writer) -> None:
    def first_sentence(messages: Messages) -> str:
        return "Every" + passage_in(messages).split(" Every")[1].split(".")[0].upper()

    def amid(messages: Messages) -> str:
        return " ".join(passage_in(messages).split()[7:13])

    def title(messages: Messages) -> str:
        found = TITLE.match(passage_in(messages))
        assert found
        return f"{found[0]}?"

    for respond in (first_sentence, amid, title):
        writer.ledger = writer.ledger.with_name(f"{respond.__name__}.sqlite")
        assert writer.answered(respond, count=3).dropped == {"copied from the passage": 3}


def test_a_query_is_kept_once_however_it_is_written(writer: Writer) -> None:
    answers = iter(["how do volcanoes change", "How do volcanoes change?", '"how do: volcanoes change"'])
    written = writer.answered(lambda messages: next(answers), count=3, changes={"candidates.k": 60, "candidates.n": 60})
    assert (written.kept, written.dropped) == (1, {"the same as another query": 2})


def test_a_query_that_measures_is_never_written_again(writer: Writer) -> None:
    measured = writer.dataset.queries[writer.dataset.test[0]].text
    everything = {"candidates.k": 60, "candidates.n": 60}
    written = writer.answered(lambda messages: measured.upper(), count=2, changes=everything)
    assert (written.kept, written.dropped) == (0, {"the same as another query": 2})


def test_the_same_command_again_pays_nothing_and_writes_the_same(writer: Writer) -> None:
    with FakeLLM(respond=good) as server:
        first = writer.write(server)
        before = writer.path.read_bytes()
        again = writer.write(server)
        assert server.answered.total() == 10
        assert again == first
        assert writer.path.read_bytes() == before
        more = writer.write(server, count=15)
        assert server.answered.total() == 15
    assert more.kept == 15


def test_what_was_written_before_is_not_lost_once_it_is_in_the_dataset(writer: Writer) -> None:
    with FakeLLM(respond=good) as server:
        writer.write(server)
        before = writer.path.read_bytes()
        writer.dataset = add_extra_queries(writer.dataset, writer.path)
        writer.write(server)
    assert writer.path.read_bytes() == before


def test_the_users_training_queries_are_examples_and_test_queries_are_never_shown(writer: Writer) -> None:
    with FakeLLM(respond=good) as server:
        writer.write(server)
        prompts = [body["messages"][-1]["content"] for body in server.bodies]
    for prompt in prompts:
        examples = re.findall(r"^- (.*)$", prompt, re.MULTILINE)
        assert len(examples) == 5
        assert set(examples) <= set(writer.dataset.texts_of(writer.dataset.train))


def test_without_training_queries_there_are_no_examples(writer: Writer) -> None:
    writer.dataset = replace(writer.dataset, train=())
    with FakeLLM(respond=good) as server:
        written = writer.write(server)
        assert not any("- " in body["messages"][-1]["content"] for body in server.bodies)
    assert written.kept == 10


def test_a_call_that_is_given_up_drops_its_passage_alone(writer: Writer) -> None:
    with FakeLLM(respond=good, faults={"500": 0.2}, seed=1) as server:
        written = writer.write(server, count=20, changes={"teacher.concurrency": 1})
    given_up = written.dropped["given up by the endpoint"]
    assert 0 < given_up < 20
    assert written.kept == 20 - given_up
    # Each record stands with its own passage still.
    for record in writer.records():
        topic = record["made_from"].split("-")[0]
        assert topic in record["text"]


def test_a_reached_budget_writes_nothing_and_what_was_paid_is_used_later(writer: Writer) -> None:
    with FakeLLM(respond=good) as server:
        with pytest.raises(BudgetReached):
            writer.write(server, changes={"teacher.max_calls": 4})
        assert not writer.path.exists()
        assert writer.write(server).kept == 10
        assert server.answered.total() == 10


def test_the_cost_is_told(writer: Writer) -> None:
    written = writer.answered(good)
    assert written.taken.cost == pytest.approx(10 * 13e-6)
    assert "70 tokens in, 30 tokens out, about $0.00013" in written.lines()[0]


@pytest.mark.parametrize(
    ("name", "message"), [("queries.txt", r"Name it queries\.jsonl"), ("file/queries.jsonl", "cannot be written")]
)
def test_a_file_that_cannot_be_written_is_refused_before_anything_is_paid(
    writer: Writer, tmp_path: Path, name: str, message: str
) -> None:
    (tmp_path / "file").touch()
    writer.path = tmp_path / name
    with FakeLLM(respond=good) as server:
        with pytest.raises(DataError, match=message):
            writer.write(server)
        assert not server.bodies


def test_a_recorded_teacher_writes_nothing(writer: Writer) -> None:
    with pytest.raises(RankstillError, match=r"teacher\.kind is recorded"):
        writer.answered(good, changes={"teacher.kind": "recorded"})
