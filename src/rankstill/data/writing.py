"""Any dataset as a BEIR folder, for other tools and for keeping."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rankstill.data.dataset import Dataset, Qrels
from rankstill.data.fields import check_id
from rankstill.errors import DataError


def write_beir(dataset: Dataset, folder: Path) -> None:
    """Writes a dataset as a BEIR folder that loads back to the same corpus, queries, splits and judgements.

    Besides corpus.jsonl, queries.jsonl, qrels/train.tsv and qrels/test.tsv it holds, where the dataset has them:
    `extra_queries.jsonl` (for `extra_queries`), `splits/train.txt` (the training queries, when they are not just those
    that qrels/train.tsv names) and `qrels/other.tsv` (judgements of queries in neither split).

    Args:
        folder: where; must not exist yet, or be empty. It appears in one step, complete.

    Raises:
        DataError: the folder is not empty, cannot be written, or an id cannot stand in qrels.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder}: it already exists and is not empty. Name another folder, or remove it first.")
    for record_id in (*dataset.corpus.ids, *dataset.queries):
        check_id(record_id, "id", dataset.name)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            _write_files(dataset, building)
            building.chmod(0o755)
            if folder.exists():
                folder.rmdir()
            building.replace(folder)
        finally:
            shutil.rmtree(building, ignore_errors=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be written ({error.strerror or error}).") from error


def qrels_tsv(qrels: Qrels) -> str:
    """Judgements as BEIR's tab-separated qrels."""
    rows = [f"{query}\t{passage}\t{grade}\n" for query, grades in qrels.items() for passage, grade in grades.items()]
    return "".join(["query-id\tcorpus-id\tscore\n", *rows])


def _write_files(dataset: Dataset, folder: Path) -> None:
    corpus, extra = dataset.corpus, frozenset(dataset.extra)
    passages = (
        {"_id": passage_id, "title": title, "text": text}
        for passage_id, title, text in zip(corpus.ids, corpus.titles, corpus.bodies, strict=True)
    )
    _write_jsonl(folder / "corpus.jsonl", passages)
    for name, members in (
        ("queries.jsonl", tuple(query_id for query_id in dataset.queries if query_id not in extra)),
        ("extra_queries.jsonl", dataset.extra),
    ):
        if members or name == "queries.jsonl":
            _write_jsonl(folder / name, (_query_record(dataset, query_id) for query_id in members))
    test = frozenset(dataset.test)
    # A query in both splits is measured; its judgements stand once, on the test side.
    judged_train = tuple(q for q in dataset.train if q in dataset.qrels and q not in test)
    known = test.union(judged_train)
    (folder / "qrels").mkdir()
    for split, members in (
        ("train", judged_train),
        ("test", dataset.test),
        ("other", tuple(q for q in dataset.qrels if q not in known)),
    ):
        if members:
            _write_text(folder / "qrels" / f"{split}.tsv", [qrels_tsv({q: dataset.qrels[q] for q in members})])
    if judged_train != dataset.train or not judged_train:
        (folder / "splits").mkdir()
        _write_text(folder / "splits" / "train.txt", (f"{query_id}\n" for query_id in dataset.train))


def _query_record(dataset: Dataset, query_id: str) -> Mapping[str, Any]:
    query = dataset.queries[query_id]
    answers = {"answers": list(query.answers)} if query.answers else {}
    return {"_id": query_id, "text": query.text, **answers}


def _write_jsonl(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    _write_text(path, (json.dumps(record, ensure_ascii=False) + "\n" for record in records))


def _write_text(path: Path, lines: Iterable[str]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(lines)
