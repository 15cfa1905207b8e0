"""Exact nearest passages: a fast look at all in low precision, then a true look at those that may be nearest."""

from __future__ import annotations

import mmap
import warnings
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from rankstill.compute.precision import fast_precision

if TYPE_CHECKING:
    from torch import Tensor

Vectors = NDArray[np.float32]

_PASSAGES_A_BLOCK = 32_768
_QUERIES_A_BLOCK = 1024
_PASSAGES_A_GROUP = 64
# By how much a cosine of unit vectors can be off, at most. Rounding to bfloat16 moves a number by 2^-9 of it: both
# factors of every product are off by that, the products' sizes sum to 1 or less (Cauchy and Schwarz), the sum is
# rounded once more, and so is the bound that it is held against.
_OFF_BFLOAT16 = 4 * 2.0**-9 + 1e-4
_OFF_FLOAT32 = 1e-5


def nearest_passages(
    queries: Vectors, passages: Vectors, k: int, device: str = "cpu"
) -> tuple[NDArray[np.int64], Vectors]:
    """The k passages of the highest cosine for each query: exact, whatever precision the machine is fast at.

    All cosines are computed in low precision, whose error is bounded. Whatever may belong to the k nearest within that
    error is computed once more in full precision, and only this counts. Passages are read block by block, so that
    memory does not grow with their number.

    Args:
        queries: unit vectors. [queries, dimensions]
        passages: unit vectors, in memory or memory-mapped. [passages, dimensions]
        k: how many; all if there are fewer.
        device: where the matrix products run; any but a CUDA GPU leaves them to the CPU.

    Returns:
        Positions, best first, ties in order of position, and their cosines. [queries, k], [queries, k]
    """
    k = min(k, len(passages))
    if not device.startswith("cuda"):
        device = "cpu"  # torch has sampled products nowhere else
    found = [
        _nearest(queries[start : start + _QUERIES_A_BLOCK], passages, k, device)
        for start in range(0, len(queries), _QUERIES_A_BLOCK)
    ]
    if not found:
        return np.empty((0, k), dtype=np.int64), np.empty((0, k), dtype=np.float32)
    positions, cosines = zip(*found, strict=True)
    return np.concatenate(positions), np.concatenate(cosines)


def _nearest(queries: Vectors, passages: Vectors, k: int, device: str) -> tuple[NDArray[np.int64], Vectors]:
    import torch

    low = torch.bfloat16 if fast_precision(device) else torch.float32
    off = _OFF_BFLOAT16 if low is torch.bfloat16 else _OFF_FLOAT32
    exact = torch.from_numpy(np.ascontiguousarray(queries, dtype=np.float32)).to(device)
    rough = exact.to(low)
    best = torch.full((len(queries), k), float("-inf"), device=device)
    where = torch.full((len(queries), k), len(passages), dtype=torch.long, device=device)
    for start in range(0, len(passages), max(_PASSAGES_A_BLOCK, k)):
        block = torch.from_numpy(read_rows(passages, start, start + max(_PASSAGES_A_BLOCK, k))).to(device)
        cosines = rough @ block.to(low).T
        # No passage of a cosine below this is among the k nearest: as many are known to be nearer.
        floor = best[:, -1]
        if start == 0:
            floor = cosines.topk(k, dim=1).values[:, -1].float() - off
        rows, columns = _at_least(cosines, (floor - off).to(low))
        true = _true_cosines(exact, block, rows, columns)
        best, where = _merge(best, where, rows, columns + start, true)
    return where.cpu().numpy(), best.cpu().numpy()


def _at_least(cosines: Tensor, floor: Tensor) -> tuple[Tensor, Tensor]:
    """Where a cosine reaches its query's floor, row by row. Few do: groups are looked at whole, and then those within.

    Args:
        cosines: of each query with each passage. [queries, passages]
        floor: of each query. [queries]

    Returns:
        Queries and passages. [found], [found]
    """
    import torch

    missing = -cosines.shape[1] % _PASSAGES_A_GROUP
    groups = torch.nn.functional.pad(cosines, (0, missing), value=float("-inf")) if missing else cosines
    groups = groups.view(len(cosines), -1, _PASSAGES_A_GROUP)
    rows, chosen = torch.nonzero(groups.amax(2) >= floor[:, None], as_tuple=True)
    within, columns = torch.nonzero(groups[rows, chosen] >= floor[rows, None], as_tuple=True)
    return rows[within], chosen[within] * _PASSAGES_A_GROUP + columns


def _true_cosines(queries: Tensor, passages: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """In full precision, of some pairs alone, without a copy of their vectors.

    Args:
        queries: [queries, dimensions]
        passages: [passages, dimensions]
        rows: a query of each pair, ascending. [pairs]
        columns: its passage, ascending within a query. [pairs]
    """
    import torch

    ends = torch.bincount(rows, minlength=len(queries)).cumsum(0)
    starts = torch.nn.functional.pad(ends, (1, 0))
    size = (len(queries), len(passages))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        wanted = torch.sparse_csr_tensor(
            starts, columns, queries.new_zeros(len(rows)), size=size, check_invariants=True
        )
    cosines: Tensor = torch.sparse.sampled_addmm(wanted, queries, passages.T, beta=0.0).values()
    return cosines


def _merge(best: Tensor, where: Tensor, rows: Tensor, positions: Tensor, cosines: Tensor) -> tuple[Tensor, Tensor]:
    """The k best of each query among those known and those found, ties in order of position.

    Args:
        best: cosines of those known, best first. [queries, k]
        where: their positions, all before those found. [queries, k]
        rows: of each one found, its query, ascending. [found]
        positions: of those found, ascending within a query. [found]
        cosines: of those found. [found]
    """
    import torch

    queries, k = best.shape
    counts = torch.bincount(rows, minlength=queries)
    columns = k + torch.arange(len(rows), device=best.device) - (counts.cumsum(0) - counts)[rows]
    space = int(counts.max())
    best = torch.nn.functional.pad(best, (0, space), value=float("-inf"))
    where = torch.nn.functional.pad(where, (0, space))
    best[rows, columns] = cosines
    where[rows, columns] = positions
    order = torch.sort(best, dim=1, descending=True, stable=True).indices[:, :k]
    return best.gather(1, order), where.gather(1, order)


def read_rows(vectors: Vectors, start: int, end: int) -> Vectors:
    """Rows of a matrix, copied; read from its file if it is mapped, for mapped pages count as this process's memory."""
    end = min(end, len(vectors))
    if not is_mapped(vectors):
        return np.array(vectors[start:end], dtype=np.float32)
    width = vectors.shape[1]
    offset = vectors.offset + start * width * vectors.itemsize
    rows = np.fromfile(str(vectors.filename), vectors.dtype, count=(end - start) * width, offset=offset)
    return rows.reshape(-1, width).astype(np.float32, copy=False)


def is_mapped(vectors: Vectors) -> TypeGuard[np.memmap[Any, np.dtype[np.float32]]]:
    """Whether a matrix is a whole file of rows, memory-mapped."""
    return isinstance(vectors, np.memmap) and isinstance(vectors.base, mmap.mmap) and vectors.flags.c_contiguous
