"""Training curves sent elsewhere while they are made: TensorBoard, MLflow, Weights & Biases.

It is done by the trainers' own `report_to`; where each of them sends to is set by its own environment variables.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rankstill.errors import RankstillError


@dataclass(frozen=True)
class Reports:
    """Where training curves go besides the workspace.

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
        """For a trainer's arguments: where it reports to, and under which name."""
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

    def send(self, training: str, curve: Sequence[Mapping[str, float]], options: Mapping[str, Any]) -> None:
        """Send a curve that no trainer made.

        Args:
            training: its name.
            curve: step, and what was measured at it.
            options: of the training.
        """
        if not (self.to and curve):
            return
        from transformers import TrainerControl, TrainerState
        from transformers.integrations import get_reporting_integration_callbacks

        arguments = _Arguments(self._run_name(training), str(self.workspace), options)
        state, control = TrainerState(), TrainerControl()
        callbacks = [make() for make in get_reporting_integration_callbacks(list(self.to))]
        with self.open(callbacks, training):
            for callback in callbacks:
                callback.on_train_begin(arguments, state, control)
                for entry in curve:
                    state.global_step = int(entry["step"])
                    measured = {name: value for name, value in entry.items() if name != "step"}
                    callback.on_log(arguments, state, control, logs=measured)
                callback.on_train_end(arguments, state, control)

    def _run_name(self, training: str) -> str:
        return f"{self.workspace.resolve().name}-{training}"

    def _events(self, training: str) -> Path:
        """A folder for each time that something is trained: TensorBoard would take two in one for a single run."""
        base = Path(os.environ.get("TENSORBOARD_LOGGING_DIR") or self.workspace / "tensorboard")
        return base / f"{training}-{datetime.now():%Y%m%d-%H%M%S}"


NOWHERE = Reports()
"""Curves stay in the workspace."""


@dataclass(frozen=True)
class _Arguments:
    """What the callbacks read of a trainer's arguments."""

    run_name: str
    output_dir: str
    options: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        return dict(self.options)

    def to_json_string(self) -> str:
        return json.dumps(self.options, indent=2)
