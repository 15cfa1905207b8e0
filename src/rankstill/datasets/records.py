"""From raw records to a checked Dataset, the same way for every source.

A source yields numbered mappings with BEIR's field names (`_id`, `title`, `text`; `query-id`, `corpus-id`, `score`).
What cannot be used stops with an error that names the place; what can be left out is counted and named in a note.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rankstill.datasets.corpus import Corpus, CorpusWriter
from rankstill.datasets.dataset import Dataset, Qrels, Query
from rankstill.datasets.reading import kind_of
from rankstill.errors import DataError

Rows = Iterable[tuple[int, Mapping[str, Any]]]
"""Records with their number in the source, from 1."""

_GRADE = re.compile(r"[+-]?[0-9]{1,9}(\.0+)?")
_EXAMPLES = 3
MERGE = "or set dataset.merge_duplicates: true to keep the first."


@dataclass(frozen=True)
class Place:
    """Where records come from, for messages.

    Args:
        name: the file or table.
        unit: what its records are: "line", "row", "entry".
        then: a second file that the records go on in, with how many came before it.
    """

    name: str
    unit: str = "line"
    then: tuple[int, str] | None = None

    def at(self, number: int) -> str:
        """The place of record `number`, for the head of a message."""
        name, own_number = self._own(number)
        return f"{name}, {self.unit} {own_number}"

    def earlier(self, number: int, later: int) -> str:
        """The place of an earlier record, said shortly when it lies in the same file as the later one."""
        name, own_number = self._own(number)
        inside = "" if name == self._own(later)[0] else f"in {name}, "
        return f"{inside}on {self.unit} {own_number}"

    def _own(self, number: int) -> tuple[str, int]:
        if self.then and number > self.then[0]:
            return self.then[1], number - self.then[0]
        return self.name, number


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


def _twice(kind: str, record_id: str, place: Place, earlier: int, number: int) -> DataError:
    return DataError(
        f'{place.at(number)}: "_id" {record_id} appears twice (first {place.earlier(earlier, number)}). Give each '
        f"{kind} its own id, {MERGE}"
    )


def gather_passages(rows: Rows, place: Place, merge_duplicates: bool = False) -> tuple[Corpus, tuple[str, ...]]:
    """Checks passages and puts them into a corpus, in their order.

    Args:
        rows: records with `_id`, `text` and, if they have one, `title`.
        place: where they come from.
        merge_duplicates: keep the first of several passages with one id instead of stopping.

    Returns:
        The corpus, and notes on what was left out.

    Raises:
        DataError: a missing field, a bad or repeated id, or no passage at all.
    """
    writer, numbers, empty, repeated = CorpusWriter(), array("q"), Tally(), Tally()
    for number, record in rows:
        passage_id = id_of(record, "_id", place, number)
        title, text = text_of(record, "title", place, number), text_of(record, "text", place, number, required=True)
        if not title.strip() and not text.strip():
            empty.add(f"{passage_id} ({place.unit} {number})")
            continue
        writer.add(passage_id, title, text)
        numbers.append(number)
    corpus = Corpus.written(writer)
    if not numbers:
        raise DataError(f"{place.name}: no passage in it that has text. Check that this is the corpus.")
    again = corpus.repeated().tolist()
    for row, first in again:
        if not merge_duplicates:
            raise _twice("passage", corpus.ids[row], place, numbers[first], numbers[row])
        repeated.add(f"{corpus.ids[row]} ({place.unit} {numbers[row]})")
    if again:
        dropped = {row for row, _ in again}
        kept = [row for row in range(len(corpus)) if row not in dropped]
        corpus = corpus.part(kept)
    notes = (
        *empty.note(f"{place.name}: {{n}} empty passages were left out"),
        *repeated.note(f"{place.name}: {{n}} passages repeat an id and only the first of each was kept"),
    )
    return corpus, notes


def gather_queries(
    rows: Rows, place: Place, merge_duplicates: bool = False
) -> tuple[dict[str, Query], tuple[str, ...]]:
    """Checks queries and puts them into a dictionary by id, in their order.

    Args:
        rows: records with `_id`, `text` and, if they have any, `answers` (or `metadata.answers`).
        place: where they come from.
        merge_duplicates: keep the first of several queries with one id instead of stopping.

    Returns:
        The queries, and notes on what was left out.

    Raises:
        DataError: a missing field, a bad or repeated id, or answers that are no list of strings.
    """
    queries: dict[str, Query] = {}
    numbers: dict[str, int] = {}
    empty, repeated = Tally(), Tally()
    for number, record in rows:
        query_id = id_of(record, "_id", place, number)
        text = text_of(record, "text", place, number, required=True)
        if not text.strip():
            empty.add(f"{query_id} ({place.unit} {number})")
        elif query_id not in queries:
            numbers[query_id] = number
            queries[query_id] = Query(query_id, text, _answers_of(record, place, number))
        elif merge_duplicates:
            repeated.add(f"{query_id} ({place.unit} {number})")
        else:
            raise _twice("query", query_id, place, numbers[query_id], number)
    notes = (
        *empty.note(f"{place.name}: {{n}} empty queries were left out"),
        *repeated.note(f"{place.name}: {{n}} queries repeat an id and only the first of each was kept"),
    )
    return queries, notes


def gather_qrels(
    rows: Rows, place: Place, queries: Container[str], corpus: Corpus, merge_duplicates: bool = False
) -> tuple[Qrels, tuple[str, ...]]:
    """Checks judgements and leaves out those that name a query or passage that is not there.

    Args:
        rows: records with `query-id`, `corpus-id` and `score`, a whole number; above 0 is relevant.
        place: where they come from.
        queries: the ids of the queries that exist.
        corpus: the passages that exist.
        merge_duplicates: keep the first of two different grades for one pair instead of stopping.

    Returns:
        The judgements, with an entry (perhaps an empty one) for every query that they name and that exists; and notes
        on what was left out.

    Raises:
        DataError: a missing field, a bad grade, or two different grades for one pair.
    """
    qrels: Qrels = {}
    unknown_queries, unknown_passages, repeated = Tally(), Tally(), Tally()
    for number, record in rows:
        query_id, passage_id = (id_of(record, key, place, number) for key in ("query-id", "corpus-id"))
        grade = _grade_of(record, place, number)
        if query_id not in queries:
            unknown_queries.add(f"{query_id} ({place.unit} {number})")
            continue
        grades = qrels.setdefault(query_id, {})
        if passage_id not in corpus:
            unknown_passages.add(f"{passage_id} ({place.unit} {number})")
        elif grades.setdefault(passage_id, grade) != grade:
            if not merge_duplicates:
                raise DataError(
                    f"{place.at(number)}: query {query_id} and passage {passage_id} get grade {grade}, but "
                    f"{grades[passage_id]} before. Keep one of the two, {MERGE}"
                )
            repeated.add(f"{query_id} and {passage_id} ({place.unit} {number})")
    notes = (
        *unknown_queries.note(f"{place.name}: {{n}} judgements of unknown queries were left out"),
        *unknown_passages.note(f"{place.name}: {{n}} judgements of unknown passages were left out"),
        *repeated.note(f"{place.name}: {{n}} judgements contradict an earlier one, which was kept"),
    )
    return qrels, notes


def digest_id(prefix: str, *content: str) -> str:
    """An id made from content: equal content gives the equal id on every machine."""
    return f"{prefix}-{hashlib.sha256(chr(0).join(content).encode()).hexdigest()[:16]}"


def check_id(value: str, what: str, where: str) -> str:
    """The id itself, when TREC's files and qrels can hold it.

    Raises:
        DataError: it is empty, has white space in it, or is not valid Unicode.
    """
    if not value.strip():
        raise DataError(f"{where}: {what} is empty. Give every record an id of its own.")
    if value.split() != [value]:
        raise DataError(f"{where}: {what} {value!r} has white space in it, which ends a column in qrels. Replace it.")
    _check_unicode(value, what, where)
    return value


def id_of(record: Mapping[str, Any], key: str, place: Place, number: int) -> str:
    """The id in this field; whole numbers are taken as their digits.

    Raises:
        DataError: the field is missing or holds no usable id.
    """
    value = _required(record, key, place, number)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise DataError(f'{place.at(number)}: "{key}" must be a string, not {kind_of(value)}.')
    return check_id(value, f'"{key}"', place.at(number))


def text_of(record: Mapping[str, Any], key: str, place: Place, number: int, required: bool = False) -> str:
    """The text in this field, "" for null, and for a missing field unless it is required.

    Raises:
        DataError: the field is missing and required, holds something else than text, or is not valid Unicode.
    """
    value = _required(record, key, place, number) if required else record.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise DataError(f'{place.at(number)}: "{key}" must be a string, not {kind_of(value)}.')
    _check_unicode(value, f'"{key}"', place.at(number))
    return value


def _check_unicode(value: str, what: str, where: str) -> None:
    # JSON can spell half of a surrogate pair; no file, tokenizer or digest takes it later.
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{where}: {what} holds half a surrogate pair (\\u{ord(value[error.start]):04x}). Remove or replace it."
        ) from error


def _required(record: Mapping[str, Any], key: str, place: Place, number: int) -> Any:
    if key not in record:
        found = ", ".join(f'"{name}"' for name in record) or "nothing"
        raise DataError(f'{place.at(number)}: no field "{key}" (found {found}). Add it, or rename the one that has it.')
    return record[key]


def _answers_of(record: Mapping[str, Any], place: Place, number: int) -> tuple[str, ...]:
    metadata = record.get("metadata")
    answers = record.get("answers")
    if answers is None and isinstance(metadata, Mapping):
        answers = metadata.get("answers")
    if answers is None:
        return ()
    if not isinstance(answers, (list, tuple)) or not all(isinstance(answer, str) for answer in answers):
        raise DataError(f'{place.at(number)}: "answers" must be a list of strings, such as ["Paris"].')
    for answer in answers:
        _check_unicode(answer, '"answers"', place.at(number))
    return tuple(answers)


def _grade_of(record: Mapping[str, Any], place: Place, number: int) -> int:
    value = _required(record, "score", place, number)
    if isinstance(value, bool) or not _GRADE.fullmatch(str(value)):
        raise DataError(
            f"{place.at(number)}: the grade {value!r} is not a whole number. Grades are 0 (not relevant), 1, 2, ..."
        )
    return int(float(value))


@dataclass(frozen=True)
class Parts:
    """What a source gives, checked on its own and not yet split.

    Args:
        name: the dataset's name.
        corpus: the passages.
        queries: every query by id.
        train: judgements of the queries that may teach, an entry for each; None when no split says which they are.
        test: judgements of the queries that measure; None when there are none.
        notes: what loading found so far.
    """

    name: str
    corpus: Corpus
    queries: Mapping[str, Query]
    train: Qrels | None
    test: Qrels | None
    notes: tuple[str, ...] = ()


def assemble(parts: Parts, merge_same_text: bool = False) -> Dataset:
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
    )
    measured = {q: judged_test[q] for q in test}
    judged = {**judged_test, **(train_qrels or {}), **measured}
    qrels = {q: dict(grades) for q, grades in judged.items() if grades}
    corpus = parts.corpus.merged() if merge_same_text else parts.corpus
    return Dataset(parts.name, corpus, parts.queries, train, test, qrels, notes=notes)


def _judged_as_one(parts: Parts, merged: bool) -> tuple[Qrels | None, Qrels | None, tuple[str, ...]]:
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
