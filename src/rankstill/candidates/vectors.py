"""Vectors of a corpus on disk: written a stretch at a time, read where they lie."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rankstill.candidates.dense import Embeddings, encode_each, sentences
from rankstill.candidates.search import is_mapped
from rankstill.progress import Advance, progress

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from rankstill.datasets import Corpus

_TEXTS_A_STRETCH = 16_384


@dataclass(frozen=True)
class PassageVectors:
    """What one retriever makes of a corpus.

    Args:
        passages: one vector a passage. [passages, dimensions]
        sentences: one vector a sentence, passages in order; none at all where they were left out. [sentences,
            dimensions]
        starts: each passage's first sentence, and at the end the number of all. [passages + 1]
    """

    passages: Embeddings
    sentences: Embeddings
    starts: NDArray[np.int64]

    @classmethod
    def load(cls, folder: Path) -> PassageVectors:
        """As `encode_corpus` wrote them, memory-mapped."""
        return cls(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("passages", "sentences", "starts")))


def encode_corpus(model: SentenceTransformer, corpus: Corpus, folder: Path, *, each_sentence: bool = True) -> None:
    """Write vectors of every passage and of every sentence, for `PassageVectors.load`.

    What an interrupted call finished is not encoded again. Memory does not grow with the corpus.

    Args:
        model: a bi-encoder.
        corpus: the passages.
        folder: made if it is not there.
        each_sentence: false: no sentence gets a vector.
    """
    encode_passages(model, corpus, folder)
    pieces = _pieces if each_sentence else _no_pieces
    counts = np.fromiter(map(len, pieces(corpus)), dtype=np.int64, count=len(corpus))
    starts = np.concatenate([[0], np.cumsum(counts)])
    np.save(folder / "starts.npy", starts)
    each = (text for piece in pieces(corpus) for text in piece)
    path = folder / "sentences.npy"
    encode_to_file(model, each, int(starts[-1]), path, "encoding sentences", batch_size=128)


def encode_passages(model: SentenceTransformer, corpus: Corpus, folder: Path) -> None:
    """Write vectors of every passage alone. Arguments as for `encode_corpus`."""
    folder.mkdir(parents=True, exist_ok=True)
    encode_to_file(model, corpus.texts(), len(corpus), folder / "passages.npy", "encoding passages", batch_size=32)


def encode_to_file(
    model: SentenceTransformer, texts: Iterable[str], count: int, path: Path, what: str, *, batch_size: int
) -> None:
    """Encode passages into a NumPy file, a stretch of them at a time; whole stretches survive a kill.

    Args:
        model: a bi-encoder.
        texts: to encode.
        count: how many they are.
        path: of the file.
        what: for the progress line.
        batch_size: texts a forward pass, at most.
    """

    def encoded(done: int, advance: Advance) -> Iterator[Embeddings]:
        left = islice(texts, done, None)
        while stretch := list(islice(left, _TEXTS_A_STRETCH)):
            yield encode_each(model, stretch, "document", batch_size, advance)

    write_vectors(path, (count, int(model.get_embedding_dimension() or 0)), what, encoded)


def write_vectors(
    path: Path, shape: tuple[int, int], what: str, make: Callable[[int, Advance], Iterable[Embeddings]]
) -> None:
    """Write vectors into a NumPy file, a stretch of them at a time; whole stretches survive a kill.

    Args:
        path: of the file; nothing is made where it is there.
        shape: vectors, dimensions.
        what: for the progress line.
        make: gives the vectors from this row on, by `stretches`, and tells of those that are done.
    """
    if path.exists():
        return
    unfinished = path.with_name("unfinished-" + path.name)
    with _NpyFile(unfinished, shape) as file, progress(what, shape[0]) as advance:
        done = file.rows // _TEXTS_A_STRETCH * _TEXTS_A_STRETCH
        advance(done)
        file.go_to(done)
        for stretch in make(done, advance):
            file.append(stretch)
    unfinished.replace(path)


def stretches(count: int, done: int = 0) -> Iterator[slice]:
    """The rows of each stretch, the last one shorter; `done` rows, whole stretches, are left out."""
    return (slice(start, min(start + _TEXTS_A_STRETCH, count)) for start in range(done, count, _TEXTS_A_STRETCH))


def pick_rows(vectors: Embeddings, rows: NDArray[np.int64]) -> Embeddings:
    """Some rows of a matrix, copied; read from its file if it is mapped, as by `read_rows`."""
    if not is_mapped(vectors):
        return vectors[rows]
    width = vectors.shape[1] * vectors.itemsize
    starts = vectors.offset + rows * width
    read = read_pieces(Path(str(vectors.filename)), starts, starts + width).view(vectors.dtype)
    return read.reshape(len(rows), vectors.shape[1]).astype(np.float32, copy=False)


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

    def go_to(self, row: int) -> None:
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


def _pieces(corpus: Corpus) -> Iterator[list[str]]:
    return map(sentences, corpus.titles, corpus.bodies)


def _no_pieces(corpus: Corpus) -> Iterator[list[str]]:
    return ([] for _ in range(len(corpus)))
