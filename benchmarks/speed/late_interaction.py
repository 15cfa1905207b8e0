"""Exact MaxSim: ours, of a few bits a dimension on disk, against what computes it of whole vectors in memory."""

from __future__ import annotations

import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from benchmarks.speed.data import MINILM, part, scifact
from benchmarks.speed.measure import Result, alternate, rates

from rankstill.config import MultiVectorConfig
from rankstill.models import load_bi_encoder
from rankstill.multi_vector import TokenIndex, encode_queries, inverse_document_frequency, multi_vector_encoder
from rankstill.multi_vector.codes import Codec

PASSAGES, QUERIES, K, ROUNDS = 1500, 30, 10, 3


def late_interaction() -> list[Result]:
    """Queries a second, one query at a time."""
    import maxsim_cpu  # pip install --no-deps maxsim-cpu

    settings, bi_encoder = MultiVectorConfig(), load_bi_encoder(MINILM, "cpu")
    _, texts = part(PASSAGES)
    idf = inverse_document_frequency(bi_encoder, texts)
    model = multi_vector_encoder(bi_encoder, idf**0.5, 1.0, settings.pooling)
    queries = encode_queries(model, scifact().texts_of(scifact().test[:QUERIES]))
    vectors = model.encode_document(texts, batch_size=8, show_progress_bar=False, convert_to_numpy=True)
    asked, tensors = ([torch.from_numpy(each) for each in side] for side in (queries, vectors))
    peers = {
        "MultiVectorEncoder.similarity": lambda: [model.similarity([query], tensors)[0].numpy() for query in asked],
        f"maxsim-cpu {version('maxsim-cpu')}": lambda: [
            np.asarray(maxsim_cpu.maxsim_scores_variable(query, vectors)) for query in queries
        ],
    }
    results = []
    with tempfile.TemporaryDirectory() as folder:
        codec = Codec.of(settings.bits, vectors[0].shape[1])
        index = TokenIndex.write(Path(folder), len(vectors), codec, "writing", vectors.__getitem__)

        def ours() -> list[np.ndarray]:
            return [next(index.scores([query])) for query in queries]

        for name, theirs in peers.items():
            seconds = alternate(ours, theirs, ROUNDS)
            small, large = index.bytes_per_passage / 1000, np.mean([each.nbytes for each in vectors]) / 1000
            results.append(
                Result(
                    f"exact MaxSim, one query at a time over {PASSAGES:,} passages",
                    f"{name}, float32 in memory",
                    "queries/s",
                    goal=">= 1x",
                    quality=f"{100 * _same(ours(), theirs()):.0f} % of the best {K} the same; {small:.1f} kB a passage "
                    f"on disk against {large:.0f} in memory",
                    **rates(QUERIES, *seconds),
                )
            )
    return results


def _same(mine: list[np.ndarray], theirs: list[np.ndarray]) -> float:
    """Share of the K best that both have, mean over queries."""
    best = [[set(np.argsort(-scores, kind="stable")[:K].tolist()) for scores in side] for side in (mine, theirs)]
    return float(np.mean([len(one & other) / K for one, other in zip(*best, strict=True)]))
