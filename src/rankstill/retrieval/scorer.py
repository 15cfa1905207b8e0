"""First-stage scores of any passages, in the corpus or not: what a ranker needs to work on its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rankstill.models import load_bi_encoder, load_multi_vector, save_model
from rankstill.retrieval.bm25 import BM25Statistics
from rankstill.retrieval.dense import Embeddings, encode
from rankstill.retrieval.first_stage import BM25_SCALE, FEATURES
from rankstill.retrieval.late_interaction import encode_queries, mean_of

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder, SentenceTransformer

_FOR_LATE = "multi-vector"


class PassageScorer:
    """Computes the features of `FirstStage` for passages given as text.

    Args:
        late: the multi-vector encoder of the third score; None: there is none.
    """

    def __init__(
        self, model: SentenceTransformer, bm25: BM25Statistics, late: MultiVectorEncoder | None = None
    ) -> None:
        self.model = model
        self.bm25 = bm25
        self.late = late

    def features(self, query: str, passages: Sequence[str]) -> NDArray[np.float32]:
        """First-stage scores in the order of `FEATURES`, then `LATE`, where there is a `late`. [passages, features]

        Args:
            passages: their texts: title, a space, body.
        """
        if not passages:
            return np.empty((0, len(FEATURES) + (self.late is not None)), dtype=np.float32)
        columns = [_cosines(self.model, query, passages), self.bm25.scores(query, passages) * BM25_SCALE]
        if self.late is not None:
            columns.append(_mean_maxsim(self.late, query, passages))
        return np.stack(columns, axis=-1).astype(np.float32, copy=False)

    def save(self, folder: Path) -> None:
        """Write the encoders and the statistics."""
        folder.mkdir(parents=True)
        save_model(self.model, folder / "bi-encoder")
        if self.late is not None:
            save_model(self.late, folder / _FOR_LATE)
        self.bm25.save(folder / "bm25.json")

    @classmethod
    def load(cls, folder: Path, device: str | None = None) -> PassageScorer:
        """Read what `save` wrote."""
        late = folder / _FOR_LATE
        return cls(
            load_bi_encoder(str(folder / "bi-encoder"), device),
            BM25Statistics.load(folder / "bm25.json"),
            load_multi_vector(str(late), device) if late.exists() else None,
        )


def _cosines(model: SentenceTransformer, query: str, texts: Sequence[str]) -> Embeddings:
    documents = encode(model, texts, "document", "encoding passages")
    cosines: Embeddings = documents @ encode(model, [query], "query", "encoding the query")[0]
    return cosines


def _mean_maxsim(model: MultiVectorEncoder, query: str, passages: Sequence[str]) -> NDArray[np.float32]:
    (tokens,) = encode_queries(model, [query])
    maxsim = model.similarity([tokens], model.encode_document(list(passages)))[0]
    return mean_of(tokens, maxsim.cpu().numpy())
