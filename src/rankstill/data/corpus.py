"""The passages: columns of an Arrow file on disk, read where they lie, so that a corpus need not fit into memory."""

from __future__ import annotations

import hashlib
import mmap
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from rankstill.data.same_text import Hashed, find, folded, hashed, repeated
from rankstill.disk import temporary_files

if TYPE_CHECKING:
    import pyarrow as pa

_FIELDS = ("id", "title", "text")
_ROWS_A_CHUNK = 8192
_LOADING = "loading the corpus"


class _LazyTexts(Sequence[str]):
    """Texts that are read one by one; equal to any sequence of the same."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(str.__eq__, self, other))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{len(self):,} texts>"


class LazyColumn(_LazyTexts):
    """One text of every passage, read from the file when it is asked for."""

    def __init__(self, chunks: Sequence[pa.StringArray], let_go: Callable[[], None]) -> None:
        self._chunks = chunks
        self._let_go = let_go
        self._length = sum(map(len, chunks))

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, position: int) -> str: ...

    @overload
    def __getitem__(self, position: slice) -> list[str]: ...

    def __getitem__(self, position: int | slice) -> str | list[str]:
        if isinstance(position, slice):
            return [self[row] for row in range(*position.indices(len(self)))]
        row = int(position) + (len(self) if position < 0 else 0)
        if not 0 <= row < len(self):
            raise IndexError(position)
        chunk, place = divmod(row, _ROWS_A_CHUNK)
        text: str = self._chunks[chunk][place].as_py()
        return text

    def __iter__(self) -> Iterator[str]:
        for chunk in self._chunks:
            yield from chunk.to_pylist()
            self._let_go()


class Texts(_LazyTexts):
    """The passages as models see them, each put together when it is asked for."""

    def __init__(self, corpus: Corpus, rows: range) -> None:
        self._corpus = corpus
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, position: int) -> str: ...

    @overload
    def __getitem__(self, position: slice) -> Texts: ...

    def __getitem__(self, position: int | slice) -> str | Texts:
        if isinstance(position, slice):
            return Texts(self._corpus, self._rows[position])
        return self._corpus.text(self._rows[position])

    def __iter__(self) -> Iterator[str]:
        for number, row in enumerate(self._rows, start=1):
            yield self._corpus.text(row)
            if number % _ROWS_A_CHUNK == 0:
                self._corpus.let_go()


class Corpus:
    """Passages in a fixed order, found by position or by id.

    Args:
        ids: unique; the loaders check and name the offender.

    Raises:
        ValueError: the columns differ in length, or an id appears twice.
    """

    def __init__(self, ids: Iterable[str], titles: Iterable[str], texts: Iterable[str]) -> None:
        writer = CorpusWriter()
        for record in zip(ids, titles, texts, strict=True):
            writer.add(*record)
        self._take(writer)
        if len(self.repeated()):
            raise ValueError("a corpus needs unique ids")

    @classmethod
    def written(cls, writer: CorpusWriter) -> Corpus:
        """What a writer was given; ids are not checked, see `repeated`."""
        corpus = cls.__new__(cls)
        corpus._take(writer)
        return corpus

    def _take(self, writer: CorpusWriter) -> None:
        chunks, self.let_go = writer.finish()
        self._merged: dict[str, int] = {}  # positions, by the ids of passages that were merged into others
        self.ids, self.titles, self.bodies = (
            LazyColumn([chunk[field] for chunk in chunks], self.let_go) for field in _FIELDS
        )

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, passage_id: object) -> bool:
        return isinstance(passage_id, str) and self._find(passage_id) is not None

    def position(self, passage_id: str) -> int:
        """Where the passage stands in the corpus; KeyError if it is not there."""
        position = self._find(passage_id)
        if position is None:
            raise KeyError(passage_id)
        return position

    def text(self, position: int) -> str:
        """The passage as models see it: its title, a space, its body."""
        return _joined(self.titles[position], self.bodies[position])

    def texts(self, positions: Iterable[int] | None = None) -> Sequence[str]:
        """The passages at these positions as models see them; all of them, one by one, when none are named."""
        if positions is None:
            return Texts(self, range(len(self)))
        return [self.text(position) for position in positions]

    @cached_property
    def fingerprint(self) -> str:
        """A digest of every passage and their order."""
        digest = hashlib.sha256()
        for column in (self.ids, self.titles, self.bodies):
            for value in column:
                digest.update(value.encode() + b"\0")
        return digest.hexdigest()

    def select(self, positions: Iterable[int]) -> Corpus:
        """These passages as a corpus of their own, in this order."""
        writer = CorpusWriter()
        for row in positions:
            writer.add(self.ids[row], self.titles[row], self.bodies[row])
        return Corpus.written(writer)

    def repeated(self) -> NDArray[np.int64]:
        """Positions of passages whose id another had before, with that of the first, in order. [repeated, 2]"""
        return repeated(self._by_id, self.ids.__getitem__)

    @cached_property
    def same_text(self) -> NDArray[np.int64]:
        """Positions of passages that say what another said before, with that of the first, in order. [repeats, 2]

        What says the same, `folded` decides. The first stands for the others: it alone is searched and judged.
        """
        pairs = zip(self.titles, self.bodies, strict=True)
        by_text = hashed((folded(_joined(*pair)) for pair in pairs), len(self))
        return repeated(by_text, lambda position: folded(self.text(position)))

    @cached_property
    def repeats(self) -> NDArray[np.bool_] | None:
        """Which passages say what an earlier one says; None where none does. [passages]"""
        if not len(self.same_text):
            return None
        repeats = np.zeros(len(self), dtype=np.bool_)
        repeats[self.same_text[:, 0]] = True
        return repeats

    @property
    def distinct(self) -> int:
        """How many passages there are, counting those that say the same once."""
        return len(self) - len(self.same_text)

    def first_id(self, passage_id: str) -> str:
        """The id of the first passage that says the same, which is its own for most; KeyError if it is not there."""
        position, same = self.position(passage_id), self.same_text
        row = int(np.searchsorted(same[:, 0], position))
        return self.ids[int(same[row, 1]) if row < len(same) and same[row, 0] == position else position]

    def merged(self) -> Corpus:
        """The passages without those that say what an earlier one says, whose ids then name that one."""
        repeats = self.repeats
        if repeats is None:
            return self
        kept = np.flatnonzero(~repeats)
        corpus = self.select(kept.tolist())
        firsts = np.searchsorted(kept, self.same_text[:, 1])
        corpus._merged = dict(zip((self.ids[int(row)] for row in self.same_text[:, 0]), firsts.tolist(), strict=True))
        corpus.same_text = self.same_text[:0]  # known, and looking takes a pass over the corpus
        return corpus

    def _find(self, passage_id: str) -> int | None:
        position = find(self._by_id, passage_id, self.ids.__getitem__)
        return self._merged.get(passage_id) if position is None else position

    @cached_property
    def _by_id(self) -> Hashed:
        return hashed(self.ids, len(self.ids))


def _joined(title: str, body: str) -> str:
    return f"{title} {body}" if title else body


class CorpusWriter:
    """Takes passages one by one, in memory never more than a chunk of them.

    They go to a file that has no name any more once it is open, so that it goes when the process does. It lies where
    temporary files lie (TMPDIR says where) and takes as much room there as the corpus has text.

    Raises:
        WorkspaceError: there is no room for it.
    """

    def __init__(self) -> None:
        import pyarrow as pa

        self._schema = pa.schema([(field, pa.string()) for field in _FIELDS])
        with temporary_files(_LOADING), tempfile.NamedTemporaryFile(prefix="rankstill-corpus-", delete=False) as file:
            self._path = Path(file.name)
        # A loader that meets a mistake never finishes; its file goes all the same.
        weakref.finalize(self, self._path.unlink, missing_ok=True)
        with temporary_files(_LOADING):
            self._file: Any = pa.ipc.new_file(str(self._path), self._schema)
        self._rows: list[tuple[str, str, str]] = []

    def add(self, passage_id: str, title: str, text: str) -> None:
        """One more passage."""
        self._rows.append((passage_id, title, text))
        if len(self._rows) == _ROWS_A_CHUNK:
            self._flush()

    def finish(self) -> tuple[list[Any], Callable[[], None]]:
        """Everything, to be read where it lies: record batches of `_ROWS_A_CHUNK` rows, but for the last.

        Also what lets go of the pages that were read, which would count as this process's memory. They are read
        again when they are needed.
        """
        import pyarrow as pa

        if self._rows:
            self._flush()
        with temporary_files(_LOADING):
            self._file.close()
        with self._path.open("rb") as file:
            pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._path.unlink()
        reader = pa.ipc.open_file(pa.py_buffer(pages))
        chunks = [reader.get_batch(number) for number in range(reader.num_record_batches)]
        return chunks, lambda: pages.madvise(mmap.MADV_DONTNEED)

    def _flush(self) -> None:
        import pyarrow as pa

        columns = [pa.array(column, pa.string()) for column in zip(*self._rows, strict=True)]
        with temporary_files(_LOADING):
            self._file.write_batch(pa.record_batch(columns, schema=self._schema))
        self._rows.clear()
