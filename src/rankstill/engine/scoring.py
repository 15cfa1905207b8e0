"""Labels by shards of the queries: what the ranker thinks of the passages that the first stage found."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rankstill.candidates.first_stage import LateInteractionScores
from rankstill.datasets import Corpus
from rankstill.engine.encoding import read_corpus
from rankstill.engine.finding import candidates_in, queries_in
from rankstill.engine.folders import get_folder
from rankstill.engine.shards import ShardFolder
from rankstill.engine.work import Function
from rankstill.labels.labelling import RankedBy, label_shard
from rankstill.labels.table import LabelledQuery, read_labels, write_labels
from rankstill.ranker.model import Ranker

if TYPE_CHECKING:
    import pyarrow as pa


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
    """Work: a shard of queries beside what was found for them (`join_columns`) -> their labels, as `write_labels`
    writes them.
    """

    ranker: SharedRanker
    ranked_by: RankedBy

    def load(self) -> Function:
        """The ranker, once a worker."""
        ranker, corpus = self.ranker.load()

        def score(shard: pa.Table) -> pa.Table:
            passages = [(positions, features) for positions, features, _ in candidates_in(shard)]
            return _table(label_shard(queries_in(shard), passages, corpus, ranker, self.ranked_by))

        return score


def labels_in(shard: pa.Table) -> list[LabelledQuery]:
    """The labels of a shard that `ScoreTask` made."""
    import pyarrow.parquet as pq

    file: Any = io.BytesIO()
    pq.write_table(shard, file)
    file.seek(0)
    return read_labels(file)


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


def _table(labels: Sequence[LabelledQuery]) -> pa.Table:
    import pyarrow.parquet as pq

    file: Any = io.BytesIO()
    write_labels(labels, file)
    return pq.read_table(file)
