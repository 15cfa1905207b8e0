"""What the chain works on: a corpus, queries, relevance judgements, and which queries may teach."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

Qrels = dict[str, dict[str, int]]
"""Relevance grades: query id -> passage id -> grade; above 0 is relevant."""


@dataclass(frozen=True)
class Query:
    """One query.

    Args:
        id: the query's id, unique in its dataset.
        text: what the user typed.
        answers: accepted short answers, for question answering; often none.
    """

    id: str
    text: str
    answers: tuple[str, ...] = ()


class Corpus:
    """Passages in a fixed order, found by position or by id."""

    def __init__(self, ids: Sequence[str], titles: Sequence[str], texts: Sequence[str]) -> None:
        """Takes columns of equal length; ids must be unique (the loaders check and name the offender)."""
        self.ids = list(ids)
        self.titles = list(titles)
        self.bodies = list(texts)
        self._position = {passage_id: position for position, passage_id in enumerate(self.ids)}
        if not len(self.ids) == len(self.titles) == len(self.bodies) == len(self._position):
            raise ValueError("a corpus needs one title and one text per unique id")

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, passage_id: str) -> bool:
        return passage_id in self._position

    def position(self, passage_id: str) -> int:
        """Where the passage stands in the corpus; KeyError if it is not there."""
        return self._position[passage_id]

    def text(self, position: int) -> str:
        """The passage as models see it: its title, a space, its body."""
        title, body = self.titles[position], self.bodies[position]
        return f"{title} {body}" if title else body

    def texts(self, positions: Iterable[int] | None = None) -> list[str]:
        """The passages at these positions as models see them; all of them when none are named."""
        return [self.text(position) for position in (range(len(self)) if positions is None else positions)]


@dataclass(frozen=True)
class Dataset:
    """A corpus with its queries, split into those that may teach and those that measure.

    Args:
        name: for reports and model cards.
        corpus: the passages.
        queries: every query by id: training, test and unlabelled extra ones.
        train: ids of the queries that the teacher may rank and the chain may learn from.
        test: ids of the queries that measure; empty when there are no judgements.
        qrels: judgements of any query. Those of training queries check for leaks and never teach.
        extra: ids of unlabelled queries, for the ranker to label.
        leaking: training queries that were kept although they leak into the test split.
        notes: what loading found and changed, one counted and named line each, for the log and the report.
    """

    name: str
    corpus: Corpus
    queries: Mapping[str, Query]
    train: tuple[str, ...]
    test: tuple[str, ...] = ()
    qrels: Qrels = field(default_factory=dict)
    extra: tuple[str, ...] = ()
    leaking: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def texts_of(self, query_ids: Iterable[str]) -> list[str]:
        """The texts of these queries, in their order."""
        return [self.queries[query_id].text for query_id in query_ids]

    def test_qrels(self) -> Qrels:
        """Judgements of the test queries alone."""
        return {query_id: self.qrels[query_id] for query_id in self.test}

    def with_notes(self, *notes: str) -> Dataset:
        """The same dataset with further notes."""
        return replace(self, notes=(*self.notes, *notes))

    def fingerprint(self) -> str:
        """A digest of everything the chain reads from this dataset; equal data gives equal digests."""
        digest = hashlib.sha256()
        for column in (self.corpus.ids, self.corpus.titles, self.corpus.bodies):
            for value in column:
                digest.update(value.encode() + b"\0")
        for query in sorted(self.queries.values(), key=lambda query: query.id):
            digest.update(repr((query.id, query.text, query.answers)).encode())
        digest.update(repr((self.train, self.test, self.extra)).encode())
        digest.update(repr(sorted((q, sorted(grades.items())) for q, grades in self.qrels.items())).encode())
        return digest.hexdigest()
