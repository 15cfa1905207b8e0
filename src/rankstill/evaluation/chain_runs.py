"""A chain measured: TREC runs of its systems from its workspace, the table over them, and CSV of what it leaves out."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from rankstill.compute.memory import release_memory
from rankstill.evaluation import systems
from rankstill.evaluation.answers import answer_qrels, merge_qrels
from rankstill.evaluation.judged import MANY_HOLES, judge_caveats, read_judgements, unjudged_shares
from rankstill.evaluation.metrics import PerQuery, display_name, per_query
from rankstill.evaluation.runs import Run, write_qrels, write_run
from rankstill.evaluation.significance import compare, holm
from rankstill.evaluation.table import EvaluationTable, count_missing, evaluate_runs, tabulate
from rankstill.multi_vector import TokenIndex
from rankstill.ranker import Ranker
from rankstill.retrieval.hybrid import Hybrid
from rankstill.workspace import write_atomically

if TYPE_CHECKING:
    from rankstill.components import Components
    from rankstill.data import Dataset, Query
    from rankstill.data.dataset import Qrels
    from rankstill.retrieval import FirstStage


def searched_queries(dataset: Dataset) -> list[Query]:
    """The queries that every system searches for: test queries; without any, unjudged ones; else those with answers.

    None of them teaches.
    """
    taught = {*dataset.train, *dataset.extra}
    answered = (query.id for query in dataset.queries.values() if query.answers and query.id not in taught)
    return [dataset.queries[query_id] for query_id in dataset.test or dataset.unjudged or answered]


def search_by_chain(components: Components, folder: Path, *, with_ranker: bool) -> None:
    """Search with every system for the queries that measure.

    Args:
        components: the components of a chain that has come as far as the step `reranker`.
    """
    queries = searched_queries(components.dataset)
    (folder / "runs").mkdir(exist_ok=True)
    if queries:
        searches = chain_systems(components, {query.id: query.text for query in queries}, with_ranker=with_ranker)
        for name, search in searches.items():
            write_run(search(), folder / "runs" / f"{systems.run_name(name)}.trec", systems.run_name(name))
            release_memory()


def evaluate_chain(components: Components, folder: Path) -> Sequence[str]:
    """Measure every system on the test queries; without any, on other queries with answers that do not teach.

    Args:
        components: the components of a chain that has come as far as the step `runs`.
        folder: for `runs/qrels.trec` (what the runs are measured by), `metrics.json`, `per-query.csv` and `pairs.csv`.
    """
    dataset, evaluation, seed = components.test_set, components.config.evaluation, components.config.seed
    runs = systems.read_runs(components.workspace.path("runs"))
    answered = [query for query in searched_queries(components.dataset) if query.answers]
    qrels = dataset.test_qrels() or (_judge_by_answers(components, runs, answered) if answered else {})
    write_qrels(qrels, folder / "runs" / "qrels.trec")
    if not qrels:
        write_atomically(folder / "metrics.json", json.dumps({"table": None}) + "\n")
        write_values({}, folder / "per-query.csv")
        write_pairs({}, folder / "pairs.csv")
        return ["no test queries with judgements or answers: the gain could not be measured"]
    of_judge, further = _of_judge(components, runs, qrels) if dataset.judged_by else ([], [])
    measures = [*evaluation.measures, *further]
    values = {name: per_query(run, qrels, measures, dataset.relevant_from) for name, run in runs.items()}
    table = tabulate(values, count_missing(runs, qrels), systems.BEFORE, seed, evaluation.resamples, dataset.judged_by)
    write_values(values, folder / "per-query.csv")
    main = {name: by_measure[table.measures[0]] for name, by_measure in values.items()}
    write_pairs(main, folder / "pairs.csv", seed, evaluation.resamples)
    leaks = components.leaks()
    by_answers = _hits_by_answers(components, runs, answered) if dataset.test else None
    found = {"table": table.to_json(), "leaks": leaks, "by_answers": by_answers and by_answers.to_json()}
    write_atomically(folder / "metrics.json", json.dumps(found) + "\n")
    if not dataset.test:
        return ["no judgements: a passage is relevant if it holds an accepted answer, among all that a system found"]
    return [*of_judge, leaks, *([_in_words(by_answers)] if by_answers else [])]


def evaluate_untrained(components: Components) -> EvaluationTable | None:
    """Measure the systems that train nothing on the judged test queries; None without any.

    Args:
        components: the components of a chain that has come as far as the step `hybrid`.
    """
    dataset, evaluation, seed = components.test_set, components.config.evaluation, components.config.seed
    qrels = dataset.test_qrels()
    if not qrels:
        return None
    queries = {query.id: query.text for query in searched_queries(components.dataset)}
    searches = chain_systems(components, queries, with_ranker=True)
    runs = {name: search() for name, search in searches.items() if name in (systems.BEFORE, *systems.FREE)}
    values = {name: per_query(run, qrels, evaluation.measures, dataset.relevant_from) for name, run in runs.items()}
    missing = count_missing(runs, qrels)
    return tabulate(values, missing, systems.BEFORE, seed, evaluation.resamples, dataset.judged_by)


def _of_judge(components: Components, runs: Mapping[str, Run], qrels: Qrels) -> tuple[list[str], list[str]]:
    """What to know of an LLM's judgements, and the measure that leaves out what it did not judge, if that is much."""
    judged = read_judgements(components.workspace.folder, components.dataset)
    assert judged is not None, "the dataset says that an LLM judged"
    main = display_name(components.config.evaluation.measures[0])
    name, _, cutoff = main.partition("@")
    depth = int(cutoff) if cutoff.isdecimal() else judged.k
    shares = unjudged_shares(runs, qrels, depth)
    condensed = name == "nDCG" and max(shares.values()) > MANY_HOLES
    return list(judge_caveats(judged, shares, depth)), [f"nDCG(judged_only=True)@{depth}"] * condensed


def _judge_by_answers(
    components: Components, runs: Mapping[str, Run], queries: Sequence[Query], depth: int = 100
) -> Qrels:
    corpus, regex = components.dataset.corpus, components.config.evaluation.regex_answers
    return merge_qrels([answer_qrels(run, queries, corpus, depth, regex) for run in runs.values()])


def _hits_by_answers(
    components: Components, runs: Mapping[str, Run], queries: Sequence[Query]
) -> EvaluationTable | None:
    """Hit@k of passages that hold an accepted answer, DPR's top-k accuracy, at the k that the config measures.

    None without answers, or where no Hit@k is measured.
    """
    evaluation = components.config.evaluation
    measures = [name for name in map(display_name, evaluation.measures) if name.startswith("Hit@")]
    if not measures or not queries:
        return None
    qrels = _judge_by_answers(components, runs, queries, max(int(name.removeprefix("Hit@")) for name in measures))
    return evaluate_runs(runs, qrels, systems.BEFORE, measures, components.config.seed, evaluation.resamples)


def _in_words(table: EvaluationTable) -> str:
    before, after = (table.system(name).values for name in (systems.BEFORE, systems.DISTILLED))
    hits = ", ".join(f"{measure} {before[measure]:.3f} to {after[measure]:.3f}" for measure in table.measures)
    compared = f"{systems.BEFORE} to {systems.DISTILLED}"
    return f"by accepted answers instead of judgements, {compared}, n = {table.n:,}: {hits}"


def chain_systems(
    components: Components, queries: Mapping[str, str], *, with_ranker: bool
) -> dict[str, Callable[[], Run]]:
    """Every system by its name: what makes its run.

    Args:
        components: the components of a chain that has come as far as the step `reranker`; for those that are
            `UNTRAINED`, `candidates`; for those that are `FREE`, `hybrid`.
        queries: what to search for: texts by id.
    """

    cross_encoded: dict[tuple[str, str], float] = {}
    """By both rankers, whose cross-encoder is the same."""

    before, path = components.before.exact(), components.workspace.path

    @cache
    def stage_after() -> FirstStage:
        return components.first_stage_after(path("vectors-after"), components.model_after)

    @cache
    def late(distilled: bool) -> tuple[Run, Run]:
        folder = "multi-vector-distilled" if distilled else "multi-vector"
        model = components.distilled_multi_vector if distilled else components.multi_vector
        index, hybrid = TokenIndex.load(path(f"{folder}-index")), Hybrid.load(path(f"hybrid-{folder}.json"))
        return systems.multi_vector_runs(model, index, stage_after() if distilled else before, hybrid, queries)

    def search(system: systems.System) -> Run:
        if system.late:
            alone, summed = late(system.distilled)
            return alone if system.kind == "multi-vector" else summed
        first_stage = stage_after() if system.distilled else before
        if system.kind == "hybrid":
            return systems.hybrid_run(first_stage, Hybrid.load(path(system.made)), queries)
        if system.kind == "ranker":
            ranker = Ranker.load(path(system.made), components.config.device)
            depth = components.config.evaluation.rerank_depth
            return systems.reranked_run(components.with_late(first_stage), ranker, queries, depth, cross_encoded)
        plain = {"bm25": systems.lexical_run, "dense": systems.dense_run, "fused": systems.fused_run}
        return plain[system.kind](first_stage, queries)

    made = systems.made_systems(components, with_ranker=with_ranker)
    return {name: partial(search, system) for name, system in made.items()}


def write_values(values: Mapping[str, PerQuery], path: Path) -> None:
    """Write a line a query and system, with a column a measure; a mean over a system's lines is the table's figure."""
    measures: PerQuery = next(iter(values.values()), {})
    queries = next(iter(measures.values()), {})
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["query", "system", *measures])
        for query_id in queries:
            for system, by_measure in values.items():
                writer.writerow([query_id, system, *(by_measure[measure][query_id] for measure in measures)])


def write_pairs(values: Mapping[str, Mapping[str, float]], path: Path, seed: int = 0, resamples: int = 10_000) -> None:
    """Write a line for any two systems, compared as in the table; "p" is corrected by Holm for all of these pairs.

    Args:
        values: system -> query id -> value in one measure, the same queries in the same order; none for headings alone.
    """
    columns = {system: list(by_query.values()) for system, by_query in values.items()}
    found = {
        (system, against): compare(columns[against], columns[system], seed, resamples)
        for against, system in combinations(columns, 2)
    }
    adjusted = holm([each.p_value for each in found.values()])
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["system", "against", "difference", "low", "high", "p", "better", "worse", "equal"])
        for (pair, each), p_value in zip(found.items(), adjusted, strict=True):
            writer.writerow([*pair, each.difference, each.low, each.high, p_value, each.wins, each.losses, each.ties])
