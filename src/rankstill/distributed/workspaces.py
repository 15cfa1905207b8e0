"""One workspace for several processes: the leader owns it, the others look on, and train where it says so."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

from rankstill.distributed.processes import from_leader, leads, processes
from rankstill.workspace import DatasetIdentity, Workspace

TOGETHER = ("ranker", "retriever", "multi_vector_distilled")
"""Steps that all processes make; the leader makes the others alone."""

_MAKE = "make it with me"


def open_workspace(folder: str | Path) -> Workspace:
    """The workspace: of this process alone, or of all that torchrun started.

    Args:
        folder: see `Workspace`.

    Raises:
        WorkspaceError: see `Workspace`.
    """
    return Workspace(folder) if processes() == 1 else SharedWorkspace(folder)


class SharedWorkspace(Workspace):
    """The arguments are those of `Workspace`. Every process must ask for the same steps in the same order."""

    def hold(self, dataset: DatasetIdentity, *, replace: bool = False) -> None:
        """As `Workspace.hold`, by the leader."""
        if leads():
            super().hold(dataset, replace=replace)

    def write(self, name: str, text: str) -> None:
        """As `Workspace.write`, by the leader."""
        if leads():
            super().write(name, text)

    def step(self, name: str, make: Callable[[Path], Sequence[str] | None], **described: Any) -> str:
        """As `Workspace.step`. What the others make goes into a folder that is thrown away."""
        if leads():

            def make_together(folder: Path) -> Sequence[str] | None:
                if name in TOGETHER:
                    from_leader(lambda: _MAKE)
                return make(folder)

            fingerprint = super().step(name, make_together, **described)
            return from_leader(lambda: fingerprint)
        told = from_leader(str)
        if told == _MAKE:
            with tempfile.TemporaryDirectory(prefix=f"rankstill-{name}-") as scratch:
                make(Path(scratch))
            told = from_leader(str)
        self._records = self._read_manifest()
        return told

    def _claim_folder(self) -> None:
        if leads():
            super()._claim_folder()

    def _take_lock(self) -> IO[str]:
        return super()._take_lock() if leads() else io.StringIO()
