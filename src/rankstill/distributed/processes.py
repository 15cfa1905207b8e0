"""Training over several processes, as `torchrun` starts them: one leads and owns the workspace, all of them train.

A step of the retriever's training stays one step: every process builds it whole from the rows of all, encodes its share
of the texts, and gets the others' vectors from the others. So in-batch negatives and draws are those of one
process whose batch is as large as all of theirs together, and so is the training curve.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from torch import Tensor, nn

from rankstill.errors import DataError
from rankstill.progress import console

T = TypeVar("T")

_PATIENCE = timedelta(days=30)
"""For whoever waits while the leader makes a step alone: encoding a large corpus takes days."""


def processes() -> int:
    """How many train together: 1 unless torchrun started more."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def number() -> int:
    """This process's number among them, from 0."""
    return int(os.environ.get("RANK", "0")) if processes() > 1 else 0


def leads() -> bool:
    """Whether this process owns the workspace, asks the LLM and speaks."""
    return number() == 0


@contextmanager
def one_speaks() -> Iterator[None]:
    """The leader's progress and notes are shown, the others' are not; errors are everyone's."""
    before = console.quiet
    console.quiet = not leads()
    try:
        yield
    finally:
        console.quiet = before


def meet() -> None:
    """Join the others, once; nothing to do for one process alone."""
    import torch

    if processes() == 1 or torch.distributed.is_initialized():
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    torch.distributed.init_process_group(backend, timeout=_PATIENCE)
    # Left to the interpreter's end, the group's threads outlive what they need, and the process aborts now and then.
    atexit.register(torch.distributed.destroy_process_group)


def from_leader(make: Callable[[], T]) -> T:
    """What `make` returns to the leader, which alone calls it; the others wait for it.

    Args:
        make: called by the leader. What it returns must be picklable.
    """
    import torch

    if processes() == 1:
        return make()
    meet()
    told = [make() if leads() else None]
    torch.distributed.broadcast_object_list(told, src=0, device=torch.device("cpu"))
    return told[0]  # type: ignore[return-value]


def of_all(rows: Sequence[int]) -> list[int]:
    """The rows of all processes, in the order of their numbers; each must give as many."""
    import torch

    if processes() == 1:
        return list(rows)
    mine = torch.tensor(rows, dtype=torch.long)
    each = [torch.empty_like(mine) for _ in range(processes())]
    torch.distributed.all_gather(each, mine)
    return torch.cat(each).tolist()


def check_first_step(lists: int, lists_per_step: int, what: str) -> None:
    """Whether there are lists for one step at least: the trainers leave out a batch that not every process gets whole.

    Args:
        lists: to train on.
        lists_per_step: of each process.
        what: "ranker" or "retriever", whose section of the config it is.

    Raises:
        DataError: there are too few, so nothing would be trained.
    """
    needed = lists_per_step * processes()
    if processes() > 1 and lists < needed:
        raise DataError(
            f"{what}: {lists} lists to train on, but {processes()} processes with {what}.lists_per_step: "
            f"{lists_per_step} need {needed} for one step. Start fewer processes or lower lists_per_step."
        )


def trained_by(lists_per_step: int, what: str) -> list[str]:
    """A note of how many processes trained, which multiplies the batch; none of one alone."""
    if processes() == 1:
        return []
    return [f"{what}: trained by {processes()} processes: batches of {processes()} x {lists_per_step} lists"]


def share(count: int) -> slice:
    """Which of so many texts this process encodes: every n-th one."""
    return slice(number(), count, processes())


def together(mine: Tensor, count: int) -> Tensor:
    """The vectors of all texts, of which this process has encoded its `share`.

    Every process computes the same loss from them, and its gradient flows into its own vectors alone. What these give
    is to be added up, and `average_gradients` takes the mean, so the gradient is multiplied by how many they are.

    Args:
        mine: vectors of this process's share. [share, ...]
        count: of all texts.

    Returns:
        All vectors, in order. [count, ...]
    """
    import torch

    n = processes()
    if n == 1:
        return mine
    most = -(-count // n)
    padded = torch.zeros(most, *mine.shape[1:], dtype=mine.dtype, device=mine.device)
    padded[: len(mine)] = mine.detach()
    each = [torch.empty_like(padded) for _ in range(n)]
    torch.distributed.all_gather(each, padded)
    each[number()] = torch.cat([_times(mine, n), padded[len(mine) :]])
    return torch.stack(each, dim=1).flatten(0, 1)[:count]


def weight_here(total: Tensor) -> Tensor:
    """By how much to multiply a weighted mean over this process's lists, so that the processes' mean is that over all.

    Args:
        total: the sum of the weights here.
    """
    import torch

    if processes() == 1:
        return torch.ones_like(total)
    everywhere = total.detach().clone()
    torch.distributed.all_reduce(everywhere)
    return total * processes() / everywhere.clamp_min(1e-9)  # all weights may be 0


def average_gradients(model: nn.Module) -> None:
    """Replace every gradient by the processes' mean; a weight that got none here counts as 0."""
    import torch

    if processes() == 1:
        return
    weights: list[Tensor] = [weight for weight in model.parameters() if weight.requires_grad]
    flat = torch.cat([(torch.zeros_like(each) if each.grad is None else each.grad).flatten() for each in weights])
    torch.distributed.all_reduce(flat)
    flat /= processes()
    for weight, mean in zip(weights, torch.split(flat, [each.numel() for each in weights]), strict=True):
        weight.grad = mean.view_as(weight).clone()


def _times(vectors: Tensor, factor: int) -> Tensor:
    """The same vectors, through which `factor` times the gradient flows."""
    return vectors * factor - (vectors * (factor - 1)).detach()


def averaging(trainer: Any) -> Any:
    """A trainer's class whose steps end with the mean of all processes' gradients.

    Not by DistributedDataParallel, which wants to see each forward pass and as many of them in every process: losses
    here embed in parts, some of them again in the backward pass, and shares differ by a text.

    Args:
        trainer: class of a sentence-transformers trainer.
    """

    class Averaging(trainer):  # type: ignore[misc]
        def compute_loss(self, model: Any, *others: Any, **named: Any) -> Any:
            return super().compute_loss(getattr(model, "module", model), *others, **named)

        def training_step(self, model: Any, *others: Any, **named: Any) -> Any:
            loss = super().training_step(model, *others, **named)
            average_gradients(self.model)
            return loss

    return Averaging
