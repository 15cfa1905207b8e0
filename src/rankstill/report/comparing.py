"""Several workspaces beside each other: the same systems, their differences, and the settings that differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rankstill.data import Dataset, load_dataset
from rankstill.errors import RankstillError
from rankstill.evaluation import Comparison, EvaluationTable, compare, holm
from rankstill.evaluation.judged import with_judgements
from rankstill.evaluation.systems import BEFORE, DISTILLED
from rankstill.report.figures import Bar, Difference, bars, differences
from rankstill.report.measuring import SystemResults, measure_workspace
from rankstill.report.page import flat, render_page
from rankstill.report.reading import Finished, read_workspace
from rankstill.report.showing import shorten
from rankstill.report.svg import Figure, write_figures
from rankstill.workspace import write_atomically

_NAME_CHARACTERS = 40


@dataclass(frozen=True)
class WorkspaceResults:
    """One workspace in a comparison of several.

    Args:
        measured: its runs query by query; None where its dataset cannot be had.
        paired: system -> comparison with the first workspace on the queries that both measured; empty for the first,
            and where there are none.
        adjusted: system -> p of it, Holm-corrected for every comparison of the page.
    """

    name: str
    finished: Finished
    table: EvaluationTable
    measured: SystemResults | None
    paired: Mapping[str, Comparison]
    adjusted: Mapping[str, float]


def compare_workspaces(folders: Sequence[str | Path], out: str | Path) -> Path:
    """Write one page on several workspaces, each compared with the first; its figures go to `figures/` beside it.

    Where two workspaces measured the same test queries (the same ids, texts and judgements), their systems are compared
    query by query, with paired tests.

    Args:
        folders: of the workspaces, two or more.

    Raises:
        RankstillError: fewer than two folders, one is no workspace or was not evaluated, or `out` cannot be written.
    """
    if len(folders) < 2:
        raise RankstillError("compare: there is only one workspace. Name two or more.")
    read = [read_workspace(Path(folder)) for folder in folders]
    names = _names([finished.folder for finished in read])
    tables = [_table(finished) for finished in read]
    measure = tables[0].measures[0]
    notes = [
        f"{name}: judged by {table.judged_by}" for name, table in zip(names, tables, strict=True) if table.judged_by
    ]
    runs = _measure(read, tables, names, measure, notes)
    paired = [_paired(runs[0], each, read[0]) if number else {} for number, each in enumerate(runs)]
    adjusted = _corrected(paired)
    rows = [
        WorkspaceResults(name, finished, table, measured, found, corrected)
        for name, finished, table, measured, found, corrected in zip(
            names, read, tables, runs, paired, adjusted, strict=True
        )
    ]
    notes += _unpaired(rows)
    figures = {figure.name: figure for figure in _figures(rows, measure)}
    path = Path(out)
    page = render_page(
        "compare.html.jinja",
        {"queries": []},
        rows=rows,
        measure=measure,
        systems=list(dict.fromkeys(system.name for table in tables for system in table.systems)),
        notes=notes,
        figures=figures,
        settings=_differing(rows),
        strong=(BEFORE, DISTILLED),
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_figures(figures.values(), path.parent / "figures")
        write_atomically(path, page)
    except OSError as error:
        raise RankstillError(f"{path}: cannot be written ({error.strerror}). Name another file.") from None
    return path


def _names(folders: Sequence[Path]) -> list[str]:
    """Folder names; where two are alike, as much of the path as was given."""
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        names = [str(folder) for folder in folders]
    if len(set(names)) < len(names):
        raise RankstillError("compare: a workspace is named twice. Name each once.")
    return [shorten(name[-_NAME_CHARACTERS:], _NAME_CHARACTERS)[0] for name in names]


def _table(finished: Finished) -> EvaluationTable:
    if finished.table is None:
        raise RankstillError(
            f"{finished.folder}: nothing was measured there. Run `rankstill evaluate` or `rankstill judge` on it, or "
            "leave it out."
        )
    return finished.table


def _measure(
    read: Sequence[Finished], tables: Sequence[EvaluationTable], names: Sequence[str], measure: str, notes: list[str]
) -> list[SystemResults | None]:
    loaded: dict[str, Dataset] = {}
    runs: list[SystemResults | None] = []
    for finished, table, name in zip(read, tables, names, strict=True):
        source = finished.config.dataset.model_dump_json()
        try:
            if source not in loaded:
                loaded[source] = load_dataset(finished.config.dataset)
            dataset = with_judgements(loaded[source], finished.folder)
            runs.append(measure_workspace(finished, table, dataset, measure))
        except RankstillError as error:
            # Its own figures stand; only the query-by-query comparison needs the dataset, and the page says so.
            notes.append(f"{name} is not compared query by query: {error}")
            runs.append(None)
    return runs


def _paired(first: SystemResults | None, other: SystemResults | None, settings: Finished) -> dict[str, Comparison]:
    if first is None or other is None:
        return {}
    shared = [query_id for query_id in first.qrels if query_id in other.qrels and _same(first, other, query_id)]
    if not shared:
        return {}
    seed, resamples = settings.config.seed, settings.config.evaluation.resamples
    return {
        system: compare(
            [values[each] for each in shared], [other.values[system][each] for each in shared], seed, resamples
        )
        for system, values in first.values.items()
        if system in other.values
    }


def _same(first: SystemResults, other: SystemResults, query_id: str) -> bool:
    """Whether a query is the same to both; answers found in other passages are no other judgements."""
    one, two = first.query(query_id), other.query(query_id)
    judged = bool(first.dataset.test) or bool(other.dataset.test)
    return one == two and (not judged or first.qrels[query_id] == other.qrels[query_id])


def _corrected(paired: Sequence[Mapping[str, Comparison]]) -> list[dict[str, float]]:
    places = [(number, system) for number, found in enumerate(paired) for system in found]
    corrected = holm([paired[number][system].p_value for number, system in places])
    by_place = dict(zip(places, corrected, strict=True))
    return [{system: by_place[number, system] for system in found} for number, found in enumerate(paired)]


def _unpaired(rows: Sequence[WorkspaceResults]) -> list[str]:
    first, notes = rows[0], []
    for row in rows[1:]:
        n = max((found.n for found in row.paired.values()), default=0)
        if row.measured and first.measured and not n:
            notes.append(f"{row.name} and {first.name} share no test query: their figures are not to be compared.")
        elif n and (n < row.table.n or n < first.table.n):
            notes.append(
                f"{row.name} and {first.name} share {n:,} test queries, of {row.table.n:,} and {first.table.n:,}: "
                "differences are over the shared ones."
            )
    return notes


def _figures(rows: Sequence[WorkspaceResults], measure: str) -> list[Figure]:
    kinds: list[tuple[str, Literal["before", "after"]]] = [(BEFORE, "before"), (DISTILLED, "after")]
    shown = [
        Bar(
            f"{row.name}: {system}",
            result.values[measure],
            *result.intervals[measure],
            kind,
            strong=system == DISTILLED,
        )
        for row in rows
        for system, kind in kinds
        if measure in (result := row.table.system(system)).values
    ]
    figures = [bars("compare-systems", "The retriever before and after, by workspace", measure, shown)]
    gaps = [
        Difference(row.name, found.difference, found.low, found.high, heading=None if number else system)
        for system in dict.fromkeys(name for row in rows for name, found in row.paired.items() if found.difference)
        for number, (row, found) in enumerate((row, row.paired[system]) for row in rows if system in row.paired)
    ]
    if gaps:
        figures.append(differences("compare-differences", f"Difference to {rows[0].name}", measure, gaps))
    return figures


def _differing(rows: Sequence[WorkspaceResults]) -> list[tuple[str, list[Any]]]:
    """Options that are not the same everywhere: path, and the value in each workspace."""
    options = [flat(row.finished.config) for row in rows]
    paths = dict.fromkeys(path for each in options for path in each)
    values = [(path, [each.get(path) for each in options]) for path in paths]
    return [(path, each) for path, each in values if any(value != each[0] for value in each)]
