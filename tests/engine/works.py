"""Work for the tests, small enough to be told apart by what it leaves behind."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute

from rankstill.engine import Function, Task
from rankstill.errors import DataError


@dataclass(frozen=True)
class Double:
    """Doubles `number`, and notes in a folder each load and each call, by process.

    Args:
        log: the folder.
        seconds: that a shard takes.
    """

    log: str
    seconds: float = 0.0

    def load(self) -> Function:
        note(self.log, "load")

        def double(shard: pa.Table) -> pa.Table:
            note(self.log, f"part-{shard['number'][0].as_py()}")
            time.sleep(self.seconds)
            return pa.table({"number": pa.compute.multiply(shard["number"], 2)})

        return double


@dataclass(frozen=True)
class Refuse:
    """Raises one of our errors at one shard."""

    def load(self) -> Function:
        def refuse(shard: pa.Table) -> pa.Table:
            if shard["number"][0].as_py() == 3:
                raise DataError("row 3: cannot be read. Mend it.")
            return shard

        return refuse


@dataclass(frozen=True)
class Die:
    """Ends its process at shard 3, or raises an error there that is not ours.

    Args:
        how: "killed" or "raising".
    """

    how: str

    def load(self) -> Function:
        def die(shard: pa.Table) -> pa.Table:
            if shard["number"][0].as_py() == 3:
                if self.how == "killed":
                    os.kill(os.getpid(), signal.SIGKILL)
                raise ZeroDivisionError("nothing of ours")
            return pa.table({"number": pa.compute.multiply(shard["number"], 2)})

        return die


@dataclass(frozen=True)
class FullPrecision:
    """Other work as on a machine without bfloat16, so that figures can be compared closely."""

    work: Task

    def load(self) -> Function:
        from rankstill.compute import precision

        precision.fast_precision = lambda device: False
        return self.work.load()


@dataclass(frozen=True)
class Slowly:
    """Other work, a shard of which takes a while, and leaves a note when it is begun.

    Args:
        work: it.
        log: the notes' folder.
        seconds: the while.
    """

    work: Task
    log: str
    seconds: float

    def load(self) -> Function:
        function = self.work.load()

        def slowly(shard: pa.Table) -> pa.Table:
            note(self.log, "shard")
            time.sleep(self.seconds)
            return function(shard)

        return slowly


def note(log: str, what: str) -> None:
    """Leave a file that says that this process did something once more."""
    Path(log).mkdir(parents=True, exist_ok=True)
    (Path(log) / f"{what}.{os.getpid()}.{time.monotonic_ns()}").touch()
