"""The ledger: every call that was made, in one SQLite file, so that none is paid twice and none is forgotten."""

from __future__ import annotations

import json
import math
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from threading import Lock
from typing import Any

from rankstill.errors import RankstillError
from rankstill.teacher.calls import Answer, Call
from rankstill.teacher.client.redaction import without_secrets
from rankstill.teacher.prices import Price

_VERSION = 1
_BUSY_SECONDS = 60.0

# The first index finds an answer and keeps it the only one; the second holds all that the sums and percentiles need, so
# that they do not read the prompts.
_SCHEMA = (
    """CREATE TABLE calls (
        id INTEGER PRIMARY KEY,
        key TEXT NOT NULL,
        failed INTEGER NOT NULL,
        endpoint TEXT NOT NULL, model TEXT NOT NULL,
        attempt INTEGER NOT NULL, paid_by TEXT NOT NULL,
        tokens_in INTEGER NOT NULL, tokens_out INTEGER NOT NULL,
        seconds REAL NOT NULL, cost REAL,
        finish TEXT,
        time TEXT NOT NULL,
        error TEXT, parameters TEXT NOT NULL, answer TEXT, messages TEXT NOT NULL
    )""",
    "CREATE UNIQUE INDEX answered ON calls (key) WHERE failed = 0",
    "CREATE INDEX measured ON calls (model, failed, seconds, tokens_in, tokens_out, cost, time)",
    "CREATE INDEX paid ON calls (paid_by, failed, tokens_in, tokens_out, cost)",
    f"PRAGMA user_version = {_VERSION}",
)

# Texts are bound as bytes: an answer may hold half a surrogate pair, which is no UTF-8, and must not be lost for that.
_INSERT = """
    INSERT INTO calls (key, failed, endpoint, model, attempt, paid_by, tokens_in, tokens_out, seconds, cost, finish,
                       time, error, parameters, answer, messages)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT))
    ON CONFLICT (key) WHERE failed = 0 DO NOTHING
"""
_WITHDRAW = "UPDATE calls SET failed = 1, error = CAST(? AS TEXT) WHERE key = ? AND failed = 0"
_MEASURED = "model = ? AND failed = 0 AND seconds > 0"
_GET = "SELECT answer, tokens_in, tokens_out, seconds, finish FROM calls WHERE key = ? AND failed = 0"
_SUMS = (
    "total(1 - failed), total(failed), total(tokens_in), total(tokens_out), total(cost), "
    "total(failed = 0 AND cost IS NULL)"
)


class LedgerError(RankstillError):
    """A ledger that is damaged, is of another version, or cannot be written."""


@dataclass(frozen=True)
class Spend:
    """What some calls took.

    Args:
        calls: answered ones; tokens and cost are theirs.
        failures: tries that failed.
        cost: USD, each at the price that held when it was made; None where one's is not known, or none was made.
    """

    calls: int = 0
    failures: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float | None = None


@dataclass(frozen=True)
class ModelStats:
    """One model's calls.

    Args:
        p50: seconds within which half of the answered calls were answered; None if none was, as below.
        p90: likewise nine in ten.
        p99: likewise 99 in a hundred.
        last: time of the last call, UTC, ISO 8601.
    """

    model: str
    spend: Spend
    p50: float | None
    p90: float | None
    p99: float | None
    last: str


def default_ledger_path() -> Path:
    """One ledger for all workspaces: $RANKSTILL_LEDGER, or ledger.sqlite in the user's data folder (XDG)."""
    if chosen := os.environ.get("RANKSTILL_LEDGER"):
        return Path(chosen).expanduser()
    data = os.environ.get("XDG_DATA_HOME", "")
    # The XDG specification wants a relative path to be ignored.
    folder = Path(data) if Path(data).is_absolute() else Path.home() / ".local" / "share"
    return folder / "rankstill" / "ledger.sqlite"


class Ledger:
    """All calls ever made, answered or failed; several processes, and threads of one, may share it.

    What `put` and `fail` have written survives a kill and a power failure (WAL, synchronous=FULL: one fsync a row, a
    few milliseconds on a slow disk; reading does not wait for it). It holds prompts and answers as they were, and no
    API key: it is never given one, and takes out what looks like one from errors, parameters and addresses.

    Args:
        path: the path of the file; it and its folder are made if need be.
        paid_by: on whose account new calls are noted, such as a workspace.
        price: the price of the model that is asked, if known; noted with each answer, for prices change.

    Raises:
        LedgerError: the file is damaged, is no ledger of this version, or cannot be written; so for all methods.
    """

    def __init__(self, path: Path, paid_by: str = "", price: Price | None = None) -> None:
        self.path = path
        self.paid_by = paid_by
        self._price = price
        self._writing, self._reading = Lock(), Lock()
        with self._explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = _connect(path)
            try:
                self._prepare()
                self._reader = _connect(path)
            except BaseException:
                self._writer.close()
                raise

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing can be asked of it afterwards."""
        with self._writing, self._reading:
            self._reader.close()
            self._writer.close()

    def get(self, call: Call) -> Answer | None:
        """The answer that was paid for this call, if there is one."""
        row = self._one(_GET, call.key)
        return Answer(*row) if row else None

    def answered(self, key: str) -> bool:
        """Whether the call with this key has an answer."""
        return self._one(_GET, key) is not None

    def put(self, call: Call, answer: Answer, paid_by: str | None = None, sent: Call | None = None) -> None:
        """Keep an answer, on the disk when this returns. If the call has one already, that one stays.

        Args:
            answer: the answer to it; what took 0 s was not measured, and does not count as fast.
            paid_by: on whose account, if not this ledger's.
            sent: what was sent in the call's place, if not the call itself; its messages are the ones that are kept.
        """
        self._write(call, answer, paid_by=self.paid_by if paid_by is None else paid_by, sent=sent)

    def fail(self, call: Call, error: str, seconds: float) -> None:
        """Note one try that failed, why, and after how many seconds."""
        self._write(call, Answer("", 0, 0, seconds), paid_by=self.paid_by, error=error)

    def withdraw(self, keys: Iterable[str], why: str) -> None:
        """Count answers as failed, so that their calls are asked anew; what they took stays counted."""
        with self._writing, self._explained():
            for key in keys:
                self._writer.execute(_WITHDRAW, (_bytes(why), key))

    def totals(self, model: str | None = None) -> Spend:
        """What all calls took, or those to one model."""
        where, values = ("WHERE model = ?", (model,)) if model is not None else ("", ())
        return self._sum(where, *values)

    def own(self) -> Spend:
        """What the calls took that are noted on this ledger's `paid_by`, now or in earlier runs."""
        return self._sum("WHERE paid_by = ?", self.paid_by)

    def mean_answer(self, model: str) -> float | None:
        """Tokens of this model's answers, on average; None where there is none that was counted."""
        question = "SELECT avg(tokens_out) FROM calls WHERE model = ? AND failed = 0 AND tokens_out > 0"
        mean: float | None = self._one(question, model)[0]
        return mean

    def _sum(self, where: str, *values: str) -> Spend:
        return _spend(self._one(f"SELECT {_SUMS} FROM calls {where}", *values))

    def by_model(self) -> list[ModelStats]:
        """Each model's calls, by name."""
        with self._reading, self._explained():
            models = self._reader.execute(
                f"SELECT model, max(time), {_SUMS} FROM calls GROUP BY model ORDER BY model"
            ).fetchall()
        stats = []
        for model, last, *sums in models:
            spend = _spend(sums)
            measured = self._one(f"SELECT count(*) FROM calls WHERE {_MEASURED}", model)[0]
            p50, p90, p99 = (self._percentile(model, measured, percent) for percent in (50, 90, 99))
            stats.append(ModelStats(model, spend, p50, p90, p99, last))
        return stats

    def _percentile(self, model: str, calls: int, percent: int) -> float | None:
        """A percentile of the answered calls' seconds, by nearest rank: the smallest that `percent` of them do not
        exceed."""
        row = self._one(
            f"SELECT seconds FROM calls WHERE {_MEASURED} ORDER BY seconds LIMIT 1 OFFSET ?",
            model,
            max(math.ceil(calls * percent / 100) - 1, 0),
        )
        return None if row is None else float(row[0])

    def _one(self, question: str, *values: Any) -> Any:
        """The first row, or None."""
        with self._reading, self._explained():
            return self._reader.execute(question, values).fetchone()

    def _write(
        self, call: Call, answer: Answer, *, paid_by: str, error: str | None = None, sent: Call | None = None
    ) -> None:
        row = (
            call.key,
            int(error is not None),
            without_secrets(call.endpoint),
            call.model,
            call.attempt,
            paid_by,
            answer.tokens_in,
            answer.tokens_out,
            answer.seconds,
            None if error is not None else self._cost(answer),
            answer.finish,
            datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            None if error is None else _bytes(without_secrets(error)),
            _bytes(without_secrets(json.dumps(call.parameters, ensure_ascii=False, sort_keys=True))),
            None if error is not None else _bytes(answer.text),
            _bytes(json.dumps((sent or call).messages, ensure_ascii=False)),
        )
        with self._writing, self._explained():
            self._writer.execute(_INSERT, row)

    def _cost(self, answer: Answer) -> float | None:
        if not answer.tokens_in + answer.tokens_out:
            return 0.0  # a person's, or a cache's
        return None if self._price is None else self._price.cost(answer.tokens_in, answer.tokens_out)

    def _prepare(self) -> None:
        self._writer.execute("BEGIN IMMEDIATE")
        tables = {name for (name,) in self._writer.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        version = self._writer.execute("PRAGMA user_version").fetchone()[0]
        if not tables and version == 0:
            for statement in _SCHEMA:
                self._writer.execute(statement)
        elif "calls" not in tables:
            raise LedgerError(f"ledger {self.path}: another program's database. Set RANKSTILL_LEDGER to another file.")
        elif version != _VERSION:
            raise LedgerError(
                f"ledger {self.path}: of format {version}, while this version of rankstill has format {_VERSION}. "
                "Use the version that made it, or set RANKSTILL_LEDGER to another file."
            )
        self._writer.execute("COMMIT")
        self._use_wal()

    def _use_wal(self) -> None:
        # A change of journal does not wait for other processes that open the new file as well, so we do.
        deadline = time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                mode = self._writer.execute("PRAGMA journal_mode = WAL").fetchone()[0]
                break
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        if mode != "wal":
            raise LedgerError(
                f"ledger {self.path}: this file system cannot share it safely (no WAL). "
                "Set RANKSTILL_LEDGER to a file on a local disk."
            )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.ProgrammingError, sqlite3.IntegrityError):
            raise  # ours to mend, not the user's
        except (sqlite3.DatabaseError, OSError) as error:
            problem = error.strerror or str(error) if isinstance(error, OSError) else str(error)
            raise LedgerError(f"ledger {self.path}: {_advice(problem)}") from error


def _spend(sums: Sequence[float]) -> Spend:
    calls, failures, tokens_in, tokens_out, cost, unpriced = sums
    known = calls and not unpriced
    return Spend(int(calls), int(failures), int(tokens_in), int(tokens_out), cost if known else None)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.text_factory = lambda raw: raw.decode("utf-8", "surrogatepass")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _advice(problem: str) -> str:
    # By their words: Python 3.10 does not give SQLite's error codes.
    if "not a database" in problem or "malformed" in problem:
        return (
            f"damaged, or no ledger ({problem}). Move it away and run the same command again; "
            "SQLite's own `.recover` may save what it held."
        )
    if "locked" in problem:
        return f"held by another process for {_BUSY_SECONDS:.0f} s. End that process and run the same command again."
    if "full" in problem:
        return "the disk is full. Make room and run the same command again: what is done is kept."
    return f"cannot be used ({problem}). Check its folder's permissions, or set RANKSTILL_LEDGER to another file."
