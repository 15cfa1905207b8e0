"""What people judged on the page, kept as data: a log of votes, and the qrels that follow from it.

`votes/votes.jsonl` is the truth, a line a judgement, only ever appended to; the other files are made from it anew each
time. There are two kinds of judgement. A mark says of one passage whether it is relevant: a plain qrels line. A vote
says which of two lists is better, and names no passage. What it implies is a guess, so it is kept in a split of its
own: the highest passage that the better list ranks above where the other has it is taken to be relevant.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from rankstill.data import Dataset, Qrels, Query, write_beir
from rankstill.data.fields import digest_id
from rankstill.data.writing import qrels_tsv
from rankstill.errors import DataError, WorkspaceError
from rankstill.extras.serve.systems import SystemName
from rankstill.workspace import write_atomically

Better = Literal["before", "after", "same"]
FOLDER = "votes"
LOG = "votes.jsonl"
MARKED, VOTED = "marked", "votes"
"""Qrels splits: what was marked, and that together with what votes imply of queries without a relevant mark."""


@dataclass
class QueryVotes:
    """The votes and marks of one query; the latest one counts.

    Args:
        better: which list is, for each pair of retrievers voted on, by the fingerprint of the new one.
        implied: the passage that the latest vote speaks for, if any.
        marks: passage id -> 1 relevant, 0 not.
    """

    query: Query
    better: dict[str, Better] = field(default_factory=dict)
    implied: str | None = None
    marks: dict[str, int] = field(default_factory=dict)


class Votes:
    """The votes of one workspace, shared with any other server of it.

    Args:
        workspace: its folder; `votes/` in it is made by the first vote.
        retriever: fingerprint of the new retriever, which votes are about.

    Raises:
        DataError: a line of the log is damaged.
    """

    def __init__(self, workspace: Path, dataset: Dataset, retriever: str) -> None:
        self.folder = workspace / FOLDER
        self._retriever = retriever
        self._known = {query.text: query for query in reversed(list(dataset.queries.values()))}
        self._judged = read_votes(workspace)

    def query(self, text: str) -> Query:
        """The dataset's query of this text, or a new one, named by its text."""
        return self._known.get(text) or Query(digest_id("v", text), text)

    def better(self, text: str) -> Better | None:
        """The vote on a query's two lists."""
        judged = self._judged.get(self.query(text).id)
        return judged.better.get(self._retriever) if judged else None

    def marks(self, text: str) -> dict[str, int]:
        """Relevance marks of a query's passages."""
        judged = self._judged.get(self.query(text).id)
        return dict(judged.marks) if judged else {}

    def counts(self) -> dict[str, int]:
        """How many queries each list is better for."""
        said = [judged.better.get(self._retriever) for judged in self._judged.values()]
        return {choice: said.count(choice) for choice in ("before", "after", "same")}

    def vote(self, text: str, better: Better, lists: Mapping[SystemName, Sequence[str]], *, blind: bool) -> None:
        """Keep which list is better.

        Args:
            text: the text of the query.
            better: "before", "after", or "same".
            lists: the passage ids that each system showed, best first.
            blind: whether the voter did not know which list was which.

        Raises:
            WorkspaceError: it cannot be written.
        """
        query = self.query(text)
        said: dict[str, Any] = {"better": better, "blind": blind, "retriever": self._retriever}
        self._append({"query_id": query.id, "query": text, **said, "before": lists["before"], "after": lists["after"]})

    def mark(self, text: str, passage_id: str, grade: int | None) -> None:
        """Keep whether a passage is relevant to a query: 1 or 0; None takes a mark back.

        Raises:
            WorkspaceError: it cannot be written.
        """
        self._append({"query_id": self.query(text).id, "query": text, "passage_id": passage_id, "grade": grade})

    def _append(self, record: Mapping[str, Any]) -> None:
        line = json.dumps({"time": datetime.now(timezone.utc).isoformat(timespec="seconds"), **record})
        try:
            self.folder.mkdir(exist_ok=True)
            with (self.folder / LOG).open("a+b") as log:
                fcntl.flock(log, fcntl.LOCK_EX)
                _drop_torn_end(log)
                log.write(line.encode() + b"\n")
                log.flush()
                os.fsync(log.fileno())
                # The log is read again, for another server may have written to it.
                self._judged = read_votes(self.folder.parent)
                _write_qrels(self._judged, self.folder)
        except OSError as error:
            raise WorkspaceError(
                f"{self.folder}: the vote was not kept ({error.strerror}). Make room or change its permissions, then "
                "vote again."
            ) from error


def read_votes(workspace: Path) -> dict[str, QueryVotes]:
    """What was judged in a workspace, by query id, in the order of the queries' first votes.

    Raises:
        DataError: a line of the log is damaged.
    """
    log = workspace / FOLDER / LOG
    judged: dict[str, QueryVotes] = {}
    if not log.is_file():
        return judged
    lines = log.read_bytes().split(b"\n")[:-1]  # a line without its end was never acknowledged
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            query = Query(str(record["query_id"]), str(record["query"]))
            _take(judged.setdefault(query.id, QueryVotes(query)), record)
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{log}, line {number}: not readable as a vote ({error!r}). Fix or remove it.") from error
    return judged


def _write_qrels(judged: Mapping[str, QueryVotes], folder: Path) -> None:
    """Write `queries.jsonl` and both splits' qrels, as a BEIR folder has them, for all that was judged."""
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    queries = [{"_id": each.query.id, "text": each.query.text} for each in judged.values()]
    write_atomically(folder / "queries.jsonl", "".join(json.dumps(query) + "\n" for query in queries))
    _write_splits(_qrels(judged), folder)


def write_votes_dataset(workspace: Path, dataset: Dataset, folder: Path) -> int:
    """Write the dataset with what was judged beside it, as a BEIR folder that a run can be measured on.

    It holds the dataset's own splits and two more, `marked` and `votes`: name one as `dataset.test_split`. Training
    queries that share a relevant passage with a judged query leak, and are dropped as `dataset.leaks` says.

    Args:
        folder: where to; must not exist yet, or be empty.

    Returns:
        How many queries the `votes` split measures.

    Raises:
        DataError: nothing was judged yet, or the folder cannot be written.
    """
    judged = read_votes(workspace)
    splits = _qrels(judged)
    measured = [query for query, grades in splits[VOTED].items() if any(grades.values())]
    if not measured:
        raise DataError(
            f"{workspace / FOLDER}: no vote yet that names a relevant passage. `rankstill serve {workspace}`, and vote."
        )
    queries = {query: each.query for query, each in judged.items()}
    write_beir(replace(dataset, queries={**queries, **dataset.queries}), folder)
    _write_splits(splits, folder)
    return len(measured)


def _write_splits(splits: Mapping[str, Qrels], folder: Path) -> None:
    for split, qrels in splits.items():
        write_atomically(folder / "qrels" / f"{split}.tsv", qrels_tsv(qrels))


def _take(judged: QueryVotes, record: Mapping[str, Any]) -> None:
    if "better" not in record:
        if record["grade"] is None:
            judged.marks.pop(record["passage_id"], None)
        else:
            judged.marks[record["passage_id"]] = int(record["grade"])
        return
    judged.better[record["retriever"]] = record["better"]
    judged.implied = implied_passage(record["better"], record["before"], record["after"])


def implied_passage(better: Better, before: Sequence[str], after: Sequence[str]) -> str | None:
    """The passage that a vote speaks for: the highest that the better list ranks above where the other has it."""
    if better == "same":
        return None
    won, lost = (before, after) if better == "before" else (after, before)
    place = {passage: rank for rank, passage in enumerate(lost)}
    return next((passage for rank, passage in enumerate(won) if place.get(passage, len(lost)) > rank), None)


def _qrels(judged: Mapping[str, QueryVotes]) -> dict[str, Qrels]:
    marked = {query: dict(each.marks) for query, each in judged.items() if each.marks}
    voted: Qrels = {}
    for query, each in judged.items():
        grades = dict(each.marks)
        if each.implied is not None and not any(grades.values()):
            grades.setdefault(each.implied, 1)
        if grades:
            voted[query] = grades
    return {MARKED: marked, VOTED: voted}


def _drop_torn_end(log: Any) -> None:
    """Cut off a line that a kill left half written: nobody was told that it was kept."""
    log.seek(0)
    content: bytes = log.read()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        log.truncate(whole)
