"""Measure how memory and time grow, and write docs/growth.csv, docs/growth-table.md and docs/growth.svg.

    python -m benchmarks.growth [--largest 1000000] [--only encoding,searching] [--folder FOLDER]

Each size of each thing runs in a fresh process, so that its peak memory is its own. The largest sizes need 2.5 GB on
the disk in FOLDER, which is emptied after each size.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.growth.drawing import draw
from benchmarks.speed.__main__ import machine

from rankstill.progress import say

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
SIZES = {
    "encoding": (10_000, 30_000, 100_000, 300_000, 1_000_000),
    "searching": (10_000, 30_000, 100_000, 300_000, 1_000_000),
    "two-stages": (10_000, 30_000, 100_000, 300_000),
    "real-encoding": (1_000, 3_000, 10_000),
    "bm25": (10_000, 30_000, 100_000, 300_000, 1_000_000),
    "labels": (10_000, 100_000, 1_000_000),
    "short-labels": (10_000, 100_000, 1_000_000),
}
NAMES = {
    "encoding": "encoding, a stand-in for the model",
    "searching": "exact search, 100 queries, k = 100",
    "two-stages": "MaxSim in two stages, 100 queries, k = 100",
    "real-encoding": "encoding, all-MiniLM-L6-v2",
    "bm25": "BM25 index, passages of 30 words",
    "labels": "labelled pairs, 50 a query",
    "short-labels": "labelled pairs, 5 a query",
}
FIELDS = ("what", "size", "seconds", "peak_mb", "before_mb", "mapped_mb")
Row = dict[str, float | str]


def measure(what: str, size: int, folder: Path) -> Row:
    """One thing at one size, in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.growth.child", what, str(size), str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{what} at {size:,}: {done.stderr}")
    return {"what": what, "size": size, **json.loads(done.stdout.splitlines()[-1])}


def kept(path: Path, only: list[str]) -> list[Row]:
    """The rows of an earlier run that this one does not measure again."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {"what": row["what"], "size": int(row["size"]), **{name: float(row[name]) for name in FIELDS[2:]}}
            for row in csv.DictReader(file)
            if row["what"] not in only
        ]


def table(rows: list[Row]) -> str:
    """As Markdown."""
    lines = [
        "| what | size | seconds | peak memory, MB | of it before the work | pages of files at the end |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        figures = [f"{row['size']:,}", f"{row['seconds']:,.1f}"]
        figures += [f"{row[name]:,.0f}" for name in ("peak_mb", "before_mb", "mapped_mb")]
        lines.append("| " + " | ".join([NAMES[str(row["what"])], *figures]) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=int, default=1_000_000, help="passages or pairs")
    parser.add_argument("--only", default=",".join(SIZES), help="what to measure, by comma")
    parser.add_argument("--folder", type=Path, default=None, help="for files; default: a temporary one")
    parser.add_argument("--out", type=Path, default=DOCS, help="for table, figure and CSV")
    arguments = parser.parse_args()
    only = arguments.only.split(",")
    rows = kept(arguments.out / "growth.csv", only)
    sizes = sorted({size for what in only for size in SIZES[what] if size <= arguments.largest})
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="growth-") as place:
        for size in sizes:
            folder = Path(place) / str(size)
            folder.mkdir()
            for what in (each for each in only if size in SIZES[each]):
                rows.append(measure(what, size, folder))
                say(
                    " | ".join(
                        f"{value:,.1f}" if isinstance(value, float) else str(value) for value in rows[-1].values()
                    )
                )
            shutil.rmtree(folder)
    rows.sort(key=lambda row: (list(SIZES).index(str(row["what"])), row["size"]))
    made = f"{datetime.date.today()}, {machine()}, one thread: {', '.join(only)}; the other rows are of earlier runs"
    head = f"<!-- written by python -m benchmarks.growth: {made} -->"
    arguments.out.joinpath("growth-table.md").write_text(f"{head}\n\n{table(rows)}\n\n{made}\n", encoding="utf-8")
    arguments.out.joinpath("growth.svg").write_text(draw(rows, NAMES), encoding="utf-8")
    with arguments.out.joinpath("growth.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
