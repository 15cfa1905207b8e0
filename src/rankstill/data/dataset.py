"""A dataset: a corpus, queries, relevance judgements, and which queries may teach."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from rankstill.data.corpus import Corpus

Qrels = dict[str, dict[str, int]]
"""Relevance grades: query id -> passage id -> grade; above 0 is relevant."""
RELEVANT_TO_JUDGE = 2
"""Of an LLM's grades, from 0 to 3, the lowest one of a passage that answers the query, as in the TREC Deep Learning
tracks: what knows relevant and not relevant alone counts from it."""


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


@dataclass(frozen=True)
class Dataset:
    """A corpus with its queries, split into those that may teach and those that measure.

    Args:
        name: for reports and model cards.
        corpus: the passages.
        queries: every query by id: training, test and unlabelled extra ones.
        train: ids of the queries that the teacher may rank and the chain may learn from.
        test: ids of the queries that measure; empty when there are no judgements.
        qrels: judgements of any query. Those of training queries check for leaks and never teach. Of several
            passages that say the same they name the first (`Corpus.first_id`).
        extra: ids of unlabelled queries, for the ranker to label.
        leaking: training queries that were kept although they leak into the test split.
        unjudged: ids of queries that neither teach nor have judgements: an LLM may judge what is found for them.
        unjudged_beside: whether these come from a file beside the dataset, so that others are no other dataset.
        judged_by: the LLM that judged the test queries, and when; empty where people did, or nobody.
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
    unjudged: tuple[str, ...] = ()
    unjudged_beside: bool = False
    judged_by: str = ""
    notes: tuple[str, ...] = ()

    @property
    def relevant_from(self) -> int:
        """The lowest grade of a test query's relevant passages, for what knows relevant and not relevant alone."""
        return RELEVANT_TO_JUDGE if self.judged_by else 1

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
        """A digest of everything the chain reads from this dataset; equal data gives equal digests.

        Unjudged queries from a file beside it are not in it: nothing is learned from them, so that others change no
        step but the search.
        """
        beside = set(self.unjudged) if self.unjudged_beside else set()
        digest = hashlib.sha256(self.corpus.fingerprint.encode())
        if self.corpus.repeats is not None:
            digest.update(b"passages that say the same are one")  # they once were not: what was made then is stale
        for query in sorted(self.queries.values(), key=lambda query: query.id):
            if query.id in beside:
                continue
            digest.update(repr((query.id, query.text, query.answers)).encode())
        digest.update(repr((self.train, self.test, self.extra)).encode())
        digest.update(repr(sorted((q, sorted(grades.items())) for q, grades in self.qrels.items())).encode())
        return digest.hexdigest()
