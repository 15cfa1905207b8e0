"""Several systems measured on the same queries: the table that the demo, the report and the model card show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import numpy as np
from pydantic import TypeAdapter, ValidationError
from rich import box
from rich.table import Table
from rich.text import Text

from rankstill.data.dataset import Qrels
from rankstill.errors import DataError, RankstillError
from rankstill.evaluation.metrics import DEFAULT_MEASURES, PerQuery, aggregate, per_query
from rankstill.evaluation.runs import Run
from rankstill.evaluation.significance import Comparison, compare, holm, interval
from rankstill.evaluation.systems import DISTILLED, FREE
from rankstill.tables import markdown_rows, table_html

T = TypeVar("T")


@dataclass(frozen=True)
class SystemResult:
    """One system's figures.

    Args:
        values: measure -> mean over queries.
        intervals: measure -> 95 % bootstrap interval of that mean.
        comparisons: measure -> comparison with the baseline; None for the baseline itself.
        missing: judged queries for which the run has no passages; they count as 0.
    """

    name: str
    values: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    comparisons: dict[str, Comparison] | None = None
    missing: int = 0


@dataclass(frozen=True)
class EvaluationTable:
    """Systems measured on the same queries, each compared with one of them.

    Args:
        baseline: name of the system that the others are compared with.
        measures: as shown, the main one (interval and comparison in the table) first.
        judged_by: the LLM that judged, and when; empty where people did, or accepted answers.
        rivals: of the systems that cost nothing, each compared with the distilled retriever on the main measure: name
            -> comparison, `before` being the rival's.
    """

    n: int
    baseline: str
    measures: tuple[str, ...]
    systems: tuple[SystemResult, ...] = field(repr=False)
    seed: int
    judged_by: str = ""
    rivals: dict[str, Comparison] = field(default_factory=dict, repr=False)

    def system(self, name: str) -> SystemResult:
        """The result of one system; KeyError if there is none of this name."""
        return {system.name: system for system in self.systems}[name]

    def adjusted_p(self, measure: str) -> dict[str, float]:
        """p-values against the baseline, corrected by Holm for the number of systems compared: name -> p."""
        raw = {system.name: system.comparisons[measure].p_value for system in self.systems if system.comparisons}
        return dict(zip(raw, holm(list(raw.values())), strict=True))

    def to_json(self) -> dict[str, Any]:
        """Everything as plain dicts, tuples and numbers; `from_json` gives an equal table back."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> EvaluationTable:
        """The table that `to_json` wrote; DataError if the data is something else."""
        return read_stored(cls, data, "metrics: not an evaluation table ({}). Run the evaluation again.")

    def to_markdown(self, heading: str = "Retrieval quality") -> str:
        """The table as GitHub Markdown under a title that begins with the heading."""
        columns = [column.replace("\n@", "@").replace("\n", " ") for column in _headings(self)]
        lines = markdown_rows([columns, *_rows(self)])
        return "\n".join([f"**{_title(self, heading)}**", "", *lines, "", _caption(self), ""])

    def to_html(self, heading: str = "Retrieval quality") -> str:
        """The table for a notebook."""
        headings = [column.replace("\n@", "@") for column in _headings(self)]
        return table_html(_title(self, heading), [headings, *_rows(self)], _caption(self))

    def _repr_html_(self) -> str:
        return self.to_html()


def read_stored(kind: type[T], data: Any, otherwise: str) -> T:
    """A dataclass from what `dataclasses.asdict` made of it, before or after JSON.

    Args:
        otherwise: the error, with {} for what is wrong.

    Raises:
        DataError: the data is something else.
    """
    try:
        return TypeAdapter(kind).validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "all of it"
        raise DataError(otherwise.format(f"{place}: {first['msg']}")) from None


def evaluate_runs(
    runs: Mapping[str, Run],
    qrels: Qrels,
    baseline: str,
    measures: Sequence[str] = DEFAULT_MEASURES,
    seed: int = 0,
    resamples: int = 10_000,
) -> EvaluationTable:
    """Measure systems on the same queries and compare each with the baseline, on every measure.

    For a slice of the queries, pass the qrels of that slice.

    Args:
        runs: system -> its run.
        qrels: query id -> passage id -> grade; its queries are the ones measured.
        baseline: the system compared with, one of the runs.
        measures: names as in `per_query`, the main one first.
        seed: of the resampling; equal seeds give equal tables.
        resamples: of the bootstrap and of the randomisation test.

    Raises:
        RankstillError: the baseline is not among the runs, there are no measures, or one is unknown.
        DataError: there are no judged queries, or a score is NaN.
    """
    if baseline not in runs:
        raise RankstillError(f'baseline "{baseline}": no run of this name. Name one of: {", ".join(runs) or "(none)"}.')
    if not measures:
        raise RankstillError(f"measures: none given. Name at least one, such as {DEFAULT_MEASURES[0]}.")
    values = {name: per_query(run, qrels, measures) for name, run in runs.items()}
    return tabulate(values, count_missing(runs, qrels), baseline, seed, resamples)


def count_missing(runs: Mapping[str, Run], qrels: Qrels) -> dict[str, int]:
    """System -> judged queries for which its run has no passages."""
    return {name: sum(not run.get(query_id) for query_id in qrels) for name, run in runs.items()}


def tabulate(
    values: Mapping[str, PerQuery],
    missing: Mapping[str, int],
    baseline: str,
    seed: int = 0,
    resamples: int = 10_000,
    judged_by: str = "",
) -> EvaluationTable:
    """The table of systems that are measured already, each compared with the baseline on every measure.

    Args:
        values: by system; the same queries in the same order.
        missing: system -> queries for which it has nothing; they count as 0.
    """
    main = next(iter(values[baseline]))
    return EvaluationTable(
        n=len(next(iter(values[baseline].values()))),
        baseline=baseline,
        measures=tuple(values[baseline]),
        systems=tuple(
            SystemResult(
                name=name,
                values=aggregate(by_measure),
                intervals={
                    measure: interval(_column(by_query), seed, resamples) for measure, by_query in by_measure.items()
                },
                comparisons=None if name == baseline else _comparisons(values[baseline], by_measure, seed, resamples),
                missing=missing[name],
            )
            for name, by_measure in values.items()
        ),
        seed=seed,
        judged_by=judged_by,
        rivals={
            name: compare(_column(values[name][main]), _column(values[DISTILLED][main]), seed, resamples)
            for name in FREE
            if {name, DISTILLED} <= values.keys()
        },
    )


def render(table: EvaluationTable, heading: str = "Retrieval quality", width: int = 120) -> Table:
    """The table for a terminal. Names, the main measure, differences and p are always whole.

    Of the other measures it shows the first ones, as many as fit; where not even the rest fits, no intervals.

    Args:
        heading: the beginning of the title, for example the dataset's name.
    """
    headings, rows = _fitting(_headings(table), _rows(table), width)
    shown = Table(
        title=Text(_title(table, heading)),
        caption=Text(_caption(table)),
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    name, *others = headings
    shown.add_column(Text(name), no_wrap=True)
    for column in others:
        shown.add_column(Text(column), justify="right", no_wrap=True)
    for row in rows:
        shown.add_row(*(Text(cell) for cell in row))  # Text, so that brackets are not read as markup
    return shown


def _fitting(headings: list[str], rows: list[list[str]], width: int) -> tuple[list[str], list[list[str]]]:
    """The columns that fit: the last measures go first, then the intervals of means, then those of differences."""

    def needed(lines: list[list[str]]) -> int:
        """Two spaces between columns, one before the first and one behind the last."""
        return sum(
            2 + max(len(line) for cell in column for line in cell.split("\n")) for column in zip(*lines, strict=True)
        )

    lines = [headings, *rows]
    while needed(lines) > width and len(lines[0]) > 4:
        lines = [[*line[:-3], *line[-2:]] for line in lines]
    for column in (1, 2):
        if needed(lines) > width:
            for line in lines:
                line[column] = line[column].split("\n")[0].split(" [")[0]
    return lines[0], lines[1:]


def _title(table: EvaluationTable, heading: str) -> str:
    judged = f", judged by {table.judged_by}" if table.judged_by else ""
    return f"{heading}, n = {table.n:,} {'query' if table.n == 1 else 'queries'}{judged}, against {table.baseline}"


def _caption(table: EvaluationTable) -> str:
    """How the figures were made, and what was missing."""
    compared = sum(system.comparisons is not None for system in table.systems)
    missing = ", ".join(f"{system.name} {system.missing:,}" for system in table.systems if system.missing)
    return (
        f"Difference: to {table.baseline}, in {table.measures[0]}. Brackets: 95 % bootstrap interval. p: paired "
        f"randomisation test, Holm-corrected for {compared} comparison{'s' * (compared != 1)}."
        + (f" Queries without passages, counted as 0: {missing}." if missing else "")
    )


def _headings(table: EvaluationTable) -> list[str]:
    main, *others = table.measures
    return ["system", f"{main}\n[95 %]", *(name.replace("@", "\n@") for name in others), "difference\n[95 %]", "p"]


def _rows(table: EvaluationTable) -> list[list[str]]:
    main, *others = table.measures
    adjusted = table.adjusted_p(main)
    return [
        [
            system.name,
            "{:.3f} [{:.3f}, {:.3f}]".format(system.values[main], *system.intervals[main]),
            *(f"{system.values[measure]:.3f}" for measure in others),
            *_difference(system, main, adjusted),
        ]
        for system in table.systems
    ]


def _difference(system: SystemResult, measure: str, adjusted: Mapping[str, float]) -> tuple[str, str]:
    if system.comparisons is None:
        return "", ""
    found = system.comparisons[measure]
    return found.difference_text(), found.p_text(adjusted[system.name])


def _comparisons(
    before: Mapping[str, Mapping[str, float]], after: Mapping[str, Mapping[str, float]], seed: int, resamples: int
) -> dict[str, Comparison]:
    return {measure: compare(_column(before[measure]), _column(after[measure]), seed, resamples) for measure in after}


def _column(by_query: Mapping[str, float]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Values in the order of the qrels' queries, which is every system's order. [queries]"""
    return np.array(list(by_query.values()), dtype=np.float64)
