"""Encoding a corpus by parts: passages and their sentences to vectors, on whatever engine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from rankstill.engine.folders import get_folder
from rankstill.engine.parts import PartFolder
from rankstill.engine.work import Engine, Function

if TYPE_CHECKING:
    import pyarrow as pa
    from sentence_transformers import SentenceTransformer

    from rankstill.datasets import Corpus

PASSAGES_A_PART = 16_384
"""About three minutes of two cores, or seconds of a GPU: what a lost worker costs at most."""
_TEXTS_A_BATCH = {"passages": 32, "sentences": 128}


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
        from rankstill.models import load_bi_encoder

        prompts = {"query_prompt": self.query_prompt, "passage_prompt": self.passage_prompt}
        return load_bi_encoder(get_folder(self.name), self.device, **prompts)


@dataclass(frozen=True)
class Encode:
    """Work: passages as `corpus_tables` gives them -> `vector`, one a passage or one a sentence.

    Args:
        encoder: the model.
        of: whole passages, or their sentences; of these, `passage` says in which row of the part each stands.
    """

    encoder: Encoder
    of: Literal["passages", "sentences"]

    def load(self) -> Function:
        """The model, once a worker."""
        from rankstill.candidates.dense import encode_each

        model = self.encoder.model()

        def encode(part: pa.Table) -> pa.Table:
            pieces = _pieces(part, self.of)
            texts = [text for piece in pieces for text in piece]
            vectors = encode_each(model, texts, "document", _TEXTS_A_BATCH[self.of], lambda done: None)
            return vector_table(vectors, [row for row, piece in enumerate(pieces) for _ in piece])

        return encode


def encode_corpus_on(
    engine: Engine,
    encoder: Encoder,
    corpus: PartFolder,
    vectors: PartFolder,
    folder: Path,
    *,
    each_sentence: bool = True,
) -> None:
    """Vectors of every passage and of every sentence, for `PassageVectors.load`.

    Args:
        engine: where to encode.
        encoder: the model.
        corpus: as `corpus_tables` gives it.
        vectors: where parts that are made stay.
        folder: for the three files, here; made if it is not there.
        each_sentence: false: no sentence gets a vector.
    """
    works = [Encode(encoder, "passages"), *([Encode(encoder, "sentences")] if each_sentence else [])]
    for work in works:
        engine.fill(work, corpus, vectors / work.of, f"encoding {work.of}, part by part")
    gather_vectors(vectors, folder, each_sentence=each_sentence)


def gather_vectors(vectors: PartFolder, folder: Path, *, each_sentence: bool = True) -> None:
    """What `encode_corpus_on` keeps in parts, as the files that `PassageVectors.load` reads.

    Args:
        vectors: the parts, passages' and sentences'.
        folder: for the files; made if it is not there.
        each_sentence: whether the sentences are wanted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    gather(vectors / "passages", folder / "passages.npy")
    passages = np.load(folder / "passages.npy", mmap_mode="r")
    counts = [np.zeros(len(passages), dtype=np.int64)]
    if each_sentence:
        gather(vectors / "sentences", folder / "sentences.npy")
        counts = [np.bincount(part["passage"].to_numpy()) for part in (vectors / "sentences").tables(["passage"])]
    else:
        np.save(folder / "sentences.npy", passages[:0])
    np.save(folder / "starts.npy", np.concatenate([[0], np.cumsum(np.concatenate(counts))]))


def corpus_tables(corpus: Corpus, rows: int = PASSAGES_A_PART) -> Iterator[pa.Table]:
    """A corpus as parts: `id`, `title` and `text` of each passage.

    Args:
        corpus: the passages.
        rows: passages a part.
    """
    import pyarrow as pa

    for start in range(0, len(corpus), rows):
        columns = (corpus.ids, corpus.titles, corpus.bodies)
        part = [pa.array(column[start : start + rows], pa.string()) for column in columns]
        yield pa.table(part, names=["id", "title", "text"])


def read_corpus(parts: PartFolder) -> Corpus:
    """The corpus of `corpus_tables`, on this machine."""
    from rankstill.datasets.corpus import Corpus, CorpusWriter

    writer = CorpusWriter()
    for part in parts.tables():
        for record in zip(*(part[name].to_pylist() for name in ("id", "title", "text")), strict=True):
            writer.add(*record)
    return Corpus.written(writer)


def vector_table(vectors: NDArray[np.float32], passages: list[int]) -> pa.Table:
    """Vectors as a part: `passage`, its row in the part, and `vector`, a list of fixed size."""
    import pyarrow as pa

    flat = pa.array(vectors.astype(np.float32).reshape(-1))
    lists = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
    return pa.table({"passage": pa.array(passages, pa.int64()), "vector": lists})


def vectors_in(part: pa.Table) -> NDArray[np.float32]:
    """The vectors of a part. [texts, dimensions]"""
    column = part["vector"].combine_chunks()
    flat: NDArray[np.float32] = column.flatten().to_numpy()
    return flat.reshape(len(column), -1)


def gather(parts: PartFolder, path: Path) -> None:
    """The vectors of all parts as one NumPy file, written part by part, whole or not at all."""
    rows = parts.rows()
    unfinished = path.with_name("unfinished-" + path.name)
    with unfinished.open("wb") as file:
        for number, part in enumerate(parts.tables()):
            vectors = np.ascontiguousarray(vectors_in(part))
            if number == 0:
                shape = (rows, vectors.shape[1])
                header = {"descr": vectors.dtype.str, "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
            file.write(vectors.data)
    unfinished.replace(path)


def _pieces(part: pa.Table, of: str) -> list[list[str]]:
    from rankstill.candidates.dense import sentences

    titles, bodies = part["title"].to_pylist(), part["text"].to_pylist()
    if of == "sentences":
        return [sentences(title, body) for title, body in zip(titles, bodies, strict=True)]
    return [[f"{title} {body}" if title else body] for title, body in zip(titles, bodies, strict=True)]
