"""Rankings of a teacher, one line per query. They may come from this program or from another one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from rankstill.data import Dataset
from rankstill.data.faults import Faults
from rankstill.data.fields import RecordSource, id_of
from rankstill.data.reading import read_jsonl
from rankstill.errors import DataError


@dataclass(frozen=True)
class Ranking:
    """The teacher's order of one query's passages.

    Args:
        candidates: ids of the passages that the teacher saw, in the order shown.
        ranking: ids of those that it placed, best first; shorter than `candidates` when it left some out.
        teacher: the name of the teacher, if known.
        status: how the answer was read, if known: "exact" or "repaired".
        agreement: between the shuffles in which the list was asked, mean Kendall's tau, if it was asked several times.
        prompt: the template that asked, if known.
    """

    query_id: str
    candidates: tuple[str, ...]
    ranking: tuple[str, ...]
    teacher: str | None = None
    status: str | None = None
    agreement: float | None = None
    prompt: str | None = None

    @property
    def unranked(self) -> tuple[str, ...]:
        """The candidates that the teacher did not place, in the order shown."""
        placed = set(self.ranking)
        return tuple(each for each in self.candidates if each not in placed)

    @property
    def weight(self) -> float:
        """Weight in the ranker's loss: how far the teacher agrees with itself. 1 if asked once; never below 0."""
        return 1.0 if self.agreement is None else max(0.0, self.agreement)


def read_rankings(path: Path, dataset: Dataset) -> tuple[list[Ranking], list[str]]:
    """Read the recorded rankings of the queries that may teach.

    Of several passages that say the same, a ranking then holds the first of the corpus, at the best rank of any.

    Args:
        path: a rankings.jsonl: {"query_id", "candidates": [ids as shown], "ranking": [ids, best first], ...} a line.
        dataset: the dataset whose queries and passages the ids name.

    Returns:
        The rankings in the file's order, and notes: rankings that were left aside, counted and named.

    Raises:
        DataError: lines are broken, name passages that the corpus does not have, or do not rank their candidates.
    """
    may_teach = set(dataset.train)
    rankings: list[Ranking] = []
    unknown_queries: list[str] = []
    not_training: list[str] = []
    one_text: list[str] = []
    seen: dict[str, int] = {}
    if not path.is_file():
        raise DataError(
            f"rankings file {path}: there is no such file. Set teacher.rankings to your "
            "rankings.jsonl, or have an LLM asked: teacher.kind: api and teacher.model, or local (docs/teacher.md)."
        )
    faults = Faults()
    for number, ranking in faults.each(read_jsonl(path), partial(_parse, path)):
        if ranking.query_id in seen:
            faults.add(
                number,
                f"{path.name}, line {number}: query {ranking.query_id} is ranked twice (first on line "
                f"{seen[ranking.query_id]}). Keep one ranking a query.",
            )
            continue
        seen[ranking.query_id] = number
        if ranking.query_id not in dataset.queries:
            unknown_queries.append(ranking.query_id)
        elif ranking.query_id not in may_teach:
            not_training.append(ranking.query_id)
        elif unknown := [each for each in ranking.candidates if each not in dataset.corpus]:
            faults.add(
                number,
                f"{path.name}, line {number}: query {ranking.query_id} has candidates that the corpus does not have "
                f"({_few(unknown)}). Use the corpus that the rankings were made on.",
            )
        else:
            candidates, order = (
                tuple(dict.fromkeys(map(dataset.corpus.first_id, ids))) for ids in (ranking.candidates, ranking.ranking)
            )
            if len(candidates) < 2:
                one_text.append(ranking.query_id)
            else:
                rankings.append(replace(ranking, candidates=candidates, ranking=order))
    faults.stop()
    aside = {
        "for queries that the dataset does not have": unknown_queries,
        "for queries that may not teach (in the test split, held out, or dropped because they leak)": not_training,
        "whose candidates all say the same": one_text,
    }
    notes = [f"{path.name}: {len(ids):,} rankings {why} left aside ({_few(ids)})" for why, ids in aside.items() if ids]
    return rankings, notes


def write_rankings(rankings: Sequence[Ranking], path: Path) -> None:
    """Write rankings as JSON lines that `read_rankings` reads."""
    with path.open("w", encoding="utf-8") as file:
        for ranking in rankings:
            fields = {name: value for name, value in ranking.__dict__.items() if value is not None}
            file.write(json.dumps(fields, ensure_ascii=False) + "\n")


def _parse(path: Path, record: Mapping[str, Any], number: int) -> Ranking:
    where = f"{path.name}, line {number}"
    place = RecordSource(path.name)
    lists = [record.get(name) for name in ("candidates", "ranking")]
    if "query_id" not in record or not all(isinstance(ids, list) for ids in lists):
        found = ", ".join(f'"{name}"' for name in record) or "nothing"
        raise DataError(f'{where}: needs "query_id", "candidates" and "ranking" (lists of ids); found {found}.')
    candidates, order = (
        tuple(id_of({name: each}, name, place, number) for each in record[name]) for name in ("candidates", "ranking")
    )
    ranking = Ranking(
        query_id=id_of(record, "query_id", place, number),
        candidates=candidates,
        ranking=order,
        teacher=record.get("teacher"),
        status=record.get("status"),
        agreement=_agreement(record, where),
        prompt=record.get("prompt"),
    )
    invented = [each for each in ranking.ranking if each not in set(ranking.candidates)]
    if invented:
        raise DataError(
            f"{where}: query {ranking.query_id} ranks {_few(invented)}, not among its candidates. "
            "A ranking must be a permutation of its candidates, or of a part of them."
        )
    for name, ids in (("candidates", ranking.candidates), ("ranking", ranking.ranking)):
        if len(set(ids)) != len(ids):
            repeated = sorted({each for each in ids if ids.count(each) > 1})
            raise DataError(
                f"{where}: query {ranking.query_id} names {_few(repeated)} more than once in its {name}. "
                "A ranking must be a permutation of its candidates, or of a part of them."
            )
    if len(ranking.candidates) < 2 or not ranking.ranking:
        raise DataError(f"{where}: query {ranking.query_id} ranks fewer than two candidates. Take the line out.")
    return ranking


def _agreement(record: Mapping[str, Any], where: str) -> float | None:
    value = record.get("agreement")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1 <= value <= 1:
        raise DataError(f"{where}: agreement is {value!r}; it must be a number from -1 to 1, or left out.")
    return float(value)


def _few(ids: Sequence[str]) -> str:
    return ", ".join(ids[:3]) + (", ..." if len(ids) > 3 else "")
