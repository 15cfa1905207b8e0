"""The directions along which vectors are longest: to turn and shorten them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_VECTORS_AT_ONCE = 32_768


def principal_axes(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The vectors' principal axes, the one along which they are longest first.

    Not centred: cosines are measured from 0. Turned to these axes, the first d dimensions keep as much of the vectors'
    inner products as any d can (Eckart and Young 1936), and whole vectors keep their cosines.

    Args:
        vectors: read in blocks, so they may lie on disk. [vectors, dimensions]

    Returns:
        An orthogonal matrix whose rows are the axes. [dimensions, dimensions]
    """
    moment = np.zeros((vectors.shape[1],) * 2)
    for start in range(0, len(vectors), _VECTORS_AT_ONCE):
        block = np.asarray(vectors[start : start + _VECTORS_AT_ONCE], dtype=np.float64)
        moment += block.T @ block
    _, axes = np.linalg.eigh(moment)  # smallest first, one a column
    turned: NDArray[np.float32] = np.ascontiguousarray(axes[:, ::-1].T, dtype=np.float32)
    return turned
