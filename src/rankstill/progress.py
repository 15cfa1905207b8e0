"""Progress that works in a terminal, in a notebook and in a log: a bar in the former two, plain lines in the log."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

console = Console(stderr=True, highlight=False)

_LOG_EVERY_SECONDS = 15.0
_BAR_AFTER_SECONDS = 1.0

Advance = Callable[[int], None]
"""Called with how many items were just finished."""


_WORD = re.compile(r"(?:`[^`]*`|\S)+")


def wrapped(message: str, width: int) -> str:
    """Lines of at most this width, broken between words. Paths, and what stands between backticks, stay whole."""
    lines: list[str] = []
    for line in message.split("\n"):
        if len(line) <= width:
            lines.append(line)
            continue
        filled = line[: len(line) - len(line.lstrip())]
        begun = False
        for word in _WORD.findall(line):
            if begun and len(filled) + 1 + len(word) > width:
                lines.append(filled)
                filled = word
            else:
                filled += f" {word}" if begun else word
            begun = True
        lines.append(filled)
    return "\n".join(lines)


def say(message: str) -> None:
    """To the log, a line of its own; markup in the message is not interpreted, for data may stand in it."""
    if console.is_terminal and not console.is_jupyter:
        message = wrapped(message, console.width)
    console.print(message, markup=False, soft_wrap=True)


_noted: set[str] = set()


def note(message: str) -> None:
    """What a reader of the figures must know, said while the run goes on. Its end does not say it again."""
    say(f"note: {message}")
    _noted.add(message)


def forget_notes() -> None:
    """Start a run with an empty log of notes."""
    _noted.clear()


def unlogged(notes: Sequence[str]) -> list[str]:
    """The notes that this run's log does not hold yet."""
    return [each for each in notes if each not in _noted]


def _shows_bars() -> bool:
    """A notebook does so through ipywidgets alone: rich says what is missing there, and shows nothing."""
    if console.is_jupyter:
        return find_spec("ipywidgets") is not None
    return sys.stderr.isatty()


@contextmanager
def progress(what: str, total: int) -> Iterator[Advance]:
    """Show how far `what` has come among `total` items; yields the function that advances it."""
    if _shows_bars():
        with ExitStack() as stack:
            yield _late_bar(stack, what, total)
        return

    started = said = time.monotonic()
    finished = 0

    def advance(done: int) -> None:
        nonlocal said, finished
        finished += done
        now = time.monotonic()
        if now - said < _LOG_EVERY_SECONDS or finished == total:
            return
        said = now
        if finished > total:  # such as calls to an LLM whose answers cannot be read and are asked for again
            say(f"  {what}: {finished:,}, more than the {total:,} that were expected")
            return
        left = (now - started) / finished * (total - finished) if finished else 0.0
        say(f"  {what}: {finished:,} of {total:,}, about {left:,.0f} s left")

    yield advance


def _late_bar(stack: ExitStack, what: str, total: int) -> Advance:
    """A bar that appears when the work turns out to take long: one that flashes by says nothing."""
    started = time.monotonic()
    finished = 0
    bar: Progress | None = None

    def advance(done: int) -> None:
        nonlocal finished, bar
        finished += done
        if bar is None and time.monotonic() - started >= _BAR_AFTER_SECONDS:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
            times = (TimeElapsedColumn(), TimeRemainingColumn())
            bar = stack.enter_context(Progress(*columns, *times, console=console, transient=True))
            bar.add_task(what, total=total)
        if bar is not None:
            bar.update(bar.task_ids[0], completed=finished)

    return advance
