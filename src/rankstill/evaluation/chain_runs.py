"""A chain measured: TREC runs of its systems from its workspace, and the table over them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rankstill.evaluation.answers import answer_qrels, merge_qrels
from rankstill.evaluation.metrics import per_query
from rankstill.evaluation.runs import Run, write_qrels, write_run
from rankstill.evaluation.spreadsheets import write_pairs, write_values
from rankstill.evaluation.systems import dense_run, fused_run, lexical_run, reranked_run
from rankstill.evaluation.table import count_missing, tabulate
from rankstill.workspace import write_atomically

if TYPE_CHECKING:
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
    dataset, evaluation = parts.dataset, parts.config.evaluation
    taught = set(dataset.train)
    asked = [query for query in dataset.queries.values() if query.answers and query.id not in taught]
    queries = [dataset.queries[query_id] for query_id in dataset.test] or asked
    if not queries:
        (folder / "runs").mkdir(exist_ok=True)
        write_atomically(folder / "metrics.json", json.dumps({"table": None}) + "\n")
        write_values({}, folder / "per-query.csv")
        write_pairs({}, folder / "pairs.csv")
        return ["no test queries with judgements or answers: the gain could not be measured"]
    runs = chain_runs(parts, {query.id: query.text for query in queries}, with_ranker=with_ranker)
    for name, run in runs.items():
        write_run(run, folder / "runs" / f"{name.replace(' ', '-')}.trec", name.replace(" ", "-"))
    qrels = dataset.test_qrels() or merge_qrels(
        [answer_qrels(run, queries, dataset.corpus, regex=evaluation.regex_answers) for run in runs.values()]
    )
    write_qrels(qrels, folder / "runs" / "qrels.trec")
    values = {name: per_query(run, qrels, evaluation.measures) for name, run in runs.items()}
    missing = count_missing(runs, qrels)
    seed, resamples = parts.config.seed, evaluation.resamples
    table = tabulate(values, missing, "retriever before", seed, resamples)
    leaks = parts.leaks()
    write_atomically(folder / "metrics.json", json.dumps({"table": table.to_json(), "leaks": leaks}) + "\n")
    write_values(values, folder / "per-query.csv")
    main = {name: by_measure[table.measures[0]] for name, by_measure in values.items()}
    write_pairs(main, folder / "pairs.csv", seed, resamples)
    answers = "no judgements: a passage is relevant if it holds an accepted answer, among all that a system found"
    return [leaks if dataset.test else answers]


def chain_runs(parts: Parts, queries: Mapping[str, str], *, with_ranker: bool) -> dict[str, Run]:
    """Every system's run, by the system's name.

    Args:
        parts: of a chain that has come as far as the step `reranker`.
        queries: what to search for: texts by id.
        with_ranker: whether the chain has a ranker.
    """
    from rankstill.ranker import Ranker

    def load(folder: str) -> Ranker:
        return Ranker.load(parts.workspace.path(folder), parts.config.device)

    depth = parts.config.evaluation.rerank_depth
    before = parts.before.exact()
    after = parts.after(parts.workspace.path("vectors-after"), parts.model_after)

    runs = {
        "BM25": lexical_run(before, queries),
        "retriever before": dense_run(before, queries),
        "first stage": fused_run(before, queries),
    }
    if with_ranker:
        runs["ranker"] = reranked_run(before, load("ranker"), queries, depth)
    runs["retriever AFTER"] = dense_run(after, queries)
    if with_ranker:
        runs["ranker on AFTER"] = reranked_run(after, load("reranker"), queries, depth)
    return runs
