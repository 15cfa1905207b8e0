"""The teacher's rankings summed up for the report, with a few of them to look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rankstill.data import Dataset
from rankstill.evaluation import Comparison, Run, compare, per_query
from rankstill.evaluation.runs import descending
from rankstill.report.showing import excerpt
from rankstill.teacher import Ranking, read_rankings

_EXAMPLES, _PASSAGES, _BODY_CHARACTERS, _NAMES = 6, 10, 240, 8
_MEASURE = "nDCG@10"


@dataclass(frozen=True)
class RankedPassage:
    """A passage in the LLM's order.

    Args:
        text: the beginning of the passage's text.
        shown: its place in the prompt, from 1.
    """

    title: str
    text: str
    shown: int
    gold: bool


@dataclass(frozen=True)
class Example:
    """One ranking to look at.

    Args:
        query: the query's text.
        gain: of the LLM's order over the order shown, in nDCG@10; None without judgements.
        placed: the LLM's order, best first.
        left: candidates that it did not place.
    """

    query: str
    gain: float | None
    placed: tuple[RankedPassage, ...]
    left: int


@dataclass(frozen=True)
class TeacherSummary:
    """A summary of the rankings that taught.

    Args:
        partial: lists that do not place all their candidates.
        teachers: names, as far as the rankings say, with how many lists.
        statuses: how answers were read, as far as the rankings say.
        agreement: mean over the lists that tell it; None if none does.
        against_shown: nDCG@10 of the order shown and of the LLM's, on judged training queries; None without any.
    """

    lists: int
    shortest: int
    longest: int
    partial: int
    teachers: Mapping[str, int]
    statuses: Mapping[str, int]
    agreement: float | None
    against_shown: Comparison | None
    examples: tuple[Example, ...]


def read_all_rankings(path: Path, dataset: Dataset) -> list[Ranking]:
    """The rankings in a file, of whatever queries the dataset has."""
    rankings, _ = read_rankings(path, replace(dataset, train=tuple(dataset.queries)))
    return rankings


def summarise_rankings(
    rankings: Sequence[Ranking], dataset: Dataset, seed: int, resamples: int
) -> TeacherSummary | None:
    """Sum up the rankings that taught; None if there are none."""
    if not rankings:
        return None
    agreements = [each.agreement for each in rankings if each.agreement is not None]
    gains, found = _against_shown(rankings, dataset, seed, resamples)
    return TeacherSummary(
        lists=len(rankings),
        shortest=min(len(each.candidates) for each in rankings),
        longest=max(len(each.candidates) for each in rankings),
        partial=sum(bool(each.unranked) for each in rankings),
        teachers=_counted(each.teacher for each in rankings),
        statuses=_counted(each.status for each in rankings),
        agreement=sum(agreements) / len(agreements) if agreements else None,
        against_shown=found,
        examples=tuple(_example(each, dataset, gains.get(each.query_id)) for each in _telling(rankings, gains)),
    )


def _counted(names: Iterable[str | None]) -> dict[str, int]:
    """The most frequent ones; a file from anywhere may name as many as it has lines."""
    return dict(Counter(name for name in names if name).most_common(_NAMES))


def _against_shown(
    rankings: Sequence[Ranking], dataset: Dataset, seed: int, resamples: int
) -> tuple[dict[str, float], Comparison | None]:
    judged = {each.query_id: dataset.qrels.get(each.query_id, {}) for each in rankings}
    qrels = {query_id: grades for query_id, grades in judged.items() if any(grade > 0 for grade in grades.values())}
    if not qrels:
        return {}, None
    shown: Run = {each.query_id: descending(each.candidates) for each in rankings}
    told: Run = {each.query_id: descending((*each.ranking, *each.unranked)) for each in rankings}
    old, new = (per_query(run, qrels, [_MEASURE])[_MEASURE] for run in (shown, told))
    return {each: new[each] - old[each] for each in qrels}, compare(
        list(old.values()), list(new.values()), seed, resamples
    )


def _telling(rankings: Sequence[Ranking], gains: Mapping[str, float]) -> list[Ranking]:
    """The rankings where the LLM gained most and lost most; the first ones if there are no judgements."""
    judged = sorted((each for each in rankings if each.query_id in gains), key=lambda each: -gains[each.query_id])
    chosen = [*judged[: _EXAMPLES // 2], *judged[_EXAMPLES // 2 :][-(_EXAMPLES // 2) :]]
    return chosen or list(rankings[:_EXAMPLES])


def _example(ranking: Ranking, dataset: Dataset, gain: float | None) -> Example:
    corpus, grades = dataset.corpus, dataset.qrels.get(ranking.query_id, {})
    place = {each: number for number, each in enumerate(ranking.candidates, 1)}
    placed = []
    for each in ranking.ranking[:_PASSAGES]:
        position = corpus.position(each)
        (text,), cut = excerpt(corpus.bodies[position], (), _BODY_CHARACTERS)
        title, gold = corpus.titles[position], grades.get(each, 0) > 0
        placed.append(RankedPassage(title, text + ("…" if cut else ""), place[each], gold))
    return Example(dataset.queries[ranking.query_id].text, gain, tuple(placed), len(ranking.unranked))
