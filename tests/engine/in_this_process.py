"""An engine that is a loop in this process: what another engine makes is held against what it makes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from rankstill.engine import Function, ShardFolder, Task, shard_name
from rankstill.progress import progress

if TYPE_CHECKING:
    import pyarrow as pa


class LocalEngine:
    """One shard after the other. See `RayEngine`."""

    def fill(self, work: Task, source: ShardFolder, target: ShardFolder, what: str) -> None:
        """As `RayEngine.fill`."""
        names, loaded, there = source.names(), _Loaded(work), set(target.names())
        with progress(what, len(names)) as advance:
            for name in names:
                if name not in there:
                    target.write(name, loaded.function(source.read(name)))
                advance(1)

    def map(self, work: Task, tables: Iterable[pa.Table], kept: ShardFolder, what: str) -> Iterator[pa.Table]:
        """As `RayEngine.map`."""
        loaded, there = _Loaded(work), set(kept.names())
        for number, table in enumerate(tables):
            name = shard_name(number)
            if name not in there:
                kept.write(name, loaded.function(table))
            yield kept.read(name)


class _Loaded:
    """Work that is loaded when the first shard needs it: where all are made, no model is."""

    def __init__(self, work: Task) -> None:
        self._work = work

    @cached_property
    def function(self) -> Function:
        return self._work.load()
