"""Late interaction as a score of the first stage: a query's token vectors, MaxSim on a scale with other scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rankstill.compute.precision import autocast

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

Tokens = NDArray[np.float32]
"""The token vectors of one text. [tokens, dimensions]"""


def mean_of(query: Tokens, maxsim: NDArray[np.float32]) -> NDArray[np.float32]:
    """MaxSim with a query's tokens over the sum of their weights, which are their vectors' lengths. [passages]"""
    weight = max(float(np.linalg.norm(query, axis=1).sum()), 1e-9)
    return np.where(np.isfinite(maxsim), maxsim / weight, 0.0).astype(np.float32)


def encode_queries(model: MultiVectorEncoder, queries: Sequence[str]) -> list[Tokens]:
    """The token vectors of queries, as long as their tokens' weights. Each [tokens, dimensions]"""
    with encoder_in_bfloat16(model):
        encoded = model.encode_query(list(queries), batch_size=128, show_progress_bar=False, convert_to_numpy=True)
    return [np.asarray(each, dtype=np.float32) for each in encoded]


@contextmanager
def encoder_in_bfloat16(model: MultiVectorEncoder) -> Iterator[None]:
    """Meanwhile the model's encoder computes as `autocast` has it, and what follows the encoder in full precision.

    Pooling compares tokens by NumPy, which has no bfloat16.
    """
    encoder: Any = model[0]
    forward = encoder.forward

    def fast(*args: Any, **kwargs: Any) -> dict[str, Any]:
        with autocast(str(model.device)):
            features: dict[str, Any] = forward(*args, **kwargs)
        return {**features, "token_embeddings": features["token_embeddings"].float()}

    encoder.forward = fast
    try:
        yield
    finally:
        del encoder.forward
