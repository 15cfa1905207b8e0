"""Vectors as codes of few bits a dimension: a level of the dimension, times a scale of the vector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Bits = Literal[8, 4, 2]

_OF_4_BITS = (0.1284, 0.3881, 0.6568, 0.9424, 1.256, 1.618, 2.069, 2.733)
_OF_2_BITS = (0.4528, 1.510)


def _both_signs(levels: tuple[float, ...]) -> NDArray[np.float32]:
    return np.array([*(-level for level in reversed(levels)), *levels], dtype=np.float32)


_LEVELS: dict[Bits, NDArray[np.float32]] = {
    8: np.arange(256, dtype=np.float32) - 127.5,
    4: _both_signs(_OF_4_BITS),
    2: _both_signs(_OF_2_BITS),
}
"""Of 8 bits spread evenly, exact in bfloat16, up to the vector's largest number. Of 4 and 2 bits the best ones for a
normal distribution (Max 1960, table 1), in standard deviations."""


@dataclass(frozen=True)
class Codec:
    """Turns vectors into codes and back.

    Args:
        dimensions: of a vector; a multiple of how many a byte holds.
    """

    bits: Bits
    dimensions: int

    @classmethod
    def of(cls, bits: Bits, dimensions: int) -> Codec:
        """A codec of so many bits, or of 8 where a vector would not fill whole bytes."""
        return cls(bits if dimensions % 4 == 0 else 8, dimensions)

    @property
    def size(self) -> int:
        """Bytes of a vector's codes."""
        return self.dimensions * self.bits // 8

    def encode(self, vectors: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
        """Codes [vectors, size] and scales [vectors].

        A vector's scale makes its inner product with its own code what it is with itself, so that rounding shortens no
        vector (RaBitQ's estimator, Gao and Long 2024, arXiv 2405.12497): otherwise passages whose vectors are rounded
        further score lower.
        """
        levels = _LEVELS[self.bits]
        if self.bits == 8:
            spread = np.abs(vectors).max(axis=1, initial=0.0) / levels[-1]
        else:
            spread = np.sqrt(np.square(vectors).mean(axis=1))
        middles = (levels[1:] + levels[:-1]) / 2
        chosen = np.searchsorted(middles, vectors / np.maximum(spread, 1e-9)[:, None]).astype(np.uint8)
        scales = np.square(vectors).sum(axis=1) / np.maximum((vectors * levels[chosen]).sum(axis=1), 1e-9)
        held = chosen.reshape(len(vectors), self.size, 8 // self.bits)
        shifts = np.arange(0, 8, self.bits, dtype=np.uint8)
        return np.bitwise_or.reduce(held << shifts, axis=2), scales.astype("<f2")

    def levels(self, codes: Tensor, kind: torch.dtype) -> Tensor:
        """The values that codes stand for, before the vectors' scales. [vectors, size] -> [vectors, dimensions]"""
        import torch

        every = np.arange(256)[:, None] >> np.arange(0, 8, self.bits) & (2**self.bits - 1)
        of_byte = torch.from_numpy(_LEVELS[self.bits][every]).to(codes.device, kind)
        # The levels of a byte are looked up as one wide number: as a row of several they take four times as long.
        wide = {2: torch.int16, 4: torch.int32, 8: torch.int64, 16: torch.complex128}[of_byte[0].nbytes]
        found = of_byte.view(wide).reshape(256).index_select(0, codes.reshape(-1).int())
        return found.view(kind).reshape(len(codes), self.dimensions)

    def decode(self, codes: Tensor, scales: Tensor) -> Tensor:
        """The vectors of codes [vectors, size] and scales [vectors]. [vectors, dimensions]"""
        import torch

        return self.levels(codes, torch.float32) * scales.float()[:, None]
