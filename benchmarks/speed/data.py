"""What is measured on: SciFact, its model, and a part of it that a minute is enough for."""

from __future__ import annotations

from functools import cache

import numpy as np

from rankstill.data import Dataset, load_dataset
from rankstill.demo import demo_config
from rankstill.evaluation import Run, aggregate, per_query

MINILM = "sentence-transformers/all-MiniLM-L6-v2"


@cache
def scifact() -> Dataset:
    """The bundled set, without claims that leak."""
    return load_dataset(demo_config().dataset)


@cache
def part(passages: int) -> tuple[list[str], list[str]]:
    """Ids and texts of every test claim's gold passages and of others, drawn with seed 0."""
    dataset = scifact()
    gold = {each for grades in dataset.test_qrels().values() for each in grades}
    others = np.random.default_rng(0).permutation([each for each in dataset.corpus.ids if each not in gold])
    ids = [*sorted(gold), *others.tolist()][:passages]
    return ids, [dataset.corpus.text(dataset.corpus.position(each)) for each in ids]


def ndcg(scores: np.ndarray, ids: list[str]) -> float:
    """nDCG@10 of the test claims over these passages. [claims, passages]"""
    dataset = scifact()
    run: Run = {}
    for query_id, own in zip(dataset.test, scores, strict=True):
        best = np.argsort(-own, kind="stable")[:100]
        run[query_id] = {ids[row]: float(own[row]) for row in best}
    return aggregate(per_query(run, dataset.test_qrels(), ["nDCG@10"]))["nDCG@10"]
