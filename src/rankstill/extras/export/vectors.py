"""A corpus with its vectors, a batch at a time: what Parquet files and vector databases are written from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rankstill.data import Corpus
from rankstill.errors import DataError
from rankstill.retrieval.hybrid.engines import SparseTerms, SparseVector

if TYPE_CHECKING:
    from rankstill.multi_vector import TokenIndex

_ROWS = 1024
ROWS_OF_TOKENS = 64
"""Passages in a batch that has their token vectors."""


@dataclass(frozen=True)
class Batch:
    """Some passages.

    Args:
        vectors: unit vectors. [passages, dimensions]
        tokens: with a multi-vector retriever, the token vectors of each passage; one of zeros for a passage without
            tokens. Each [tokens, dimensions]
        terms: for a database that has BM25 as sparse vectors, each passage's.
    """

    ids: tuple[str, ...]
    texts: tuple[str, ...]
    vectors: NDArray[np.float32]
    tokens: tuple[NDArray[np.float32], ...] = ()
    terms: tuple[SparseVector, ...] = ()


def with_tokens(batches: Iterable[Batch], index: TokenIndex) -> Iterator[Batch]:
    """Batches of the corpus in its order, with the token vectors as they lie on disk."""
    start = 0
    for batch in batches:
        found = index.vectors(np.arange(start, start + len(batch.ids)))
        start += len(batch.ids)
        nothing = np.zeros((1, index.codec.dimensions), dtype=np.float32)
        yield replace(batch, tokens=tuple(each if len(each) else nothing for each in found))


def with_terms(batches: Iterable[Batch], terms: SparseTerms) -> Iterator[Batch]:
    """Batches with each passage's terms as a sparse vector."""
    for batch in batches:
        yield replace(batch, terms=tuple(map(terms.passage, batch.texts)))


def batches_of(corpus: Corpus, vectors: NDArray[np.float32], rows: int = _ROWS) -> Iterator[Batch]:
    """The corpus in batches, its vectors read from disk only as they are needed.

    Args:
        vectors: the vectors of every passage, in the corpus's order; memory-mapped, if it is large. [passages,
            dimensions]

    Raises:
        DataError: there are more or fewer vectors than passages.
    """
    if len(vectors) != len(corpus):
        raise DataError(
            f"{len(vectors):,} vectors for {len(corpus):,} passages. Encode the corpus again with this retriever."
        )
    for start in range(0, len(corpus), rows):
        here = range(start, min(start + rows, len(corpus)))
        yield Batch(
            ids=tuple(corpus.ids[here.start : here.stop]),
            texts=tuple(corpus.texts(here)),
            vectors=np.ascontiguousarray(vectors[here.start : here.stop], dtype=np.float32),
        )


def write_parquet(batches: Iterable[Batch], path: Path) -> int:
    """Write ids, texts and vectors (a list of fixed size, float32), a row group a batch; whole or not at all.

    Args:
        path: the file; missing folders are made, an existing file is replaced.

    Raises:
        DataError: there is nothing to write.
    """
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".tmp")
    writer, written = None, 0
    try:
        for batch in batches:
            table = arrow_table(batch)
            writer = writer or pq.ParquetWriter(unfinished, table.schema)
            writer.write_table(table)
            written += len(batch.ids)
        if writer is None:
            raise DataError(f"{path}: there are no passages to write.")
        writer.close()
        unfinished.replace(path)
    finally:
        if writer is not None:
            writer.close()
        unfinished.unlink(missing_ok=True)
    return written


def arrow_table(batch: Batch) -> Any:
    """The batch as an Arrow table of `id`, `text` and `vector`, and of `tokens` where there are any."""
    import pyarrow as pa

    columns = {
        "id": pa.array(batch.ids, type=pa.string()),
        "text": pa.array(batch.texts, type=pa.string()),
        "vector": _fixed_size(batch.vectors),
    }
    if batch.tokens:
        firsts = pa.array(np.cumsum([0, *map(len, batch.tokens)]), type=pa.int32())
        columns["tokens"] = pa.ListArray.from_arrays(firsts, _fixed_size(np.concatenate(batch.tokens)))
    return pa.table(columns)


def _fixed_size(vectors: NDArray[np.float32]) -> Any:
    import pyarrow as pa

    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1), type=pa.float32()), vectors.shape[1])
