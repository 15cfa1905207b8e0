"""A model as it is trained: without dropout, with the attention whose backward pass is fast."""

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
