"""Exact nearest passages: a fast look at all in low precision, then a true look at those that may be nearest."""

from __future__ import annotations

import mmap
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from rankstill.compute.precision import fast_precision

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Vectors = NDArray[np.float32]

_PASSAGES_A_BLOCK = 32_768
_QUERIES_A_BLOCK = 1024
_PASSAGES_A_GROUP = 64
_LONGEST = 1 + 2.0**-8
"""Length of a passage's vector, at most: a unit vector may have been rounded to bfloat16 since."""
_OFF_A_SUMMAND = 2.0**-22
"""Error of two float32 sums, the rough and the true one, for each summand of a product of unit vectors, at most.

An addition is off by 2^-24 of the summands' sizes, or by 2^-23 where a GPU truncates. What is left is for the roundings
of the bound itself."""
_SETTING = threading.Lock()


def nearest_passages(
    queries: Vectors,
    passages: Vectors,
    k: int,
    device: str = "cpu",
    left_out: NDArray[np.bool_] | None = None,
    change: Callable[[Vectors], Vectors] = np.asarray,
) -> tuple[NDArray[np.int64], Vectors]:
    """The k passages of the highest cosine for each query: exact, whatever precision the machine is fast at.

    All cosines are computed in low precision, whose error is bounded. Whatever may belong to the k nearest within that
    error is computed once more in full precision, and only this counts. Passages are read block by block, so that
    memory does not grow with their number.

    Args:
        queries: unit vectors; of another length, what is returned are products with it. [queries, dimensions]
        passages: unit vectors, in memory or memory-mapped. [passages, dimensions]
        k: how many; all if there are fewer.
        device: where the matrix products run; any but a CUDA GPU leaves them to the CPU.
        left_out: which passages are not looked at; None: all are. [passages]
        change: what is done to passages before they are compared, such as cutting their vectors; unit vectors again.

    Returns:
        Positions, best first, ties in order of position, and their cosines. [queries, k], [queries, k]
    """
    k = min(k, len(passages) if left_out is None else int((~left_out).sum()))
    if not device.startswith("cuda"):
        device = "cpu"  # torch has sampled products nowhere else
    found = [
        _nearest(queries[start : start + _QUERIES_A_BLOCK], passages, k, device, left_out, change)
        for start in range(0, len(queries), _QUERIES_A_BLOCK)
    ]
    if not found:
        return np.empty((0, k), dtype=np.int64), np.empty((0, k), dtype=np.float32)
    positions, cosines = zip(*found, strict=True)
    return np.concatenate(positions), np.concatenate(cosines)


def _nearest(
    queries: Vectors,
    passages: Vectors,
    k: int,
    device: str,
    left_out: NDArray[np.bool_] | None,
    change: Callable[[Vectors], Vectors],
) -> tuple[NDArray[np.int64], Vectors]:
    import torch

    low = torch.bfloat16 if fast_precision(device) else torch.float32
    exact = torch.from_numpy(np.ascontiguousarray(queries, dtype=np.float32)).to(device)
    rough = exact.to(low)
    best = torch.full((len(queries), k), float("-inf"), device=device)
    where = torch.full((len(queries), k), len(passages), dtype=torch.long, device=device)
    off = _off(exact, rough)
    seen = 0
    for start in range(0, len(passages), max(_PASSAGES_A_BLOCK, k)):
        rows_read = read_rows(passages, start, start + max(_PASSAGES_A_BLOCK, k))
        places = np.arange(start, start + len(rows_read))
        if left_out is not None:
            places = places[~left_out[places]]
            rows_read = rows_read[places - start]
        if not len(places):
            continue
        block = torch.from_numpy(change(rows_read)).to(device)
        with _summed_in_float32(device):
            cosines = rough @ block.to(low).T
        # No passage of a cosine below this is among the k nearest: as many are known to be nearer.
        floor = best[:, -1]
        if seen < k <= len(places):
            known = cosines.topk(k, dim=1).values[:, -1].float()
            floor = known - known.abs() * _rounding_error(low) - off
        # Rounded as the cosines are: what is not below the floor before rounding is not below it after. It is finite,
        # for where fewer than k are known `_at_least` must not take the -inf that it fills groups up with.
        rows, columns = _at_least(cosines, (floor - off).to(low).clamp_min(torch.finfo(low).min))
        true = _true_cosines(exact, block, rows, columns)
        best, where = _merge(best, where, rows, torch.from_numpy(places).to(device)[columns], true)
        seen += len(places)
    return where.cpu().numpy(), best.cpu().numpy()


def _off(queries: Tensor, rough: Tensor) -> Tensor:
    """The largest error of a product of rounded vectors, before it is rounded itself, against the product in float32.

    |q.p - q'.p'| <= |q - q'| |p| + |q'| |p - p'|, by Cauchy and Schwarz. How far rounding moved a query is measured.
    Of passages the worst is taken: to measure theirs takes longer than the narrower bound saves.

    Args:
        queries: [queries, dimensions]
        rough: the same, rounded. [queries, dimensions]

    Returns:
        The bound for each query. [queries]
    """
    from torch.linalg import vector_norm

    query_moved = vector_norm(queries - rough, dim=1)
    passage_moved = _rounding_error(rough.dtype) * vector_norm(rough.float(), dim=1)
    summing = _OFF_A_SUMMAND * queries.shape[1] * vector_norm(queries, dim=1)
    bound: Tensor = _LONGEST * (query_moved + passage_moved + summing)
    return bound


def _rounding_error(low: torch.dtype) -> float:
    """The share of a number by which rounding to nearest moves it, at most: 2^-8 in bfloat16, of 8 significant bits."""
    import torch

    return torch.finfo(low).eps / 2


@contextmanager
def _summed_in_float32(device: str) -> Iterator[None]:
    """A GPU may sum parts of a bfloat16 product in bfloat16, which no bound here allows for: not within this.

    The setting is the whole process's, so that only one thread at a time may change it.
    """
    import torch

    if device == "cpu":
        yield
        return
    settings = torch.backends.cuda.matmul
    with _SETTING:
        reduced = settings.allow_bf16_reduced_precision_reduction
        # Newer versions of torch have a second setting, which setting the first alone turns on.
        split = getattr(settings, "allow_bf16_reduced_precision_reduction_split_k", True)
        settings.allow_bf16_reduced_precision_reduction = False
        try:
            yield
        finally:
            settings.allow_bf16_reduced_precision_reduction = reduced if split else (reduced, split)


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
        rows: the rows of each one found, its query, ascending. [found]
        positions: the positions of those found, ascending within a query. [found]
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
