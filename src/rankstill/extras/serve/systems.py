"""The systems that can be searched with: one table, and how each makes a run, as the evaluation makes its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from rankstill.evaluation import systems as measured
from rankstill.multi_vector import TwoStage

if TYPE_CHECKING:
    from rankstill.evaluation.runs import Run
    from rankstill.evaluation.systems import System
    from rankstill.extras.serve.reading import Retriever, ServedWorkspace
    from rankstill.ranker import Ranker
    from rankstill.retrieval import FirstStage

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
class ServedSystem:
    """A system for the page and the API.

    Args:
        row: its name in the run's table.
    """

    row: str
    title: str
    what: str

    @property
    def made(self) -> System:
        """What it consists of."""
        return measured.SYSTEMS[self.row]

    @property
    def scores(self) -> str:
        """What its scores are."""
        return _SCORES[self.made.kind]

    def open(self, opened: ServedWorkspace) -> Search:
        """What searches with it; slow for models that are not loaded yet."""
        system = self.made
        if system.kind == "ranker":
            return partial(_search_by_ranker, opened, *opened.reranking)
        retriever = opened.after if system.distilled else opened.before
        if system.kind == "dense":
            return partial(_search_by_vector, opened, retriever)
        first_stage = opened.first_stage(retriever)
        if system.kind == "hybrid":
            return partial(measured.hybrid_run, first_stage, opened.hybrid(system.made))
        folder = "multi-vector-distilled" if system.distilled else "multi-vector"
        (model, index), weights = opened.late(folder), opened.hybrid(f"hybrid-{folder}.json")
        # Until a run has as many passages, the lists are those of its report.
        two_stage = TwoStage.load(index.folder) if len(index) > _EXACT else None

        def search(queries: Mapping[str, str]) -> Run:
            with opened.unchanged():
                alone, summed = measured.multi_vector_runs(model, index, first_stage, weights, queries, two_stage)
            return alone if system.kind == "multi-vector" else summed

        return search


def _search_by_vector(opened: ServedWorkspace, retriever: Retriever, queries: Mapping[str, str]) -> Run:
    asked, device = retriever.encode(list(queries.values()), "query"), str(retriever.model.device)
    return measured.nearest_run(retriever.passages, asked, opened.dataset.corpus, queries, device)


def _search_by_ranker(
    opened: ServedWorkspace, first_stage: FirstStage, ranker: Ranker, queries: Mapping[str, str]
) -> Run:
    with opened.unchanged() if first_stage.late else nullcontext():
        return measured.reranked_run(first_stage, ranker, queries, opened.config.evaluation.rerank_depth)


_EXACT = 20_000
"""Passages up to which a query is compared with every token of the corpus: half a second on two cores."""
_SCORES = {
    "dense": "cosine",
    "hybrid": "weighted sum of cosine and BM25",
    "multi-vector": "MaxSim",
    "multi-vector hybrid": "weighted sum of cosine, BM25 and mean MaxSim",
    "ranker": "log-odds",
}
_WEIGHTS = "with weights from the LLM's rankings"
SYSTEMS: Mapping[SystemName, ServedSystem] = {
    "before": ServedSystem(measured.BEFORE, "Before", "the retriever as it was"),
    "hybrid-before": ServedSystem(
        measured.HYBRID_BEFORE, "Hybrid before", f"BM25 and the retriever as it was, {_WEIGHTS}"
    ),
    "multi-vector": ServedSystem(
        measured.MULTI_VECTOR, "Multi-vector", "token vectors of the encoder as it was, matched by late interaction"
    ),
    "multi-vector-hybrid": ServedSystem(
        measured.MULTI_VECTOR_HYBRID,
        "Multi-vector hybrid",
        f"BM25, the retriever as it was and the multi-vector retriever, {_WEIGHTS}",
    ),
    "after": ServedSystem(measured.DISTILLED, "After", "the distilled retriever"),
    "hybrid-after": ServedSystem(
        measured.HYBRID_DISTILLED, "Hybrid after", f"BM25 and the distilled retriever, {_WEIGHTS}"
    ),
    "multi-vector-after": ServedSystem(
        measured.MULTI_VECTOR_DISTILLED, "Multi-vector after", "the multi-vector retriever, trained"
    ),
    "multi-vector-hybrid-after": ServedSystem(
        measured.MULTI_VECTOR_HYBRID_DISTILLED,
        "Multi-vector hybrid after",
        f"BM25, the distilled retriever and the trained multi-vector retriever, {_WEIGHTS}",
    ),
    "ranker": ServedSystem(measured.RANKER_ON_DISTILLED, "Ranker", "the ranker on top of the distilled retriever"),
}
"""By their names in the API, in the order in which the page shows them."""
LOADED: tuple[SystemName, ...] = ("before", "after")
"""Those that an opened workspace holds already."""
