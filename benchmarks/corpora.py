"""The table of all corpora in README.md, docs/index.md and docs/studies.md, from finished workspaces.

    python -m benchmarks.corpora WORKSPACE...

puts the workspaces' metrics into `docs/studies/corpora.csv`, in place of what it has of the same corpora, and the table
into the three pages, between `<!-- corpora: begin -->` and `<!-- corpora: end -->`. A test sees that the pages say what
the file says.
"""

from __future__ import annotations

import csv
import json
import sys
from datetime import date
from pathlib import Path

from rankstill.evaluation import EvaluationTable

ROOT = Path(__file__).resolve().parents[1]
FIGURES = ROOT / "docs" / "studies" / "corpora.csv"
PAGES = (ROOT / "README.md", ROOT / "docs" / "index.md", ROOT / "docs" / "studies.md")
BEGIN, END = "<!-- corpora: begin -->", "<!-- corpora: end -->"
COLUMNS = ("corpus", "queries", "made", "measure", "system", "value", "low", "high", "difference", "p")
ROWS = {
    "retriever before": "retriever before: all-MiniLM-L6-v2",
    "BM25": "BM25",
    "first stage": "both, by reciprocal rank fusion",
    "hybrid before": "**both, weights from the LLM's lists** (hybrid)",
    "multi-vector": "**multi-vector retriever**, not trained",
    "multi-vector hybrid": "it and BM25, weights from the LLM's lists",
    "distilled retriever": "**distilled retriever**, one vector",
    "distilled hybrid": "it and BM25, weights from the LLM's lists",
    "ranker": "**ranker** on top of the first stage",
}
"""System -> its name in the table."""


def read_metrics(workspace: Path) -> list[dict[str, str]]:
    """A row for each system of a workspace's table, by its main measure."""
    table = EvaluationTable.from_json(json.loads((workspace / "metrics.json").read_text(encoding="utf-8"))["table"])
    manifest = json.loads((workspace / "manifest.json").read_text(encoding="utf-8"))
    corpus, made = manifest["dataset"]["name"], str(date.fromtimestamp((workspace / "metrics.json").stat().st_mtime))
    measure = table.measures[0]
    adjusted = table.adjusted_p(measure)
    rows = []
    for system in table.systems:
        figures = [f"{each:.6f}" for each in (system.values[measure], *system.intervals[measure])]
        compared = ["", ""]
        if system.comparisons:
            compared = [f"{system.comparisons[measure].difference:+.4f}", f"{adjusted[system.name]:.4f}"]
        row = (corpus, str(table.n), made, measure, system.name, *figures, *compared)
        rows.append(dict(zip(COLUMNS, row, strict=True)))
    return rows


def table_of(rows: list[dict[str, str]]) -> str:
    """The rows as Markdown: a column for each corpus."""
    corpora = list(dict.fromkeys(row["corpus"] for row in rows))
    cells = {(row["system"], row["corpus"]): _cell(row) for row in rows}
    about = {row["corpus"]: f"{row['corpus']}, {row['queries']} queries, {row['made']}" for row in rows}
    lines = [f"| {rows[0]['measure']} | {' | '.join(about[each] for each in corpora)} |"]
    lines += [f"| --- |{' --- |' * len(corpora)}"]
    for system, name in ROWS.items():
        shown = (cells.get((system, each), "not measured") for each in corpora)
        lines.append(f"| {name} | {' | '.join(shown)} |")
    return "\n".join(lines)


def _cell(row: dict[str, str]) -> str:
    cell = f"{float(row['value']):.3f} [{float(row['low']):.3f}, {float(row['high']):.3f}]"
    if not row["p"]:
        return cell
    p_value = "p < 0.001" if float(row["p"]) < 0.001 else f"p = {float(row['p']):.2g}"
    return f"{cell}, {p_value}{', worse' if float(row['p']) < 0.05 and float(row['difference']) < 0 else ''}"


def main() -> None:
    """Write the file and the pages."""
    new = [row for each in sys.argv[1:] for row in read_metrics(Path(each))]
    with FIGURES.open(encoding="utf-8") as file:
        known = [row for row in csv.DictReader(file) if row["corpus"] not in {each["corpus"] for each in new}]
    rows = sorted(new + known, key=lambda row: ("scifact", "stackqa", "hotpot").index(row["corpus"]))
    with FIGURES.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    for page in PAGES:
        before, rest = page.read_text(encoding="utf-8").split(BEGIN)
        page.write_text(f"{before}{BEGIN}\n\n{table_of(rows)}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
