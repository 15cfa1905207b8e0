"""Run the speed benchmarks and write docs/benchmarks-table.md.

    python -m benchmarks.speed [--only encoding,searching]

Each measures ours and the peer alternately in this one run: the ratio is what counts, for machines are noisy.
"""

from __future__ import annotations

import argparse
import datetime
import platform
from pathlib import Path

import torch
from benchmarks.speed.encoding import encoding
from benchmarks.speed.labelling import labelling
from benchmarks.speed.searching import searching
from benchmarks.speed.starting import starting
from benchmarks.speed.training import ranker_training, retriever_training
from benchmarks.speed.whole import whole

from rankstill.progress import say

BENCHMARKS = {
    "ranker": ranker_training,
    "retriever": retriever_training,
    "labelling": labelling,
    "encoding": encoding,
    "searching": searching,
    "whole": whole,
    "starting": starting,
}
HEAD = ["what", "peer", "ours", "peer's", "unit", "ratio (rounds)", "goal", "quality"]
OUT = Path(__file__).resolve().parents[2] / "docs" / "benchmarks-table.md"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(BENCHMARKS), help="benchmarks, by comma")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    rows = []
    for name in arguments.only.split(","):
        say(f"--- {name}")
        rows += [result.cells() for result in BENCHMARKS[name]()]
        say(" | ".join(rows[-1]))
    made = f"{datetime.date.today()}, {machine()}, torch {torch.__version__} with {torch.get_num_threads()} threads"
    lines = [" | ".join(row) for row in [HEAD, ["---"] * len(HEAD), *rows]]
    table = "\n".join(f"| {line} |" for line in lines)
    arguments.out.write_text(f"<!-- written by python -m benchmarks.speed: {made} -->\n\n{table}\n\n{made}\n", "utf-8")


def machine() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
