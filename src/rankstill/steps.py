"""What the chain's steps are called for people, and how far a run has come."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

TITLES: Mapping[str, str] = {
    "vectors": "encode the corpus",
    "candidates": "candidates",
    "rankings": "teach",
    "held_out": "hold out lists",
    "multi_vector": "make the multi-vector retriever",
    "token_index": "index token vectors",
    "ranker": "train-ranker",
    "labels": "label",
    "retriever": "train-retriever",
    "reranker": "refit the ranker",
    "multi_vector_distilled": "distil the multi-vector retriever",
    "agreement": "compare with the LLM",
    "runs": "search",
    "evaluation": "evaluate",
}
"""By the steps' names in the manifest. Where a command makes the step, its title is the command's name."""


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
    """The steps of one run, in their order.

    Args:
        steps: by name; without any, steps are not counted.
    """

    def __init__(self, steps: Sequence[str] = ()) -> None:
        self._places = {step: place for place, step in enumerate(steps, start=1)}
        self._started = time.monotonic()

    def place(self, step: str) -> str:
        """Where a run is, such as "step 3 of 8, teach"; the title alone of a step that was not planned."""
        if step not in self._places:
            return title(step)
        return f"step {self._places[step]} of {len(self._places)}, {title(step)}"

    def elapsed(self) -> str:
        """How long the run has taken so far; empty if nothing was planned."""
        return duration(time.monotonic() - self._started) if self._places else ""
