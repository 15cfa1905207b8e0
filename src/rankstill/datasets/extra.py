"""Unlabelled queries from a file: what users typed, for the ranker to label."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rankstill.datasets.dataset import Dataset, Query
from rankstill.datasets.faults import Faults
from rankstill.datasets.fields import QUERY_NAMES, RecordSource, Renaming, digest_id, id_of, text_of
from rankstill.datasets.reading import read_jsonl, read_lines
from rankstill.datasets.records import Tally
from rankstill.errors import DataError


def add_extra_queries(dataset: Dataset, path: Path) -> Dataset:
    """The dataset with further queries that have no judgements.

    A query without an id is named by a digest of its text; a repeated one is taken once, which a note counts.

    Args:
        path: .txt with a query a line, or .jsonl with "text" and perhaps "_id"; plain or .gz.

    Raises:
        DataError: the file is missing, damaged, of another kind, or gives two queries one id.
    """
    if not path.is_file():
        raise DataError(f"{path}: there is no such file of queries. Check dataset.extra_queries, dataset.test_queries.")
    place = RecordSource(str(path))
    queries = dict(dataset.queries)
    extra: list[str] = []
    texts: dict[str, int] = {}
    empty, repeated = Tally(), Tally()
    faults, renaming = Faults(), Renaming({"text": QUERY_NAMES["text"]})

    def parse(record: Mapping[str, Any], number: int) -> tuple[str, str]:
        record = renaming(record)
        text = text_of(record, "text", place, number, required=True)
        return id_of(record, "_id", place, number) if "_id" in record else digest_id("x", text), text

    for number, (query_id, text) in faults.each(_read(path), parse):
        if not text.strip():
            empty.add(f"line {number}")
        elif text in texts:
            repeated.add(f"line {number}")
        elif query_id in queries:
            faults.add(
                number, f'{place.at(number)}: "_id" {query_id} is another query\'s id already. Give it one of its own.'
            )
        else:
            texts[text] = number
            queries[query_id] = Query(query_id, text)
            extra.append(query_id)
    faults.stop()
    notes = (
        *dataset.notes,
        *renaming.notes(str(path)),
        *empty.note(f"{path}: {{n}} empty queries were left out"),
        *repeated.note(f"{path}: {{n}} queries say the same as an earlier one and were left out"),
        *(() if extra else (f"{path}: it holds no query.",)),
    )
    return replace(dataset, queries=queries, extra=(*dataset.extra, *extra), notes=notes)


def _read(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    kind = path.name.removesuffix(".gz").rpartition(".")[2]
    if kind == "txt":
        yield from ((number, {"text": line.strip()}) for number, line in read_lines(path))
    elif kind == "jsonl":
        yield from read_jsonl(path)
    else:
        raise DataError(
            f'{path}: extra queries are .txt, one a line, or .jsonl with "text" (also .gz). Rename or convert it.'
        )
