"""How much a forward pass takes at once, and what is given back after it."""

from __future__ import annotations

import ctypes
from contextlib import suppress


def release_memory() -> None:
    """Give freed memory back to the system: glibc keeps it, in pieces that tensors of other sizes do not fit."""
    with suppress(OSError, AttributeError):  # another C library, which has no such call
        ctypes.CDLL(None).malloc_trim(0)


# What a forward pass works on should stay in a processor's own cache: a few passages of 256 tokens are encoded
# at 1.7 times the speed of thirty-two. A GPU wants as much as it can get.
_CHARACTERS_A_PASS = {"cpu": 8_000}
_CHARACTERS_A_PASS_ELSEWHERE = 192_000
_LONGEST_READ = 1_500
"""Characters: about what 256 tokens hold; what is longer is cut by most models."""


def texts_a_pass(longest: int, most: int, device: str) -> int:
    """How many texts a forward pass should take.

    Args:
        longest: characters of the longest.
        most: texts, whatever their length.
        device: where it runs.
    """
    characters = _CHARACTERS_A_PASS.get(device.split(":")[0], _CHARACTERS_A_PASS_ELSEWHERE)
    return max(1, min(most, characters // max(1, min(longest, _LONGEST_READ))))
