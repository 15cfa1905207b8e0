"""Dense encoding: texts to unit vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rankstill.compute.compiled import compiled
from rankstill.compute.memory import DeviceMemory, release_memory
from rankstill.compute.precision import autocast
from rankstill.progress import Advance, progress

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Embeddings = NDArray[np.float32]
"""Unit vectors, one a row. [texts, dimensions]"""


def encode(model: SentenceTransformer, texts: Sequence[str], kind: str, what: str, batch_size: int = 32) -> Embeddings:
    """Encode texts in the precision that the machine is fast at, longest first, with progress.

    Args:
        model: a bi-encoder; its own prompts for queries and documents are honoured.
        kind: "query" or "document": whose prompt to prepend.
        what: for the progress line.
        batch_size: texts a forward pass, at most, on a processor; fewer of long ones, so that memory stays flat.
            A GPU takes what its memory holds (`DeviceMemory`).

    Returns:
        Unit vectors in the order of `texts`. [texts, dimensions]
    """
    with progress(what, len(texts)) as advance:
        return encode_each(model, texts, kind, batch_size, advance)


def encode_each(
    model: SentenceTransformer, texts: Sequence[str], kind: str, batch_size: int, advance: Advance
) -> Embeddings:
    """As `encode`, for a caller that shows progress itself: `advance` is told of texts that are done."""
    vectors = np.zeros((len(texts), int(model.get_embedding_dimension() or 0)), dtype=np.float32)
    order = sorted(range(len(texts)), key=lambda position: -len(texts[position]))
    encode_batch = model.encode_query if kind == "query" else model.encode_document
    memory, start = DeviceMemory.of(model), 0
    with autocast(str(model.device)), compiled(model, sum(map(len, texts))):
        while start < len(order):
            together = memory.inference_batch_size(len(texts[order[start]]), batch_size)
            rows = order[start : start + 8 * max(batch_size, together)]
            vectors[rows] = encode_batch(
                [texts[row] for row in rows],
                batch_size=together,
                show_progress_bar=False,
                normalize_embeddings=True,
            )
            release_memory()
            advance(len(rows))
            start += len(rows)
    return vectors
