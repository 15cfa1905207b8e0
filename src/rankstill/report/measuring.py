"""The workspace's runs, measured query by query."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rankstill.data import Dataset, Query
from rankstill.data.dataset import Qrels
from rankstill.errors import DataError
from rankstill.evaluation import EvaluationTable, Run, aggregate, answer_qrels, merge_qrels, per_query, read_run
from rankstill.report.reading import Finished

_EQUAL = 1e-6


@dataclass(frozen=True)
class SystemResults:
    """Every system's runs and what they are worth, query by query.

    Args:
        qrels: the qrels of the measured queries: judgements, or accepted answers that were found.
    """

    measure: str
    dataset: Dataset
    qrels: Qrels
    runs: Mapping[str, Run]
    values: Mapping[str, Mapping[str, float]]

    def query(self, query_id: str) -> Query:
        """The query of this id."""
        return self.dataset.queries[query_id]


def measure_workspace(
    finished: Finished, table: EvaluationTable, dataset: Dataset, measure: str | None = None
) -> SystemResults:
    """Read and measure the runs of a workspace with an evaluation.

    Args:
        measure: what to measure by; None: the table's main measure.

    Raises:
        DataError: the dataset is not the one that was measured on, so that its figures do not come out again.
    """
    runs = {system.name: read_run(finished.run_path(system.name)) for system in table.systems}
    qrels = _qrels(dataset, runs, table.n, finished.config.evaluation.regex_answers)
    main, chosen = table.measures[0], measure or table.measures[0]
    measures = list(dict.fromkeys((main, chosen)))
    relevant_from = dataset.relevant_from
    values = {name: per_query(run, qrels, measures, relevant_from) for name, run in runs.items()} if qrels else {}
    means = {name: aggregate(by_measure)[main] for name, by_measure in values.items()}
    if len(qrels) != table.n or any(abs(means[system.name] - system.values[main]) > _EQUAL for system in table.systems):
        raise DataError(
            f"{dataset.name}: not the dataset that {finished.folder} was measured on: {len(qrels):,} of its test "
            f"queries are in the runs, {table.n:,} were measured, or {main} comes out differently. Restore the "
            "dataset that config.yaml names, or run the chain again."
        )
    return SystemResults(chosen, dataset, qrels, runs, {name: each[chosen] for name, each in values.items()})


def _qrels(dataset: Dataset, runs: Mapping[str, Run], count: int, regex: bool) -> Qrels:
    """Judgements of the measured queries: the dataset's test queries, or those of them that a sample measured."""
    if dataset.test:
        qrels = dataset.test_qrels()
        if len(qrels) == count:
            return qrels
        found = {query_id for run in runs.values() for query_id in run}
        return {query_id: grades for query_id, grades in qrels.items() if query_id in found}
    taught = set(dataset.train)
    asked = [query for query in dataset.queries.values() if query.answers and query.id not in taught]
    if not asked:
        return {}
    return merge_qrels([answer_qrels(run, asked, dataset.corpus, regex=regex) for run in runs.values()])
