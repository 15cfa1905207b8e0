"""Training over several processes, as `torchrun` starts them: rank zero owns the workspace, every rank trains.

A step of the retriever's training stays one step: every rank builds the whole step from the rows of all ranks, encodes
its shard of the texts, and gathers the other ranks' vectors. So the in-batch negatives, the random draws and the
training curve are those of one process with the whole batch.
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

_TIMEOUT = timedelta(days=30)
"""How long a rank waits for rank zero, which makes most steps alone: encoding a large corpus takes days."""


def get_world_size() -> int:
    """How many processes train: 1 unless torchrun started more."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def get_rank() -> int:
    """This process's rank, from 0."""
    return int(os.environ.get("RANK", "0")) if get_world_size() > 1 else 0


def is_rank_zero() -> bool:
    """Whether this process owns the workspace, asks the LLM and prints."""
    return get_rank() == 0


@contextmanager
def only_rank_zero_prints() -> Iterator[None]:
    """Show the progress and notes of rank zero only; every rank still shows its errors."""
    before = console.quiet
    console.quiet = not is_rank_zero()
    try:
        yield
    finally:
        console.quiet = before


def init_process_group() -> None:
    """Join the process group of torch.distributed, unless this process is in it or trains alone."""
    import torch

    if get_world_size() == 1 or torch.distributed.is_initialized():
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    torch.distributed.init_process_group(backend, timeout=_TIMEOUT)
    # Left to the interpreter's end, the group's threads outlive what they need, and the process aborts now and then.
    atexit.register(torch.distributed.destroy_process_group)


def broadcast_from_rank_zero(make: Callable[[], T]) -> T:
    """What `make` returns on rank zero, which alone calls it; every other rank waits for the result.

    Args:
        make: Called on rank zero. Its result must be picklable.
    """
    import torch

    if get_world_size() == 1:
        return make()
    init_process_group()
    result = [make() if is_rank_zero() else None]
    torch.distributed.broadcast_object_list(result, src=0, device=torch.device("cpu"))
    return result[0]  # type: ignore[return-value]


def all_gather_rows(rows: Sequence[int]) -> list[int]:
    """The rows of all ranks, in the order of ranks. Every rank must pass equally many."""
    import torch

    if get_world_size() == 1:
        return list(rows)
    mine = torch.tensor(rows, dtype=torch.long)
    each = [torch.empty_like(mine) for _ in range(get_world_size())]
    torch.distributed.all_gather(each, mine)
    return torch.cat(each).tolist()


def check_first_step(lists: int, lists_per_step: int, what: str) -> None:
    """Check that there are enough lists for one step: trainers drop a batch that does not fill every rank.

    Args:
        what: The section of the config, "ranker" or "retriever", for the message.

    Raises:
        DataError: there are too few, so nothing would be trained.
    """
    needed = lists_per_step * get_world_size()
    if get_world_size() > 1 and lists < needed:
        raise DataError(
            f"{what}: {lists} lists to train on, but {get_world_size()} processes with {what}.lists_per_step: "
            f"{lists_per_step} need {needed} for one step. Start fewer processes or lower lists_per_step."
        )


def note_world_size(lists_per_step: int, what: str) -> list[str]:
    """A note that several processes train, which multiplies the batch; no note for a single one."""
    if get_world_size() == 1:
        return []
    return [f"{what}: trained by {get_world_size()} processes: batches of {get_world_size()} x {lists_per_step} lists"]


def rank_shard(count: int) -> slice:
    """The texts of `count` that this rank encodes: every n-th one, where n is the number of ranks."""
    return slice(get_rank(), count, get_world_size())


def all_gather_vectors(mine: Tensor, count: int) -> Tensor:
    """The vectors of all texts, of which this rank has encoded its `rank_shard`.

    Every rank computes the same loss from them, and the gradient flows into its own vectors only. The ranks' gradients
    should be summed, but `average_gradients` takes their mean, so the gradient is multiplied by the number of ranks.

    Args:
        mine: The vectors of this rank's shard. [shard, ...]
        count: How many texts all ranks have.

    Returns:
        All vectors, in order. [count, ...]
    """
    import torch

    n = get_world_size()
    if n == 1:
        return mine
    most = -(-count // n)
    padded = torch.zeros(most, *mine.shape[1:], dtype=mine.dtype, device=mine.device)
    padded[: len(mine)] = mine.detach()
    each = [torch.empty_like(padded) for _ in range(n)]
    torch.distributed.all_gather(each, padded)
    each[get_rank()] = torch.cat([_scale_gradient(mine, n), padded[len(mine) :]])
    return torch.stack(each, dim=1).flatten(0, 1)[:count]


def rank_weight(total: Tensor) -> Tensor:
    """The factor for this rank's weighted mean, such that the mean over ranks is the weighted mean over all lists.

    Args:
        total: The sum of this rank's weights.
    """
    import torch

    if get_world_size() == 1:
        return torch.ones_like(total)
    everywhere = total.detach().clone()
    torch.distributed.all_reduce(everywhere)
    return total * get_world_size() / everywhere.clamp_min(1e-9)  # all weights may be 0


def average_gradients(model: nn.Module) -> None:
    """Replace every gradient by its mean over all ranks (all-reduce); a missing gradient counts as 0."""
    import torch

    if get_world_size() == 1:
        return
    weights: list[Tensor] = [weight for weight in model.parameters() if weight.requires_grad]
    flat = torch.cat([(torch.zeros_like(each) if each.grad is None else each.grad).flatten() for each in weights])
    torch.distributed.all_reduce(flat)
    flat /= get_world_size()
    for weight, mean in zip(weights, torch.split(flat, [each.numel() for each in weights]), strict=True):
        weight.grad = mean.view_as(weight).clone()


def _scale_gradient(vectors: Tensor, factor: int) -> Tensor:
    """The same vectors, whose gradient is multiplied by `factor` in the backward pass."""
    return vectors * factor - (vectors * (factor - 1)).detach()


def with_averaged_gradients(trainer: Any) -> Any:
    """A subclass of a trainer that averages the gradients over all ranks after each step.

    Not by DistributedDataParallel, which wants to see each forward pass and as many of them in every process: losses
    here embed in micro-batches, some of them again in the backward pass, and shards differ by a text.
    """

    class Averaging(trainer):  # type: ignore[misc]
        def compute_loss(self, model: Any, *others: Any, **named: Any) -> Any:
            return super().compute_loss(getattr(model, "module", model), *others, **named)

        def training_step(self, model: Any, *others: Any, **named: Any) -> Any:
            loss = super().training_step(model, *others, **named)
            average_gradients(self.model)
            return loss

    return Averaging
