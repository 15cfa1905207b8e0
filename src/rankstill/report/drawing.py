"""The report's figures, from what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from math import isclose, isfinite, nan
from typing import Any

from rankstill.evaluation import EvaluationTable
from rankstill.evaluation.systems import BEFORE, DISTILLED, run_name
from rankstill.report.explorer import Explorer
from rankstill.report.figures import Bar, Curve, Difference, Gain, bars, curves, differences, gains
from rankstill.report.links import Links
from rankstill.report.measuring import SystemResults
from rankstill.report.showing import shorten
from rankstill.report.svg import Figure

_TRAINED = {
    "ranker": "Training of the ranker's cross-encoder",
    "encoder": "Training of the retriever's encoder",
    "multi-vector": "Training of the multi-vector retriever's encoder",
}
_SLICES = "For which queries"
_HOVER = 100  # characters of a query that its dot tells


def systems_figure(table: EvaluationTable) -> Figure:
    """Every system on the main measure."""
    measure = table.measures[0]
    rows = [
        Bar(
            system.name,
            system.values[measure],
            *system.intervals[measure],
            kind="after" if "distilled" in system.name else "before",
            strong=system.name in (BEFORE, DISTILLED),
        )
        for system in table.systems
    ]
    return bars("systems", "How good each system is", _judged(measure, table.judged_by), rows)


def gap_figure(table: EvaluationTable) -> Figure:
    """Every system against the retriever before."""
    measure = table.measures[0]
    rows = [
        Difference(system.name, found.difference, found.low, found.high)
        for system in table.systems
        if system.comparisons and (found := system.comparisons[measure])
    ]
    return differences("difference", f"Difference to {table.baseline}", _judged(measure, table.judged_by), rows)


def chain_figure(links: Links) -> Figure:
    """What each link of the chain gains or loses."""
    rows = []
    for group, members in groupby(links.rows, key=lambda row: row.group):
        for number, row in enumerate(members):
            found = row.comparison
            label = f"{row.source} \u2192 {row.target}"
            heading = None if number else group
            rows.append(Difference(label, found.difference, found.low, found.high, heading))
    return differences("chain", "What each link of the chain gains or loses", links.measure, rows)


def gains_figure(measured: SystemResults, explorer: Explorer, system: str = DISTILLED) -> Figure:
    """Every test query's difference.

    Only the distilled retriever's has a dot with its text for queries that the page cannot open: it is also a file.
    """
    before, after, main = measured.values[BEFORE], measured.values[system], system == DISTILLED
    rows = [
        Gain(
            after[each] - before[each],
            explorer.keys.get(each),
            shorten(measured.query(each).text, _HOVER)[0] if main else "",
        )
        for each in before
    ]
    # Stacks grow from the centre in the order of the list that the page shows.
    rows.sort(key=lambda row: -row.value)
    measure = _judged(measured.measure, measured.dataset.judged_by)
    return gains(_name("gains", system), f"Gains and losses of the {system}, query by query", measure, rows, every=main)


def slices_figures(proof: Mapping[str, Any]) -> Iterator[Figure]:
    """For which queries each system is better, as `rankstill prove` found it; none if it was not run."""
    found = proof.get(_SLICES, {"slices": []})
    for system in dict.fromkeys(name for part in found["slices"] for name in part.get("comparisons", {})):
        measure = _judged(found["measure"], found.get("judged_by", ""))
        title = f"For which queries the {system} is better"
        yield differences(_name("slices", system), title, measure, _slices(found["slices"], system))


def _slices(slices: Sequence[Mapping[str, Any]], system: str) -> list[Difference]:
    rows = []
    for by, members in groupby(slices, key=lambda part: part["by"]):
        heading: str | None = "" if by == "all" else f"by {by}"
        for part in members:
            if comparison := part["comparisons"].get(system):
                label = f"{part['name']}, n = {comparison['n']:,}"
                ends = (comparison["difference"], comparison["low"], comparison["high"])
                rows.append(Difference(label, *ends, heading=heading or None))
                heading = None
    return rows


def _name(figure: str, system: str) -> str:
    """The name of a system's figure; the distilled retriever's has no addition."""
    return figure if system == DISTILLED else f"{figure}-{run_name(system)}"


def _judged(measure: str, judged_by: str) -> str:
    """A measure with the LLM by whose judgements it was computed; figures go around by themselves."""
    return f"{measure}, judged by {judged_by}" if judged_by else measure


def _is_the_loss(term: str, entries: Sequence[Mapping[str, float]]) -> bool:
    """Whether a term is the whole loss, but for rounding: its curve would lie on the loss's."""
    return all(isclose(entry.get(term, nan), entry["loss"], abs_tol=1e-3) for entry in entries)


def training(losses: Mapping[str, Sequence[Mapping[str, float]]]) -> Iterator[Figure]:
    """The curve of each part that was trained, its loss and the loss's terms."""
    for part, entries in losses.items():
        entries = [entry for entry in entries if "loss" in entry and "step" in entry]
        terms = [name for name in (entries[0] if entries else {}) if name not in ("step", "learning_rate")]
        terms = [name for name in terms if name == "loss" or not _is_the_loss(name, entries)]
        lines = [
            Curve(term, points)
            for term in sorted(terms, key=lambda term: term != "loss")
            # A training that diverged has losses that are no numbers.
            if (points := [(entry["step"], entry[term]) for entry in entries if isfinite(entry.get(term, nan))])
        ]
        if lines:
            yield curves(f"training-{part}", _TRAINED[part], lines)
