"""A corpus with its vectors as Parquet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rankstill.data import Corpus
from rankstill.errors import DataError
from rankstill.extras.export.vectors import batches_of, write_parquet

CORPUS = Corpus([f"p{row}" for row in range(10)], ["A title"] + [""] * 9, ["body"] * 10)
VECTORS = np.arange(30, dtype=np.float32).reshape(10, 3)


def test_any_parquet_reader_finds_ids_texts_and_vectors_of_fixed_size(tmp_path: Path) -> None:
    path = tmp_path / "new" / "vectors.parquet"
    assert write_parquet(batches_of(CORPUS, VECTORS, rows=4), path) == 10
    table = pq.read_table(path)
    assert table.schema.field("vector").type == pa.list_(pa.float32(), 3)
    assert table["id"].to_pylist() == list(CORPUS.ids)
    assert table["text"][0].as_py() == "A title body"
    assert np.array_equal(np.array(table["vector"].to_pylist(), dtype=np.float32), VECTORS)
    assert pq.ParquetFile(path).num_row_groups == 3  # a batch each: it was streamed


def test_a_run_that_breaks_off_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "vectors.parquet"
    write_parquet(batches_of(CORPUS, VECTORS), path)
    before = path.read_bytes()

    def broken() -> object:
        yield next(batches_of(CORPUS, VECTORS * 2))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_parquet(broken(), path)  # type: ignore[arg-type]
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_vectors_of_another_corpus_are_refused() -> None:
    with pytest.raises(DataError, match="9 vectors for 10 passages"):
        list(batches_of(CORPUS, VECTORS[:9]))
