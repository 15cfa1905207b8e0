"""What is wrong in a source, collected, so that one run tells of several mistakes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from rankstill.errors import DataError

_SHOWN = 10
_END = float("inf")

Row = TypeVar("Row")
Parsed = TypeVar("Parsed")


class MistakesError(DataError):
    """Mistakes of one source as one error: a line each for the first of them, and a count of the rest."""

    def __init__(self, found: Sequence[tuple[float, str]], count: int) -> None:
        rest = [f"... and {count - len(found):,} more."] if count > len(found) else []
        super().__init__("\n".join([*(message for _, message in found), *rest]))
        self.found, self.count = tuple(found), count


class Faults:
    """Takes mistakes while a source is read to its end, then stops with the first ten and a count of the rest."""

    def __init__(self) -> None:
        self._found: list[tuple[float, str]] = []
        self._count = 0

    def add(self, number: float, mistake: str | DataError) -> None:
        """One more mistake, in the record of this number; or those that an error holds."""
        if isinstance(mistake, MistakesError):
            self._found += mistake.found
            self._count += mistake.count
        else:
            self._found.append((number, str(mistake)))
            self._count += 1
        self._found = sorted(self._found, key=lambda each: each[0])[:_SHOWN]

    def each(
        self, rows: Iterable[tuple[int, Row]], parse: Callable[[Row, int], Parsed]
    ) -> Iterator[tuple[int, Parsed]]:
        """The numbered rows that can be parsed; what is wrong with the others, or with the source, is added."""
        try:
            for number, row in rows:
                try:
                    parsed = parse(row, number)
                except DataError as error:
                    self.add(number, error)
                else:
                    yield number, parsed
        except DataError as error:  # the source's own: it collected them too, or cannot be read any further
            self.add(_END, error)

    def stop(self) -> None:
        """Ends the reading if there were mistakes.

        Raises:
            DataError: there were; it tells of the first ten.
        """
        if self._count:
            raise MistakesError(self._found, self._count)
