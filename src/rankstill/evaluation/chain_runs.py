"""A chain measured: TREC runs of its systems from its workspace, and the table over them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from rankstill.evaluation.answers import answer_qrels, merge_qrels
from rankstill.evaluation.metrics import display_name, per_query
from rankstill.evaluation.runs import Run, write_qrels, write_run
from rankstill.evaluation.spreadsheets import write_pairs, write_values
from rankstill.evaluation.systems import (
    AFTER,
    BEFORE,
    BM25,
    FIRST_STAGE,
    HYBRID_AFTER,
    HYBRID_BEFORE,
    MULTI_VECTOR,
    MULTI_VECTOR_AFTER,
    MULTI_VECTOR_HYBRID,
    MULTI_VECTOR_HYBRID_AFTER,
    RANKER,
    RANKER_ON_AFTER,
    dense_run,
    fused_run,
    hybrid_run,
    lexical_run,
    multi_vector_runs,
    reranked_run,
    run_name,
)
from rankstill.evaluation.table import EvaluationTable, count_missing, evaluate_runs, tabulate
from rankstill.workspace import write_atomically

if TYPE_CHECKING:
    from rankstill.candidates import FirstStage
    from rankstill.datasets import Query
    from rankstill.datasets.dataset import Qrels
    from rankstill.parts import Parts


def evaluate_chain(parts: Parts, folder: Path, *, with_ranker: bool) -> Sequence[str]:
    """Measure every system on the test queries; without any, on other queries with answers that do not teach.

    Args:
        parts: of a chain that has come as far as the step `reranker`.
        folder: for `runs/` (with the qrels that they are measured by), `metrics.json`, `per-query.csv` and `pairs.csv`.
        with_ranker: whether the chain has a ranker.

    Returns:
        What a reader of the figures must know.
    """
    dataset = parts.dataset
    taught = set(dataset.train)
    asked = [query for query in dataset.queries.values() if query.answers and query.id not in taught]
    queries = [dataset.queries[query_id] for query_id in dataset.test] or asked
    if not queries:
        (folder / "runs").mkdir(exist_ok=True)
        write_atomically(folder / "metrics.json", json.dumps({"table": None}) + "\n")
        write_values({}, folder / "per-query.csv")
        write_pairs({}, folder / "pairs.csv")
        return ["no test queries with judgements or answers: the gain could not be measured"]
    systems = chain_systems(parts, {query.id: query.text for query in queries}, with_ranker=with_ranker)
    runs = {name: search() for name, search in systems.items()}
    qrels = dataset.test_qrels() or _judge_by_answers(parts, runs, queries)
    for name, run in runs.items():
        write_run(run, folder / "runs" / f"{run_name(name)}.trec", run_name(name))
    write_qrels(qrels, folder / "runs" / "qrels.trec")
    values = {name: per_query(run, qrels, parts.config.evaluation.measures) for name, run in runs.items()}
    seed, resamples = parts.config.seed, parts.config.evaluation.resamples
    table = tabulate(values, count_missing(runs, qrels), BEFORE, seed, resamples)
    write_values(values, folder / "per-query.csv")
    main = {name: by_measure[table.measures[0]] for name, by_measure in values.items()}
    write_pairs(main, folder / "pairs.csv", seed, resamples)
    leaks = parts.leaks()
    by_answers = _hits_by_answers(parts, runs, queries) if dataset.test else None
    found = {"table": table.to_json(), "leaks": leaks, "by_answers": by_answers and by_answers.to_json()}
    write_atomically(folder / "metrics.json", json.dumps(found) + "\n")
    if not dataset.test:
        return ["no judgements: a passage is relevant if it holds an accepted answer, among all that a system found"]
    return [leaks, _in_words(by_answers)] if by_answers else [leaks]


def _judge_by_answers(parts: Parts, runs: Mapping[str, Run], queries: Sequence[Query], depth: int = 100) -> Qrels:
    corpus, regex = parts.dataset.corpus, parts.config.evaluation.regex_answers
    return merge_qrels([answer_qrels(run, queries, corpus, depth, regex) for run in runs.values()])


def _hits_by_answers(parts: Parts, runs: Mapping[str, Run], queries: Sequence[Query]) -> EvaluationTable | None:
    """Hit@k of passages that hold an accepted answer, DPR's top-k accuracy, at the k that the config measures.

    None without answers, or where no Hit@k is measured.
    """
    evaluation = parts.config.evaluation
    measures = [name for name in map(display_name, evaluation.measures) if name.startswith("Hit@")]
    if not measures or not any(query.answers for query in queries):
        return None
    qrels = _judge_by_answers(parts, runs, queries, max(int(name.removeprefix("Hit@")) for name in measures))
    return evaluate_runs(runs, qrels, BEFORE, measures, parts.config.seed, evaluation.resamples)


def _in_words(table: EvaluationTable) -> str:
    before, after = (table.system(name).values for name in (BEFORE, AFTER))
    hits = ", ".join(f"{measure} {before[measure]:.3f} to {after[measure]:.3f}" for measure in table.measures)
    return f"by accepted answers in place of judgements, {BEFORE} to {AFTER}, n = {table.n:,}: {hits}"


def chain_systems(parts: Parts, queries: Mapping[str, str], *, with_ranker: bool) -> dict[str, Callable[[], Run]]:
    """Every system by its name: what makes its run.

    Args:
        parts: of a chain that has come as far as the step `reranker`; for those that are `UNTRAINED`, `candidates`.
        queries: what to search for: texts by id.
        with_ranker: whether the chain has a ranker.
    """
    from rankstill.hybrid import Hybrid
    from rankstill.multi_vector import TokenIndex
    from rankstill.ranker import Ranker

    def weighed(first_stage: FirstStage, file: str) -> Run:
        return hybrid_run(first_stage, Hybrid.load(parts.workspace.path(file)), queries)

    def reranked(first_stage: FirstStage, folder: str) -> Run:
        ranker = Ranker.load(parts.workspace.path(folder), parts.config.device)
        return reranked_run(parts.with_late(first_stage), ranker, queries, parts.config.evaluation.rerank_depth)

    @cache
    def late(after: str = "") -> tuple[Run, Run]:
        index = TokenIndex.load(parts.workspace.path(f"multi-vector{after}-index"))
        hybrid = Hybrid.load(parts.workspace.path(f"hybrid-multi-vector{after}.json"))
        model = parts.distilled_multi_vector if after else parts.multi_vector
        return multi_vector_runs(model, index, before, hybrid, queries)

    before = parts.before.exact()

    @cache
    def after() -> FirstStage:
        return parts.after(parts.workspace.path("vectors-after"), parts.model_after)

    systems = {
        BM25: lambda: lexical_run(before, queries),
        BEFORE: lambda: dense_run(before, queries),
        FIRST_STAGE: lambda: fused_run(before, queries),
        HYBRID_BEFORE: lambda: weighed(before, "hybrid.json"),
        RANKER: lambda: reranked(before, "ranker"),
        AFTER: lambda: dense_run(after(), queries),
        HYBRID_AFTER: lambda: weighed(after(), "hybrid-distilled.json"),
        RANKER_ON_AFTER: lambda: reranked(after(), "reranker"),
        MULTI_VECTOR: lambda: late()[0],
        MULTI_VECTOR_HYBRID: lambda: late()[1],
        MULTI_VECTOR_AFTER: lambda: late("-distilled")[0],
        MULTI_VECTOR_HYBRID_AFTER: lambda: late("-distilled")[1],
    }
    left_out: set[str] = set()
    if not with_ranker:
        left_out |= {HYBRID_BEFORE, RANKER, HYBRID_AFTER, RANKER_ON_AFTER}
    if not parts.has_multi_vector:
        left_out |= {MULTI_VECTOR, MULTI_VECTOR_HYBRID}
    if not parts.has_distilled_multi_vector:
        left_out |= {MULTI_VECTOR_AFTER, MULTI_VECTOR_HYBRID_AFTER}
    return {name: search for name, search in systems.items() if name not in left_out}
