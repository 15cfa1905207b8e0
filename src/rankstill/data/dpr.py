"""JSON of questions with their passages: DPR's (Karpukhin et al. 2020), FlagEmbedding's, FiD's and Tevatron's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rankstill.config import DatasetConfig
from rankstill.data.dataset import Qrels, Query
from rankstill.data.faults import Faults
from rankstill.data.fields import RecordSource, composed, digest_id, text_of
from rankstill.data.reading import read_entries
from rankstill.data.records import MERGE, RawDataset, gather_passages, gather_qrels, gather_queries
from rankstill.errors import DataError

Entry = Mapping[str, Any]
Passage = Mapping[str, Any]

_RELEVANT = ("positive_ctxs", "pos", "positive_passages")
_OTHERS = ("negative_ctxs", "hard_negative_ctxs", "neg", "negative_passages", "ctxs")
_AS_TEXT = ("pos", "neg")
_ID_FIELDS = ("passage_id", "psg_id", "docid", "id")

_WANTED = "a question with its contexts"


@dataclass(frozen=True)
class _Question:
    """An entry, whatever its format."""

    text: str
    answers: object
    relevant: tuple[Passage, ...]
    others: tuple[Passage, ...]


Questions = Sequence[tuple[int, _Question]]


def read_dpr(source: Path, config: DatasetConfig) -> RawDataset:
    """Reads a file of questions with their passages, and `config.test_source` as the one that measures.

    The corpus is the union of all passages of both files. A passage without an id, and every question, is named by a
    digest of its content, so that rankings stay valid when entries are added or reordered.

    Args:
        source: .json (a list) or .jsonl, plain or .gz, whose questions may teach. An entry is DPR's {"question",
            "answers", "positive_ctxs", "negative_ctxs", "hard_negative_ctxs"}, where contexts are {"title", "text",
            "passage_id"}; FiD's {"question", "answers", "ctxs"}, which judges no passage; FlagEmbedding's {"query",
            "pos", "neg"}, where passages are texts; or Tevatron's {"query", "positive_passages", "negative_passages"}.
        config: names the second file, whose questions measure.

    Raises:
        DataError: a file is damaged or holds what cannot be used.
    """
    train: list[Entry] = list(read_entries(source, _WANTED))
    tested = Path(config.test_source).expanduser() if config.test_source else None
    test: list[Entry] = list(read_entries(tested, _WANTED)) if tested else []
    place = RecordSource(str(source), "entry", (len(train), str(tested)) if tested else None)
    faults = Faults()
    asked = list(faults.each(enumerate([*train, *test], start=1), partial(_question_of, place)))
    faults.stop()
    _check_keys([*train, *test], source)
    merge = config.merge_duplicates
    corpus, corpus_notes = gather_passages(_passages(asked, place, merge), place, merge)
    queries: dict[str, Query] = {}
    qrels: list[Qrels] = []
    notes = list(corpus_notes)
    # Each file on its own: a question in both files is no repeated id, but a leak that is dealt with later.
    for rows in (asked[: len(train)], asked[len(train) :]):
        # A question asked twice in one file has the same id by its nature: its positives add up, which is no mistake.
        own, query_notes = gather_queries(_records(rows), place, merge_duplicates=True)
        grades, qrels_notes = gather_qrels(_judgements(rows), place, own, corpus)
        queries.update(own)
        qrels.append({query_id: grades.get(query_id, {}) for query_id in own})
        notes += [*query_notes, *qrels_notes]
    if tested is None:
        notes.append(f"{source}: no test_source is named; there are no judgements to measure by.")
    name = Path(source.name.removesuffix(".gz")).stem
    return RawDataset(name, corpus, queries, qrels[0], qrels[1] if tested else None, tuple(notes))


def _question_of(place: RecordSource, entry: Entry, number: int) -> _Question:
    key = "query" if "query" in entry and "question" not in entry else "question"
    text = text_of(entry, key, place, number, required=True)
    target = entry.get("target")  # FiD's, where one answer is the one to learn
    answers = [target] if entry.get("answers") is None and isinstance(target, str) else entry.get("answers")
    relevant, others = (
        tuple(passage for key in keys for passage in _passages_of(entry, key, place, number))
        for keys in (_RELEVANT, _OTHERS)
    )
    return _Question(text, answers, relevant, others)


def _passages_of(entry: Entry, key: str, place: RecordSource, number: int) -> Iterator[Passage]:
    contexts = entry.get(key) or []
    kind, told = (str, "texts") if key in _AS_TEXT else (dict, '{"title", "text", "passage_id"}')
    if not isinstance(contexts, list) or not all(isinstance(context, kind) for context in contexts):
        raise DataError(f'{place.at(number)}: "{key}" must be a list of {told}.')
    for context in contexts:
        passage = {"text": context} if key in _AS_TEXT else context
        title = text_of(passage, "title", place, number)
        text = text_of(passage, "text", place, number, required=True)
        given = next((passage[field] for field in _ID_FIELDS if passage.get(field) not in (None, "")), None)
        yield {"_id": digest_id("p", title, text) if given is None else given, "title": title, "text": text}


def _check_keys(entries: Sequence[Entry], source: Path) -> None:
    if entries and not any(key in entry for entry in entries for key in (*_RELEVANT, *_OTHERS)):
        found = ", ".join(f'"{name}"' for name in entries[0])
        raise DataError(
            f'{source}: no entry has passages (the first has {found}). Expected are "positive_ctxs" and '
            '"negative_ctxs" as in DPR, "ctxs" as in FiD, "pos" and "neg" as in FlagEmbedding, or '
            '"positive_passages" and "negative_passages" as in Tevatron.'
        )


def _records(rows: Questions) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, asked in rows:
        yield number, {"_id": digest_id("q", asked.text), "text": asked.text, "answers": asked.answers}


def _passages(rows: Questions, place: RecordSource, merge: bool) -> Iterator[tuple[int, Passage]]:
    """Every passage once: the same one stands in many entries, and only different content is a conflict."""
    seen: dict[str, tuple[int, set[str]]] = {}
    faults = Faults()
    for number, asked in rows:
        for passage in (*asked.relevant, *asked.others):
            passage_id, content = composed(str(passage["_id"])), digest_id("p", passage["title"], passage["text"])
            first, contents = seen.setdefault(passage_id, (number, set()))
            if content in contents:
                continue
            if contents and not merge:
                faults.add(
                    number,
                    f"{place.at(number)}: passage_id {passage_id} stands for another passage than before "
                    f"(first {place.earlier(first, number)}). Give each passage its own id, {MERGE}",
                )
                continue
            contents.add(content)
            yield number, passage
    faults.stop()


def _judgements(rows: Questions) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, asked in rows:
        for passage in asked.relevant:
            yield number, {"query-id": digest_id("q", asked.text), "corpus-id": passage["_id"], "score": 1}
