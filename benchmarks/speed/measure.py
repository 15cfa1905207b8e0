"""Two ways to do one thing, timed alternately, so that a busy machine slows both alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """One row of the table.

    Args:
        what: was done.
        peer: who else did it, with its settings.
        unit: of the rates.
        ours: our rate, median over rounds.
        theirs: the peer's, likewise.
        ratios: ours over theirs, of each round.
        goal: wanted of the ratio.
        quality: what became of it, in words and figures.
    """

    what: str
    peer: str
    unit: str
    ours: float
    theirs: float
    ratios: tuple[float, ...]
    goal: str
    quality: str

    def cells(self) -> list[str]:
        """For the table."""
        median, low, high = statistics.median(self.ratios), min(self.ratios), max(self.ratios)
        digits = 1 if median >= 1 else 2
        spread = f"{low:.{digits}f} to {high:.{digits}f}" if len(self.ratios) > 1 else "one round"
        ratio = f"**{median:.{digits}f}x** ({spread})"
        return [
            self.what,
            self.peer,
            f"{self.ours:,.1f}",
            f"{self.theirs:,.1f}",
            self.unit,
            ratio,
            self.goal,
            self.quality,
        ]


def alternate(
    ours: Callable[[], object], theirs: Callable[[], object], rounds: int, warm_up: bool = True
) -> tuple[list[float], list[float]]:
    """Seconds of each in each round; who goes first alternates too."""
    seconds: dict[Callable[[], object], list[float]] = {ours: [], theirs: []}
    if warm_up:
        ours()
        theirs()
    for number in range(rounds):
        for run in (ours, theirs) if number % 2 == 0 else (theirs, ours):
            started = time.perf_counter()
            run()
            seconds[run].append(time.perf_counter() - started)
    return seconds[ours], seconds[theirs]


def rates(items: int, ours: list[float], theirs: list[float]) -> dict[str, object]:
    """The figures of a `Result` that follow from times."""
    return {
        "ours": items / statistics.median(ours),
        "theirs": items / statistics.median(theirs),
        "ratios": tuple(their / our for our, their in zip(ours, theirs, strict=True)),
    }
