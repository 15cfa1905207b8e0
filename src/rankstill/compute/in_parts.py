"""A step of training that is computed in parts, so that memory holds the activations of one part and not of all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

Part = TypeVar("Part")


def in_parts(forward: Callable[[Part], Tensor], parts: Sequence[Part], device: str, *, kept: bool) -> Tensor:
    """What a forward pass gives for each part, one below the other; its gradients are those of all parts at once.

    Args:
        forward: a part -> [rows, ...].
        parts: in the order wanted.
        device: the kind that the model is on: "cpu", "cuda".
        kept: keep the activations of all parts (see `Room.keeps`). Otherwise each part goes through the model again in
            the backward pass (GradCache: Gao et al. 2021, arXiv 2101.06983), which costs a quarter of the time. A
            model that draws at random, as dropout does, would not give the same again.
    """
    if kept or len(parts) == 1:
        return torch.cat([forward(part) for part in parts])
    traced = torch.zeros((), requires_grad=True)  # so that there is a backward pass
    given: Tensor = _InParts.apply(traced, forward, parts, device)  # type: ignore[no-untyped-call]
    return given


class _InParts(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, _: Tensor, forward: Callable[[Any], Tensor], parts: Sequence[Any], device: str) -> Tensor:
        ctx.compute, ctx.parts = forward, parts
        ctx.precision = (device, torch.get_autocast_dtype(device), torch.is_autocast_enabled(device))
        return torch.cat([forward(part) for part in parts])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, None, None]:
        device, dtype, enabled = ctx.precision
        start = 0
        for part in ctx.parts:
            with torch.enable_grad(), torch.autocast(device, dtype=dtype, enabled=enabled):
                given = ctx.compute(part)
            given.backward(gradient[start : start + len(given)])
            start += len(given)
        return None, None, None, None
