"""The whole chain: the paper's plain one, ours beside one from stock parts, each in a process of its own.

    python -m benchmarks.speed.whole ours|stock

runs one of them and prints what it measured, as JSON.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from benchmarks.speed.data import MINILM, scifact
from benchmarks.speed.measure import Result
from benchmarks.speed.stock import stock_ranker, stock_retriever

from rankstill.compute.memory import peak_memory
from rankstill.data import Dataset, bundled, sample
from rankstill.demo import demo_config
from rankstill.evaluation import Run, aggregate, per_query
from rankstill.pipeline import distill
from rankstill.teacher import read_rankings

PASSAGES, LISTS, CLAIMS, ROUNDS = 1500, 120, 100, 1


def whole() -> list[Result]:
    """Seconds and peak memory, from starting Python to a retriever that has been measured."""
    told: dict[str, list[dict[str, float]]] = {"ours": [], "stock": []}
    seconds: dict[str, list[float]] = {"ours": [], "stock": []}
    for _ in range(ROUNDS):
        for side, answers in told.items():
            started = time.perf_counter()
            ran = subprocess.run(
                [sys.executable, "-m", "benchmarks.speed.whole", side], check=True, stdout=subprocess.PIPE, text=True
            )
            seconds[side].append(time.perf_counter() - started)
            answers.append(json.loads(ran.stdout.splitlines()[-1]))
    memory = {side: max(each["gigabytes"] for each in answers) for side, answers in told.items()}
    quality = {side: answers[-1]["nDCG@10"] for side, answers in told.items()}
    ours, theirs = seconds["ours"], seconds["stock"]
    return [
        Result(
            f"the plain chain ({PASSAGES:,} passages, {LISTS} lists)",
            "encode, CrossEncoderTrainer, predict, SentenceTransformerTrainer, encode; defaults",
            "chains/h",
            3600 / statistics.median(ours),
            3600 / statistics.median(theirs),
            tuple(their / our for our, their in zip(ours, theirs, strict=True)),
            ">= 4x, half the memory",
            f"{memory['ours']:.1f} GB against {memory['stock']:.1f} GB at its peak; nDCG@10 {quality['ours']:.3f} "
            f"against {quality['stock']:.3f}; ours writes its report too",
        )
    ]


def _data() -> tuple[Dataset, dict[str, tuple[str, ...]]]:
    """A part of SciFact, and the LLM's rankings of its training claims."""
    rankings, _ = read_rankings(bundled("scifact") / "rankings.jsonl", scifact())
    shown = {each.query_id: each.candidates for each in rankings}
    data = sample(scifact(), PASSAGES, LISTS, CLAIMS, seed=0, keep=shown)
    return data, {each.query_id: each.ranking for each in rankings if each.query_id in data.train}


def ours() -> float:
    """nDCG@10 of the retriever after."""
    as_stock = {
        "retriever.in_batch": False,
        "retriever.blend": 1.0,
        "retriever.epochs": 1,
        "retriever.learning_rate": 1e-4,
    }
    own = {"ranker.model": MINILM, "candidates.n": 10, "device": "cpu", "cache_gb": 0, **as_stock}
    config = demo_config({"preset": "paper", **own})
    with tempfile.TemporaryDirectory() as folder:
        table = distill(config, Path(folder), _data()[0]).table
    assert table is not None
    return table.system("distilled retriever").values["nDCG@10"]


def stock() -> float:
    """The same chain, as one would write it in an afternoon."""
    from sentence_transformers import SentenceTransformer

    from rankstill.models import resolve_model

    data, orders = _data()
    texts = list(data.corpus.texts())
    SentenceTransformer(resolve_model(MINILM), device="cpu").encode(texts, show_progress_bar=False)
    queries = data.texts_of(list(orders))
    passages = [[texts[data.corpus.position(each)] for each in order] for order in orders.values()]
    ranker = stock_ranker(queries, passages)
    pairs = [(query, text) for query, ranked in zip(queries, passages, strict=True) for text in ranked]
    scores = np.split(ranker.predict(pairs, show_progress_bar=False), len(queries))
    retriever = stock_retriever(queries, passages, [each.tolist() for each in scores])
    vectors = retriever.encode(texts, normalize_embeddings=True, show_progress_bar=False)
    asked = retriever.encode(data.texts_of(data.test), normalize_embeddings=True, show_progress_bar=False)
    run: Run = {}
    for query_id, cosines in zip(data.test, asked @ vectors.T, strict=True):
        best = np.argsort(-cosines, kind="stable")[:100]
        run[query_id] = {data.corpus.ids[row]: float(cosines[row]) for row in best}
    return aggregate(per_query(run, data.test_qrels(), ["nDCG@10"]))["nDCG@10"]


if __name__ == "__main__":
    measured = {"ours": ours, "stock": stock}[sys.argv[1]]()
    print(json.dumps({"nDCG@10": measured, "gigabytes": peak_memory() * 2**20 / 1e9}))  # noqa: T201 - read by the process that started this
