"""What the training of the ranker and of the retriever share: the trainers' arguments and their progress."""

from __future__ import annotations

import random
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankstill.compute.memory import release_memory
from rankstill.compute.precision import fast_precision
from rankstill.distributed.processes import init_process_group
from rankstill.progress import Advance, progress
from rankstill.reporting import Reports

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from transformers import TrainerCallback

ENOUGH_TO_FIT = 20
"""How many lists it takes to fit one to three numbers: a temperature, or the weights of a sum."""


def set_seed(seed: int) -> None:
    """Seed Python's, NumPy's and torch's generators."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)  # libraries below draw from the global generator
    torch.manual_seed(seed)


def hold_out(count: int, share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split rows into those that are held out, one at least, and the others. The same ones whoever asks.

    Args:
        count: how many rows there are.
        share: the share of rows to hold out.
        seed: seeds the random sample.
    """
    import numpy as np

    held, others = np.split(np.random.default_rng(seed).permutation(count), [max(1, round(share * count))])
    return held, others


def training_arguments(
    kind: Any, scratch: Path, device: str, *, epochs: int, batch: int, rate: float, seed: int, reports: dict[str, Any]
) -> Any:
    """Arguments for a sentence-transformers trainer: bfloat16 where native, no checkpoints, no output of its own.

    Args:
        batch: rows a step, of each process where several train.
        rate: peak learning rate.
    """
    init_process_group()  # or the trainer would, with less patience
    return kind(
        output_dir=str(scratch),
        num_train_epochs=epochs,
        per_device_train_batch_size=batch,
        learning_rate=rate,
        warmup_steps=0.1,
        lr_scheduler_type="linear",
        weight_decay=0.01,
        max_grad_norm=1.0,
        bf16=fast_precision(device),
        use_cpu=device.startswith("cpu"),
        seed=seed,
        data_seed=seed,
        save_strategy="no",
        logging_steps=0.02,  # of all steps, rounded up: a training of seven has a curve too
        **reports,
        disable_tqdm=True,
        dataloader_pin_memory=False,
        remove_unused_columns=False,
    )


def progress_callback(what: str) -> TrainerCallback:
    """Shows a training's steps in our own manner, and keeps its losses."""
    from transformers import TrainerCallback as Callback

    class Steps(Callback):  # type: ignore[misc]
        def __init__(self) -> None:
            self._stack = ExitStack()
            self._advance: Advance = lambda done: None

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self._advance = self._stack.enter_context(progress(what, state.max_steps))

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self._advance(1)

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self._stack.close()

    return Steps()


def run_training(trainer: Any, reports: Reports, training: str) -> list[dict[str, float]]:
    """Train; returns the training curve: step, loss and its terms, as the trainer logged them."""
    from transformers import PrinterCallback

    trainer.remove_callback(PrinterCallback)  # standard output belongs to the command that trains
    with reports.open(trainer.callback_handler.callbacks, training):
        trainer.train()
    trainer.model.zero_grad(set_to_none=True)
    release_memory()
    return [
        {name: float(value) for name, value in entry.items() if name not in ("epoch", "grad_norm")}
        for entry in trainer.state.log_history
        if "loss" in entry
    ]
