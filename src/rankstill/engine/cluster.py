"""The chain's heavy steps on an engine: each by what it depends on, so that what is made once is found again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rankstill.config import CandidatesConfig
from rankstill.data import Corpus
from rankstill.engine.encoding import PASSAGES_A_SHARD, Encoder, corpus_tables, encode_corpus_on
from rankstill.engine.finding import (
    FindTask,
    ScoreTask,
    SharedFirstStage,
    SharedRanker,
    add_late,
    candidates_in,
    join_columns,
    query_tables,
)
from rankstill.engine.folders import put_folder
from rankstill.engine.shards import ShardFolder
from rankstill.labels.labelling import RankedBy, UnlabelledQuery
from rankstill.labels.table import LabelledQuery, labels_in
from rankstill.models import model_identity
from rankstill.retrieval import Candidates
from rankstill.retrieval.first_stage import LateInteractionScores
from rankstill.workspace import FORMAT, digest

if TYPE_CHECKING:
    import pyarrow as pa

    from rankstill.engine.on_ray import RayEngine


@dataclass(frozen=True)
class Cluster:
    """The chain's heavy steps on an engine, with the folders that its workers share.

    Args:
        store: where all machines read and write. Nothing in it is ever wrong: names are digests of what is in them.
    """

    engine: RayEngine
    store: ShardFolder
    corpus: Corpus
    encoder: Encoder
    candidates: CandidatesConfig

    def encode_corpus(self, folder: Path) -> None:
        """As `rankstill.retrieval.encode_passages`."""
        encode_corpus_on(self.engine, self._shared_encoder, self._shared_corpus, self._vectors, folder)

    def search(self, texts: Sequence[str], n: int) -> Iterator[Candidates]:
        """As `FirstStage.search`."""
        nothing = np.empty(0, dtype=np.int64)
        queries = [UnlabelledQuery(str(row), text, "unranked", nothing, nothing) for row, text in enumerate(texts)]
        _, found = self._find(list(query_tables(queries)), n)
        for shard in found:
            for each in candidates_in(shard):
                yield Candidates(*each)

    def label(
        self,
        queries: Sequence[UnlabelledQuery],
        ranker: Path,
        *,
        ranked_by: RankedBy,
        late: LateInteractionScores | None = None,
    ) -> Iterator[LabelledQuery]:
        """As `rankstill.labels.label`, by the ranker in a folder.

        Late interaction is computed here, where the token vectors are.
        """
        asked = list(query_tables(queries))
        key, found = self._find(asked)
        if late is not None:
            found = iter([add_late(*shard, late) for shard in zip(asked, found, strict=True)])
        identity = digest(model_identity(str(ranker)))
        shared = put_folder(ranker, self.store / f"ranker-{identity}")
        score = ScoreTask(SharedRanker(shared, self._shared_corpus, self.encoder.device), ranked_by)
        kept = self.store / f"labels-{_made_from(key, identity, late is not None, ranked_by)}"
        made = self.engine.map(score, join_columns(asked, found), kept, "labelling, part by part")
        for shard in made:
            yield from labels_in(shard.to_batches())

    def _find(self, asked: Sequence[pa.Table], n: int | None = None) -> tuple[str, Iterator[pa.Table]]:
        first_stage = SharedFirstStage(self._shared_corpus, self._vectors, self._shared_encoder, self.candidates)
        settings = self.candidates.model_dump(mode="json")
        key = _made_from(self._vectors_key, settings, n, [shard.to_pylist() for shard in asked])
        kept = self.store / f"found-{key}"
        return key, self.engine.map(FindTask(first_stage, n), asked, kept, "finding candidates, part by part")

    @property
    def _vectors_key(self) -> str:
        prompts = (self.encoder.query_prompt, self.encoder.passage_prompt)
        return _made_from(self.corpus.fingerprint, self._encoder_identity, prompts)

    @property
    def _vectors(self) -> ShardFolder:
        return self.store / f"vectors-{self._vectors_key}"

    @cached_property
    def _encoder_identity(self) -> str:
        return model_identity(self.encoder.name)

    @cached_property
    def _shared_corpus(self) -> ShardFolder:
        shards = self.store / f"corpus-{_made_from(self.corpus.fingerprint)}"
        shards.write_all(corpus_tables(self.corpus))
        return shards

    @cached_property
    def _shared_encoder(self) -> Encoder:
        folder = Path(self.encoder.name).expanduser()
        if not folder.is_dir():
            return self.encoder
        return replace(self.encoder, name=put_folder(folder, self.store / f"encoder-{digest(self._encoder_identity)}"))


def _made_from(*what: Any) -> str:
    """A name for a folder of shards: a digest of their inputs, their format and their length."""
    return digest(FORMAT, PASSAGES_A_SHARD, *what)
