"""How long runs were expected to take, and how long they took.

    python -m benchmarks.forecasts WORKSPACE...

measures this machine again, as a run does when it begins, and prints both for each step of a finished workspace that
was made here. The machine should be as busy as it was then.
"""

from __future__ import annotations

import sys
from pathlib import Path

from rankstill.config import read_config
from rankstill.forecast import expected_seconds
from rankstill.pipeline import open_chain


def main() -> None:
    """Print the table of each workspace."""
    for place in map(Path, sys.argv[1:]):
        with open_chain(read_config(place / "config.yaml", {}), place) as chain:
            expected = expected_seconds(chain.components, chain.planned())
            took = {step: record.seconds for step in expected if (record := chain.workspace.record(step))}
        rows = [(step, expected[step], seconds) for step, seconds in took.items()]
        rows.append(("all", sum(row[1] for row in rows), sum(row[2] for row in rows)))
        sys.stdout.write(f"{place}\n{'step':24}{'expected s':>12}{'took s':>12}{'ratio':>8}\n")
        for step, told, seconds in rows:
            sys.stdout.write(f"{step:24}{told:12.0f}{seconds:12.0f}{told / max(seconds, 0.1):8.2f}\n")


if __name__ == "__main__":
    main()
