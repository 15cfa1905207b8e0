"""The systems that can be searched with: one table, and how each makes a run, just as the evaluation makes its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from rankstill.evaluation import systems as measured
from rankstill.evaluation.systems import hybrid_run, multi_vector_runs, nearest_run, reranked_run

if TYPE_CHECKING:
    from rankstill.evaluation.runs import Run
    from rankstill.extras.serve.reading import Retriever, ServedWorkspace

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


def _by_cosine(opened: ServedWorkspace, retriever: Retriever) -> Search:
    def search(queries: Mapping[str, str]) -> Run:
        asked = retriever.encode(list(queries.values()), "query")
        device = str(retriever.model.device)
        return nearest_run(retriever.passages, asked, opened.dataset.corpus, queries, device)

    return search


def _by_hybrid(opened: ServedWorkspace, retriever: Retriever, file: str) -> Search:
    return partial(hybrid_run, opened.first_stage(retriever), opened.hybrid(file))


def _by_tokens(opened: ServedWorkspace, *, after: bool = False, hybrid: bool = False) -> Search:
    model, index = opened.late_after if after else opened.late
    first_stage = opened.first_stage(opened.after if after else opened.before)
    weights = opened.hybrid("hybrid-multi-vector-distilled.json" if after else "hybrid-multi-vector.json")

    def search(queries: Mapping[str, str]) -> Run:
        with opened.unchanged():
            alone, summed = multi_vector_runs(model, index, first_stage, weights, queries)
        return summed if hybrid else alone

    return search


def _by_ranker(opened: ServedWorkspace) -> Search:
    first_stage, ranker = opened.reranking
    depth = opened.config.evaluation.rerank_depth

    def search(queries: Mapping[str, str]) -> Run:
        with opened.unchanged() if first_stage.late else nullcontext():
            return reranked_run(first_stage, ranker, queries, depth)

    return search


SYSTEMS: Mapping[SystemName, System] = {
    "before": System(
        "Before",
        "the retriever as it was",
        "cosine",
        measured.BEFORE,
        is_there=lambda _: True,
        open=lambda opened: _by_cosine(opened, opened.before),
        at_once=None,
    ),
    "hybrid-before": System(
        "Hybrid before",
        "BM25 and the retriever as it was, with weights from the LLM's rankings",
        "weighted sum of cosine and BM25",
        measured.HYBRID_BEFORE,
        is_there=lambda opened: opened.has_hybrid("hybrid.json"),
        open=lambda opened: _by_hybrid(opened, opened.before, "hybrid.json"),
    ),
    "multi-vector": System(
        "Multi-vector",
        "token vectors of the encoder as it was, matched by late interaction",
        "MaxSim",
        measured.MULTI_VECTOR,
        is_there=lambda opened: opened.has_multi_vector,
        open=lambda opened: _by_tokens(opened),
    ),
    "multi-vector-hybrid": System(
        "Multi-vector hybrid",
        "BM25, the retriever as it was and the multi-vector retriever, with weights from the LLM's rankings",
        "weighted sum of cosine, BM25 and mean MaxSim",
        measured.MULTI_VECTOR_HYBRID,
        is_there=lambda opened: opened.has_multi_vector,
        open=lambda opened: _by_tokens(opened, hybrid=True),
    ),
    "after": System(
        "After",
        "the distilled retriever",
        "cosine",
        measured.DISTILLED,
        is_there=lambda _: True,
        open=lambda opened: _by_cosine(opened, opened.after),
        at_once=None,
    ),
    "hybrid-after": System(
        "Hybrid after",
        "BM25 and the distilled retriever, with weights from the LLM's rankings",
        "weighted sum of cosine and BM25",
        measured.HYBRID_DISTILLED,
        is_there=lambda opened: opened.has_hybrid("hybrid-distilled.json"),
        open=lambda opened: _by_hybrid(opened, opened.after, "hybrid-distilled.json"),
    ),
    "multi-vector-after": System(
        "Multi-vector after",
        "the multi-vector retriever, trained",
        "MaxSim",
        measured.MULTI_VECTOR_DISTILLED,
        is_there=lambda opened: opened.has_distilled_multi_vector,
        open=lambda opened: _by_tokens(opened, after=True),
    ),
    "multi-vector-hybrid-after": System(
        "Multi-vector hybrid after",
        "BM25, the distilled retriever and the trained multi-vector retriever, with weights from the LLM's rankings",
        "weighted sum of cosine, BM25 and mean MaxSim",
        measured.MULTI_VECTOR_HYBRID_DISTILLED,
        is_there=lambda opened: opened.has_distilled_multi_vector,
        open=lambda opened: _by_tokens(opened, after=True, hybrid=True),
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
