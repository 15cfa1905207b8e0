"""The tables of all corpora in README.md, docs/index.md and docs/studies.md, from finished workspaces.

    python -m benchmarks.corpora WORKSPACE...

Workspaces of one corpus are its seeds: a query counts with its mean over them. A system that not every seed measured
says so. Their figures go into
`docs/studies/corpora.csv`, in place of what it has of the same corpora, and from there into the pages, between
`<!-- corpora: begin -->` and `<!-- corpora: end -->`; in docs/studies.md also what beats which rival, between
`<!-- rivals: begin -->` and `<!-- rivals: end -->`. A test sees that the pages say what the file says.
"""

from __future__ import annotations

import csv
import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import numpy as np

from rankstill.evaluation import holm, systems
from rankstill.evaluation.significance import compare, interval

ROOT = Path(__file__).resolve().parents[1]
FIGURES = ROOT / "docs" / "studies" / "corpora.csv"
STUDIES = ROOT / "docs" / "studies.md"
PAGES = (ROOT / "README.md", ROOT / "docs" / "index.md", STUDIES)
MEASURE = "nDCG@10"
ORDER = ("scifact", "stackqa", "hotpot")
COLUMNS = (
    *("corpus", "queries", "seeds", "made", "system", "against"),
    *("value", "low", "high", "difference", "difference_low", "difference_high", "p"),
)
ROWS = {
    systems.BEFORE: "retriever before: all-MiniLM-L6-v2",
    systems.BM25: "BM25",
    systems.FIRST_STAGE: "both, by reciprocal rank fusion",
    systems.HYBRID_BEFORE: "**both, weights from the LLM's lists** (hybrid)",
    systems.MULTI_VECTOR: "**multi-vector retriever**, not trained",
    systems.MULTI_VECTOR_HYBRID: "**all three, weights from the LLM's lists** (multi-vector hybrid)",
    systems.DISTILLED: "**distilled retriever**, one vector",
    systems.HYBRID_DISTILLED: "it and BM25, weights from the LLM's lists",
    systems.MULTI_VECTOR_DISTILLED: "**distilled multi-vector retriever**",
    systems.MULTI_VECTOR_HYBRID_DISTILLED: "it, the distilled retriever and BM25, weights from the LLM's lists",
    systems.RANKER: "**ranker** on top of the first stage",
}
"""System -> its name in the table."""
RIVALS = (
    (systems.MULTI_VECTOR_HYBRID, systems.BM25),
    (systems.MULTI_VECTOR_HYBRID, systems.FIRST_STAGE),
    (systems.MULTI_VECTOR_HYBRID, systems.HYBRID_BEFORE),
    (systems.DISTILLED, systems.BM25),
    (systems.DISTILLED, systems.HYBRID_BEFORE),
    (systems.MULTI_VECTOR_DISTILLED, systems.BM25),
    (systems.MULTI_VECTOR_DISTILLED, systems.FIRST_STAGE),
    (systems.MULTI_VECTOR_DISTILLED, systems.MULTI_VECTOR),
    (systems.MULTI_VECTOR_DISTILLED, systems.HYBRID_BEFORE),
    (systems.MULTI_VECTOR_HYBRID_DISTILLED, systems.HYBRID_BEFORE),
    (systems.MULTI_VECTOR_HYBRID_DISTILLED, systems.MULTI_VECTOR_HYBRID),
    (systems.RANKER, systems.HYBRID_BEFORE),
)
"""A system and what it is compared with, beside the retriever before."""

Row = Mapping[str, str]
ByQuery = dict[str, float]


def figures(corpus: str, workspaces: Sequence[Path]) -> list[Row]:
    """The rows of one corpus: every system against the retriever before, then the rivals; p by Holm within each."""
    values, seeds = _values(workspaces)
    queries = sorted(values[systems.BEFORE])
    column = {system: np.array([of[query] for query in queries]) for system, of in values.items()}
    made = str(max(date.fromtimestamp((each / "metrics.json").stat().st_mtime) for each in workspaces))
    about = {"corpus": corpus, "queries": str(len(queries)), "made": made}

    def rows_of(pairs: Sequence[tuple[str, str]]) -> list[Row]:
        found = [compare(column[against], column[system], seed=0) for system, against in pairs]
        rows = []
        for (system, against), one, p in zip(pairs, found, holm([one.p_value for one in found]), strict=True):
            numbers = (one.after, *interval(column[system], seed=0), one.difference, one.low, one.high, p)
            told = [f"{number:.4f}" for number in numbers]
            told_by = {"seeds": str(min(seeds[system], seeds[against]))}
            rows.append({**about, **told_by, **dict(zip(COLUMNS[4:], [system, against, *told], strict=True))})
        return rows

    value, low, high = (
        f"{each:.4f}" for each in (column[systems.BEFORE].mean(), *interval(column[systems.BEFORE], seed=0))
    )
    first = {
        **dict.fromkeys(COLUMNS, ""),
        **about,
        "seeds": str(len(workspaces)),
        "system": systems.BEFORE,
        "value": value,
        "low": low,
        "high": high,
    }
    against_before = [(system, systems.BEFORE) for system in ROWS if system in column and system != systems.BEFORE]
    rivals = [pair for pair in RIVALS if set(pair) <= set(column)]
    return [first, *rows_of(against_before), *rows_of(rivals)]


def _values(workspaces: Sequence[Path]) -> tuple[dict[str, ByQuery], dict[str, int]]:
    """Each system's measure by query, the mean over the seeds that measured it; and how many these are."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for workspace in workspaces:
        with (workspace / "per-query.csv").open(encoding="utf-8") as file:
            for row in csv.DictReader(file):
                found[row["system"]][row["query"]].append(float(row[MEASURE]))
    means = {system: {query: float(np.mean(each)) for query, each in of.items()} for system, of in found.items()}
    return means, {system: len(next(iter(of.values()))) for system, of in found.items()}


def table_of(rows: Sequence[Row]) -> str:
    """Every system beside the retriever before, as Markdown: a column for each corpus."""
    shown = [row for row in rows if row["against"] in ("", systems.BEFORE)]
    cells = {(row["system"], row["corpus"]): _cell(row) + _fewer_seeds(row, rows) for row in shown}
    return _markdown(rows, MEASURE, [(name, system) for system, name in ROWS.items()], cells)


def rivals_of(rows: Sequence[Row]) -> str:
    """What beats which rival, as Markdown: a column for each corpus."""
    cells = {
        ((row["system"], row["against"]), row["corpus"]): f"{float(row['difference']):+.3f} "
        f"[{float(row['difference_low']):+.3f}, {float(row['difference_high']):+.3f}], {_p(row)}"
        f"{_fewer_seeds(row, rows)}"
        for row in rows
        if row["difference_low"]
    }
    names = [(f"{system} against {against}", (system, against)) for system, against in RIVALS]
    return _markdown(rows, f"difference in {MEASURE}", names, cells)


def _markdown(
    rows: Sequence[Row], corner: str, names: Sequence[tuple[str, object]], cells: Mapping[tuple[object, str], str]
) -> str:
    about = {row["corpus"]: row for row in rows if not row["against"]}
    heads = [
        f"{corpus}, {row['queries']} queries, {row['seeds']} seed{'s' * (row['seeds'] != '1')}, {row['made']}"
        for corpus, row in about.items()
    ]
    lines = [f"| {corner} | {' | '.join(heads)} |", f"| --- |{' --- |' * len(heads)}"]
    for name, key in names:
        shown = (cells.get((key, corpus), "not measured") for corpus in about)
        lines.append(f"| {name} | {' | '.join(shown)} |")
    return "\n".join(lines)


def _cell(row: Row) -> str:
    cell = f"{float(row['value']):.3f} [{float(row['low']):.3f}, {float(row['high']):.3f}]"
    if not row["p"]:
        return cell
    return f"{cell}, {_p(row)}{', worse' if float(row['p']) < 0.05 and float(row['difference']) < 0 else ''}"


def _fewer_seeds(row: Row, rows: Sequence[Row]) -> str:
    most = max(int(each["seeds"]) for each in rows if each["corpus"] == row["corpus"])
    return "" if int(row["seeds"]) == most else f" ({row['seeds']} of {most} seeds)"


def _p(row: Row) -> str:
    return "p < 0.001" if float(row["p"]) < 0.001 else f"p = {float(row['p']):.2g}"


def main() -> None:
    """Write the file and the pages."""
    places = defaultdict(list)
    for each in map(Path, sys.argv[1:]):
        manifest = json.loads((each / "manifest.json").read_text(encoding="utf-8"))
        places[manifest["dataset"]["name"]].append(each)
    with FIGURES.open(encoding="utf-8") as file:
        rows: list[Row] = [row for row in csv.DictReader(file) if row["corpus"] not in places]
    rows += [row for corpus, workspaces in places.items() for row in figures(corpus, workspaces)]
    rows.sort(key=lambda row: ORDER.index(row["corpus"]))
    with FIGURES.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    for page in PAGES:
        _put(page, "corpora", table_of(rows))
    _put(STUDIES, "rivals", rivals_of(rows))


def _put(page: Path, name: str, table: str) -> None:
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, rest = page.read_text(encoding="utf-8").split(begin)
    page.write_text(f"{before}{begin}\n\n{table}\n\n{end}{rest.split(end)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
