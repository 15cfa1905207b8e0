"""Progress that works in a terminal and in a log: a bar in the one, plain lines in the other."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

console = Console(stderr=True, highlight=False)

_LOG_EVERY_SECONDS = 15.0

Advance = Callable[[int], None]
"""Called with how many items were just finished."""


def say(message: str) -> None:
    """One plain line to the log; markup in the message is not interpreted, for data may stand in it."""
    console.print(message, markup=False, soft_wrap=True)


@contextmanager
def progress(what: str, total: int) -> Iterator[Advance]:
    """Show how far `what` has come among `total` items; yields the function that advances it."""
    if sys.stderr.isatty():
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda done: bar.advance(task, done)
        return

    started = said = time.monotonic()
    finished = 0

    def advance(done: int) -> None:
        nonlocal said, finished
        finished += done
        now = time.monotonic()
        if now - said >= _LOG_EVERY_SECONDS and finished < total:
            said = now
            left = (now - started) / finished * (total - finished) if finished else 0.0
            say(f"  {what}: {finished:,} of {total:,}, about {left:,.0f} s left")

    yield advance
