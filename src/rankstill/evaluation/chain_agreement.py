"""A chain's systems on the lists that taught nothing: their scores, and the step that measures them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rankstill.evaluation import systems
from rankstill.evaluation.agreement import Agreement, Symptoms, agreement_table, by_chance, evenness, list_values
from rankstill.evaluation.attribution import Scores
from rankstill.evaluation.holding_out import HELD_OUT_FILE, HeldOutLists
from rankstill.evaluation.metrics import per_query
from rankstill.evaluation.runs import Run, descending
from rankstill.evaluation.significance import Comparison, compare
from rankstill.labels import read_labels
from rankstill.multi_vector import MeanMaxSim, TokenIndex
from rankstill.ranker import Ranker
from rankstill.retrieval import FEATURES
from rankstill.retrieval.first_stage import reciprocal_rank_fusion
from rankstill.retrieval.hybrid import Hybrid
from rankstill.workspace import write_atomically

if TYPE_CHECKING:
    from rankstill.components import Components
    from rankstill.teacher import Ranking

_MEASURE = "nDCG@10"
_ENOUGH = 272
"""Lists that gave the retriever a significant gain on StackQA and on hotpot: 320 but for those held out."""
_JUDGED = 10
_COLUMNS = {"bm25": FEATURES.index("bm25"), "dense": FEATURES.index("dense"), "multi-vector": len(FEATURES)}
"""The systems that are one first-stage score alone, and its column."""
_LABELS_READ = 2_000


def measure_agreement(components: Components, folder: Path, *, with_ranker: bool) -> list[str]:
    """Measure every system against the LLM's order on the held-out lists, and possible reasons for a poor result.

    Args:
        components: the components of a chain that has come as far as the step `reranker`.
    """
    rankings = components.lists.held_out
    scores = score_lists(components, rankings, with_ranker=with_ranker) if rankings else {}
    found = _agreement(components, rankings, scores, _symptoms(components, rankings, scores))
    write_atomically(folder / "agreement.json", json.dumps(found.to_json()) + "\n")
    return []


def agreement_untrained(components: Components) -> Agreement:
    """As `measure_agreement`, of the systems that train nothing.

    Args:
        components: the components of a chain that has come as far as the step `hybrid`.
    """
    rankings = components.lists.held_out
    scores = score_lists(components, rankings, with_ranker=True, trained=False) if rankings else {}
    return _agreement(components, rankings, scores, Symptoms(len(components.lists.training), _ENOUGH, None, None, None))


def _agreement(
    components: Components, rankings: Sequence[Ranking], scores: dict[str, list[Scores]], symptoms: Symptoms
) -> Agreement:
    config = components.config
    k, seed, resamples = config.candidates.k, config.seed, config.evaluation.resamples
    return Agreement(
        table=agreement_table(rankings, scores, k, seed, resamples) if rankings else None,
        why=HeldOutLists.load(components.workspace.path(HELD_OUT_FILE)).why,
        by_chance=by_chance(rankings, k) if rankings else 0.0,
        symptoms=symptoms,
    )


def read_agreement(workspace: Path) -> Agreement:
    """What the step `agreement` wrote."""
    return Agreement.from_json(json.loads((workspace / "agreement.json").read_text(encoding="utf-8")))


def score_lists(
    components: Components, rankings: Sequence[Ranking], *, with_ranker: bool, trained: bool = True
) -> dict[str, list[Scores]]:
    """Every system's scores of each list's passages, those that the LLM placed first, in its order, then the others.

    Args:
        components: the components of a chain that has come as far as the step `reranker`; or as far as `hybrid`, for
            the systems that train nothing.
        trained: False for those alone.

    Returns:
        System -> scores, in the order of `SYSTEMS`. Each [passages]
    """
    path, dataset = components.workspace.path, components.dataset
    queries = dataset.texts_of(each.query_id for each in rankings)
    positions = components.lists.positions_of(rankings)
    stages = {"before": components.with_late(components.before)}
    if trained:
        stage_after = components.first_stage_after(path("vectors-after"), components.model_after)
        stages["after"] = components.with_late(stage_after)
        if components.has_distilled_multi_vector:
            index = TokenIndex.load(path("multi-vector-distilled-index"))
            stages["distilled"] = stage_after.with_late(MeanMaxSim(components.distilled_multi_vector, index))
    known = {when: list(stage.features(queries, positions)) for when, stage in stages.items()}

    pairs = [
        (query, text) for query, here in zip(queries, positions, strict=True) for text in dataset.corpus.texts(here)
    ]
    ends = np.cumsum([len(here) for here in positions])[:-1]
    cross_encoded: dict[tuple[str, str], float] = {}  # by both rankers, whose cross-encoder is the same

    def score(system: systems.System) -> list[Scores]:
        when = ("distilled" if system.late else "after") if system.distilled else "before"
        if system.kind in _COLUMNS:
            return [each[:, _COLUMNS[system.kind]] for each in known[when]]
        if system.kind == "fused":
            rrf_k = components.config.candidates.rrf_k
            both = zip(known[when], positions, strict=True)
            return [_fused(each[:, : len(FEATURES)], here, rrf_k) for each, here in both]
        if system.kind == "ranker":
            ranker = Ranker.load(path(system.made), components.config.device)
            return list(np.split(ranker.score(pairs, np.concatenate(known[when]), known=cross_encoded), ends))
        hybrid = Hybrid.load(path(system.made))
        return [hybrid.of_features(each) for each in known[when]]

    made = systems.made_systems(components, with_ranker=with_ranker)
    untrained = (systems.BEFORE, *systems.FREE)
    return {name: score(system) for name, system in made.items() if trained or name in untrained}


def _fused(columns: NDArray[np.float32], positions: NDArray[np.int64], rrf_k: float) -> NDArray[np.float32]:
    """Reciprocal rank fusion of a list by each column, ties in corpus order. [passages, columns] -> [passages]"""
    orders = [np.lexsort((positions, -column)) for column in columns.T]
    rows, fused = reciprocal_rank_fusion(orders, len(positions), rrf_k)
    scores = np.empty(len(positions), dtype=np.float32)
    scores[rows] = fused
    return scores


def _symptoms(components: Components, rankings: Sequence[Ranking], scores: dict[str, list[Scores]]) -> Symptoms:
    config = components.config
    labels = read_labels(components.workspace.path("labels.parquet"))
    drawn = np.random.default_rng(config.seed).permutation(len(labels))[:_LABELS_READ]
    carried_over = None
    if systems.RANKER in scores:
        first, taught = (
            list(next(iter(list_values(rankings, scores[name], config.candidates.k).values())).values())
            for name in (systems.FIRST_STAGE, systems.RANKER)
        )
        carried_over = compare(first, taught, config.seed, config.evaluation.resamples)
    return Symptoms(
        lists=len(components.lists.training),
        enough=_ENOUGH,
        evenness=evenness([labels[row] for row in drawn.tolist()], config.retriever.teacher_temperature),
        by_people=_by_people(components, rankings, scores[systems.FIRST_STAGE]) if rankings else None,
        carried_over=carried_over,
    )


def _by_people(components: Components, rankings: Sequence[Ranking], first_stage: Sequence[Scores]) -> Comparison | None:
    """nDCG@10 of the first stage's order and of the LLM's, by judgements of the held-out queries."""
    judged = {each.query_id: components.dataset.qrels.get(each.query_id, {}) for each in rankings}
    qrels = {query_id: grades for query_id, grades in judged.items() if any(grade > 0 for grade in grades.values())}
    if len(qrels) < _JUDGED:
        return None
    runs: list[Run] = [{}, {}]
    for ranking, fused in zip(rankings, first_stage, strict=True):
        passages = (*ranking.ranking, *ranking.unranked)
        runs[0][ranking.query_id] = dict(zip(passages, fused.tolist(), strict=True))
        runs[1][ranking.query_id] = descending(passages)
    shown, told = (list(per_query(run, qrels, [_MEASURE])[_MEASURE].values()) for run in runs)
    return compare(shown, told, components.config.seed, components.config.evaluation.resamples)
