"""Encoding a corpus by shards: passages to vectors, on whatever engine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rankstill.data.corpus import Corpus, CorpusWriter
from rankstill.engine.folders import get_folder
from rankstill.engine.shards import Function, ShardFolder
from rankstill.models import load_bi_encoder
from rankstill.retrieval.dense import encode_each

if TYPE_CHECKING:
    import pyarrow as pa
    from sentence_transformers import SentenceTransformer

    from rankstill.engine.on_ray import RayEngine


PASSAGES_A_SHARD = 16_384
"""About three minutes of two cores, or seconds of a GPU: what a lost worker costs at most."""
_TEXTS_A_BATCH = 32


@dataclass(frozen=True)
class Encoder:
    """A bi-encoder by its name, so that any worker can load it.

    Args:
        name: hub name; a folder that every worker can read; or the address of one, as `put_folder` gives it.
        query_prompt: put before every query; None: the model's own.
        passage_prompt: put before every passage; None: the model's own.
        device: None: the best that the worker has.
    """

    name: str
    query_prompt: str | None = None
    passage_prompt: str | None = None
    device: str | None = None

    def model(self) -> SentenceTransformer:
        """The model, loaded."""
        prompts = {"query_prompt": self.query_prompt, "passage_prompt": self.passage_prompt}
        return load_bi_encoder(get_folder(self.name), self.device, **prompts)


@dataclass(frozen=True)
class EncodeTask:
    """Work: passages as `corpus_tables` gives them -> `vector`, one a passage."""

    encoder: Encoder

    def load(self) -> Function:
        """The model, once a worker."""
        model = self.encoder.model()

        def encode(shard: pa.Table) -> pa.Table:
            titles, bodies = shard["title"].to_pylist(), shard["text"].to_pylist()
            texts = [f"{title} {body}" if title else body for title, body in zip(titles, bodies, strict=True)]
            return vector_table(encode_each(model, texts, "document", _TEXTS_A_BATCH, lambda done: None))

        return encode


def encode_corpus_on(
    engine: RayEngine, encoder: Encoder, corpus: ShardFolder, vectors: ShardFolder, folder: Path
) -> None:
    """A vector of every passage, for `load_vectors`.

    Args:
        corpus: as `corpus_tables` gives it.
        folder: for the file, here; made if it is not there.
    """
    engine.fill(EncodeTask(encoder), corpus, vectors, "encoding passages, part by part")
    folder.mkdir(parents=True, exist_ok=True)
    gather(vectors, folder / "passages.npy")


def corpus_tables(corpus: Corpus, rows: int = PASSAGES_A_SHARD) -> Iterator[pa.Table]:
    """A corpus as shards: `id`, `title` and `text` of each passage."""
    import pyarrow as pa

    for start in range(0, len(corpus), rows):
        columns = (corpus.ids, corpus.titles, corpus.bodies)
        shard = [pa.array(column[start : start + rows], pa.string()) for column in columns]
        yield pa.table(shard, names=["id", "title", "text"])


def read_corpus(shards: ShardFolder) -> Corpus:
    """The corpus of `corpus_tables`, on this machine."""
    writer = CorpusWriter()
    for shard in shards.tables():
        for record in zip(*(shard[name].to_pylist() for name in ("id", "title", "text")), strict=True):
            writer.add(*record)
    return Corpus.written(writer)


def vector_table(vectors: NDArray[np.float32]) -> pa.Table:
    """Vectors as a shard: `vector`, a list of fixed size."""
    import pyarrow as pa

    flat = pa.array(vectors.astype(np.float32).reshape(-1))
    return pa.table({"vector": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])})


def vectors_in(shard: pa.Table) -> NDArray[np.float32]:
    """The vectors of a shard. [texts, dimensions]"""
    column = shard["vector"].combine_chunks()
    flat: NDArray[np.float32] = column.flatten().to_numpy()
    return flat.reshape(len(column), -1)


def gather(shards: ShardFolder, path: Path) -> None:
    """The vectors of all shards as one NumPy file, written shard by shard, whole or not at all."""
    rows = shards.rows()
    unfinished = path.with_name("unfinished-" + path.name)
    with unfinished.open("wb") as file:
        for number, shard in enumerate(shards.tables()):
            vectors = np.ascontiguousarray(vectors_in(shard))
            if number == 0:
                shape = (rows, vectors.shape[1])
                header = {"descr": vectors.dtype.str, "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
            file.write(vectors.data)
    unfinished.replace(path)
