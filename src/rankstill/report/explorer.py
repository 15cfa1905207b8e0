"""The queries that the page can open: what was found before and after, what is gold, what the LLM said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rankstill.data import Corpus
from rankstill.evaluation import rank_order
from rankstill.evaluation.systems import BEFORE, DISTILLED
from rankstill.report.measuring import SystemResults
from rankstill.report.showing import ID_CHARACTERS, as_json, excerpt, shorten
from rankstill.teacher import Ranking

PASSAGES = 5
"""Shown of a query, before and after."""
_QUERIES, _BYTES = 500, 3_000_000
_QUERY_CHARACTERS, _TITLE_CHARACTERS, _BODY_CHARACTERS = 500, 200, 600
_GOLD = 10  # gold passages of a query whose ranks are told


@dataclass(frozen=True)
class Explorer:
    """What the page can open.

    Args:
        data: for its script: queries, greatest gain first, and the passages that they show.
        keys: query id -> its place among the queries; only queries with details.
    """

    data: Mapping[str, Any]
    keys: Mapping[str, int]


def explore(measured: SystemResults, rankings: Sequence[Ranking]) -> Explorer:
    """Details of as many queries as the page has room for, those that changed most first.

    Args:
        rankings: the rankings of any queries; the test queries among them are shown with what the LLM said.
    """
    before, after = measured.values[BEFORE], measured.values[DISTILLED]
    ranked = {ranking.query_id: ranking for ranking in rankings}
    by_change = sorted(before, key=lambda query_id: (-abs(after[query_id] - before[query_id]), query_id))
    shelf = _PassageTable(measured.dataset.corpus)
    kept: list[tuple[str, dict[str, Any]]] = []
    size = 0
    for query_id in by_change[:_QUERIES]:
        details = _details(measured, query_id, ranked.get(query_id), shelf)
        size += _size(details)
        if size + shelf.size > _BYTES:
            break
        kept.append((query_id, details))
    kept.sort(key=lambda each: -each[1]["gain"])
    data = {
        "measure": measured.measure,
        "passages": shelf.passages,
        "queries": [details for _, details in kept],
        "shown": PASSAGES,
    }
    return Explorer(data, {query_id: key for key, (query_id, _) in enumerate(kept)})


class _PassageTable:
    """Passages, each once however many queries show it; an excerpt with its answers marked is one of its own."""

    def __init__(self, corpus: Corpus) -> None:
        self.passages: list[dict[str, Any]] = []
        self.size = 0
        self._corpus = corpus
        self._known: dict[tuple[str, tuple[str, ...]], int] = {}

    def place(self, passage_id: str, answers: tuple[str, ...]) -> int:
        """Where the passage stands among `passages`; it is put there if it is new."""
        if (passage_id, answers) not in self._known:
            title, body = "", "(not in the corpus that config.yaml names)"
            if passage_id in self._corpus:
                position = self._corpus.position(passage_id)
                title, body = self._corpus.titles[position], self._corpus.bodies[position]
            pieces, cut = excerpt(body, answers, _BODY_CHARACTERS)
            title, _ = shorten(title, _TITLE_CHARACTERS)
            passage = {"id": shorten(passage_id, ID_CHARACTERS)[0], "title": title, "text": pieces, "cut": cut}
            self._known[passage_id, answers] = len(self.passages)
            self.passages.append(passage)
            self.size += _size(passage)
        return self._known[passage_id, answers]


def _details(measured: SystemResults, query_id: str, ranking: Ranking | None, shelf: _PassageTable) -> dict[str, Any]:
    query = measured.query(query_id)
    least = measured.dataset.relevant_from
    gold = [passage_id for passage_id, grade in measured.qrels[query_id].items() if grade >= least]
    orders = {name: rank_order(measured.runs[name].get(query_id, {})) for name in (BEFORE, DISTILLED)}
    ranks = {name: {passage_id: rank for rank, passage_id in enumerate(order, 1)} for name, order in orders.items()}
    is_gold = frozenset(gold)

    def listed(name: str, other: str) -> list[list[int]]:
        return [
            [shelf.place(each, query.answers), int(each in is_gold), ranks[other].get(each, 0)]
            for each in orders[name][:PASSAGES]
        ]

    old, new = (measured.values[name][query_id] for name in (BEFORE, DISTILLED))
    said = None
    if ranking is not None:
        said = [[shelf.place(each, query.answers), int(each in is_gold)] for each in ranking.ranking[: 2 * PASSAGES]]
    return {
        "id": shorten(query_id, ID_CHARACTERS)[0],
        "text": shorten(query.text, _QUERY_CHARACTERS)[0],
        "cut": shorten(query.text, _QUERY_CHARACTERS)[1],
        "answers": [shorten(answer, ID_CHARACTERS)[0] for answer in query.answers[:PASSAGES]],
        "before": round(old, 4),
        "after": round(new, 4),
        "gain": round(new - old, 4),
        "gold": [
            [shorten(each, ID_CHARACTERS)[0], ranks[BEFORE].get(each, 0), ranks[DISTILLED].get(each, 0)]
            for each in sorted(gold, key=lambda each: ranks[DISTILLED].get(each, 10**9))[:_GOLD]
        ],
        "golds": len(gold),
        "best": [min((ranks[name][each] for each in gold if each in ranks[name]), default=0) for name in orders],
        "lists": [listed(BEFORE, DISTILLED), listed(DISTILLED, BEFORE)],
        "said": said,
    }


def _size(value: Mapping[str, Any]) -> int:
    """Bytes on the page."""
    return len(as_json(value).encode())
