"""A folder of Parquet shards, on a disk or in object storage: what goes into a task and what comes out of it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from rankstill.errors import RankstillError

if TYPE_CHECKING:
    import pyarrow as pa

Function = Callable[["pa.Table"], "pa.Table"]
"""Makes one shard from another. It must not matter on which worker, or how often, it is called."""


@dataclass(frozen=True)
class ShardFolder:
    """Shards by their names, each written whole or not at all. It is sent to other machines as its address alone.

    Args:
        url: a path, or an address that fsspec knows, such as s3://bucket/folder. What a store wants to know besides,
            its keys first of all, comes from the environment or from fsspec's own configuration.
    """

    url: str

    def __truediv__(self, name: str) -> ShardFolder:
        return ShardFolder(f"{self.url.rstrip('/')}/{name}")

    def names(self) -> list[str]:
        """The names of the shards that are there, in order."""
        files, folder = reached(self.url)
        files.invalidate_cache()  # other machines write here too
        if not files.exists(folder):
            return []
        names = (str(path).rsplit("/", 1)[-1] for path in files.ls(folder, detail=False))
        return sorted(name for name in names if name.startswith("part-") and name.endswith(".parquet"))

    def read(self, name: str) -> pa.Table:
        """Read one shard."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        files, folder = reached(self.url)
        return pq.read_table(pa.BufferReader(files.cat_file(f"{folder}/{name}")))

    def rows(self) -> int:
        """How many rows all shards have, as the footer of each file says: the rest is not read."""
        import pyarrow.parquet as pq

        files, folder = reached(self.url)
        rows = 0
        for name in self.names():
            with files.open(f"{folder}/{name}", "rb") as file:
                rows += int(pq.read_metadata(file).num_rows)
        return rows

    def write(self, name: str, table: pa.Table) -> None:
        """Write a shard, so that a reader, or a kill, sees all of it or nothing."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        files, folder = reached(self.url)
        files.makedirs(folder, exist_ok=True)
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        content = sink.getvalue().to_pybytes()
        path = f"{folder}/{name}"
        if not _on_a_disk(files):  # an object is there when its upload is finished, and not before
            files.pipe_file(path, content)
            return
        # A name of its own: a worker that was given up for lost may still be writing the same shard.
        unfinished = f"{folder}/{uuid.uuid4().hex}.tmp"
        files.pipe_file(unfinished, content)
        files.mv(unfinished, path)

    def write_all(self, tables: Iterable[pa.Table]) -> list[str]:
        """Write tables as shards in their order, but for those that are there; returns all their names."""
        there = set(self.names())
        names = []
        for number, table in enumerate(tables):
            names.append(shard_name(number))
            if names[-1] not in there:
                self.write(names[-1], table)
        return names

    def tables(self) -> Iterator[pa.Table]:
        """All shards, in order, one at a time."""
        for name in self.names():
            yield self.read(name)


def reached(url: str) -> tuple[Any, str]:
    """The file system that an address is on, and its path there."""
    import fsspec

    files, path = fsspec.core.url_to_fs(url)
    return files, str(path).rstrip("/")


def shard_name(number: int) -> str:
    """The file name of a shard, such that names sort as numbers do."""
    return f"part-{number:06}.parquet"


def _on_a_disk(files: Any) -> bool:
    protocols = files.protocol if isinstance(files.protocol, tuple) else (files.protocol,)
    return "file" in protocols


class EngineError(RankstillError):
    """A cluster that cannot be reached, or a shard that no worker could make."""


class Task(Protocol):
    """What to do with every shard. It is pickled and sent to the workers, so it holds names and numbers, no model."""

    def load(self) -> Function:
        """Load whatever the work needs, once a worker."""
