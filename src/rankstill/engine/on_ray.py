"""The engine of many machines: a Ray Data pipeline whose rows are shards and whose actors hold the models.

What flows through Ray are the shards' names. Each actor reads its shard where it lies, and writes what it makes before
it says so. So the driver sees no data, a lost actor costs the shard that it was at, which another one makes, and a lost
driver costs no finished shard.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rankstill.engine.shards import EngineError, ShardFolder, Task
from rankstill.errors import RankstillError
from rankstill.packages import required
from rankstill.progress import progress

if TYPE_CHECKING:
    import pyarrow as pa

_RETRIES = 5
"""How often a shard is tried again whose worker died. By default Ray tries for ever, even a shard that kills every
worker."""


class RayEngine:
    """Runs work on shards on a Ray cluster. Shards that are made are not made again, whoever was killed when.

    Args:
        address: of the cluster, as `ray.init` takes it: "auto" for the one that this machine belongs to; None starts
            one here, or uses the one that this process is connected to.
        workers: actors at most; None, or more than the cluster has room for: as many as it has room for.
        cpus: how many CPU cores each worker has, above 0.
        gpus: of each; a share of one lets several share it.

    Raises:
        EngineError: Ray is not installed, there is no cluster at that address, or no machine of it holds a worker.
    """

    def __init__(
        self, address: str | None = None, *, workers: int | None = None, cpus: float = 1.0, gpus: float = 0.0
    ) -> None:
        ray = required("ray", "ray", "engine.kind: ray", EngineError)
        if not ray.is_initialized():
            try:
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise EngineError(
                    f"engine: no Ray cluster at {address} ({error}). Start one with `ray start --head`, or leave the "
                    "address out to use this machine alone."
                ) from error
        capacity = _worker_capacity([node["Resources"] for node in ray.nodes() if node["Alive"]], cpus, gpus)
        if not capacity:
            raise EngineError(
                f"engine: no machine of the cluster has the {cpus:g} cores and {gpus:g} GPUs of a worker. Lower "
                "engine.cpus or engine.gpus, or add machines."
            )
        self.workers = min(workers or capacity, capacity)
        self.cpus, self.gpus = cpus, gpus

    def fill(self, work: Task, source: ShardFolder, target: ShardFolder, what: str) -> None:
        """Make a shard in `target` of every shard in `source`, under the same name.

        Raises:
            EngineError: a shard cannot be made. Those that were made stay.
        """
        import ray

        names = source.names()
        there = set(target.names())
        missing = [name for name in names if name not in there]
        with progress(what, len(names)) as advance:
            advance(len(names) - len(missing))
            if not missing:
                return
            shards = ray.data.from_items([{"shard": name} for name in missing], override_num_blocks=len(missing))
            workers = min(self.workers, len(missing))
            made = shards.map_batches(
                _Worker,
                fn_constructor_args=(work, source, target),
                batch_size=1,
                compute=ray.data.ActorPoolStrategy(min_size=1, max_size=workers, initial_size=workers),
                num_cpus=self.cpus,
                num_gpus=self.gpus,
                max_task_retries=_RETRIES,
            )
            try:
                for row in made.iter_rows():
                    if row["refused"]:
                        raise EngineError(str(row["refused"]))
                    advance(1)
            except ray.exceptions.RayError as error:
                last = str(error).strip().rpartition("\n")[2]
                there = set(target.names())
                first = next((name for name in missing if name not in there), "none")
                raise EngineError(
                    f"{what}: a worker failed ({last}). The first shard that is missing in {target.url} is {first}; "
                    "finished shards are kept. Fix the cause and run the same command again."
                ) from error

    def map(self, work: Task, tables: Iterable[pa.Table], kept: ShardFolder, what: str) -> Iterator[pa.Table]:
        """Work on tables that are here, as on shards; what comes of each, in order.

        The tables are read one at a time. They go to `kept`, in a folder of its own, from where the workers read them.
        """
        source = kept / "source"
        names = source.write_all(tables)
        self.fill(work, source, kept, what)
        for name in names:
            yield kept.read(name)


class _Worker:
    """An actor: loads the work once, then makes shards."""

    def __init__(self, work: Task, source: ShardFolder, target: ShardFolder) -> None:
        self._function = work.load()
        self._source, self._target = source, target

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Makes one shard; `refused` is why it cannot be made by anyone, in our own words, or empty."""
        (name,) = map(str, batch["shard"])
        refused = ""
        try:
            self._target.write(name, self._function(self._source.read(name)))
        except RankstillError as error:
            refused = str(error)  # as an exception it would come back as a page of Ray's
        return {"shard": [name], "refused": [refused]}


def _worker_capacity(machines: Sequence[dict[str, float]], cpus: float, gpus: float) -> int:
    """How many workers fit into a cluster, each onto one of its machines."""
    shares = [(name, share) for name, share in (("CPU", cpus), ("GPU", gpus)) if share]
    return sum(min(int(each.get(name, 0.0) / share + 1e-9) for name, share in shares) for each in machines)
