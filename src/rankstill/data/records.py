"""From raw records to a checked Dataset, the same way for every source.

A source yields numbered mappings with BEIR's field names (`_id`, `title`, `text`; `query-id`, `corpus-id`, `score`), or
with names that `fields` takes for them. What cannot be used stops with an error that names the places of up to ten such
records; what can be left out is counted and named in a note.
"""

from __future__ import annotations

from array import array
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rankstill.data.corpus import Corpus, CorpusWriter
from rankstill.data.dataset import Dataset, Qrels, Query
from rankstill.data.faults import Faults
from rankstill.data.fields import (
    JUDGEMENT_NAMES,
    PASSAGE_NAMES,
    QUERY_NAMES,
    RecordSource,
    Renaming,
    answers_of,
    grade_of,
    id_of,
    text_of,
)
from rankstill.errors import DataError

Rows = Iterable[tuple[int, Mapping[str, Any]]]
"""Records with their number in the source, from 1."""

_EXAMPLES = 3
MERGE = "or set dataset.merge_duplicates: true to keep the first."


@dataclass
class Tally:
    """Counts one kind of finding and remembers the first few, for a note."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, example: str) -> None:
        """Counts one more."""
        self.count += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(example)

    def note(self, what: str) -> tuple[str, ...]:
        """The note as a tuple of one, or of none when nothing was counted; `{n}` in `what` stands for the count."""
        if not self.count:
            return ()
        named = ", ".join(self.examples) + (", ..." if self.count > len(self.examples) else ".")
        return (f"{what.replace('{n}', f'{self.count:,}')}: {named}",)


def tally(names: Iterable[str]) -> Tally:
    """Counts all of these."""
    found = Tally()
    for name in names:
        found.add(name)
    return found


def _twice(kind: str, record_id: str, place: RecordSource, earlier: int, number: int) -> str:
    return (
        f'{place.at(number)}: "_id" {record_id} appears twice (first {place.earlier(earlier, number)}). Give each '
        f"{kind} its own id, {MERGE}"
    )


def gather_passages(rows: Rows, place: RecordSource, merge_duplicates: bool = False) -> tuple[Corpus, tuple[str, ...]]:
    """Checks passages and puts them into a corpus, in their order.

    Args:
        rows: records with `_id`, `text` and, if they have one, `title`.
        merge_duplicates: keep the first of several passages with one id instead of stopping.

    Returns:
        The corpus, and notes on what was left out.

    Raises:
        DataError: a missing field, a bad or repeated id, or no passage at all.
    """
    writer, numbers, empty, repeated = CorpusWriter(), array("q"), Tally(), Tally()
    faults, renaming, composed = Faults(), Renaming(PASSAGE_NAMES), Tally()

    def parse(record: Mapping[str, Any], number: int) -> tuple[str, str, str]:
        record = renaming(record)
        passage_id = id_of(record, "_id", place, number)
        title, text = text_of(record, "title", place, number), text_of(record, "text", place, number, required=True)
        if passage_id != str(record["_id"]):
            composed.add(f"{passage_id} ({place.unit} {number})")
        return passage_id, title, text

    for number, (passage_id, title, text) in faults.each(rows, parse):
        if not title.strip() and not text.strip():
            empty.add(f"{passage_id} ({place.unit} {number})")
            continue
        writer.add(passage_id, title, text)
        numbers.append(number)
    corpus = Corpus.written(writer)
    if not merge_duplicates:
        for row, first in corpus.repeated().tolist():
            faults.add(numbers[row], _twice("passage", corpus.ids[row], place, numbers[first], numbers[row]))
    faults.stop()
    if not numbers:
        raise DataError(f"{place.name}: no passage in it has text. Check that this is the corpus.")
    again = corpus.repeated().tolist()
    for row, _ in again:
        repeated.add(f"{corpus.ids[row]} ({place.unit} {numbers[row]})")
    if again:
        dropped = {row for row, _ in again}
        kept = [row for row in range(len(corpus)) if row not in dropped]
        corpus = corpus.select(kept)
    notes = (
        *renaming.notes(place.name),
        *composed.note(f"{place.name}: {{n}} ids are now in Unicode's composed form (NFC)"),
        *empty.note(f"{place.name}: {{n}} empty passages were left out"),
        *repeated.note(f"{place.name}: {{n}} passages repeat an id and only the first of each was kept"),
    )
    return corpus, notes


def gather_queries(
    rows: Rows, place: RecordSource, merge_duplicates: bool = False
) -> tuple[dict[str, Query], tuple[str, ...]]:
    """Checks queries and puts them into a dictionary by id, in their order.

    Args:
        rows: records with `_id`, `text` and, if they have any, `answers` (or `metadata.answers`).
        merge_duplicates: keep the first of several queries with one id instead of stopping.

    Returns:
        The queries, and notes on what was left out.

    Raises:
        DataError: a missing field, a bad or repeated id, or answers that are no list of strings.
    """
    queries: dict[str, Query] = {}
    numbers: dict[str, int] = {}
    empty, repeated = Tally(), Tally()
    faults, renaming, composed = Faults(), Renaming(QUERY_NAMES), Tally()

    def parse(record: Mapping[str, Any], number: int) -> Query:
        record = renaming(record)
        query_id = id_of(record, "_id", place, number)
        text = text_of(record, "text", place, number, required=True)
        if query_id != str(record["_id"]):
            composed.add(f"{query_id} ({place.unit} {number})")
        return Query(query_id, text, answers_of(record, place, number))

    for number, query in faults.each(rows, parse):
        query_id = query.id
        if not query.text.strip():
            empty.add(f"{query_id} ({place.unit} {number})")
        elif query_id not in queries:
            numbers[query_id] = number
            queries[query_id] = query
        elif merge_duplicates:
            repeated.add(f"{query_id} ({place.unit} {number})")
        else:
            faults.add(number, _twice("query", query_id, place, numbers[query_id], number))
    faults.stop()
    notes = (
        *renaming.notes(place.name),
        *composed.note(f"{place.name}: {{n}} ids are now in Unicode's composed form (NFC)"),
        *empty.note(f"{place.name}: {{n}} empty queries were left out"),
        *repeated.note(f"{place.name}: {{n}} queries repeat an id and only the first of each was kept"),
    )
    return queries, notes


def gather_qrels(
    rows: Rows, place: RecordSource, queries: Container[str], corpus: Container[str]
) -> tuple[Qrels, tuple[str, ...]]:
    """Checks judgements and leaves out those that name a query or passage that is not there.

    Of several grades for one pair the highest counts: assessors differ, and one of them found it relevant.

    Args:
        rows: records with `query-id`, `corpus-id` and `score`, a whole number; above 0 is relevant.

    Returns:
        The judgements, with an entry (perhaps an empty one) for every query that they name and that exists; and notes
        on what was left out.

    Raises:
        DataError: missing fields or bad grades.
    """
    qrels: Qrels = {}
    unknown_queries, unknown_passages, differing = Tally(), Tally(), Tally()
    faults, renaming = Faults(), Renaming(JUDGEMENT_NAMES)

    def parse(record: Mapping[str, Any], number: int) -> tuple[str, str, int]:
        record = renaming(record)
        query_id, passage_id = (id_of(record, key, place, number) for key in ("query-id", "corpus-id"))
        return query_id, passage_id, grade_of(record, place, number)

    for number, (query_id, passage_id, grade) in faults.each(rows, parse):
        if query_id not in queries:
            unknown_queries.add(f"{query_id} ({place.unit} {number})")
            continue
        grades = qrels.setdefault(query_id, {})
        if passage_id not in corpus:
            unknown_passages.add(f"{passage_id} ({place.unit} {number})")
        elif grades.setdefault(passage_id, grade) != grade:
            differing.add(f"{query_id} and {passage_id} ({place.unit} {number})")
            grades[passage_id] = max(grades[passage_id], grade)
    faults.stop()
    notes = (
        *renaming.notes(place.name),
        *unknown_queries.note(f"{place.name}: {{n}} judgements of unknown queries were left out"),
        *unknown_passages.note(f"{place.name}: {{n}} judgements of unknown passages were left out"),
        *differing.note(f"{place.name}: {{n}} judgements differ from an earlier one of the pair; the highest counts"),
    )
    return qrels, notes


@dataclass(frozen=True)
class RawDataset:
    """What a source gives, checked on its own and not yet split.

    Args:
        train: judgements of the queries that may teach, an entry for each; None when no split says which they are.
        test: judgements of the queries that measure; None when there are none.
    """

    name: str
    corpus: Corpus
    queries: Mapping[str, Query]
    train: Qrels | None
    test: Qrels | None
    notes: tuple[str, ...] = ()


def assemble(parts: RawDataset, merge_same_text: bool = False) -> Dataset:
    """Splits the queries into those that teach and those that measure, and says what fell out.

    Judgements of a passage that says the same as an earlier one become judgements of that one.

    A test query without a relevant passage in the corpus measures nothing and is left out. Where no split says which
    queries may teach, all that the test split does not name do. A query of both splits keeps its test judgements.
    """
    train_qrels, test_qrels, same_notes = _judged_as_one(parts, merge_same_text)
    judged_test = test_qrels or {}
    test = tuple(q for q in parts.queries if any(grade > 0 for grade in judged_test.get(q, {}).values()))
    measuring = frozenset(test)
    if train_qrels is None:
        train = tuple(q for q in parts.queries if q not in judged_test)
        unused = Tally()
    else:
        train = tuple(q for q in parts.queries if q in train_qrels)
        unused = tally(q for q in parts.queries if q not in train_qrels and q not in judged_test)
    goldless = tally(q for q in judged_test if q not in measuring)
    both = tally(q for q in train if q in measuring)
    answered = any(query.answers for query_id, query in parts.queries.items() if query_id not in train)
    notes = (
        *parts.notes,
        *same_notes,
        *goldless.note(f"{parts.name}: {{n}} test queries have no relevant passage in the corpus and do not measure"),
        *unused.note(
            f"{parts.name}: {{n}} queries are in neither split and are not used "
            "(in a BEIR folder, splits/train.txt says which may teach)"
        ),
        *both.note(f"{parts.name}: {{n}} queries are in both splits and keep their test judgements alone"),
        *(() if train else (f"{parts.name}: no query may teach.",)),
        *(
            ()
            if parts.test is None or test or answered
            else (f"{parts.name}: no test query is judged; there are no judgements to measure by.",)
        ),
    )
    measured = {q: judged_test[q] for q in test}
    judged = {**judged_test, **(train_qrels or {}), **measured}
    qrels = {q: dict(grades) for q, grades in judged.items() if grades}
    corpus = parts.corpus.merged() if merge_same_text else parts.corpus
    return Dataset(parts.name, corpus, parts.queries, train, test, qrels, notes=notes)


def _judged_as_one(parts: RawDataset, merged: bool) -> tuple[Qrels | None, Qrels | None, tuple[str, ...]]:
    """The judgements of both splits, of several passages that say the same as one of the first; and notes."""
    corpus = parts.corpus
    same = tally(f"{corpus.ids[row]} (as {corpus.ids[first]})" for row, first in corpus.same_text.tolist())
    if not same.count:
        return parts.train, parts.test, ()
    differing = Tally()

    def as_one(qrels: Qrels | None) -> Qrels | None:
        if qrels is None:
            return None
        found: Qrels = {}
        for query_id, grades in qrels.items():
            own = found[query_id] = {}
            for passage_id, grade in grades.items():
                first = corpus.first_id(passage_id)
                if own.setdefault(first, grade) != grade:
                    differing.add(f"{query_id} and {first}")
                    own[first] = max(own[first], grade)
        return found

    train, test = as_one(parts.train), as_one(parts.test)
    done = "were left out" if merged else "count as one with it; dataset.merge_same_text: true leaves them out"
    notes = (
        *same.note(f"{parts.name}: {{n}} passages say the same as another and {done}"),
        *differing.note(f"{parts.name}: {{n}} judgements of passages that say the same differ; the highest counts"),
    )
    return train, test, notes
