"""The multi-vector retriever as a student: trained by KL divergence from the labels to its MaxSim."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rankstill.progress import progress
from rankstill.retrieval.late_interaction import encode_queries, encoder_in_bfloat16, mean_of
from rankstill.retriever.student import Student, Task, ValidationList

_LISTS_AT_ONCE = 16


def mean_maxsim(queries: Tensor, passages: Tensor) -> Tensor:
    """MaxSim (Khattab and Zaharia 2020, arXiv 2004.12832, eq. 3) over the sum of the query's token weights.

    Args:
        queries: token vectors as long as the tokens' weights; zeros for what is no token of the text.
            [queries, tokens, dimensions]
        passages: token vectors of length 1, and zeros likewise. [passages, tokens, dimensions]

    Returns:
        At most 1; 0 for a query without tokens. [queries, passages]
    """
    weights = queries.norm(dim=2)
    counted = weights > 0
    products = queries[counted] @ passages.flatten(0, 1).T
    absent = passages.square().sum(dim=2) == 0
    best = products.reshape(len(products), *absent.shape).masked_fill(absent, -1e4).amax(dim=2)
    rows = counted.nonzero()[:, 0]
    sums = torch.zeros(len(queries), len(passages), dtype=best.dtype, device=best.device).index_add(0, rows, best)
    means: Tensor = sums / weights.sum(dim=1, keepdim=True).clamp_min(1e-9)
    return means


def _token_vectors(model: nn.Module, tokens: dict[str, Any], task: Task) -> Tensor:
    """Padded with zeros to as many tokens as the model reads: what is computed in parts has one shape.

    A ColBERT model may expand a query by mask tokens to more of them.
    """
    made = model(tokens, task=task)
    vectors = made["token_embeddings"].masked_fill(~made["attention_mask"].bool()[..., None], 0.0)
    encoder: Any = model
    expansion = encoder[0].query_expansion
    most = max(encoder.max_seq_length, expansion["length"] if expansion else 0)
    return nn.functional.pad(vectors.float(), (0, 0, 0, most - vectors.shape[1]))


def _mean_maxsims(model: Any, lists: Sequence[ValidationList]) -> list[NDArray[np.float32]]:
    scores = []
    asked = encode_queries(model, [each.query for each in lists])
    with progress("encoding held-out lists", len(lists)) as advance, encoder_in_bfloat16(model):
        for start in range(0, len(lists), _LISTS_AT_ONCE):
            rows = range(start, min(start + _LISTS_AT_ONCE, len(lists)))
            texts = [text for row in rows for text in lists[row].passages]
            encoded = iter(model.encode_document(texts, show_progress_bar=False, convert_to_numpy=True))
            for row in rows:
                passages = [next(encoded) for _ in lists[row].passages]
                maxsim = [(asked[row] @ each.T).max(axis=1).sum() if len(each) else -np.inf for each in passages]
                scores.append(mean_of(asked[row], np.array(maxsim, dtype=np.float32)))
            advance(len(rows))
    return scores


def _trainer() -> tuple[Any, Any]:
    from sentence_transformers import MultiVectorEncoderTrainer, MultiVectorEncoderTrainingArguments

    return MultiVectorEncoderTrainer, MultiVectorEncoderTrainingArguments


MULTI_VECTOR = Student(_token_vectors, mean_maxsim, _mean_maxsims, _trainer)
"""A vector a token, compared by late interaction."""
