"""Batches under way, remembered on disk beside the ledger, so that no call is submitted twice."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rankstill.teacher.ledger import LedgerError
from rankstill.workspace import write_atomically


@dataclass(frozen=True)
class Submission:
    """Calls that were handed to a provider as one batch and are not collected yet.

    Args:
        file: the provider's id of the uploaded calls.
        paid_by: on whose account they were submitted.
        batch: the provider's id of the batch; None from just before it is started until its id is known.
    """

    name: str
    file: str
    keys: frozenset[str]
    paid_by: str
    batch: str | None = None


class Submissions:
    """One small file a submission, in a folder beside the ledger: processes that share the ledger share these too.

    Raises:
        LedgerError: a record cannot be read or written; so for all methods.
    """

    def __init__(self, ledger: Path) -> None:
        self._folder = ledger.with_name(f"{ledger.name}.batches")

    def __iter__(self) -> Iterator[Submission]:
        for path in sorted(self._folder.glob("*.json")):
            try:
                record = json.loads(path.read_text(encoding="utf-8"))
                submission = Submission(
                    path.stem, record["file"], frozenset(record["keys"]), record["paid_by"], record["batch"]
                )
            except FileNotFoundError:
                continue  # another process has just collected it
            except (ValueError, KeyError, TypeError) as error:
                raise LedgerError(
                    f"{path}: damaged; it names a batch under way. Move it away to submit its calls anew."
                ) from error
            yield submission

    def path(self, submission: Submission) -> Path:
        """Where the record lies."""
        return self._folder / f"{submission.name}.json"

    def add(self, file: str, keys: frozenset[str], paid_by: str) -> Submission:
        """Remember a batch that is about to be started."""
        submission = Submission(uuid.uuid4().hex, file, keys, paid_by)
        self._save(submission)
        return submission

    def started(self, submission: Submission, batch: str) -> Submission:
        """Remember the id of its batch."""
        known = replace(submission, batch=batch)
        self._save(known)
        return known

    def collected(self, submission: Submission, left: frozenset[str]) -> None:
        """Forget it, but for the calls whose answers are left there: another run is waiting for them."""
        if left:
            self._save(replace(submission, keys=left))
            return
        with self._explained(submission):
            self.path(submission).unlink(missing_ok=True)

    def _save(self, submission: Submission) -> None:
        record = {
            "batch": submission.batch,
            "file": submission.file,
            "paid_by": submission.paid_by,
            "keys": sorted(submission.keys),
        }
        with self._explained(submission):
            self._folder.mkdir(exist_ok=True)
            write_atomically(self.path(submission), json.dumps(record, indent=0) + "\n")

    @contextmanager
    def _explained(self, submission: Submission) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise LedgerError(
                f"{self.path(submission)}: cannot be written ({error.strerror or error}). It keeps batches from being "
                "paid twice: make room, or check its folder's rights, and run the same command again."
            ) from error
