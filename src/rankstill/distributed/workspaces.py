"""One workspace for several processes: rank zero owns it, and the other ranks join the steps that train."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

from rankstill.distributed.processes import broadcast_from_rank_zero, get_world_size, is_rank_zero
from rankstill.workspace import DatasetIdentity, Workspace

COLLECTIVE_STEPS = ("ranker", "retriever", "multi_vector_distilled")
"""Steps that all ranks make together; rank zero makes the others alone."""

_JOIN = "make it with me"


def open_workspace(folder: str | Path) -> Workspace:
    """The workspace: of this process alone, or of all that torchrun started."""
    return Workspace(folder) if get_world_size() == 1 else SharedWorkspace(folder)


class SharedWorkspace(Workspace):
    """The arguments are those of `Workspace`. Every process must ask for the same steps in the same order."""

    def hold(self, dataset: DatasetIdentity, *, replace: bool = False) -> None:
        """As `Workspace.hold`, on rank zero."""
        if is_rank_zero():
            super().hold(dataset, replace=replace)

    def write(self, name: str, text: str) -> None:
        """As `Workspace.write`, on rank zero."""
        if is_rank_zero():
            super().write(name, text)

    def step(self, name: str, make: Callable[[Path], Sequence[str] | None], **described: Any) -> str:
        """As `Workspace.step`. What the other ranks make goes into a folder that is thrown away."""
        if is_rank_zero():

            def make_collectively(folder: Path) -> Sequence[str] | None:
                if name in COLLECTIVE_STEPS:
                    broadcast_from_rank_zero(lambda: _JOIN)
                return make(folder)

            fingerprint = super().step(name, make_collectively, **described)
            return broadcast_from_rank_zero(lambda: fingerprint)
        message = broadcast_from_rank_zero(str)
        if message == _JOIN:
            with tempfile.TemporaryDirectory(prefix=f"rankstill-{name}-") as scratch:
                make(Path(scratch))
            message = broadcast_from_rank_zero(str)
        self._records = self._read_manifest()
        return message

    def _claim_folder(self) -> None:
        if is_rank_zero():
            super()._claim_folder()

    def _take_lock(self) -> IO[str]:
        return super()._take_lock() if is_rank_zero() else io.StringIO()
