"""Datasets of the ir_datasets catalogue (MacAvaney et al. 2021), by id."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rankstill.config import DatasetConfig
from rankstill.data.dataset import Qrels, Query
from rankstill.data.fields import RecordSource
from rankstill.data.records import RawDataset, gather_passages, gather_qrels, gather_queries
from rankstill.errors import DataError
from rankstill.packages import required


def read_ir_datasets(dataset_id: str, config: DatasetConfig) -> RawDataset:
    """Reads a dataset of ir_datasets; what is not on this machine yet is downloaded by that library.

    A split is looked for as `<dataset_id>/<split>`, then as an id of its own, so that `train_split` may be
    "msmarco-passage/train/judged".

    Args:
        dataset_id: the id that has the documents, such as "beir/scifact" or "msmarco-passage".

    Raises:
        DataError: ir_datasets is not installed, does not know the id, cannot fetch it, or it has no documents.
    """
    base = _load(dataset_id)
    if base is None:
        raise DataError(f"ir_datasets:{dataset_id}: no such id. See https://ir-datasets.com for the catalogue.")
    if not base.has_docs():
        raise DataError(f"ir_datasets:{dataset_id}: it has no documents. Name an id that has a corpus.")
    splits = {split: _find_split(dataset_id, split) for split in (config.train_split, config.test_split) if split}
    merge = config.merge_duplicates
    place = RecordSource(f"ir_datasets:{dataset_id}", "document")
    try:
        corpus, corpus_notes = gather_passages(_documents(base), place, merge)
        queries: dict[str, Query] = {}
        notes = list(corpus_notes)
        for part_id, part in {dataset_id: base, **{found[0]: found[1] for found in splits.values() if found}}.items():
            if part.has_queries():
                own, own_notes = gather_queries(_queries(part), RecordSource(f"ir_datasets:{part_id}", "query"), merge)
                queries.update(own)
                notes += own_notes
        read: dict[str, Qrels] = {}
        for split, found in splits.items():
            if found:
                at = RecordSource(f"ir_datasets:{found[0]}", "judgement")
                read[split], split_notes = gather_qrels(_judgements(found[1]), at, queries, corpus)
                notes += split_notes
    except (OSError, RuntimeError) as error:
        problem = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"ir_datasets:{dataset_id}: cannot be fetched or read ({problem}). Try again later.") from error
    train, test = read.get(config.train_split or ""), read.get(config.test_split or "")
    if train is None and config.train_split:
        looked = f"looked for {dataset_id}/{config.train_split}"
        notes.append(
            f"ir_datasets:{dataset_id}: no such training split ({looked}); all but the test queries may teach."
        )
    if test is None:
        looked = f"looked for {dataset_id}/{config.test_split}" if config.test_split else "none is named"
        notes.append(f"ir_datasets:{dataset_id}: no test split ({looked}); there are no judgements to measure by.")
    return RawDataset(dataset_id, corpus, queries, train, test, tuple(notes))


def _load(dataset_id: str) -> Any:
    ir_datasets = required("ir_datasets", "ir-datasets", f"ir_datasets:{dataset_id}", DataError)
    try:
        return ir_datasets.load(dataset_id)
    except KeyError:
        return None


def _find_split(dataset_id: str, split: str) -> tuple[str, Any] | None:
    for part_id in (f"{dataset_id}/{split}", split):
        part = _load(part_id)
        if part is not None and part.has_qrels():
            return part_id, part
    return None


def _documents(part: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, document in enumerate(part.docs_iter(), start=1):
        title, text = getattr(document, "title", None), getattr(document, "text", None)
        if not isinstance(text, str):
            # Collections with fields of their own (abstract, body, ...) say themselves which make up the text.
            title, text = "", document.default_text()
        yield number, {"_id": document.doc_id, "title": title if isinstance(title, str) else "", "text": text}


def _queries(part: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, query in enumerate(part.queries_iter(), start=1):
        text = getattr(query, "text", None)
        answers = getattr(query, "answers", None)
        yield (
            number,
            {
                "_id": query.query_id,
                "text": text if isinstance(text, str) else query.default_text(),
                "answers": answers if isinstance(answers, (list, tuple)) else None,
            },
        )


def _judgements(part: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, judgement in enumerate(part.qrels_iter(), start=1):
        yield (number, {"query-id": judgement.query_id, "corpus-id": judgement.doc_id, "score": judgement.relevance})
