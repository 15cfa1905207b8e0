"""First-stage scores of any passages, in the corpus or not: what a ranker needs to work on its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rankstill.candidates.bm25 import BM25Statistics
from rankstill.candidates.dense import encode, sentences
from rankstill.candidates.first_stage import BM25_SCALE, FEATURES
from rankstill.models import load_bi_encoder

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class PassageScorer:
    """Computes the features of `FirstStage` for passages given as text.

    Args:
        model: the bi-encoder of the dense scores.
        bm25: statistics of the corpus that BM25 was built on.
    """

    def __init__(self, model: SentenceTransformer, bm25: BM25Statistics) -> None:
        self.model = model
        self.bm25 = bm25

    def features(self, query: str, passages: Sequence[str]) -> NDArray[np.float32]:
        """First-stage scores in the order of `FEATURES`. [passages, features]

        Args:
            query: its text.
            passages: their texts: title, a space, body. A title counts as part of the first sentence here.
        """
        if not passages:
            return np.empty((0, len(FEATURES)), dtype=np.float32)
        pieces = [sentences("", passage) for passage in passages]
        texts = [*passages, *(text for piece in pieces for text in piece)]
        encoded = encode(self.model, texts, "document", "encoding passages")
        asked = encode(self.model, [query], "query", "encoding the query")[0]
        cosines = encoded @ asked
        starts = np.cumsum([0, *(len(piece) for piece in pieces[:-1])])
        best_sentence = np.maximum.reduceat(cosines[len(passages) :], starts)
        lexical = self.bm25.scores(query, passages) * BM25_SCALE
        return np.stack([cosines[: len(passages)], lexical, best_sentence], axis=-1)

    def save(self, folder: Path) -> None:
        """The bi-encoder and the statistics."""
        folder.mkdir(parents=True)
        self.model.save_pretrained(str(folder / "bi-encoder"), create_model_card=False)
        self.bm25.save(folder / "bm25.json")

    @classmethod
    def load(cls, folder: Path, device: str | None = None) -> PassageScorer:
        """As `save` wrote it."""
        return cls(load_bi_encoder(str(folder / "bi-encoder"), device), BM25Statistics.load(folder / "bm25.json"))
