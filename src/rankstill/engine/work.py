"""What an engine runs: a function from a part to a part, and the state that it holds between parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

from rankstill.engine.parts import PartFolder
from rankstill.errors import RankstillError

if TYPE_CHECKING:
    import pyarrow as pa

Function = Callable[["pa.Table"], "pa.Table"]
"""Makes one part from another. It must not matter on which worker, or how often, it is called."""


class EngineError(RankstillError):
    """A cluster that cannot be reached, or a part that no worker could make."""


class Work(Protocol):
    """What to do with every part. It is pickled and sent to the workers, so it holds names and numbers, no model."""

    def load(self) -> Function:
        """Load whatever the work needs, once a worker."""


class Engine(Protocol):
    """Runs work on parts, somewhere. Parts that are made are not made again, whoever was killed when."""

    def fill(self, work: Work, source: PartFolder, target: PartFolder, what: str) -> None:
        """Make a part in `target` of every part in `source`, under the same name.

        Args:
            work: from a part to a part.
            source: what there is.
            target: what is to be.
            what: for the progress line.

        Raises:
            EngineError: a part cannot be made. Those that were made stay.
        """

    def map(self, work: Work, tables: Iterable[pa.Table], kept: PartFolder, what: str) -> Iterator[pa.Table]:
        """Work on tables that are here, as on parts; what comes of each, in order.

        Args:
            work: from a part to a part.
            tables: read one at a time.
            kept: where what is made stays.
            what: for the progress line.

        Raises:
            EngineError: as `fill`.
        """
