"""Approximate nearest passages: a FAISS index that is trusted only as far as it was measured."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankstill.errors import RankstillError
from rankstill.packages import required
from rankstill.progress import progress, say
from rankstill.retrieval.keeping import make_once
from rankstill.retrieval.search import Vectors, nearest_passages, read_rows
from rankstill.workspace import digest

DEPTH = 100
"""Passages of a query by which recall is measured."""
_FORMAT = 1
_INDEX, _MEASURED = "index.faiss", "measured.json"
_PASSAGES_A_BLOCK = 32_768
_QUERIES_A_BLOCK = 256
_LEAST_TRAINED_ON = 65_536
_TRAINED_ON_A_LIST = 64
"""Passages; FAISS asks for 39 at least, and takes 256 at most."""
_LOOKED_AT = 4
"""Passages whose true cosine is computed, for each that is wanted: compressed vectors tell near ones apart badly."""
_OFF = 1e-5
"""The largest difference between two computations of the same cosine."""


@dataclass(frozen=True)
class IndexRecall:
    """The recall of an index against exact search.

    Args:
        factory: FAISS's name of the index.
        effort: how many lists (IVF) or neighbours (HNSW) it looks at for a query; 0 where there is no such choice.
        recall: share of the `depth` nearest passages that it finds, mean over the queries.
        worst: share of that query of which it finds least.
        least: the recall that was wanted.
    """

    factory: str
    effort: int
    recall: float
    worst: float
    queries: int
    depth: int
    least: float

    @property
    def trusted(self) -> bool:
        """Whether its recall is high enough."""
        return self.recall >= self.least

    def describe(self) -> str:
        """In one sentence, for the notes of a step."""
        found = (
            f"candidates.index {self.factory}: recall {self.recall:.3f} of exact search at depth {self.depth} (worst "
            f"query {self.worst:.2f}), measured on {self.queries:,} of your queries"
        )
        if self.trusted:
            return f"{found}; used, with effort {self.effort}" if self.effort else f"{found}; used"
        return f"{found}: below candidates.least_recall {self.least:g}, so search is exact"


class ApproximateIndex:
    """A FAISS index over a corpus's vectors; what it finds is ordered by true cosine.

    Args:
        passages: unit vectors, memory-mapped. [passages, dimensions]
    """

    def __init__(self, index: Any, passages: Vectors, effort: int) -> None:
        self._index = index
        self._passages = passages
        self.effort = effort
        _set_effort(index, effort)

    def nearest(
        self, queries: Vectors, k: int, device: str = "cpu", left_out: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.int64], Vectors]:
        """As `nearest_passages`, but for passages that the index overlooks.

        A query for which it finds fewer than k is searched exactly.

        Args:
            queries: unit vectors. [queries, dimensions]
            left_out: which passages are not looked at; None: all are. [passages]

        Returns:
            Positions, best first, ties in order of position, and their true cosines. [queries, k], [queries, k]
        """
        there = len(self._passages) if left_out is None else int((~left_out).sum())
        positions, cosines = self.found(queries, min(k, there), left_out)
        short = np.flatnonzero((positions < 0).any(axis=1))
        if len(short):
            positions[short], cosines[short] = nearest_passages(queries[short], self._passages, k, device, left_out)
        return positions, cosines

    def found(
        self, queries: Vectors, k: int, left_out: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.int64], Vectors]:
        """As `nearest`, but what the index alone finds: where that is fewer than k, -1 with a cosine of -inf."""
        positions = np.full((len(queries), k), -1, dtype=np.int64)
        cosines = np.full((len(queries), k), -np.inf, dtype=np.float32)
        many = min(k * _LOOKED_AT, len(self._passages))
        for start in range(0, len(queries), _QUERIES_A_BLOCK):
            asked = np.ascontiguousarray(queries[start : start + _QUERIES_A_BLOCK], dtype=np.float32)
            for row, near in enumerate(self._index.search(asked, many)[1], start=start):
                known = np.sort(near[near >= 0])
                if left_out is not None:
                    known = known[~left_out[known]]
                true = self._passages[known] @ queries[row]
                best = np.argsort(-true, kind="stable")[:k]
                positions[row, : len(best)], cosines[row, : len(best)] = known[best], true[best]
        return positions, cosines


def cached_approximate_index(
    passages: Vectors,
    factory: str,
    queries: Vectors,
    folder: Path,
    *,
    least: float,
    made_from: str,
    device: str = "cpu",
) -> tuple[ApproximateIndex | None, IndexRecall]:
    """The index that a folder holds, if it is of the same making; else it is built and measured there first.

    Args:
        passages: unit vectors, memory-mapped. [passages, dimensions]
        factory: FAISS's name of the index, such as "IVF4096,PQ48".
        queries: unit vectors of the user's own queries, to measure with. [queries, dimensions]
        folder: the index's own; what else lies in it is replaced.
        least: the recall that is wanted.
        made_from: digest of what the passages' vectors are.

    Returns:
        The index, or None if its recall is too low; and what was measured.

    Raises:
        RankstillError: FAISS is not installed, or cannot make such an index of these vectors.
    """
    wanted = digest(_FORMAT, factory, least, made_from, queries.round(3).tolist())

    def make(unfinished: Path) -> None:
        build(passages, factory, unfinished / _INDEX)
        measured = measure(_read_index(unfinished), passages, queries, factory, least, device)
        record = json.dumps({"made_from": wanted, "measured": asdict(measured)}, indent=2) + "\n"
        (unfinished / _MEASURED).write_text(record, encoding="utf-8")

    make_once(folder, lambda: _read_measured(folder, wanted) is not None, make)
    known = _read_measured(folder, wanted)
    assert known is not None
    if not known.trusted:
        return None, known
    return ApproximateIndex(_read_index(folder), passages, known.effort), known


def build(passages: Vectors, factory: str, path: Path) -> None:
    """Build an index block by block and write it.

    What is in memory is the index itself (a PQ48 takes 48 bytes a passage, a Flat as much as the vectors) and the
    passages that it is trained on.

    Args:
        passages: unit vectors, memory-mapped. [passages, dimensions]

    Raises:
        RankstillError: FAISS cannot make such an index of these vectors.
    """
    faiss = _faiss()
    try:
        index = faiss.index_factory(passages.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
        if not index.is_trained:
            if hasattr(_inner(index), "do_polysemous_training"):
                # It takes minutes, and serves a way of searching that is not used here.
                _inner(index).do_polysemous_training = False
            say(f"training the index {factory} ...")
            index.train(_sample(passages, _trained_on(index)))
        with progress("indexing passages", len(passages)) as advance:
            for start in range(0, len(passages), _PASSAGES_A_BLOCK):
                block = read_rows(passages, start, start + _PASSAGES_A_BLOCK)
                index.add(block)
                advance(len(block))
    except RuntimeError as error:
        # FAISS tells first where in its own code the error was found.
        reason = str(error).strip().splitlines()[-1].rpartition(".cpp:")[2].partition(": ")[2]
        raise RankstillError(
            f"candidates.index: FAISS cannot make {factory} of {len(passages):,} vectors of {passages.shape[1]} "
            f"dimensions ({reason}). Choose another factory string, or null for exact search."
        ) from error
    faiss.write_index(index, str(path))


def measure(
    index: Any, passages: Vectors, queries: Vectors, factory: str, least: float, device: str = "cpu"
) -> IndexRecall:
    """How much of what exact search finds the index finds, with the least effort that suffices, or with the most.

    Args:
        passages: unit vectors, memory-mapped. [passages, dimensions]
        queries: unit vectors. [queries, dimensions]
    """
    depth = min(DEPTH, len(passages))
    # By cosine and not by position: of several passages with the same text, any will do.
    wanted = nearest_passages(queries, passages, depth, device)[1][:, -1:] - _OFF
    for effort in _efforts(index):
        found = ApproximateIndex(index, passages, effort).found(queries, depth)[1]
        shares = (found >= wanted).mean(axis=1)
        measured = IndexRecall(factory, effort, float(shares.mean()), float(shares.min()), len(queries), depth, least)
        if measured.trusted:
            break
    return measured


def _faiss() -> Any:
    return required("faiss", "faiss", "candidates.index")


def _read_measured(folder: Path, made_from: str) -> IndexRecall | None:
    path = folder / _MEASURED
    if not path.is_file():
        return None
    record = json.loads(path.read_text(encoding="utf-8"))
    return IndexRecall(**record["measured"]) if record["made_from"] == made_from else None


def _read_index(folder: Path) -> Any:
    """Memory-mapped, where FAISS can do so for this kind of index."""
    faiss = _faiss()
    return faiss.read_index(str(folder / _INDEX), faiss.IO_FLAG_MMAP_IFC)


def _trained_on(index: Any) -> int:
    return max(_LEAST_TRAINED_ON, _TRAINED_ON_A_LIST * getattr(_inner(index), "nlist", 0))


def _sample(passages: Vectors, many: int) -> Vectors:
    """Rows drawn at random, the same each time; read a block at a time. [many, dimensions]"""
    if many >= len(passages):
        return read_rows(passages, 0, len(passages))
    rows = np.sort(np.random.default_rng(0).choice(len(passages), many, replace=False))
    drawn = []
    for start in range(0, len(passages), _PASSAGES_A_BLOCK):
        first, end = np.searchsorted(rows, [start, start + _PASSAGES_A_BLOCK])
        drawn.append(read_rows(passages, start, start + _PASSAGES_A_BLOCK)[rows[first:end] - start])
    return np.concatenate(drawn)


def _inner(index: Any) -> Any:
    """What stands behind a rotation and a refinement (in FAISS's names "OPQ..." and "Refine(...)"), as what it is."""
    faiss = _faiss()
    found = faiss.downcast_index(index)
    if isinstance(found, faiss.IndexRefine):
        return _inner(found.base_index)
    return _inner(found.index) if isinstance(found, faiss.IndexPreTransform) else found


def _efforts(index: Any) -> list[int]:
    """The search settings to try, from the fastest to the exhaustive one: lists to visit, or neighbours to keep."""
    inner = _inner(index)
    if hasattr(inner, "nprobe"):
        return [*(2**power for power in range(inner.nlist.bit_length()) if 2**power < inner.nlist), inner.nlist]
    if hasattr(inner, "hnsw"):
        return [DEPTH * _LOOKED_AT * times for times in (1, 2, 4, 8)]
    return [0]


def _set_effort(index: Any, effort: int) -> None:
    inner = _inner(index)
    if hasattr(inner, "nprobe"):
        inner.nprobe = effort
    elif hasattr(inner, "hnsw"):
        inner.hnsw.efSearch = effort
