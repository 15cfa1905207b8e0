"""One thing done once at one size, in a process of its own: `python -m benchmarks.growth.child WHAT SIZE FOLDER`.

Prints one JSON object: seconds, the process's peak memory, that before the work began (the interpreter and the
libraries), and how much of its memory at the end is pages of files, which the system takes back when it needs them.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankstill.compute.memory import peak_memory

DIMENSIONS, QUERIES, K, WORDS_A_PASSAGE, WORDS = 384, 100, 100, 30, 200_000
TOKENS_A_PASSAGE, TOKENS_A_QUERY = 80, 16
PASSAGES_OF_LABELS = 20_000


class RandomEncoder:
    """Stands in for a bi-encoder: a random unit vector for any text, so that a million passages take seconds."""

    device = "cpu"
    max_seq_length = 256

    def __init__(self) -> None:
        self._draw = np.random.default_rng(0)

    def get_embedding_dimension(self) -> int:
        """Of a vector."""
        return DIMENSIONS

    def modules(self) -> tuple[()]:
        """No network, so that there is none to compile."""
        return ()

    def parameters(self) -> tuple[()]:
        """No weights."""
        return ()

    def encode_document(self, texts: Sequence[str], **_: object) -> NDArray[np.float32]:
        """Unit vectors. [texts, dimensions]"""
        return unit(self._draw, len(texts))


def unit(draw: np.random.Generator, rows: int) -> NDArray[np.float32]:
    """Random unit vectors. [rows, dimensions]"""
    vectors = draw.standard_normal((rows, DIMENSIONS), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def some_corpus(passages: int) -> Any:
    """Passages of words as frequent as words are (Zipf)."""
    from rankstill.data import Corpus
    from rankstill.data.corpus import CorpusWriter

    draw, writer = np.random.default_rng(1), CorpusWriter()
    for start in range(0, passages, 10_000):
        many = min(10_000, passages - start)
        for row, words in enumerate((draw.zipf(1.2, (many, WORDS_A_PASSAGE)) % WORDS).tolist(), start):
            writer.add(str(row), "", " ".join(f"w{word}" for word in words))
    return Corpus.written(writer)


def encoding(size: int, folder: Path) -> Callable[[], object]:
    """Passages of a corpus on disk to a file of vectors, by the stand-in."""
    from rankstill.retrieval.dense import encode_passages

    corpus = some_corpus(size)
    return lambda: encode_passages(RandomEncoder(), corpus, folder)  # type: ignore[arg-type]


def real_encoding(size: int, folder: Path) -> Callable[[], object]:
    """The same by all-MiniLM-L6-v2."""
    from rankstill.models import load_bi_encoder
    from rankstill.retrieval.dense import encode_passages

    corpus, model = some_corpus(size), load_bi_encoder("sentence-transformers/all-MiniLM-L6-v2", "cpu")
    return lambda: encode_passages(model, corpus, folder / "real")


def searching(size: int, folder: Path) -> Callable[[], object]:
    """Exact search of the vectors that `encoding` wrote."""
    from rankstill.retrieval.search import nearest_passages

    passages, asked = np.load(folder / "passages.npy", mmap_mode="r"), unit(np.random.default_rng(2), QUERIES)
    if len(passages) != size:
        raise ValueError(f"{folder}: vectors of {len(passages)} passages, not of {size}")
    return lambda: nearest_passages(asked, passages, K)


def two_stages(size: int, folder: Path) -> Callable[[], object]:
    """Search in two stages of an index of random codes, one query after the other."""
    from rankstill.multi_vector import TokenIndex, TwoStage
    from rankstill.multi_vector.codes import Codec

    draw = np.random.default_rng(4)
    indexes = []
    for name, tokens, codec in (("tokens", TOKENS_A_PASSAGE, Codec(2, DIMENSIONS)), ("means", 1, Codec(4, DIMENSIONS))):
        place = folder / name
        place.mkdir()
        np.full(size, tokens, dtype="<i4").tofile(place / "counts")
        with (place / "codes").open("wb") as codes, (place / "scales").open("wb") as scales:
            for start in range(0, size, 1000):
                vectors = min(1000, size - start) * tokens
                codes.write(draw.bytes(vectors * codec.size))
                scales.write(np.full(vectors, 0.05, dtype="<f2").tobytes())
        (place / "index.json").write_text(json.dumps(asdict(codec)), encoding="utf-8")
        indexes.append(TokenIndex.load(place))
    search = TwoStage(*indexes, depth=2000)
    asked = [unit(draw, TOKENS_A_QUERY) for _ in range(QUERIES)]
    return lambda: [search.nearest(query, K) for query in asked]


def indexing_words(size: int, folder: Path) -> Callable[[], object]:
    """A BM25 index of a corpus."""
    from rankstill.retrieval.bm25 import write_index

    corpus, place = some_corpus(size), folder / "bm25"
    place.mkdir()
    return lambda: write_index(corpus.texts(), place, "english", 1.2, 0.75)


def labels(size: int, folder: Path, passages: int = 50) -> Callable[[], object]:
    """Labelled pairs: written, read, and a training's steps built from them."""
    from rankstill.labels import LabelledQuery, read_labels, write_labels
    from rankstill.retriever.batches import BatchBuilder

    draw, path = np.random.default_rng(3), folder / f"labels-{passages}.parquet"

    def one(row: int) -> LabelledQuery:
        positions = draw.choice(PASSAGES_OF_LABELS, passages, replace=False)
        scores = -np.sort(-draw.standard_normal(passages, dtype=np.float32))
        return LabelledQuery(f"q{row}", f"the text of query {row}, about so long", "extra", positions, scores)

    def work() -> None:
        write_labels((one(row) for row in range(size // passages)), path)
        read = read_labels(path)
        steps = BatchBuilder(read, passages_per_query=10, seed=0)
        for start in range(0, len(read), 5):
            steps.build(range(start, min(start + 5, len(read))))

    return work


def short_labels(size: int, folder: Path) -> Callable[[], object]:
    """The same pairs spread over many queries of five passages."""
    return labels(size, folder, passages=5)


MEASURED = {
    "encoding": encoding,
    "real-encoding": real_encoding,
    "searching": searching,
    "two-stages": two_stages,
    "bm25": indexing_words,
    "labels": labels,
    "short-labels": short_labels,
}


def _memory(name: str) -> float:
    """A line of /proc/self/status, in MB; 0 where there is no such file."""
    path = Path("/proc/self/status")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(name)), 0.0)


def main() -> None:
    """Prepare, measure, print."""
    what, size, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    import torch  # with it loaded, what is measured is the work

    torch.set_num_threads(1)
    work, started_with = MEASURED[what](size, folder), peak_memory()
    started = time.perf_counter()
    work()
    seconds = time.perf_counter() - started
    found = {"seconds": seconds, "peak_mb": peak_memory(), "before_mb": started_with, "mapped_mb": _memory("RssFile")}
    print(json.dumps(found))  # noqa: T201 - what the parent reads


if __name__ == "__main__":
    main()
