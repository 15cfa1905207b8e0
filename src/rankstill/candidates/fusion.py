"""Reciprocal rank fusion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def reciprocal_rank_fusion(
    rankings: Sequence[NDArray[np.int64]], n: int, k: float = 60.0
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Fuse rankings by the sum of 1 / (k + rank), ranks from 1 (Cormack et al. 2009).

    Args:
        rankings: passage positions, best first; each may hold other passages.
        k: how little the first ranks stand out.

    Returns:
        Passage positions, best first, and their fused scores; ties in order of position. [n], [n]
    """
    positions, where = np.unique(np.concatenate(rankings), return_inverse=True)
    gains = np.concatenate([1.0 / (k + 1 + np.arange(len(ranking))) for ranking in rankings])
    scores = np.bincount(where, weights=gains, minlength=len(positions))
    best = np.argsort(-scores, kind="stable")[:n]
    return positions[best], scores[best].astype(np.float32)
