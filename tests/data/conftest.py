"""Small BEIR folders, written as each test needs them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

PASSAGES = (
    {"_id": "p1", "title": "One", "text": "first"},
    {"_id": "p2", "text": "second"},
    {"_id": "p3", "text": "third"},
)
QUERIES = ({"_id": "q1", "text": "what is first"}, {"_id": "q2", "text": "what is second"})
QRELS = {"train": "q1\tp1\t1\n", "test": "q2\tp2\t1\n"}

Records = Sequence[Mapping[str, Any]]


def _jsonl(records: Records) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


@pytest.fixture
def beir(tmp_path: Path) -> Callable[..., Path]:
    """Writes a BEIR folder: `beir(corpus=..., queries=..., qrels={split: text})`."""

    def write(corpus: Records = PASSAGES, queries: Records = QUERIES, qrels: Mapping[str, str] = QRELS) -> Path:
        folder = tmp_path / "beir"
        (folder / "qrels").mkdir(parents=True)
        (folder / "corpus.jsonl").write_text(_jsonl(corpus))
        (folder / "queries.jsonl").write_text(_jsonl(queries))
        for split, text in qrels.items():
            (folder / "qrels" / f"{split}.tsv").write_text(text)
        return folder

    return write
