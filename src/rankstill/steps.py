"""The names of the chain's steps for people, and the progress of a run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

TITLES: Mapping[str, str] = {
    "vectors": "encode the corpus",
    "candidates": "candidates",
    "rankings": "teach",
    "held_out": "hold out lists",
    "multi_vector": "make the multi-vector retriever",
    "token_index": "index token vectors",
    "hybrid": "hybrid",
    "ranker": "train-ranker",
    "labels": "label",
    "retriever": "train-retriever",
    "reranker": "refit the ranker",
    "multi_vector_distilled": "distil the multi-vector retriever",
    "agreement": "compare with the LLM",
    "runs": "search",
    "evaluation": "evaluate",
}
"""Title by the step's name in the manifest. Where a command makes the step, its title is the command's name."""
STEPS = tuple(TITLES)
"""The steps' names in order. Running a step first runs the earlier ones that it needs."""
_TRUST = 30.0
"""Seconds of a run that count as well expected before any was measured."""
_TAKEN = 0.1
"""The share of the expected seconds up to which a step was taken from the cache, which says nothing of the others."""
_WORTH_SAYING = 10.0


def title(step: str) -> str:
    """What a step is called for people."""
    return TITLES.get(step, step)


def duration(seconds: float) -> str:
    """Such as 1 h 2 min, 3 min 4 s, or 5 s."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


class Plan:
    """The steps of one run, in their order, and how long what remains will take.

    Args:
        steps: by name; without any, steps are not counted.
        expect: measures this machine: gives the seconds that each step is expected to take. Asked once, when the first
            step is made.
    """

    def __init__(self, steps: Sequence[str] = (), expect: Callable[[], Mapping[str, float]] | None = None) -> None:
        self._places = {step: place for place, step in enumerate(steps, start=1)}
        self._expect = expect
        self._expected: Mapping[str, float] = {}
        self._took = {"expected": _TRUST, "really": _TRUST}
        self._started = time.monotonic()

    def place(self, step: str) -> str:
        """Where a run is, such as "step 3 of 8, teach"; the title alone of a step that was not planned."""
        if step not in self._places:
            return title(step)
        return f"step {self._places[step]} of {len(self._places)}, {title(step)}"

    def begin(self, step: str) -> str:
        """What is said when a step begins: the first one of a run says how long all will take."""
        if self._expect is None or self._expected or step not in self._places:
            return ""
        self._expected = self._expect()
        left = self._left(self._places[step] - 1)
        return f" (the run takes about {duration(left)} from here)" if left >= _WORTH_SAYING else ""

    def end(self, step: str, seconds: float) -> str:
        """What is said when a step has ended: how long the run has taken, and what is left of it.

        Args:
            step: the step's name.
            seconds: how long it took.
        """
        if step not in self._places:
            return ""
        expected = self._expected.get(step, 0.0)
        if seconds > _TAKEN * expected:
            self._took["expected"] += expected
            self._took["really"] += seconds
        left = self._left(self._places[step])
        told = f", {duration(time.monotonic() - self._started)} in all"
        return f"{told}, about {duration(left)} left" if left >= _WORTH_SAYING else told

    def _left(self, done: int) -> float:
        """Seconds of the steps after so many, by what was expected and how true that has been so far."""
        ahead = sum(self._expected.get(step, 0.0) for step, place in self._places.items() if place > done)
        return ahead * self._took["really"] / self._took["expected"]
