"""Queries without judgements: those for the ranker to label, and those for an LLM to judge what is found for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rankstill.data.dataset import Dataset, Query
from rankstill.data.faults import Faults
from rankstill.data.fields import QUERY_NAMES, RecordSource, Renaming, digest_id, id_of, text_of
from rankstill.data.reading import read_jsonl, read_lines
from rankstill.data.records import Tally
from rankstill.errors import DataError

if TYPE_CHECKING:
    from rankstill.config import DatasetConfig

_MOST, _SHARE, _LEAST = 100, 5, 50
"""Queries kept back unless the config says how many: up to 100, a fifth of the training queries at most, and none
where there are fewer than 50, for a test of fewer than ten proves nothing."""


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


def keep_unjudged(dataset: Dataset, config: DatasetConfig) -> Dataset:
    """The dataset with the queries that are to be judged, where no judgement and no accepted answer measures anything.

    These are, in this order: those of `test_queries`; those that no split names, so that they teach nothing anyway; as
    many of the training queries as `hold_out` says, in an order that is always the same.

    Args:
        config: names further queries, or says how many to hold out.

    Raises:
        DataError: the file of test queries cannot be used, or there are judgements that measure beside it.
    """
    taught = {*dataset.train, *dataset.extra}
    others = tuple(query_id for query_id in dataset.queries if query_id not in taught and query_id not in dataset.qrels)
    if config.test_queries:
        if dataset.test:
            raise DataError(
                f"dataset.test_queries: the {len(dataset.test):,} judged queries of the test split measure already. "
                "Leave one of the two out; dataset.test_split: null leaves out the split."
            )
        added = add_extra_queries(dataset, Path(config.test_queries).expanduser())
        new = added.extra[len(dataset.extra) :]
        return replace(added, extra=dataset.extra, unjudged=new, unjudged_beside=True)
    measures = dataset.test or any(dataset.queries[query_id].answers for query_id in others)
    if config.hold_out and (measures or others):
        raise DataError(
            f"dataset.hold_out: {dataset.name} has queries that measure and do not teach, so none is held out. Leave "
            "it out."
        )
    if measures:
        return dataset
    if others:
        note = (
            f"{dataset.name}: no test query is judged; `rankstill judge` has an LLM judge what is found for the "
            f"{len(others):,} queries that no split names."
        )
        return replace(dataset, unjudged=others, notes=(*dataset.notes, note))
    count = config.hold_out
    if count is None:
        count = min(_MOST, len(dataset.train) // _SHARE) if len(dataset.train) >= _LEAST else 0
    if not count:
        return dataset
    if count >= len(dataset.train):
        raise DataError(
            f"dataset.hold_out: {count:,} of {len(dataset.train):,} training queries leave none to teach. Lower it."
        )
    order = np.random.default_rng(0).permutation(len(dataset.train))
    held = {dataset.train[row] for row in order[:count]}
    note = (
        f"{dataset.name}: no test query is judged; {count:,} of {len(dataset.train):,} training queries were held out: "
        "they teach nothing, and `rankstill judge` has an LLM judge what is found for them (dataset.hold_out)."
    )
    return replace(
        dataset,
        train=tuple(query_id for query_id in dataset.train if query_id not in held),
        unjudged=tuple(query_id for query_id in dataset.train if query_id in held),
        notes=(*dataset.notes, note),
    )
