"""Exact MaxSim: ours, of a few bits a dimension on disk, against what computes it of whole vectors in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from benchmarks.speed.data import MINILM, part, scifact
from benchmarks.speed.measure import Result, alternate, rates

from rankstill.config import MultiVectorConfig
from rankstill.models import load_bi_encoder
from rankstill.multi_vector import (
    TokenIndex,
    TwoStage,
    encode_queries,
    inverse_document_frequency,
    multi_vector_encoder,
)
from rankstill.multi_vector.codes import Codec
from rankstill.multi_vector.two_stage import make_two_stage

PASSAGES, QUERIES, K, ROUNDS = 1500, 30, 10, 3
MANY = 100_000


def late_interaction() -> list[Result]:
    """Queries a second, one at a time: exactly over a part of the corpus, and in two stages over many passages."""
    bi_encoder, settings = load_bi_encoder(MINILM, "cpu"), MultiVectorConfig()
    _, texts = part(PASSAGES)
    idf = inverse_document_frequency(bi_encoder, texts)
    model = multi_vector_encoder(bi_encoder, idf**0.5, 1.0, settings.pooling)
    queries = encode_queries(model, scifact().texts_of(scifact().test[:QUERIES]))
    vectors = model.encode_document(texts, batch_size=8, show_progress_bar=False, convert_to_numpy=True)
    asked, tensors = ([torch.from_numpy(each) for each in side] for side in (queries, vectors))

    def theirs() -> list[np.ndarray]:
        return [model.similarity([query], tensors)[0].numpy() for query in asked]

    codec = Codec.of(settings.bits, vectors[0].shape[1])
    with tempfile.TemporaryDirectory() as folder:
        index = TokenIndex.write(Path(folder), len(vectors), codec, "writing", vectors.__getitem__)
        results = [_exact("MultiVectorEncoder.similarity", theirs, index, queries, vectors)]
    with tempfile.TemporaryDirectory() as folder:
        results.append(_in_two_stages(Path(folder), codec, queries, vectors))
    return results


def _exact(
    name: str,
    theirs: Callable[[], list[np.ndarray]],
    index: TokenIndex,
    queries: Sequence[np.ndarray],
    vectors: Sequence[np.ndarray],
) -> Result:
    def ours() -> list[np.ndarray]:
        return [next(index.scores([query])) for query in queries]

    seconds = alternate(ours, theirs, ROUNDS)
    small, large = index.bytes_per_passage / 1000, np.mean([each.nbytes for each in vectors]) / 1000
    return Result(
        f"exact MaxSim, one query at a time over {PASSAGES:,} passages",
        f"{name}, float32 in memory",
        "queries/s",
        goal=">= 1x",
        quality=f"{100 * _same(ours(), theirs()):.0f} % of the best {K} the same; {small:.1f} kB a passage on disk "
        f"against {large:.0f} in memory",
        **rates(QUERIES, *seconds),
    )


def _in_two_stages(folder: Path, codec: Codec, queries: Sequence[np.ndarray], vectors: Sequence[np.ndarray]) -> Result:
    """Over copies of the passages, each token vector with noise of a third of its length, so that no two are alike."""
    noise = np.random.default_rng(0).normal(0, 1 / 3 / codec.dimensions**0.5, (9973, codec.dimensions))

    def copies(passages: slice) -> list[np.ndarray]:
        made = []
        for row in range(passages.start, passages.stop):
            own = vectors[row % len(vectors)]
            noisy = own + noise[(row * 41 + np.arange(len(own))) % len(noise)].astype(np.float32)
            made.append(noisy / np.linalg.norm(noisy, axis=1, keepdims=True))
        return made

    index = TokenIndex.write(folder, MANY, codec, "writing copies", copies)
    measured = make_two_stage(index, queries[:10], 0.95)
    stages = TwoStage.load(folder)
    few = queries[:3]
    seconds = alternate(
        lambda: [stages.nearest(query, K) for query in few], lambda: [next(index.scores([query])) for query in few], 2
    )
    slowest = 1000 * max(seconds[0]) / len(few)
    return Result(
        f"MaxSim in two stages, one query at a time over {MANY:,} passages",
        "exact MaxSim by the same index",
        "queries/s",
        goal="<= 100 ms a query",
        quality=f"{slowest:.0f} ms a query; {measured.recall:.3f} of the exact best {measured.of}, by MaxSim of "
        f"{measured.depth:,} passages",
        **rates(len(few), *seconds),
    )


def _same(mine: list[np.ndarray], theirs: list[np.ndarray]) -> float:
    """Share of the K best that both have, mean over queries."""
    best = [[set(np.argsort(-scores, kind="stable")[:K].tolist()) for scores in side] for side in (mine, theirs)]
    return float(np.mean([len(one & other) / K for one, other in zip(*best, strict=True)]))
