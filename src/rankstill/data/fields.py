"""The fields of a record: their names, and what each may hold. Messages name the place."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rankstill.data.reading import kind_of
from rankstill.errors import DataError

_GRADE = re.compile(r"[+-]?[0-9]{1,9}(\.0+)?")

Names = Mapping[str, tuple[str, ...]]
"""BEIR's name of a field, and the other names that are taken for it: the surest first, all as `plainly` writes them."""

_PASSAGE_IDS = ("pid", "passageid", "psgid", "docid", "documentid", "docno", "corpusid")
_QUERY_IDS = ("qid", "queryid", "questionid", "topicid")

PASSAGE_NAMES: Names = {"_id": (*_PASSAGE_IDS, "id"), "text": ("passage", "contents", "content", "body")}
QUERY_NAMES: Names = {"_id": (*_QUERY_IDS, "id"), "text": ("query", "question")}
JUDGEMENT_NAMES: Names = {
    "query-id": (*_QUERY_IDS, "query", "topic"),
    "corpus-id": (*_PASSAGE_IDS, "did", "doc", "document", "passage"),
    "score": ("score", "relevance", "rel", "grade", "label", "judgment", "judgement", "relevancescore"),
}


def plainly(name: str) -> str:
    """A field's name in small letters, without the marks in it: docid for Doc_ID."""
    return re.sub(r"[\W_]", "", name.lower())


def named(found: Sequence[str], names: Names) -> dict[str, str]:
    """For each of BEIR's fields, as far as it is there, the name by which it goes among those that were found."""
    plain = {plainly(name): name for name in reversed(found)}
    taken = {}
    for field, others in names.items():
        name = field if field in found else next((plain[other] for other in others if other in plain), None)
        if name is not None:
            taken[field] = name
    return taken


class Renaming:
    """Gives the fields of records BEIR's names, and remembers which went by another."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._plans: dict[tuple[str, ...], dict[str, str]] = {}
        self._renamed: dict[str, str] = {}

    def __call__(self, record: Mapping[str, Any]) -> Mapping[str, Any]:
        """The record with BEIR's names beside its own."""
        there = tuple(record)
        if there not in self._plans:
            taken = named(there, self._names)
            self._plans[there] = {field: name for field, name in taken.items() if field != name}
            self._renamed.update(self._plans[there])
        plan = self._plans[there]
        return {**record, **{field: record[name] for field, name in plan.items()}} if plan else record

    def notes(self, source: str) -> tuple[str, ...]:
        """Which fields went by another name."""
        said = ", ".join(f'"{name}" was read as "{field}"' for field, name in self._renamed.items())
        return (f"{source}: {said}.",) if said else ()


@dataclass(frozen=True)
class RecordSource:
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


def digest_id(prefix: str, *content: str) -> str:
    """An id made from content: equal content gives the equal id on every machine."""
    return f"{prefix}-{hashlib.sha256(chr(0).join(content).encode()).hexdigest()[:16]}"


def check_id(value: str, what: str, where: str) -> str:
    """The id in Unicode's composed form (NFC), when TREC's files and qrels can hold it.

    Raises:
        DataError: it is empty, has white space in it, or is not valid Unicode.
    """
    if not value.strip():
        raise DataError(f"{where}: {what} is empty. Give every record its own id.")
    if value.split() != [value]:
        raise DataError(f"{where}: {what} {value!r} has white space in it, which ends a column in qrels. Replace it.")
    _check_unicode(value, what, where)
    return composed(value)


def composed(text: str) -> str:
    """The text in Unicode's composed form (NFC): macOS names files in another, which looks the same."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def id_of(record: Mapping[str, Any], key: str, place: RecordSource, number: int) -> str:
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


def text_of(record: Mapping[str, Any], key: str, place: RecordSource, number: int, required: bool = False) -> str:
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


def _required(record: Mapping[str, Any], key: str, place: RecordSource, number: int) -> Any:
    if key not in record:
        found = ", ".join(f'"{name}"' for name in record) or "nothing"
        raise DataError(f'{place.at(number)}: no field "{key}" (found {found}). Add it, or rename the one that has it.')
    return record[key]


def answers_of(record: Mapping[str, Any], place: RecordSource, number: int) -> tuple[str, ...]:
    """The accepted answers of a query, from the record or its metadata; often none.

    Raises:
        DataError: they are no list of strings.
    """
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


def grade_of(record: Mapping[str, Any], place: RecordSource, number: int) -> int:
    """The grade of a judgement; above 0 is relevant.

    Raises:
        DataError: it is missing, or no whole number.
    """
    value = _required(record, "score", place, number)
    if not is_grade(value):
        raise DataError(
            f"{place.at(number)}: the grade {value!r} is not a whole number. Grades are 0 (not relevant), 1, 2, ..."
        )
    return int(float(value))


def is_grade(value: object) -> bool:
    """Whether this is a grade: a whole number, however it is written."""
    return not isinstance(value, bool) and _GRADE.fullmatch(str(value)) is not None
