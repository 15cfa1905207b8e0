"""DPR-style JSON: questions with answers and with positive and negative passages (Karpukhin et al. 2020)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rankstill.config import DatasetConfig
from rankstill.datasets.dataset import Qrels, Query
from rankstill.datasets.reading import read_entries
from rankstill.datasets.records import (
    MERGE,
    Parts,
    Place,
    digest_id,
    gather_passages,
    gather_qrels,
    gather_queries,
    text_of,
)
from rankstill.errors import DataError

Entry = Mapping[str, Any]

_CONTEXTS = ("positive_ctxs", "negative_ctxs", "hard_negative_ctxs")
_ID_FIELDS = ("passage_id", "psg_id")

_WANTED = "a question with its contexts"


def read_dpr(source: Path, config: DatasetConfig) -> Parts:
    """Reads a DPR-style file, and `config.test_source` as the one that measures.

    The corpus is the union of all contexts of both files. A context without an id, and every question, is named by a
    digest of its content, so that rankings stay valid when entries are added or reordered.

    Args:
        source: .json (a list) or .jsonl, plain or .gz: {"question", "answers", "positive_ctxs", "negative_ctxs",
            "hard_negative_ctxs"}; contexts are {"title", "text", "passage_id"}. Its questions may teach.
        config: names the second file, whose questions measure.

    Raises:
        DataError: a file is damaged or holds what cannot be used.
    """
    train: list[Entry] = list(read_entries(source, _WANTED))
    tested = Path(config.test_source).expanduser() if config.test_source else None
    test: list[Entry] = list(read_entries(tested, _WANTED)) if tested else []
    place = Place(str(source), "entry", (len(train), str(tested)) if tested else None)
    merge = config.merge_duplicates
    numbered = list(enumerate([*train, *test], start=1))
    corpus, corpus_notes = gather_passages(_contexts(numbered, place, merge), place, merge)
    queries: dict[str, Query] = {}
    qrels: list[Qrels] = []
    notes = list(corpus_notes)
    # Each file on its own: a question in both files is no repeated id, but a leak that is dealt with later.
    for rows in (numbered[: len(train)], numbered[len(train) :]):
        # A question asked twice in one file has the same id by its nature: its positives add up, which is no mistake.
        own, query_notes = gather_queries(_questions(rows, place), place, merge_duplicates=True)
        grades, qrels_notes = gather_qrels(_judgements(rows, place), place, own, corpus, merge)
        queries.update(own)
        qrels.append({query_id: grades.get(query_id, {}) for query_id in own})
        notes += [*query_notes, *qrels_notes]
    if tested is None:
        notes.append(f"{source}: no test_source is named; nothing can be measured.")
    name = Path(source.name.removesuffix(".gz")).stem
    return Parts(name, corpus, queries, qrels[0], qrels[1] if tested else None, tuple(notes))


def _questions(rows: list[tuple[int, Entry]], place: Place) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, entry in rows:
        question = text_of(entry, "question", place, number, required=True)
        yield number, {"_id": digest_id("q", question), "text": question, "answers": entry.get("answers")}


def _contexts(rows: list[tuple[int, Entry]], place: Place, merge: bool) -> Iterator[tuple[int, dict[str, Any]]]:
    """Every context once: the same passage stands in many entries, and only different content is a conflict."""
    seen: dict[str, tuple[int, set[str]]] = {}
    for number, entry in rows:
        for key in _CONTEXTS:
            for passage in _passages(entry, key, place, number):
                passage_id, content = str(passage["_id"]), digest_id("p", passage["title"], passage["text"])
                first, contents = seen.setdefault(passage_id, (number, set()))
                if content in contents:
                    continue
                if contents and not merge:
                    raise DataError(
                        f"{place.at(number)}: passage_id {passage_id} stands for another passage than before "
                        f"(first {place.earlier(first, number)}). Give each passage its own id, {MERGE}"
                    )
                contents.add(content)
                yield number, passage


def _judgements(rows: list[tuple[int, Entry]], place: Place) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, entry in rows:
        query_id = digest_id("q", text_of(entry, "question", place, number, required=True))
        for passage in _passages(entry, "positive_ctxs", place, number):
            yield number, {"query-id": query_id, "corpus-id": passage["_id"], "score": 1}


def _passages(entry: Entry, key: str, place: Place, number: int) -> Iterator[dict[str, Any]]:
    contexts = entry.get(key) or []
    if not isinstance(contexts, list) or not all(isinstance(context, dict) for context in contexts):
        raise DataError(f'{place.at(number)}: "{key}" must be a list of {{"title", "text", "passage_id"}}.')
    for context in contexts:
        title = text_of(context, "title", place, number)
        text = text_of(context, "text", place, number, required=True)
        given = next((context[field] for field in _ID_FIELDS if context.get(field) not in (None, "")), None)
        yield {"_id": digest_id("p", title, text) if given is None else given, "title": title, "text": text}
