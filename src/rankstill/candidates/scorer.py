"""First-stage scores of any passages, in the corpus or not: what a ranker needs to work on its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rankstill.candidates.bm25 import BM25Statistics
from rankstill.candidates.dense import Embeddings, encode, sentences
from rankstill.candidates.first_stage import BM25_SCALE, FEATURES
from rankstill.models import load_bi_encoder, load_multi_vector, save_model

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder, SentenceTransformer

_FOR_SENTENCES = "bi-encoder-for-sentences"
_FOR_LATE = "multi-vector"


class PassageScorer:
    """Computes the features of `FirstStage` for passages given as text.

    Args:
        model: the bi-encoder of the dense scores.
        bm25: statistics of the corpus that BM25 was built on.
        sentence_model: the bi-encoder of the sentences' scores, if it is another.
        late: the multi-vector encoder of the fourth score; None: there is none.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        bm25: BM25Statistics,
        sentence_model: SentenceTransformer | None = None,
        late: MultiVectorEncoder | None = None,
    ) -> None:
        self.model = model
        self.sentence_model = sentence_model or model
        self.bm25 = bm25
        self.late = late

    def features(self, query: str, passages: Sequence[str]) -> NDArray[np.float32]:
        """First-stage scores in the order of `FEATURES`, then `LATE`, where there is a `late`. [passages, features]

        Args:
            query: its text.
            passages: their texts: title, a space, body. A title counts as part of the first sentence here.
        """
        if not passages:
            return np.empty((0, len(FEATURES) + (self.late is not None)), dtype=np.float32)
        pieces = [sentences("", passage) for passage in passages]
        dense = _cosines(self.model, query, passages)
        each = _cosines(self.sentence_model, query, [text for piece in pieces for text in piece])
        starts = np.cumsum([0, *(len(piece) for piece in pieces[:-1])])
        lexical = self.bm25.scores(query, passages) * BM25_SCALE
        columns = [dense, lexical, np.maximum.reduceat(each, starts)]
        if self.late is not None:
            columns.append(_mean_maxsim(self.late, query, passages))
        return np.stack(columns, axis=-1).astype(np.float32, copy=False)

    def save(self, folder: Path) -> None:
        """The bi-encoders and the statistics."""
        folder.mkdir(parents=True)
        save_model(self.model, folder / "bi-encoder")
        if self.sentence_model is not self.model:
            save_model(self.sentence_model, folder / _FOR_SENTENCES)
        if self.late is not None:
            save_model(self.late, folder / _FOR_LATE)
        self.bm25.save(folder / "bm25.json")

    @classmethod
    def load(cls, folder: Path, device: str | None = None) -> PassageScorer:
        """As `save` wrote it."""
        for_sentences, late = folder / _FOR_SENTENCES, folder / _FOR_LATE
        return cls(
            load_bi_encoder(str(folder / "bi-encoder"), device),
            BM25Statistics.load(folder / "bm25.json"),
            load_bi_encoder(str(for_sentences), device) if for_sentences.exists() else None,
            load_multi_vector(str(late), device) if late.exists() else None,
        )


def _cosines(model: SentenceTransformer, query: str, texts: Sequence[str]) -> Embeddings:
    documents = encode(model, texts, "document", "encoding passages")
    cosines: Embeddings = documents @ encode(model, [query], "query", "encoding the query")[0]
    return cosines


def _mean_maxsim(model: MultiVectorEncoder, query: str, passages: Sequence[str]) -> NDArray[np.float32]:
    from rankstill.multi_vector import encode_queries, mean_of

    (tokens,) = encode_queries(model, [query])
    maxsim = model.similarity([tokens], model.encode_document(list(passages)))[0]
    return mean_of(tokens, maxsim.cpu().numpy())
