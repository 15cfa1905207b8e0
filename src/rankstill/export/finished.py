"""A chain that was run, taken as it lies: nothing is made again, and no LLM is asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from rankstill.config import Config
from rankstill.errors import WorkspaceError
from rankstill.steps import title
from rankstill.workspace import Workspace

if TYPE_CHECKING:
    from rankstill.pipeline import Chain


class FinishedWorkspace(Workspace):
    """A workspace whose steps are taken as they are; one that would have to be made is refused.

    Raises:
        WorkspaceError: there is none in this folder, or see `Workspace`.
    """

    def write(self, name: str, text: str) -> None:
        """Nothing: the config and the card that lie there are those of what is taken."""

    def _claim_folder(self) -> None:
        if not self.path("manifest.json").is_file():
            raise WorkspaceError(f"{self.folder}: no workspace of a run. `rankstill run` first, with -w {self.folder}.")
        super()._claim_folder()

    def _make(self, name: str, *_: Any) -> NoReturn:
        known = self.record(name)
        if known is None:
            why = f'step "{title(name)}" is not finished'
        elif all(self.path(output).exists() for output in known.outputs):
            why = f'settings or data have changed since step "{title(name)}" was made'
        else:
            why = f'files of step "{title(name)}" are missing'
        raise WorkspaceError(f"{self.folder}: {why}. `rankstill run` first, with -w {self.folder}.")


@contextmanager
def open_finished(config: Config, workspace: str | Path) -> Iterator[Chain]:
    """The chain on a workspace that holds its retriever and the corpus's vectors by it, made by this very config.

    Raises:
        WorkspaceError: they are not there, or settings or data have changed since they were made.
        RankstillError: the dataset cannot be loaded.
    """
    from rankstill.datasets import load_dataset
    from rankstill.pipeline import Chain

    dataset = load_dataset(config.dataset)
    with FinishedWorkspace(workspace) as opened:
        chain = Chain(config, opened, dataset)
        chain.reranker()
        yield chain
