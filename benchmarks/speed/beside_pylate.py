"""Beside PyLate's trainer and fast-plaid's index, which run in an interpreter of their own: $PYLATE_PYTHON.

PyLate needs other versions of torch and sentence-transformers than this program: `pip install pylate` elsewhere.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.speed.data import MINILM, scifact
from benchmarks.speed.measure import Result, alternate, rates
from benchmarks.speed.training import labels_of, lists_of_scifact

from rankstill.config import MultiVectorConfig, RetrieverConfig
from rankstill.errors import RankstillError
from rankstill.labels.labelling import order_scores
from rankstill.models import load_bi_encoder, resolve_model
from rankstill.multi_vector import (
    TokenIndex,
    TwoStage,
    encode_queries,
    inverse_document_frequency,
    multi_vector_encoder,
)
from rankstill.multi_vector.model import every_token
from rankstill.multi_vector.student import MULTI_VECTOR
from rankstill.multi_vector.two_stage import make_two_stage
from rankstill.progress import say
from rankstill.retriever import TrainingData
from rankstill.retriever.training import train_student

QUERIES, TO_TUNE, LISTS, K, ROUNDS = 100, 50, 16, 10, 3


def pylate() -> list[Result]:
    """Searching all of SciFact, one query at a time, and training on a few lists."""
    python = os.environ.get("PYLATE_PYTHON")
    if not python:
        say("PYLATE_PYTHON is not set, so PyLate is left out: the interpreter of an environment with PyLate in it.")
        return []
    dataset, settings = scifact(), MultiVectorConfig()
    bi_encoder = load_bi_encoder(MINILM, "cpu")
    texts = dataset.corpus.texts()
    idf = inverse_document_frequency(bi_encoder, texts)
    start = multi_vector_encoder(bi_encoder, idf, 1.0, settings.pooling)
    queries = encode_queries(start, dataset.texts_of(dataset.test[:QUERIES]))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        index = TokenIndex.encode(start, texts, folder / "index", settings.bits)
        make_two_stage(index, encode_queries(start, dataset.texts_of(dataset.train[:TO_TUNE])), 0.95)
        stages = TwoStage.load(folder / "index")
        _save(index.vectors(np.arange(len(index))), folder / "passages.npz")
        _save(queries, folder / "queries.npz")
        lists = lists_of_scifact()[:LISTS]
        scores = [order_scores(len(each.passages), len(each.passages)).tolist() for each in lists]
        told = {
            "model": str(resolve_model(MINILM)),
            "query": [each.query for each in lists],
            "documents": [list(each.passages) for each in lists],
            "scores": scores,
        }
        (folder / "lists.json").write_text(json.dumps(told), encoding="utf-8")

        def search() -> list[list[int]]:
            return [stages.nearest(query, K)[0].tolist() for query in queries]

        def train() -> None:
            config = RetrieverConfig(model=MINILM, epochs=1)
            data = TrainingData(labels_of(lists), dataset.corpus, config, 0)
            model = copy.deepcopy(start)
            with every_token(model):
                train_student(model, MULTI_VECTOR, data, folder, "multi-vector")

        with _peer(python, folder) as ask:
            searching = alternate(search, lambda: ask("search"), ROUNDS)
            training = alternate(train, lambda: ask("train"), ROUNDS, warm_up=False)
            exact = [np.argsort(-each, kind="stable")[:K].tolist() for each in index.scores(queries)]
            ours, theirs = _recall(search(), exact), _recall(ask("search"), exact)
    return [
        Result(
            f"MaxSim, one query at a time over {len(texts):,} passages",
            "fast-plaid, defaults",
            "queries/s",
            goal=">= 1x",
            quality=f"{ours:.3f} of the exact best {K} against {theirs:.3f}",
            **rates(len(queries), *searching),
        ),
        Result(
            "multi-vector training",
            "PyLate's losses.Distillation, defaults",
            "queries/s",
            goal=">= 3x",
            quality=f"{LISTS} lists of 10; not the same model: PyLate's reads 180 tokens a passage and has 128 "
            "dimensions, from the same encoder",
            **rates(len(lists), *training),
        ),
    ]


def _save(vectors: Sequence[np.ndarray], path: Path) -> None:
    np.savez(path, vectors=np.concatenate(vectors), lengths=np.array([len(each) for each in vectors]))


def _recall(found: list[list[int]], exact: list[list[int]]) -> float:
    return float(np.mean([len(set(mine) & set(best)) / K for mine, best in zip(found, exact, strict=True)]))


@contextmanager
def _peer(python: str, folder: Path) -> Iterator[Any]:
    command = [python, str(Path(__file__).with_name("in_pylate.py")), str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=sys.stderr, text=True) as peer:
        assert peer.stdin is not None
        assert peer.stdout is not None
        sent, answers = peer.stdin, peer.stdout

        def ask(what: str) -> Any:
            print(what, file=sent, flush=True)
            for line in answers:
                if line.startswith("ANSWER "):
                    return json.loads(line.removeprefix("ANSWER "))
            raise RankstillError(f"{python} ended without an answer. Its errors are above.")

        try:
            yield ask
        finally:
            sent.close()
