"""Vectors as codes of few bits a dimension: a level of the dimension, times a scale of the vector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Bits = Literal[8, 4, 2]

_OF_4_BITS = (0.1284, 0.3881, 0.6568, 0.9424, 1.256, 1.618, 2.069, 2.733)
_OF_2_BITS = (0.4528, 1.510)


def _both_signs(levels: tuple[float, ...]) -> NDArray[np.float32]:
    return np.array([*(-level for level in reversed(levels)), *levels], dtype=np.float32)


_LEVELS: dict[Bits, NDArray[np.float32]] = {
    8: np.linspace(-1, 1, 256, dtype=np.float32),
    4: _both_signs(_OF_4_BITS),
    2: _both_signs(_OF_2_BITS),
}
"""Of 8 bits spread evenly, as shares of the vector's largest number. Of 4 and 2 bits the best ones for a normal
distribution (Max 1960, table 1), in standard deviations."""


@dataclass(frozen=True)
class Codec:
    """Turns vectors into codes and back.

    Args:
        bits: of a dimension.
        dimensions: of a vector; a multiple of how many a byte holds.
    """

    bits: Bits
    dimensions: int

    @property
    def size(self) -> int:
        """Bytes of a vector's codes."""
        return self.dimensions * self.bits // 8

    def encode(self, vectors: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
        """Codes [vectors, size] and scales [vectors]."""
        levels = _LEVELS[self.bits]
        deviation, largest = np.sqrt(np.square(vectors).mean(axis=1)), np.abs(vectors).max(axis=1, initial=0.0)
        scales = np.maximum(largest if self.bits == 8 else deviation, 1e-4).astype("<f2")
        middles = (levels[1:] + levels[:-1]) / 2
        chosen = np.searchsorted(middles, vectors / scales.astype(np.float32)[:, None]).astype(np.uint8)
        held = chosen.reshape(len(vectors), self.size, 8 // self.bits)
        shifts = np.arange(0, 8, self.bits, dtype=np.uint8)
        return np.bitwise_or.reduce(held << shifts, axis=2), scales

    def decode(self, codes: Tensor, scales: Tensor) -> Tensor:
        """The vectors of codes [vectors, size] and scales [vectors]. [vectors, dimensions]"""
        import torch

        every = np.arange(256)[:, None] >> np.arange(0, 8, self.bits) & (2**self.bits - 1)
        of_byte = torch.from_numpy(_LEVELS[self.bits][every]).to(codes.device)
        return of_byte[codes.long()].reshape(len(codes), self.dimensions) * scales.float()[:, None]
