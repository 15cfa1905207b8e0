"""The systems that can be searched with: one table, and how each makes a run, as the evaluation makes its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from rankstill.evaluation import systems as measured
from rankstill.evaluation.systems import hybrid_run, multi_vector_runs, nearest_run, reranked_run
from rankstill.multi_vector import TwoStage

if TYPE_CHECKING:
    from rankstill.evaluation.runs import Run
    from rankstill.extras.serve.reading import ServedWorkspace

SystemName = Literal[
    "before",
    "hybrid-before",
    "multi-vector",
    "multi-vector-hybrid",
    "after",
    "hybrid-after",
    "multi-vector-after",
    "multi-vector-hybrid-after",
    "ranker",
]
Search = Callable[[Mapping[str, str]], "Run"]
"""Turns queries (id to text) into the best 100 passages of each."""


@dataclass(frozen=True)
class System:
    """One system.

    Args:
        at_once: queries in a batch, at most; None: as many as the server takes. Whoever scores the whole corpus holds
            a number a passage for each query, and the ranker reads some dozen passages.
    """

    title: str
    what: str
    scores: str
    row: str
    is_there: Callable[[ServedWorkspace], bool]
    open: Callable[[ServedWorkspace], Search]
    at_once: int | None = 8


def _single(title: str, what: str, row: str, *, after: bool = False) -> System:
    def opened_by(opened: ServedWorkspace) -> Search:
        retriever = opened.after if after else opened.before
        device = str(retriever.model.device)

        def search(queries: Mapping[str, str]) -> Run:
            asked = retriever.encode(list(queries.values()), "query")
            return nearest_run(retriever.passages, asked, opened.dataset.corpus, queries, device)

        return search

    return System(title, what, "cosine", row, is_there=lambda _: True, open=opened_by, at_once=None)


def _hybrid(title: str, what: str, row: str, *, after: bool = False) -> System:
    file = "hybrid-distilled.json" if after else "hybrid.json"

    def opened_by(opened: ServedWorkspace) -> Search:
        return partial(hybrid_run, opened.first_stage(opened.after if after else opened.before), opened.hybrid(file))

    scores = "weighted sum of cosine and BM25"
    return System(title, what, scores, row, is_there=lambda opened: opened.has_hybrid(file), open=opened_by)


def _multi_vector(title: str, what: str, row: str, *, after: bool = False, hybrid: bool = False) -> System:
    def is_there(opened: ServedWorkspace) -> bool:
        return opened.has_distilled_multi_vector if after else opened.has_multi_vector

    def opened_by(opened: ServedWorkspace) -> Search:
        model, index = opened.late_after if after else opened.late
        first_stage = opened.first_stage(opened.after if after else opened.before)
        # Until a run has as many passages, the lists are those of its report.
        two_stage = TwoStage.load(index.folder) if len(index) > _EXACT else None
        weights = opened.hybrid("hybrid-multi-vector-distilled.json" if after else "hybrid-multi-vector.json")

        def search(queries: Mapping[str, str]) -> Run:
            with opened.unchanged():
                alone, summed = multi_vector_runs(model, index, first_stage, weights, queries, two_stage)
            return summed if hybrid else alone

        return search

    scores = "weighted sum of cosine, BM25 and mean MaxSim" if hybrid else "MaxSim"
    return System(title, what, scores, row, is_there=is_there, open=opened_by)


def _by_ranker(opened: ServedWorkspace) -> Search:
    first_stage, ranker = opened.reranking
    depth = opened.config.evaluation.rerank_depth

    def search(queries: Mapping[str, str]) -> Run:
        with opened.unchanged() if first_stage.late else nullcontext():
            return reranked_run(first_stage, ranker, queries, depth)

    return search


_EXACT = 20_000
"""Passages up to which a query is compared with every token of the corpus: half a second on two cores."""
_WEIGHTS = "with weights from the LLM's rankings"
SYSTEMS: Mapping[SystemName, System] = {
    "before": _single("Before", "the retriever as it was", measured.BEFORE),
    "hybrid-before": _hybrid("Hybrid before", f"BM25 and the retriever as it was, {_WEIGHTS}", measured.HYBRID_BEFORE),
    "multi-vector": _multi_vector(
        "Multi-vector", "token vectors of the encoder as it was, matched by late interaction", measured.MULTI_VECTOR
    ),
    "multi-vector-hybrid": _multi_vector(
        "Multi-vector hybrid",
        f"BM25, the retriever as it was and the multi-vector retriever, {_WEIGHTS}",
        measured.MULTI_VECTOR_HYBRID,
        hybrid=True,
    ),
    "after": _single("After", "the distilled retriever", measured.DISTILLED, after=True),
    "hybrid-after": _hybrid(
        "Hybrid after", f"BM25 and the distilled retriever, {_WEIGHTS}", measured.HYBRID_DISTILLED, after=True
    ),
    "multi-vector-after": _multi_vector(
        "Multi-vector after", "the multi-vector retriever, trained", measured.MULTI_VECTOR_DISTILLED, after=True
    ),
    "multi-vector-hybrid-after": _multi_vector(
        "Multi-vector hybrid after",
        f"BM25, the distilled retriever and the trained multi-vector retriever, {_WEIGHTS}",
        measured.MULTI_VECTOR_HYBRID_DISTILLED,
        after=True,
        hybrid=True,
    ),
    "ranker": System(
        "Ranker",
        "the ranker on top of the distilled retriever",
        "log-odds",
        measured.RANKER_ON_DISTILLED,
        is_there=lambda opened: opened.has_ranker,
        open=_by_ranker,
    ),
}
"""By their names in the API, in the order in which the page shows them."""
LOADED: tuple[SystemName, ...] = ("before", "after")
"""Those that an opened workspace holds already."""
