"""The queries that the page can open: what each system found, what is gold, what the LLM said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from rankstill.data import Corpus
from rankstill.evaluation import rank_order
from rankstill.evaluation.systems import BEFORE, DISTILLED, UNTRAINED
from rankstill.report.measuring import SystemResults
from rankstill.report.showing import ID_CHARACTERS, as_json, excerpt, shorten
from rankstill.teacher import Ranking

PASSAGES = 5
"""Shown of a query and a system."""
_QUERIES, _BYTES = 500, 3_000_000
_PLOTTED = 200  # bytes of a query in a system's plot: a dot for each width of the page
_QUERY_CHARACTERS, _TITLE_CHARACTERS, _BODY_CHARACTERS = 500, 200, 600
_GOLD = 10  # gold passages of a query whose ranks are told


@dataclass(frozen=True)
class Explorer:
    """What the page can open.

    Args:
        data: for its script: the systems that it compares with the retriever before, the distilled retriever first;
            queries, the distilled retriever's greatest gain first; and the passages that they show.
        keys: query id -> its place among the queries; only queries with details.
    """

    data: Mapping[str, Any]
    keys: Mapping[str, int]


def explore(measured: SystemResults, rankings: Sequence[Ranking]) -> Explorer:
    """Details of as many queries as the page has room for: by turns those that each system changed most.

    Args:
        rankings: the rankings of any queries; the test queries among them are shown with what the LLM said.
    """
    before = measured.values[BEFORE]
    systems = [DISTILLED, *(name for name in measured.values if name not in (*UNTRAINED, DISTILLED))]
    ranked = {ranking.query_id: ranking for ranking in rankings}

    def by_change(system: str) -> list[str]:
        after = measured.values[system]
        return sorted(before, key=lambda query_id: (-abs(after[query_id] - before[query_id]), query_id))

    turns = zip(*map(by_change, systems), strict=True)
    most_changed = dict.fromkeys(query_id for turn in turns for query_id in turn)
    shelf = _PassageTable(measured.dataset.corpus)
    kept: list[tuple[str, dict[str, Any]]] = []
    size = 0
    for query_id in islice(most_changed, _QUERIES):
        known = len(shelf.passages)
        details = _details(measured, systems, query_id, ranked.get(query_id), shelf)
        size += _size(details) + _PLOTTED * len(systems)
        if size + shelf.size > _BYTES:
            del shelf.passages[known:]
            break
        kept.append((query_id, details))
    kept.sort(key=lambda each: -gain(each[1]))
    data = {
        "measure": measured.measure,
        "systems": systems,
        "passages": shelf.passages,
        "queries": [details for _, details in kept],
        "shown": PASSAGES,
    }
    return Explorer(data, {query_id: key for key, (query_id, _) in enumerate(kept)})


def gain(details: Mapping[str, Any]) -> float:
    """The distilled retriever's, of a query's details."""
    value: float = round(details["after"][0] - details["before"], 4)
    return value


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


def _details(
    measured: SystemResults, systems: Sequence[str], query_id: str, ranking: Ranking | None, shelf: _PassageTable
) -> dict[str, Any]:
    query = measured.query(query_id)
    least = measured.dataset.relevant_from
    gold = [passage_id for passage_id, grade in measured.qrels[query_id].items() if grade >= least]
    orders = {name: rank_order(measured.runs[name].get(query_id, {})) for name in (BEFORE, *systems)}
    ranks = {name: {passage_id: rank for rank, passage_id in enumerate(order, 1)} for name, order in orders.items()}
    is_gold = frozenset(gold)

    def listed(name: str, others: Sequence[str]) -> list[list[int]]:
        return [
            [shelf.place(each, query.answers), int(each in is_gold), *(ranks[other].get(each, 0) for other in others)]
            for each in orders[name][:PASSAGES]
        ]

    said = None
    if ranking is not None:
        said = [[shelf.place(each, query.answers), int(each in is_gold)] for each in ranking.ranking[: 2 * PASSAGES]]
    return {
        "id": shorten(query_id, ID_CHARACTERS)[0],
        "text": shorten(query.text, _QUERY_CHARACTERS)[0],
        "cut": shorten(query.text, _QUERY_CHARACTERS)[1],
        "answers": [shorten(answer, ID_CHARACTERS)[0] for answer in query.answers[:PASSAGES]],
        "before": round(measured.values[BEFORE][query_id], 4),
        "after": [round(measured.values[name][query_id], 4) for name in systems],
        "gold": [
            [shorten(each, ID_CHARACTERS)[0], *(found.get(each, 0) for found in ranks.values())]
            for each in sorted(gold, key=lambda each: ranks[DISTILLED].get(each, 10**9))[:_GOLD]
        ],
        "golds": len(gold),
        "best": [
            min((ranks[name][each] for each in gold if each in ranks[name]), default=0) for name in (BEFORE, DISTILLED)
        ],
        "lists": [listed(BEFORE, systems), *(listed(name, [BEFORE]) for name in systems)],
        "said": said,
    }


def _size(value: Mapping[str, Any]) -> int:
    """Bytes on the page."""
    return len(as_json(value).encode())
