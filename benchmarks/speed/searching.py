"""Exact search: ours against faiss IndexFlatIP, which must find the same."""

from __future__ import annotations

import numpy as np
from benchmarks.speed.measure import Result, alternate, rates

from rankstill.retrieval import nearest_passages

PASSAGES, DIMENSIONS, QUERIES, K, ROUNDS = 1_000_000, 384, 1000, 100, 3


def searching() -> list[Result]:
    """Queries a second."""
    import faiss

    draw = np.random.default_rng(0)
    corpus = draw.standard_normal((PASSAGES, DIMENSIONS), dtype=np.float32)
    corpus /= np.linalg.norm(corpus, axis=1, keepdims=True)
    # Near some passage each, as queries are: of independent ones, all passages would be about as far.
    asked = corpus[draw.integers(PASSAGES, size=QUERIES)] + 0.06 * draw.standard_normal((QUERIES, DIMENSIONS))
    asked = (asked / np.linalg.norm(asked, axis=1, keepdims=True)).astype(np.float32)
    index = faiss.IndexFlatIP(DIMENSIONS)
    index.add(corpus)
    ours, theirs = alternate(
        lambda: nearest_passages(asked, corpus, K), lambda: index.search(asked, K), ROUNDS, warm_up=False
    )
    mine, cosines = nearest_passages(asked, corpus, K)
    scores, stock = index.search(asked, K)
    same = float((mine == stock).mean())
    off = float(np.abs(cosines - scores).max())
    return [
        Result(
            "exact top-100 search, 1,000 queries over 1M x 384",
            f"faiss {faiss.__version__} IndexFlatIP",
            "queries/s",
            goal=">= 1x, same results",
            quality=f"{100 * same:.2f} % of positions equal; cosines differ by {off:.1e} at most",
            **rates(QUERIES, ours, theirs),
        )
    ]
