"""What an engine runs: a function from a shard to a shard, and the state that it holds between shards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

from rankstill.engine.shards import ShardFolder
from rankstill.errors import RankstillError

if TYPE_CHECKING:
    import pyarrow as pa

Function = Callable[["pa.Table"], "pa.Table"]
"""Makes one shard from another. It must not matter on which worker, or how often, it is called."""


class EngineError(RankstillError):
    """A cluster that cannot be reached, or a shard that no worker could make."""


class Task(Protocol):
    """What to do with every shard. It is pickled and sent to the workers, so it holds names and numbers, no model."""

    def load(self) -> Function:
        """Load whatever the work needs, once a worker."""


class Engine(Protocol):
    """Runs work on shards, somewhere. Shards that are made are not made again, whoever was killed when."""

    def fill(self, work: Task, source: ShardFolder, target: ShardFolder, what: str) -> None:
        """Make a shard in `target` of every shard in `source`, under the same name.

        Raises:
            EngineError: a shard cannot be made. Those that were made stay.
        """

    def map(self, work: Task, tables: Iterable[pa.Table], kept: ShardFolder, what: str) -> Iterator[pa.Table]:
        """Work on tables that are here, as on shards; what comes of each, in order.

        Args:
            tables: read one at a time.
            kept: where what is made stays.
        """
