"""Dense encoding: texts to unit vectors."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rankstill.compute.compiled import compiled
from rankstill.compute.memory import DeviceMemory, release_memory
from rankstill.compute.precision import autocast
from rankstill.progress import Advance, progress

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from rankstill.data import Corpus


Embeddings = NDArray[np.float32]
"""Unit vectors, one a row. [texts, dimensions]"""
_TEXTS_A_STRETCH = 16_384


def encode(model: SentenceTransformer, texts: Sequence[str], kind: str, what: str, batch_size: int = 32) -> Embeddings:
    """Encode texts in the precision that the machine is fast at, longest first, with progress.

    Args:
        model: a bi-encoder; its own prompts for queries and documents are honoured.
        kind: "query" or "document": whose prompt to prepend.
        what: for the progress line.
        batch_size: texts a forward pass, at most, on a processor; fewer of long ones, so that memory stays flat.
            A GPU takes what its memory holds (`DeviceMemory`).

    Returns:
        Unit vectors in the order of `texts`. [texts, dimensions]
    """
    with progress(what, len(texts)) as advance:
        return encode_each(model, texts, kind, batch_size, advance)


def encode_each(
    model: SentenceTransformer, texts: Sequence[str], kind: str, batch_size: int, advance: Advance
) -> Embeddings:
    """As `encode`, for a caller that shows progress itself: `advance` is told of texts that are done."""
    vectors = np.zeros((len(texts), int(model.get_embedding_dimension() or 0)), dtype=np.float32)
    order = sorted(range(len(texts)), key=lambda position: -len(texts[position]))
    encode_batch = model.encode_query if kind == "query" else model.encode_document
    memory, start = DeviceMemory.of(model), 0
    with autocast(str(model.device)), compiled(model, sum(map(len, texts))):
        while start < len(order):
            together = memory.inference_batch_size(len(texts[order[start]]), batch_size)
            rows = order[start : start + 8 * max(batch_size, together)]
            vectors[rows] = encode_batch(
                [texts[row] for row in rows], batch_size=together, show_progress_bar=False, normalize_embeddings=True
            )
            release_memory()
            advance(len(rows))
            start += len(rows)
    return vectors


def load_vectors(folder: Path) -> Embeddings:
    """Read what `encode_passages` wrote, memory-mapped. [passages, dimensions]"""
    vectors: Embeddings = np.load(folder / "passages.npy", mmap_mode="r")
    return vectors


def encode_passages(model: SentenceTransformer, corpus: Corpus, folder: Path) -> None:
    """Write a vector of every passage, for `load_vectors`, a stretch of them at a time.

    Whole stretches survive a kill. Memory does not grow with the corpus.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "passages.npy"
    if path.exists():
        return
    unfinished = path.with_name("unfinished-" + path.name)
    shape = (len(corpus), int(model.get_embedding_dimension() or 0))
    with _NpyFile(unfinished, shape) as file, progress("encoding passages", len(corpus)) as advance:
        done = file.rows // _TEXTS_A_STRETCH * _TEXTS_A_STRETCH
        advance(done)
        file.seek(done)
        left = islice(corpus.texts(), done, None)
        while stretch := list(islice(left, _TEXTS_A_STRETCH)):
            file.append(encode_each(model, stretch, "document", 32, advance))
    unfinished.replace(path)


def read_pieces(path: Path, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Bytes of a file, a piece from each start to its end, one after the other; neighbours are read as one."""
    read = np.empty(int((ends - starts).sum()), dtype=np.uint8)
    breaks = np.flatnonzero(starts[1:] != ends[:-1]) + 1
    firsts = np.append(0, breaks)[: len(starts)]
    lasts = np.append(breaks, len(starts))[: len(starts)] - 1
    place = 0
    with path.open("rb", buffering=0) as file:
        for start, end in zip(starts[firsts].tolist(), ends[lasts].tolist(), strict=True):
            file.seek(start)
            if file.readinto(read[place : place + end - start].data) != end - start:
                raise OSError(f"{path}: cut short, there is nothing at byte {end:,}")
            place += end - start
    return read


class _NpyFile:
    """A NumPy file of a known shape that is written row after row.

    By plain writes: the pages of a mapped file would count as this process's own memory.
    """

    def __init__(self, path: Path, shape: tuple[int, int]) -> None:
        self._row_bytes = 4 * shape[1]
        self._file = path.open("r+b" if path.exists() else "w+b")
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)
        self._start = self._file.tell()

    @property
    def rows(self) -> int:
        """Whole rows written."""
        return max(0, os.fstat(self._file.fileno()).st_size - self._start) // max(1, self._row_bytes)

    def seek(self, row: int) -> None:
        """Go on from this row; what stands there is forgotten."""
        self._file.seek(self._start + row * self._row_bytes)
        self._file.truncate()

    def append(self, rows: Embeddings) -> None:
        """Write rows, and see that they are on the disk."""
        self._file.write(np.ascontiguousarray(rows, dtype="<f4").data)
        self._file.flush()
        os.fsync(self._file.fileno())

    def __enter__(self) -> _NpyFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
