"""A training step in micro-batches with cached gradients (GradCache): memory holds the activations of one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

Batch = TypeVar("Batch")


def in_micro_batches(
    forward: Callable[[Batch], Tensor], batches: Sequence[Batch], device: str, *, kept: bool
) -> Tensor:
    """The forward pass of all micro-batches, concatenated. Gradients are those of one large batch.

    Args:
        forward: Encodes a micro-batch to [rows, ...].
        kept: Keep the activations of all micro-batches (see `DeviceMemory.fits_step`). Otherwise each goes through the
            model again in the backward pass (GradCache: Gao et al. 2021, arXiv 2101.06983), which costs a quarter of
            the time. The model must then be deterministic: dropout would give another result the second time.
    """
    if kept or len(batches) == 1:
        return torch.cat([forward(batch) for batch in batches])
    traced = torch.zeros((), requires_grad=True)  # so that there is a backward pass
    given: Tensor = _MicroBatches.apply(traced, forward, batches, device)  # type: ignore[no-untyped-call]
    return given


class _MicroBatches(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, _: Tensor, forward: Callable[[Any], Tensor], batches: Sequence[Any], device: str) -> Tensor:
        ctx.compute, ctx.batches = forward, batches
        ctx.precision = (device, torch.get_autocast_dtype(device), torch.is_autocast_enabled(device))
        return torch.cat([forward(batch) for batch in batches])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, None, None]:
        device, dtype, enabled = ctx.precision
        start = 0
        for batch in ctx.batches:
            with torch.enable_grad(), torch.autocast(device, dtype=dtype, enabled=enabled):
                given = ctx.compute(batch)
            given.backward(gradient[start : start + len(given)])
            start += len(given)
        return None, None, None, None
