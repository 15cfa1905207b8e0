"""What the run itself found for its test queries: the report's lists, and the queries that changed most."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from rankstill.errors import DataError
from rankstill.evaluation.runs import Run, rank_order, read_run
from rankstill.evaluation.systems import BEFORE, DISTILLED, run_name

_AT_LEAST_SHARED = 0.9
_TOLERANCE = 0.05
_SHOWN = 10


class MeasuredRuns:
    """The runs and figures that lie in a workspace, read when they are first asked for."""

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace
        self._runs: dict[str, Run] = {}

    def settle(self, system: str, query_id: str, found: Mapping[str, float]) -> Mapping[str, float]:
        """A list in the report's order: a batch of other queries moves scores a little, and near ties change places.

        Args:
            found: passage id -> score, best first, as a search has just found them.

        Returns:
            The measured list, best first, if it is the one found but for such differences; else `found`.
        """
        measured = self._run(system).get(query_id, {})
        shared = measured.keys() & found.keys()
        if not shared or len(shared) < _AT_LEAST_SHARED * max(len(measured), len(found)):
            return found
        scores = [measured[passage] for passage in shared]
        most = _TOLERANCE * (max(scores) - min(scores)) + 1e-6
        if any(abs(measured[passage] - found[passage]) > most for passage in shared):
            return found  # of another model: a run was stopped before it searched anew
        return {passage: measured[passage] for passage in rank_order(measured)}

    def most_changed(self) -> Sequence[str]:
        """Test queries, those first that changed most from before to after; none where nothing was searched.

        By the main measure where it was measured; else by how many of the first passages are new.
        """
        changes = self._changes_in_measure()
        if not any(changes.values()):
            before, after = self._run(BEFORE), self._run(DISTILLED)
            changes = {
                query_id: float(len(_first(after[query_id]) - _first(found)))
                for query_id, found in before.items()
                if query_id in after
            }
        return sorted(changes, key=lambda query_id: -abs(changes[query_id]))

    def _changes_in_measure(self) -> dict[str, float]:
        values: dict[str, dict[str, float]] = {BEFORE: {}, DISTILLED: {}}
        try:
            with (self._workspace / "per-query.csv").open(encoding="utf-8", newline="") as file:
                for query_id, system, *measured in list(csv.reader(file))[1:]:
                    if system in values:
                        values[system][query_id] = float(measured[0])
        except (OSError, ValueError, IndexError):  # not measured yet, or written by another version
            return {}
        before, after = values[BEFORE], values[DISTILLED]
        return {query_id: after[query_id] - value for query_id, value in before.items() if query_id in after}

    def _run(self, system: str) -> Run:
        if system not in self._runs:
            try:
                self._runs[system] = read_run(self._workspace / "runs" / f"{run_name(system)}.trec")
            except DataError:  # not searched yet
                self._runs[system] = {}
        return self._runs[system]


def _first(found: Mapping[str, float]) -> set[str]:
    return set(rank_order(found)[:_SHOWN])
