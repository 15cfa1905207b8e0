"""What was found, as the API tells it: passages with their ranks in every list, what is known to be relevant, votes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rankstill.datasets import Dataset, Query
from rankstill.evaluation.answers import has_answer
from rankstill.serve.schemas import LONGEST_TEXT, Gold, Passage, SearchResponse, SystemResult
from rankstill.serve.service import SystemHits
from rankstill.serve.systems import SYSTEMS, SystemName
from rankstill.serve.votes import Votes

_MOST_GOLD = 20


def search_response(
    text: str, found: Mapping[SystemName, SystemHits], k: int, dataset: Dataset, votes: Votes
) -> SearchResponse:
    """The lists of each system for a query, the best k passages of each."""
    query = votes.query(text)
    ranks = {system: {at: rank for rank, at in enumerate(each.positions, start=1)} for system, each in found.items()}
    marks = votes.marks(text)
    grades = dataset.qrels.get(query.id, {})

    def ranks_of(position: int) -> dict[str, int | None]:
        return {system: each.get(position) for system, each in ranks.items()}

    def passage(position: int, score: float) -> Passage:
        corpus = dataset.corpus
        passage_id, body = corpus.ids[position], corpus.bodies[position]
        return Passage(
            id=passage_id,
            title=corpus.titles[position],
            text=body[:LONGEST_TEXT],
            cut=len(body) > LONGEST_TEXT,
            score=score,
            relevant=_relevant(query, passage_id, body, grades),
            mark=marks.get(passage_id),
            ranks=ranks_of(position),
        )

    results = [
        SystemResult(
            system=system,
            scores=SYSTEMS[system].scores,
            milliseconds=round(each.milliseconds, 1),
            passages=[passage(*pair) for pair in list(zip(each.positions, each.scores, strict=True))[:k]],
        )
        for system, each in found.items()
    ]
    return SearchResponse(
        query=text,
        query_id=query.id if query.id in dataset.queries else None,
        gold=[
            Gold(id=passage_id, title=dataset.corpus.titles[position], ranks=ranks_of(position))
            for passage_id, position in _gold(grades, dataset)
        ],
        vote=votes.better(text),
        results=results,
    )


def example_queries(dataset: Dataset, changed: Sequence[str], count: int) -> Sequence[Query]:
    """Queries to try.

    Args:
        changed: test queries, those first that changed most; without any, queries from all over the dataset are taken.
    """
    known = [query_id for query_id in changed if query_id in dataset.queries]
    if not known:
        ids = dataset.test or dataset.train
        known = list(ids[:: max(1, len(ids) // count)])
    return [dataset.queries[query_id] for query_id in known[:count]]


def _relevant(query: Query, passage_id: str, body: str, grades: Mapping[str, int]) -> bool:
    if grades:
        return grades.get(passage_id, 0) > 0
    return bool(query.answers) and has_answer(query.answers, body)


def _gold(grades: Mapping[str, int], dataset: Dataset) -> list[tuple[str, int]]:
    relevant = [each for each, grade in grades.items() if grade > 0 and each in dataset.corpus]
    return [(each, dataset.corpus.position(each)) for each in relevant[:_MOST_GOLD]]
