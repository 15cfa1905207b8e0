"""No retriever that is not better leaves the workspace unnoticed: what `push` and `export` ask first."""

from __future__ import annotations

from pathlib import Path

from rankstill.errors import RankstillError
from rankstill.evaluation.systems import DISTILLED
from rankstill.report.reading import read_workspace
from rankstill.report.verdict import verdict


def refuse_if_not_better(workspace: Path, system: str = DISTILLED) -> None:
    """Whether a workspace's new retriever may go out: it is better than the old one, or nothing could be measured.

    Args:
        system: the retriever in question, `DISTILLED` or `MULTI_VECTOR`.

    Raises:
        RankstillError: it is worse, or not shown to be better.
        WorkspaceError: there is no such workspace.
    """
    finished = read_workspace(workspace)
    found = verdict(finished.table, workspace, agreement=finished.agreement, system=system)
    if found.not_better:
        raise RankstillError(f"{found.sentence} To take it elsewhere all the same: --even-if-worse.")
