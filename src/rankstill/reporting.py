"""Training curves sent elsewhere while they are made: TensorBoard, MLflow, Weights & Biases.

It is done by the trainers' own `report_to`; where each of them sends to is set by its own environment variables.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rankstill.errors import RankstillError


@dataclass(frozen=True)
class Reports:
    """The experiment trackers that training curves go to, besides the workspace.

    Args:
        to: names as transformers' `report_to` takes them; the modules are called the same.
        workspace: its folder. Runs are named after it, and TensorBoard's event files lie in it, in `tensorboard/`.
    """

    to: tuple[str, ...] = ()
    workspace: Path = Path()

    def check(self) -> None:
        """See that what reports are sent through is there, before anything is paid for.

        Raises:
            RankstillError: a package is not installed.
        """
        for name in self.to:
            if find_spec(name) is None:
                raise RankstillError(f"report_to: {name} is not installed. pip install {name}, or take it out.")

    def arguments(self, training: str) -> dict[str, Any]:
        """The trainer's arguments that say where it reports to, and under which name."""
        return {"report_to": list(self.to) or "none", "run_name": self._run_name(training)}

    @contextmanager
    def open(self, callbacks: Sequence[Any], training: str) -> Iterator[None]:
        """One run of its own for one training, whose trainer has these callbacks."""
        if "tensorboard" in self.to:
            from transformers.integrations import TensorBoardCallback

            for callback in callbacks:
                if isinstance(callback, TensorBoardCallback):
                    # Or it would write into the trainer's scratch folder, which is thrown away.
                    callback.logging_dir = str(self._events(training))
        if "wandb" not in self.to:
            yield
            return
        import wandb

        theirs = wandb.run is not None
        try:
            yield
        finally:
            if not theirs:  # transformers leaves its run open, and the next training would be appended to it
                wandb.finish()

    def _run_name(self, training: str) -> str:
        return f"{self.workspace.resolve().name}-{training}"

    def _events(self, training: str) -> Path:
        """A folder for each time that something is trained: TensorBoard would take two in one for a single run."""
        base = Path(os.environ.get("TENSORBOARD_LOGGING_DIR") or self.workspace / "tensorboard")
        return base / f"{training}-{datetime.now():%Y%m%d-%H%M%S}"


NOWHERE = Reports()
"""Curves stay in the workspace."""
