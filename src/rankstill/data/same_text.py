"""When two texts say the same: their spelling brought to one form, and found by hashes where there are many."""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

# The soft hyphen, and white space without a width: nobody sees them, and `str.split` does not know them.
_UNSEEN = re.compile("[\u00ad\u200b\u2060\ufeff]")
Hashed = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Hashes of texts, ascending, and the position of each: 16 bytes a text, where a dictionary takes 150."""


def folded(text: str) -> str:
    """The text without what does not change its meaning: case, white space, and how Unicode composes a character.

    Compatible characters become one (NFKC), as PDF extraction mixes them: the ligature U+FB01 and "fi".
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", _UNSEEN.sub("", text)).casefold())
        return " ".join(text.split())
    return " ".join(text.lower().split())


def hashed(texts: Iterable[str], count: int) -> Hashed:
    """Hashes of so many texts, ascending, equal ones in order of position."""
    hashes = np.fromiter(map(hash, texts), dtype=np.int64, count=count)
    positions = np.argsort(hashes, kind="stable")
    return hashes[positions], positions


def repeated(by_hash: Hashed, text_at: Callable[[int], str]) -> NDArray[np.int64]:
    """Positions of texts that stood there before, each with that of the first, in order of position. [repeated, 2]

    Args:
        text_at: the text at a position, since unequal texts may have one hash.
    """
    hashes, positions = by_hash
    edges = np.flatnonzero(np.concatenate([[True], hashes[1:] != hashes[:-1], [True]])) if len(hashes) else hashes
    several = np.flatnonzero(np.diff(edges) > 1)
    pairs = array("q")
    for start, end in zip(edges[several], edges[several + 1], strict=True):
        first: dict[str, int] = {}
        for position in map(int, positions[start:end]):
            if (earlier := first.setdefault(text_at(position), position)) != position:
                pairs.extend((position, earlier))
    found = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return found[found[:, 0].argsort()]


def find(by_hash: Hashed, text: str, text_at: Callable[[int], str]) -> int | None:
    """The first position of a text; None if it is not there. Arguments as for `repeated`."""
    hashes, positions = by_hash
    wanted = hash(text)
    for place in range(int(np.searchsorted(hashes, wanted)), len(hashes)):
        if hashes[place] != wanted:
            break
        if text_at(position := int(positions[place])) == text:
            return position
    return None
