"""Candidates and labels by shards of the queries, on workers that each hold a first stage or a ranker."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rankstill.config import CandidatesConfig
from rankstill.data import Corpus
from rankstill.engine.encoding import Encoder, gather, read_corpus
from rankstill.engine.folders import ScratchFolder, get_folder
from rankstill.engine.shards import Function, ShardFolder
from rankstill.labels.labelling import RankedBy, UnlabelledQuery, label_shard, passages_of
from rankstill.labels.table import labels_table
from rankstill.ranker.model import Ranker
from rankstill.retrieval import Candidates, FirstStage, load_vectors
from rankstill.retrieval.bm25 import cached_index
from rankstill.retrieval.first_stage import LateInteractionScores

if TYPE_CHECKING:
    import pyarrow as pa

_LISTS = ("ranked", "others")
"""A query's lists of positions."""


@dataclass(frozen=True)
class SharedFirstStage:
    """A first stage that any worker can build: it reads the corpus, indexes it, and maps the vectors.

    Args:
        corpus: as `corpus_tables` gives it.
        vectors: in shards, as `encode_corpus_on` keeps them.
    """

    corpus: ShardFolder
    vectors: ShardFolder
    encoder: Encoder
    config: CandidatesConfig

    def load(self) -> FirstStage:
        """The first stage, on this worker, whose disk holds the vectors and the word index as long as it lives."""
        here = ScratchFolder("first-stage")
        gather(self.vectors, here.path / "passages.npy")
        vectors = load_vectors(here.path)
        corpus = read_corpus(self.corpus)
        bm25 = cached_index(corpus, self.config, here.path / "bm25")
        first_stage = FirstStage(corpus, self.encoder.model(), vectors, self.config, bm25=bm25)
        weakref.finalize(first_stage, here.remove)
        return first_stage


@dataclass(frozen=True)
class FindTask:
    """Work: queries as `query_tables` gives them -> `positions`, `features` and `fused` of each one's passages.

    Args:
        n: how many passages to find for each query; None: take those that it names.
    """

    first_stage: SharedFirstStage
    n: int | None = None

    def load(self) -> Function:
        """The first stage, once a worker."""
        first_stage = self.first_stage.load()

        def find(shard: pa.Table) -> pa.Table:
            queries = queries_in(shard)
            if self.n is None:
                return _found_table(passages_of(queries, first_stage))
            return _found_table(list(first_stage.search([query.text for query in queries], self.n)))

        return find


def query_tables(queries: Sequence[UnlabelledQuery], rows: int = 512) -> Iterator[pa.Table]:
    """Queries as shards."""
    import pyarrow as pa

    lists = pa.list_(pa.int64())
    for start in range(0, len(queries), rows):
        shard = queries[start : start + rows]
        yield pa.table(
            {
                "id": pa.array([query.id for query in shard], pa.string()),
                "text": pa.array([query.text for query in shard], pa.string()),
                "source": pa.array([query.source for query in shard], pa.string()),
                **{name: pa.array([getattr(query, name) for query in shard], lists) for name in _LISTS},
            }
        )


def queries_in(shard: pa.Table) -> list[UnlabelledQuery]:
    """The queries of a shard."""
    return [
        UnlabelledQuery(
            row["id"], row["text"], row["source"], *(np.array(row[name], dtype=np.int64) for name in _LISTS)
        )
        for row in shard.to_pylist()
    ]


def candidates_in(shard: pa.Table) -> list[tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]]:
    """Positions [passages], features [passages, features] and fused scores [passages] of each query of a shard."""
    positions, features, fused = (shard[name].combine_chunks() for name in ("positions", "features", "fused"))
    ends = positions.offsets.to_numpy()[1:-1]
    columns = features.values.to_numpy().reshape(len(positions.values), -1)
    split = (np.split(each, ends) for each in (positions.values.to_numpy(), columns, fused.values.to_numpy()))
    return list(zip(*split, strict=True))


def _found_table(found: Sequence[Candidates]) -> pa.Table:
    import pyarrow as pa

    return pa.table(
        {
            "positions": pa.array([each.positions for each in found], pa.list_(pa.int64())),
            "features": pa.array([each.features.ravel() for each in found], pa.list_(pa.float32())),
            "fused": pa.array([each.fused for each in found], pa.list_(pa.float32())),
        }
    )


@dataclass(frozen=True)
class SharedRanker:
    """A ranker that any worker can load.

    Args:
        folder: the folder of the ranker, which every worker can read; or its address, as `put_folder` gives it.
        corpus: as `corpus_tables` gives it; a prior alone does not read it.
        device: None: the best that the worker has.
    """

    folder: str
    corpus: ShardFolder
    device: str | None = None

    def load(self) -> tuple[Ranker, Corpus | None]:
        """The ranker on this worker, and the passages."""
        ranker = Ranker.load(get_folder(self.folder), self.device)
        return ranker, read_corpus(self.corpus) if ranker.cross_encoder else None


@dataclass(frozen=True)
class ScoreTask:
    """Work: a shard of queries beside what was found for them (`join_columns`) -> their labels, as a
    `labels_table`.
    """

    ranker: SharedRanker
    ranked_by: RankedBy

    def load(self) -> Function:
        """The ranker, once a worker."""
        ranker, corpus = self.ranker.load()

        def score(shard: pa.Table) -> pa.Table:
            passages = [(positions, features) for positions, features, _ in candidates_in(shard)]
            return labels_table(label_shard(queries_in(shard), passages, corpus, ranker, self.ranked_by))

        return score


def join_columns(queries: Iterable[pa.Table], found: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Shards of queries with the columns of what was found for them."""
    for asked, here in zip(queries, found, strict=True):
        table = asked
        for name in here.column_names:
            table = table.append_column(name, here[name])
        yield table


def add_late(queries: pa.Table, found: pa.Table, late: LateInteractionScores) -> pa.Table:
    """What was found for a shard of queries, with late interaction as the last of its features."""
    import pyarrow as pa

    asked = late.encode(queries["text"].to_pylist())
    features = [
        np.column_stack([known, late.mean_maxsim(tokens, positions)]).ravel()
        for tokens, (positions, known, _) in zip(asked, candidates_in(found), strict=True)
    ]
    place = found.column_names.index("features")
    return found.set_column(place, "features", pa.array(features, pa.list_(pa.float32())))
