"""A corpus with its vectors, a batch at a time: what Parquet files and vector databases are written from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rankstill.data import Corpus
from rankstill.errors import DataError

if TYPE_CHECKING:
    from rankstill.multi_vector import TokenIndex

_ROWS = 1024
_ROWS_OF_TOKENS = 64


@dataclass(frozen=True)
class Batch:
    """Some passages.

    Args:
        vectors: unit vectors. [passages, dimensions]
    """

    ids: tuple[str, ...]
    texts: tuple[str, ...]
    vectors: NDArray[np.float32]


@dataclass(frozen=True)
class TokenBatch:
    """Some passages with a vector for each token, or for some tokens together.

    Args:
        vectors: the vectors of each passage; one of zeros for a passage without tokens. Each [tokens, dimensions]
    """

    ids: tuple[str, ...]
    texts: tuple[str, ...]
    vectors: tuple[NDArray[np.float32], ...]


def token_batches_of(corpus: Corpus, index: TokenIndex) -> Iterator[TokenBatch]:
    """The corpus in batches, with the vectors that it was searched by, as they lie on disk.

    Args:
        corpus: the passages.
        index: their token vectors.
    """
    for start in range(0, len(corpus), _ROWS_OF_TOKENS):
        here = np.arange(start, min(start + _ROWS_OF_TOKENS, len(corpus)))
        vectors = tuple(each if len(each) else np.zeros((1, each.shape[1]), np.float32) for each in index.vectors(here))
        rows = here.tolist()
        yield TokenBatch(tuple(corpus.ids[row] for row in rows), tuple(corpus.texts(rows)), vectors)


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


def read_parquet(path: Path, rows: int = _ROWS) -> Iterator[Batch]:
    """The batches of a file that `write_parquet` wrote; DataError if it is no Parquet file, or lacks a column."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for part in file.iter_batches(batch_size=rows, columns=["id", "text", "vector"]):
                vectors = part["vector"].flatten().to_numpy().reshape(part.num_rows, -1)
                yield Batch(tuple(part["id"].to_pylist()), tuple(part["text"].to_pylist()), vectors)
    except (OSError, KeyError, pa.ArrowInvalid) as error:
        raise DataError(f"{path}: not embeddings in Parquet ({error}). Give a file that Rankstill wrote.") from error


def arrow_table(batch: Batch | TokenBatch) -> Any:
    """The batch as an Arrow table of `id`, `text` and `vector`: one of a fixed size, or a list of such."""
    import pyarrow as pa

    together = np.concatenate(batch.vectors) if isinstance(batch, TokenBatch) else batch.vectors
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(together.reshape(-1), type=pa.float32()), together.shape[1])
    if isinstance(batch, TokenBatch):
        firsts = np.cumsum([0, *map(len, batch.vectors)])
        vectors = pa.ListArray.from_arrays(pa.array(firsts, type=pa.int32()), vectors)
    texts, ids = pa.array(batch.texts, type=pa.string()), pa.array(batch.ids, type=pa.string())
    return pa.table({"id": ids, "text": texts, "vector": vectors})
