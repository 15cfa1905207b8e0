"""How rare each token is in a corpus."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rankstill.progress import progress

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_TEXTS_A_BATCH = 256


def inverse_document_frequency(bi_encoder: SentenceTransformer, passages: Sequence[str]) -> NDArray[np.float32]:
    """ln(1 + (N - n + 0.5) / (n + 0.5)) of each token that n of the N passages hold, as BM25 has it. [vocabulary]"""
    tokenizer, length = bi_encoder.tokenizer, bi_encoder.max_seq_length
    held_by = np.zeros(len(tokenizer))
    with progress("counting tokens", len(passages)) as advance:
        for start in range(0, len(passages), _TEXTS_A_BATCH):
            texts = list(passages[start : start + _TEXTS_A_BATCH])
            read = tokenizer(texts, truncation=length is not None, max_length=length, add_special_tokens=False)
            for ids in read["input_ids"]:
                held_by[np.unique(ids).astype(np.int64)] += 1
            advance(len(texts))
    return np.log1p((len(passages) - held_by + 0.5) / (held_by + 0.5)).astype(np.float32)
