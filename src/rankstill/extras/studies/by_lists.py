"""The studies of the teacher's lists: how many of them, and of what kind."""

from __future__ import annotations

from typing import Any

from rankstill.evaluation.systems import DISTILLED, HYBRID_BEFORE, RANKER
from rankstill.extras.studies.lists import ListKind
from rankstill.extras.studies.variants import DIRECT, StudyData, Variant

_ROUTES: dict[str, tuple[str, dict[str, Any], str]] = {
    "direct": ("straight into the encoder", DIRECT, DISTILLED),
    "chain": ("through the chain", {}, DISTILLED),
    "hybrid": ("as the two weights of BM25 and the retriever before", {}, HYBRID_BEFORE),
    "ranker": ("as the ranker on the first stage", {}, RANKER),
}
"""Name -> how the lists teach, in words; what that changes in the configuration; and which system is measured."""


def sizes(material: StudyData) -> tuple[Variant, ...]:
    """Fewer lists against all of them, by every route."""
    lists = material.lists
    sizes = [*(size for size in (50, 100, 200, 400) if size < lists), lists]
    return tuple(
        Variant(
            f"{route}-{size}",
            f"{size} lists, {how}",
            changes,
            against=f"{route}-{lists}" if size < lists else None,
            size=size if size < lists else None,
            system=system,
        )
        for route, (how, changes, system) in _ROUTES.items()
        for size in sizes
    )


def kinds_of_list(_: StudyData) -> tuple[Variant, ...]:
    """Other orders of the same passages against the LLM's, by every route; one passage against the others, direct."""
    one_passage = {
        "gold": "the judged passages against the others, no LLM, straight into the encoder",
        "first-choice": "the LLM's first choice against the others, straight into the encoder",
    }
    return (
        *_orders("direct"),
        *(
            Variant(f"direct-{name}-alone", what, {**DIRECT, "labels.ranked_by": name}, "direct-llm")
            for name, what in one_passage.items()
        ),
        *(each for route in ("chain", "hybrid", "ranker") for each in _orders(route)),
    )


def _orders(route: str) -> tuple[Variant, ...]:
    how, changes, system = _ROUTES[route]
    kinds: dict[ListKind, str] = {
        "llm": "the LLM's order",
        "gold-llm": "gold moved to the front of the LLM's order",
        "gold-first-stage": "gold moved to the front of the first stage's order",
        "first-stage": "the first stage's own order",
        "random": "a random order",
    }
    return tuple(
        Variant(
            f"{route}-{kind}",
            f"{what}, {how}",
            changes,
            None if kind == "llm" else f"{route}-llm",
            lists=kind,
            system=system,
        )
        for kind, what in kinds.items()
    )
