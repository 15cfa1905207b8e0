"""Run the speed benchmarks and write docs/benchmarks-table.csv and .md.

    python -m benchmarks.speed [--only encoding,searching]

Each measures ours and the peer alternately in one run: the ratio is what counts, for machines are noisy. Its rows are
written when it ends, in the place of its earlier ones; those of the others stay, each with its date and machine.
"""

from __future__ import annotations

import argparse
import csv
import datetime
from pathlib import Path

import torch
from benchmarks.speed.beside_pylate import pylate
from benchmarks.speed.encoding import encoding
from benchmarks.speed.labelling import labelling
from benchmarks.speed.late_interaction import late_interaction
from benchmarks.speed.searching import searching
from benchmarks.speed.starting import starting
from benchmarks.speed.training import multi_vector_training, ranker_training, retriever_training
from benchmarks.speed.whole import whole

from rankstill.progress import say
from rankstill.report.page import machine

BENCHMARKS = {
    "ranker": ranker_training,
    "retriever": retriever_training,
    "multi-vector": multi_vector_training,
    "labelling": labelling,
    "encoding": encoding,
    "searching": searching,
    "late-interaction": late_interaction,
    "pylate": pylate,
    "whole": whole,
    "starting": starting,
}
HEAD = ["what", "peer", "ours", "peer's", "unit", "ratio (rounds)", "goal", "quality", "measured"]
OUT = Path(__file__).resolve().parents[2] / "docs" / "benchmarks-table.csv"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(BENCHMARKS), help="benchmarks, by comma")
    parser.add_argument("--out", type=Path, default=OUT, help="a CSV; the same as Markdown is written beside it")
    arguments = parser.parse_args()
    made = f"{datetime.date.today()}, {machine()}, torch {torch.__version__} with {torch.get_num_threads()} threads"
    for name in arguments.only.split(","):
        say(f"--- {name}")
        rows = [result.cells() for result in BENCHMARKS[name]()]
        for row in rows:
            say(" | ".join(row))
        write(arguments.out, name, [[name, *row, made] for row in rows])


def write(path: Path, name: str, measured: list[list[str]]) -> None:
    """Put a benchmark's rows in the place of its earlier ones."""
    kept: list[list[str]] = []
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            kept = [row for row in list(csv.reader(file))[1:] if row[0] != name]
    rows = sorted([*kept, *measured], key=lambda row: list(BENCHMARKS).index(row[0]))
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([["benchmark", *HEAD], *rows])
    lines = [" | ".join(row) for row in [HEAD, ["---"] * len(HEAD), *(row[1:] for row in rows)]]
    table = "\n".join(f"| {line} |" for line in lines)
    head = (
        "# The whole speed table\n\nWritten by `python -m benchmarks.speed` (`--only " + ",".join(BENCHMARKS) + "`), "
    )
    path.with_suffix(".md").write_text(f"{head}seed 0 where one is drawn.\n\n{table}\n", "utf-8")


if __name__ == "__main__":
    main()
