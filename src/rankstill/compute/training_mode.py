"""A model as it is trained: without dropout, on shorter texts, with the attention whose backward pass is fast."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer


def without_dropout(model: torch.nn.Module) -> None:
    """Switch dropout off for training: with a few hundred lists it costs time and helps nothing measurable."""
    import torch

    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0


@contextmanager
def reading_at_most(model: SentenceTransformer, tokens: int) -> Iterator[None]:
    """Meanwhile a text is cut to so many tokens, or to fewer where the model reads fewer."""
    encoder: Any = model[0]
    own_length = model.max_seq_length
    model.max_seq_length = min(tokens, own_length or tokens)
    # A ColBERT model may have lengths of its own for queries and for passages.
    own = {name: getattr(encoder, name, None) for name in ("query_length", "document_length")}
    for name, length in own.items():
        if length is not None:
            setattr(encoder, name, min(tokens, length))
    try:
        yield
    finally:
        model.max_seq_length = own_length
        for name, length in own.items():
            if length is not None:
                setattr(encoder, name, length)


@contextmanager
def attention_for_training(model: SentenceTransformer) -> Iterator[None]:
    """Plain attention while training on a CPU, where the backward pass of torch's fused one takes twice as long."""
    encoder = getattr(model[0], "auto_model", None)
    if model.device.type != "cpu" or encoder is None:
        yield
        return
    with plain_attention(encoder):
        yield


@contextmanager
def plain_attention(model: Any) -> Iterator[None]:
    """Attention step by step in place of the fused one: slower forward, and its weights can be looked at."""
    own = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(own)
