"""Exact search over vectors on disk, for measuring what an export changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from rankstill.evaluation import Run, break_ties
from rankstill.retrieval.first_stage import top

Vectors = NDArray[np.float32]
"""One a row. [texts, dimensions]"""

DEPTH = 100
_PASSAGES_AT_ONCE = 32_768


def vectors_run(
    passage_ids: Sequence[str],
    passages: Vectors,
    query_ids: Sequence[str],
    queries: Vectors,
    change: Callable[[Vectors], Vectors] = np.asarray,
    left_out: NDArray[np.bool_] | None = None,
) -> Run:
    """The passages of each query, by inner product, ties in their order; memory does not grow with the corpus.

    Args:
        passages: their vectors; memory-mapped, if there are many. [passages, dimensions]
        queries: their vectors. [queries, dimensions]
        change: what is done to both before they are compared, such as cutting them.
        left_out: which passages are not looked at; None: all are. [passages]
    """
    asked = change(queries)
    scores = np.empty((len(queries), 0), dtype=np.float32)
    found = np.empty((len(queries), 0), dtype=np.int64)
    for start in range(0, len(passages), _PASSAGES_AT_ONCE):
        here = np.arange(start, min(start + _PASSAGES_AT_ONCE, len(passages)))
        if left_out is not None and not len(here := here[~left_out[here]]):
            continue
        block = change(np.asarray(passages[start : start + _PASSAGES_AT_ONCE][here - start]))
        scores = np.concatenate([scores, asked @ block.T], axis=1)
        found = np.concatenate([found, np.broadcast_to(here, (len(queries), len(here)))], axis=1)
        kept = np.stack([top(row, DEPTH) for row in scores])
        scores, found = np.take_along_axis(scores, kept, axis=1), np.take_along_axis(found, kept, axis=1)
    return {
        query_id: break_ties([passage_ids[int(position)] for position in best], values.tolist())
        for query_id, best, values in zip(query_ids, found, scores, strict=True)
    }


def unit(vectors: Vectors) -> Vectors:
    """The same directions, of length 1; 0 stays 0."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    cut: Vectors = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
    return cut
