"""The chain's systems as TREC runs, so that any tool can measure them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from rankstill.disk import temporary_files
from rankstill.evaluation.runs import Run, break_ties, read_run
from rankstill.progress import progress
from rankstill.retrieval import encode, encode_passages, nearest_passages
from rankstill.retrieval.first_stage import top
from rankstill.retrieval.late_interaction import encode_queries, mean_of

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder, SentenceTransformer

    from rankstill.components import Components
    from rankstill.data import Corpus
    from rankstill.multi_vector import TokenIndex, TwoStage
    from rankstill.ranker import Ranker
    from rankstill.retrieval import FirstStage
    from rankstill.retrieval.dense import Embeddings
    from rankstill.retrieval.hybrid import Hybrid
    from rankstill.retrieval.late_interaction import Tokens

Kind = Literal["bm25", "dense", "fused", "hybrid", "ranker", "multi-vector", "multi-vector hybrid"]


@dataclass(frozen=True)
class System:
    """One way of searching: a row of every table.

    Args:
        kind: how it searches.
        distilled: whether it searches with what the run trained, not with the encoder as it was.
        made: what the run makes for it: a file or a folder in the workspace; empty if nothing.
    """

    kind: Kind
    distilled: bool = False
    made: str = ""

    @property
    def late(self) -> bool:
        """Whether token vectors are matched."""
        return self.kind in ("multi-vector", "multi-vector hybrid")


BM25, FIRST_STAGE = "BM25", "first stage"
BEFORE, DISTILLED = "retriever before", "distilled retriever"
HYBRID_BEFORE, HYBRID_DISTILLED = "hybrid before", "distilled hybrid"
MULTI_VECTOR, MULTI_VECTOR_HYBRID = "multi-vector", "multi-vector hybrid"
MULTI_VECTOR_DISTILLED, MULTI_VECTOR_HYBRID_DISTILLED = "distilled multi-vector", "distilled multi-vector hybrid"
RANKER, RANKER_ON_DISTILLED = "ranker", "ranker on distilled"
SYSTEMS: Mapping[str, System] = {
    BM25: System("bm25"),
    BEFORE: System("dense"),
    FIRST_STAGE: System("fused"),
    HYBRID_BEFORE: System("hybrid", made="hybrid.json"),
    RANKER: System("ranker", made="ranker"),
    DISTILLED: System("dense", distilled=True, made="retriever"),
    HYBRID_DISTILLED: System("hybrid", distilled=True, made="hybrid-distilled.json"),
    RANKER_ON_DISTILLED: System("ranker", distilled=True, made="reranker"),
    MULTI_VECTOR: System("multi-vector", made="multi-vector"),
    MULTI_VECTOR_HYBRID: System("multi-vector hybrid", made="hybrid-multi-vector.json"),
    MULTI_VECTOR_DISTILLED: System("multi-vector", distilled=True, made="multi-vector-distilled"),
    MULTI_VECTOR_HYBRID_DISTILLED: System(
        "multi-vector hybrid", distilled=True, made="hybrid-multi-vector-distilled.json"
    ),
}
"""All of them, in the order of every table."""
MEANINGS = {
    BM25: "Keyword search: it scores passages by the query's words.",
    BEFORE: "The retriever as it was. Every difference is measured against it.",
    FIRST_STAGE: "The retriever as it was and BM25, fused by rank (reciprocal rank fusion). It finds the candidates.",
    HYBRID_BEFORE: "A weighted sum of BM25 and the retriever as it was. The LLM's rankings set the weights; nothing is "
    "trained.",
    RANKER: "The ranker, trained on the LLM's rankings, reorders what the first stage finds.",
    DISTILLED: "The distilled retriever: the result of the run.",
    HYBRID_DISTILLED: "A weighted sum of BM25 and the distilled retriever, with weights from the LLM's rankings.",
    RANKER_ON_DISTILLED: "The ranker reorders what BM25 and the distilled retriever find.",
    MULTI_VECTOR: "The old encoder with one vector for each token, matched by late interaction (MaxSim).",
    MULTI_VECTOR_HYBRID: "The hybrid before, with the multi-vector retriever as its third part. Nothing is trained.",
    MULTI_VECTOR_DISTILLED: "The multi-vector retriever, trained on the ranker's labels.",
    MULTI_VECTOR_HYBRID_DISTILLED: "The distilled hybrid, with the trained multi-vector retriever as its third part.",
}
"""What each of them is, in one line."""
RETRIEVERS = {
    system.made: name for name, system in SYSTEMS.items() if system.kind in ("dense", "multi-vector") and system.made
}
"""The retrievers that a run makes: their folders in the workspace, and the rows that measure them."""
FREE = (MULTI_VECTOR_HYBRID, HYBRID_BEFORE, MULTI_VECTOR, BM25, FIRST_STAGE)
"""The free rivals: searches that need no training. A new retriever should beat them."""
UNTRAINED = (BM25, BEFORE, FIRST_STAGE)
"""Systems that need only the chain's candidates, and no seed."""

T = TypeVar("T")

_DEPTH = 100


def run_name(system: str) -> str:
    """A system's name as that of a file and of a TREC run, which may hold no space."""
    return system.replace(" ", "-")


def made_systems(components: Components, *, with_ranker: bool) -> dict[str, System]:
    """The systems that a chain's run has: some baselines have no ranker, and not every run a multi-vector retriever."""

    def is_made(system: System) -> bool:
        if system.late:
            return components.has_distilled_multi_vector if system.distilled else components.has_multi_vector
        return with_ranker or system.kind not in ("hybrid", "ranker")

    return {name: system for name, system in SYSTEMS.items() if is_made(system)}


def read_runs(folder: Path) -> dict[str, Run]:
    """The runs of the systems that lie in a folder, by system; DataError if one is damaged."""
    paths = {system: folder / f"{run_name(system)}.trec" for system in SYSTEMS}
    return {system: read_run(path) for system, path in paths.items() if path.is_file()}


def dense_run(first_stage: FirstStage, queries: Mapping[str, str]) -> Run:
    """Passages by cosine. `queries`: texts by id."""
    return _single(first_stage, queries, lexical=False)


def encoded_run(model: SentenceTransformer, corpus: Corpus, queries: Mapping[str, str]) -> Run:
    """Passages by cosine, of a corpus without a first stage: it is encoded for this run, into a file."""
    with temporary_files("encoding passages"), tempfile.TemporaryDirectory(prefix="rankstill-") as folder:
        encode_passages(model, corpus, Path(folder))
        passages = np.load(Path(folder) / "passages.npy", mmap_mode="r")
        asked = encode(model, list(queries.values()), "query", "encoding queries", 128)
        return nearest_run(passages, asked, corpus, queries, str(model.device))


def nearest_run(
    passages: Embeddings,
    asked: Embeddings,
    corpus: Corpus,
    queries: Iterable[str],
    device: str = "cpu",
    *,
    some: NDArray[np.int64] | None = None,
    change: Callable[[Embeddings], Embeddings] = np.asarray,
) -> Run:
    """Passages by cosine, from vectors.

    Args:
        passages: unit vectors of the corpus. [passages, dimensions]
        asked: unit vectors of the queries. [queries, dimensions]
        some: the positions in the corpus of the passages that there are vectors of; None: all. [passages]
        change: what is done to both before they are compared, such as cutting them.
    """
    left_out = corpus.repeats
    if some is not None and left_out is not None:
        left_out = left_out[some]
    positions, cosines = nearest_passages(change(asked), passages, _DEPTH, device, left_out, change)
    if some is not None:
        positions = some[positions]
    return {query_id: _scored(corpus, *best) for query_id, *best in zip(queries, positions, cosines, strict=True)}


def lexical_run(first_stage: FirstStage, queries: Mapping[str, str]) -> Run:
    """Passages by BM25. `queries`: texts by id."""
    return _single(first_stage, queries, lexical=True)


def fused_run(first_stage: FirstStage, queries: Mapping[str, str]) -> Run:
    """Passages by reciprocal rank fusion of the two. `queries`: texts by id."""
    found = first_stage.search(list(queries.values()), _DEPTH)
    return {
        query_id: _scored(first_stage.corpus, candidates.positions, candidates.fused)
        for query_id, candidates in zip(queries, found, strict=True)
    }


def hybrid_run(first_stage: FirstStage, hybrid: Hybrid, queries: Mapping[str, str]) -> Run:
    """Passages by the weighted sum of cosine and BM25, among the best of either."""
    run: Run = {}
    found = first_stage.search(list(queries.values()), 2 * _DEPTH)
    for query_id, candidates in zip(queries, found, strict=True):
        scores = hybrid.of_features(candidates.features)
        best = _best_first(candidates.positions, scores)[:_DEPTH]
        run[query_id] = _scored(first_stage.corpus, candidates.positions[best], scores[best])
    return run


def multi_vector_runs(
    model: MultiVectorEncoder,
    index: TokenIndex,
    first_stage: FirstStage,
    hybrid: Hybrid,
    queries: Mapping[str, str],
    two_stage: TwoStage | None = None,
) -> tuple[Run, Run]:
    """Passages of the whole corpus by MaxSim; and by the hybrid, among the best by MaxSim and by the first stage.

    Args:
        model: encodes the queries.
        index: the passages' token vectors.
        first_stage: knows cosine and BM25.
        hybrid: the weights of the sum.
        queries: texts by id.
        two_stage: finds the passages that get a MaxSim, besides those that the first stage finds; None: all get one.
    """
    corpus, alone, summed, texts = first_stage.corpus, Run(), Run(), list(queries.values())
    asked, device = encode_queries(model, texts), str(model.device)
    candidates = list(first_stage.search(texts, 2 * _DEPTH))
    if two_stage is None:
        every = index.scores(asked, device)
    else:
        both = zip(asked, candidates, strict=True)
        every = (_maxsim_of_some(two_stage, tokens, found.positions, device) for tokens, found in both)
    positions, late = [], []
    for query_id, tokens, maxsim, found in zip(queries, asked, _shown(every, len(queries)), candidates, strict=True):
        if corpus.repeats is not None:
            maxsim[corpus.repeats] = -np.inf
        best = top(maxsim, 2 * _DEPTH)
        alone[query_id] = _scored(corpus, best[:_DEPTH], maxsim[best[:_DEPTH]])
        positions.append(np.union1d(found.positions, best))
        late.append(mean_of(tokens, maxsim[positions[-1]]))
    known = first_stage.features(texts, positions)
    for query_id, here, features, own in zip(queries, positions, known, late, strict=True):
        scores = hybrid.of_features(np.column_stack([features, own]))
        best = _best_first(here, scores)[:_DEPTH]
        summed[query_id] = _scored(corpus, here[best], scores[best])
    return alone, summed


def _maxsim_of_some(two_stage: TwoStage, tokens: Tokens, others: NDArray[np.int64], device: str) -> NDArray[np.float32]:
    """MaxSim of a query's candidates by both stages, and of other passages; -inf for the rest. [passages]"""
    wanted = np.union1d(two_stage.candidates(tokens, device), others)
    maxsim = np.full(len(two_stage.index), -np.inf, dtype=np.float32)
    (maxsim[wanted],) = two_stage.index.scores_of([tokens], [wanted], device)
    return maxsim


def reranked_run(
    first_stage: FirstStage,
    ranker: Ranker,
    queries: Mapping[str, str],
    depth: int,
    known: dict[tuple[str, str], float] | None = None,
) -> Run:
    """The first stage's passages, ordered by the ranker's prior, the best of them by the whole ranker.

    The prior costs nothing, so it orders everything that was found; the cross-encoder only reads `depth` passages.

    Args:
        depth: passages a query that the whole ranker reorders; the rest keep their order below them.
        known: see `Ranker.score`.
    """
    cheap = ranker.prior_alone()
    found = list(_shown(first_stage.search(list(queries.values()), 2 * _DEPTH), len(queries)))
    heads, tails = [], []
    for candidates in found:
        order = np.arange(len(candidates.positions))
        if cheap is not ranker and cheap.prior is not None:
            order = _best_first(candidates.positions, cheap.prior.scores(candidates.features))
        heads.append(order[:depth])
        tails.append(order[depth:_DEPTH])
    pairs = [
        (query, first_stage.corpus.text(int(candidates.positions[row])))
        for query, candidates, head in zip(queries.values(), found, heads, strict=True)
        for row in head
    ]
    features = np.concatenate([each.features[head] for each, head in zip(found, heads, strict=True)])
    scores = np.split(ranker.score(pairs, features, known=known), np.cumsum([len(head) for head in heads])[:-1])
    run: Run = {}
    for query_id, candidates, head, tail, score in zip(queries, found, heads, tails, scores, strict=True):
        below = score.min(initial=0.0) - 1.0 - np.arange(len(tail), dtype=np.float32)
        best = _best_first(candidates.positions[head], score)
        positions = candidates.positions[np.concatenate([head[best], tail])]
        run[query_id] = _scored(first_stage.corpus, positions, np.concatenate([score[best], below]))
    return run


def _shown(found: Iterable[T], queries: int) -> Iterator[T]:
    """What is found for each query, with progress."""
    with progress("searching", queries) as advance:
        for each in found:
            yield each
            advance(1)


def _single(first_stage: FirstStage, queries: Mapping[str, str], *, lexical: bool) -> Run:
    found = first_stage.top(list(queries.values()), _DEPTH, lexical=lexical)
    return {
        query_id: _scored(first_stage.corpus, positions, scores)
        for query_id, (positions, scores) in zip(queries, found, strict=True)
    }


def _best_first(positions: NDArray[np.int64], scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """Rows in order of their scores, ties in corpus order, as every search breaks them. [passages]"""
    rows: NDArray[np.int64] = np.lexsort((positions, -scores))
    return rows


def _scored(corpus: Corpus, positions: NDArray[np.int64], scores: NDArray[np.float32]) -> dict[str, float]:
    return break_ties([corpus.ids[int(position)] for position in positions], scores.tolist())
