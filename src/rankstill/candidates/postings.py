"""An inverted index's postings, sorted on the disk: what a corpus needs that has more of them than memory holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

_POSTINGS_AT_ONCE = 2**19


class SortedPostings:
    """Postings of passages on the disk, those of a block sorted by term, then by passage.

    Three columns, each its own file: the term's number, the passage's position, how often the term stands there.
    """

    def __init__(self, folder: Path) -> None:
        self.vocabulary: dict[str, int] = {}
        self.frequency = np.zeros(0, dtype=np.int64)
        self._lengths: list[NDArray[np.int64]] = []
        self._starts = [0]
        self._paths = [folder / name for name in ("terms", "passages", "counts")]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The length of each passage, in terms. [passages]"""
        return np.concatenate([np.zeros(0, dtype=np.int64), *self._lengths])

    def add(self, numbered: list[list[int]], vocabulary: dict[str, int]) -> None:
        """A block more, as `bm25.Analyzer.numbered` gives it."""
        renumbered = np.zeros(max(vocabulary.values(), default=-1) + 1, dtype=np.int64)
        for term in sorted(vocabulary):  # the block's own order is that of a set, which changes from run to run
            renumbered[vocabulary[term]] = self.vocabulary.setdefault(term, len(self.vocabulary))
        lengths = np.fromiter(map(len, numbered), dtype=np.int64, count=len(numbered))
        terms = renumbered[np.fromiter(chain.from_iterable(numbered), dtype=np.int64, count=int(lengths.sum()))]
        first = sum(map(len, self._lengths))
        passages = np.repeat(np.arange(first, first + len(lengths)), lengths)
        postings, counts = np.unique(terms << 32 | passages, return_counts=True)
        terms = postings >> 32
        self.frequency = np.pad(self.frequency, (0, len(self.vocabulary) - len(self.frequency)))
        self.frequency += np.bincount(terms, minlength=len(self.vocabulary))
        for path, column in zip(self._paths, (terms, postings & 0xFFFFFFFF, counts), strict=True):
            with path.open("ab") as file:
                file.write(column.astype("<i4").data)
        self._lengths.append(lengths)
        self._starts.append(self._starts[-1] + len(postings))

    def merged(self) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]]:
        """All postings sorted by term, then by passage, some terms at a time: terms, passages, counts."""
        if not len(self.frequency):
            return
        # As many terms at a time as have postings enough; one at least.
        share = (np.cumsum(self.frequency) - self.frequency) // _POSTINGS_AT_ONCE
        ends = [*(np.flatnonzero(np.diff(share)) + 1).tolist(), len(self.frequency)]
        all_terms = np.memmap(self._paths[0], dtype="<i4", mode="r")
        with ExitStack() as stack:
            files = [stack.enter_context(path.open("rb")) for path in self._paths]
            places = list(self._starts[:-1])
            for end in ends:
                parts = []
                for block, until in enumerate(self._starts[1:]):
                    start = places[block]
                    many = int(np.searchsorted(all_terms[start:until], np.int32(end)))
                    parts.append([_read_numbers(file, start, many) for file in files])
                    places[block] += many
                terms, passages, counts = (np.concatenate(column) for column in zip(*parts, strict=True))
                order = np.argsort(terms, kind="stable")
                yield terms[order], passages[order], counts[order]


def _read_numbers(file: IO[bytes], start: int, many: int) -> NDArray[np.int32]:
    file.seek(4 * start)
    return np.fromfile(file, dtype="<i4", count=many)
