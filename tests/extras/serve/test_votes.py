from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback import Served

from rankstill.config import DatasetConfig
from rankstill.data import Dataset, load_dataset
from rankstill.errors import DataError, WorkspaceError
from rankstill.extras.serve.votes import Votes, implied_passage, write_votes_dataset

NEW = "what flows down from the crater"
LISTS = {"before": ["volcano-0", "volcano-1", "desert-0"], "after": ["volcano-0", "volcano-2", "volcano-1"]}


@pytest.fixture
def votes(tmp_path: Path, toy_dataset: Dataset) -> Votes:
    return Votes(tmp_path, toy_dataset, "fingerprint")


def exported(tmp_path: Path, dataset: Dataset, split: str) -> Dataset:
    write_votes_dataset(tmp_path, dataset, tmp_path / "out")
    return load_dataset(DatasetConfig(source=str(tmp_path / "out"), test_split=split))


def test_marks_are_qrels_that_a_dataset_is_loaded_with(votes: Votes, tmp_path: Path, toy_dataset: Dataset) -> None:
    known = toy_dataset.queries[toy_dataset.train[0]]
    votes.mark(NEW, "volcano-1", 1)
    votes.mark(NEW, "volcano-2", 0)
    votes.mark(NEW, "desert-0", 1)
    votes.mark(NEW, "desert-0", None)  # taken back
    votes.mark(known.text, "garden-3", 1)
    new = votes.query(NEW).id
    dataset = exported(tmp_path, toy_dataset, "marked")
    assert dataset.test_qrels() == {new: {"volcano-1": 1, "volcano-2": 0}, known.id: {"garden-3": 1}}
    assert dataset.queries[new].text == NEW
    assert set(dataset.train) <= set(toy_dataset.train)
    assert len(dataset.corpus) == len(toy_dataset.corpus)


def test_a_vote_speaks_for_the_first_passage_it_lifts_unless_one_was_marked(
    votes: Votes, tmp_path: Path, toy_dataset: Dataset
) -> None:
    votes.vote(NEW, "before", LISTS, blind=False)
    votes.vote(NEW, "after", LISTS, blind=True)  # a change of mind
    votes.vote("another", "after", LISTS, blind=True)
    votes.mark("another", "volcano-3", 1)
    votes.vote("no difference", "same", LISTS, blind=False)
    assert votes.counts() == {"before": 0, "after": 2, "same": 1}
    expected = {votes.query(NEW).id: {"volcano-2": 1}, votes.query("another").id: {"volcano-3": 1}}
    assert exported(tmp_path, toy_dataset, "votes").test_qrels() == expected


@given(st.permutations("abcdef"), st.permutations("abcdef"), st.integers(1, 6))
def test_the_implied_passage_ranks_higher_in_the_better_list(won: list[str], lost: list[str], k: int) -> None:
    passage = implied_passage("after", lost[:k], won[:k])
    if passage is None:
        assert won[:k] == lost[:k]
    else:
        assert won.index(passage) < (lost[:k].index(passage) if passage in lost[:k] else k)
        assert implied_passage("before", won[:k], lost[:k]) == passage


def test_votes_outlive_the_server_and_count_for_their_retriever_alone(
    votes: Votes, tmp_path: Path, toy_dataset: Dataset
) -> None:
    votes.vote(NEW, "after", LISTS, blind=False)
    votes.mark(NEW, "volcano-1", 0)
    again = Votes(tmp_path, toy_dataset, "fingerprint")
    assert (again.better(NEW), again.marks(NEW)) == ("after", {"volcano-1": 0})
    other = Votes(tmp_path, toy_dataset, "distilled anew")
    assert (other.better(NEW), other.marks(NEW)) == (None, {"volcano-1": 0})


def test_two_servers_of_one_workspace_lose_no_vote_of_each_other(
    votes: Votes, tmp_path: Path, toy_dataset: Dataset
) -> None:
    other = Votes(tmp_path, toy_dataset, "fingerprint")
    votes.mark("first", "volcano-1", 1)
    other.mark("second", "volcano-2", 1)
    votes.mark("third", "volcano-3", 1)
    rows = (tmp_path / "votes" / "qrels" / "marked.tsv").read_text().splitlines()[1:]
    assert [row.split("\t")[1] for row in rows] == ["volcano-1", "volcano-2", "volcano-3"]
    queries = [json.loads(line) for line in (tmp_path / "votes" / "queries.jsonl").read_text().splitlines()]
    assert [query["text"] for query in queries] == ["first", "second", "third"]


def test_a_line_cut_off_by_a_kill_is_dropped_and_damage_is_named(
    votes: Votes, tmp_path: Path, toy_dataset: Dataset
) -> None:
    votes.mark("first", "volcano-1", 1)
    log = tmp_path / "votes" / "votes.jsonl"
    with log.open("a") as file:
        file.write('{"query_id": "v-')
    votes = Votes(tmp_path, toy_dataset, "fingerprint")
    votes.mark("second", "volcano-2", 1)
    assert len(log.read_text().splitlines()) == 2
    log.write_text("[]\n" + log.read_text())
    with pytest.raises(DataError, match=r"votes\.jsonl, line 1"):
        Votes(tmp_path, toy_dataset, "fingerprint")


def test_without_a_vote_there_is_no_dataset_to_write(tmp_path: Path, toy_dataset: Dataset) -> None:
    with pytest.raises(DataError, match="no vote yet"):
        write_votes_dataset(tmp_path, toy_dataset, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_vote_that_cannot_be_written_is_said_not_lost(votes: Votes, tmp_path: Path) -> None:
    (tmp_path / "votes").write_text("in the way")
    with pytest.raises(WorkspaceError, match="the vote was not kept"):
        votes.mark("first", "volcano-1", 1)


def test_the_api_keeps_votes_with_the_lists_it_showed(server: Served) -> None:
    query = "how does the moraine change"
    assert server.ask("/votes", {"query": query, "better": "after", "k": 3, "blind": True}).status == 200
    mark = {"query": query, "passage_id": "glacier-0", "grade": 1}
    assert server.ask("/marks", mark).body == {"passage_id": "glacier-0", "grade": 1}
    found = server.search(query, k=3)
    assert found["vote"] == "after"
    lines = (server.folder / "votes" / "votes.jsonl").read_text().splitlines()
    kept = next(record for record in map(json.loads, lines) if record["query"] == query)
    assert kept["after"] == [passage["id"] for passage in found["after"]]
    assert kept["blind"] is True
    marked = [each["mark"] for each in server.search(query, k=60)["before"] if each["id"] == "glacier-0"]
    assert marked == [1]
    assert server.ask("/marks", {**mark, "passage_id": "nowhere"}).status == 404
