"""Starting: how long until there is help, and until the library is imported."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from benchmarks.speed.measure import Result

ROUNDS = 5


def starting() -> list[Result]:
    """Seconds of showing help and of `import rankstill`, beside those of Python alone."""
    bare = _seconds(["-c", ""])
    commands = {
        "rankstill --help": (["-m", "rankstill", "--help"], "< 1 s"),
        "`import rankstill`": (["-c", "import rankstill"], "< 0.5 s"),
    }
    results = []
    for what, (arguments, goal) in commands.items():
        seconds = _seconds(arguments)
        results.append(
            Result(what, "python -c ''", "starts/s", 1 / seconds, 1 / bare, (bare / seconds,), goal, f"{seconds:.2f} s")
        )
    return results


def _seconds(arguments: list[str]) -> float:
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - started)
    return statistics.median(times)
