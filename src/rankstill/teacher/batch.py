"""Asking through a provider's batch API: slower, often at half the price, and safe to stop at any moment.

The loop is that of asking live: collect the calls that the lists need next, have them answered, look again. A batch is
remembered on disk before it is started, and forgotten when its answers are in the ledger.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from rankstill.disk import temporary_files
from rankstill.progress import say
from rankstill.teacher.asking import CandidateList
from rankstill.teacher.budget import BudgetReached
from rankstill.teacher.calls import Answer, Call
from rankstill.teacher.client.batch_api import BatchAPI, BatchRefused, batch_line
from rankstill.teacher.client.chat import run
from rankstill.teacher.client.failures import REFUSED, CallFailed, Failure, TeacherError
from rankstill.teacher.client.transport import INSTEAD, adapted
from rankstill.teacher.ledger import LedgerError
from rankstill.teacher.truncation import CUT, TruncationWatch
from rankstill.workspace import write_atomically

if TYPE_CHECKING:
    from rankstill.teacher.black_box import BlackBox

MOST_REQUESTS, MOST_BYTES = 50_000, 200_000_000
"""In one batch file, as OpenAI limits it."""


@dataclass
class Submission:
    """Calls that were handed to a provider as one batch and are not collected yet.

    Its record is a small file beside the ledger: processes that share the ledger share these too.

    Args:
        path: the path of the record.
        file: the provider's id of the uploaded calls.
        batch: the provider's id of the batch; None from just before it is started until its id is known.

    Raises:
        LedgerError: by all methods, the record cannot be written.
    """

    path: Path
    file: str
    keys: frozenset[str]
    paid_by: str
    batch: str | None = None

    def started(self, batch: str) -> None:
        """Remember the id of its batch."""
        self.batch = batch
        self.save()

    def collected(self, left: frozenset[str]) -> None:
        """Forget it, but for the calls whose answers are left there: another run is waiting for them."""
        self.keys = left
        self.save()

    def save(self) -> None:
        """Write the record; that of a batch with no calls left is removed."""
        record = {"batch": self.batch, "file": self.file, "paid_by": self.paid_by, "keys": sorted(self.keys)}
        try:
            if self.keys:
                self.path.parent.mkdir(exist_ok=True)
                write_atomically(self.path, json.dumps(record, indent=0) + "\n")
            else:
                self.path.unlink(missing_ok=True)
        except OSError as error:
            raise LedgerError(
                f"{self.path}: cannot be written ({error.strerror or error}). It keeps batches from being "
                "paid twice: make room, or check its folder's permissions, and run the same command again."
            ) from error


def submissions(ledger: Path) -> Iterator[Submission]:
    """The batches under way, by whichever run they were submitted.

    Raises:
        LedgerError: a record is damaged.
    """
    for path in sorted(_records(ledger).glob("*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            submission = Submission(path, record["file"], frozenset(record["keys"]), record["paid_by"], record["batch"])
        except FileNotFoundError:
            continue  # another process has just collected it
        except (ValueError, KeyError, TypeError) as error:
            raise LedgerError(
                f"{path}: damaged; it names a batch under way. Move it away to submit its calls again."
            ) from error
        yield submission


def _records(ledger: Path) -> Path:
    return ledger.with_name(f"{ledger.name}.batches")


def ask_in_batches(teacher: BlackBox[Any], lists: Sequence[CandidateList]) -> dict[str, CallFailed]:
    """Have the calls that every list needs answered in batches, until the ledger holds the answers.

    Killed at any moment, it goes on with the batches under way: no call is submitted twice. A round of calls is
    submitted whole or not at all: its worst case must fit the budget, at the full price of a live call.

    Returns:
        Of the lists that will get no answer: query id and why.

    Raises:
        BudgetReached: the next round of calls could pass a limit; nothing of it was submitted.
        TeacherError: the endpoint cannot be asked, or a batch failed, expired or was cancelled. What was answered is
            kept.
        LedgerError: the ledger, or a record beside it, cannot be used.
    """

    async def ask_all() -> dict[str, CallFailed]:
        async with BatchAPI(teacher.config) as api:
            return await _Rounds(teacher, lists, api).run()

    return run(ask_all())


class _Rounds:
    """Batch after batch. Prompts are made anew whenever they are needed, for all of them at once may be gigabytes."""

    def __init__(self, teacher: BlackBox[Any], lists: Sequence[CandidateList], api: BatchAPI) -> None:
        self._teacher = teacher
        self._lists = lists
        self._api = api
        self._failures: Counter[str] = Counter()
        self._failed: dict[str, CallFailed] = {}  # calls by key, and why they are not submitted again
        self._shorter: set[str] = set()  # calls whose prompts are cut shorter
        self._not_taken: set[str] = set()  # parameters that the endpoint has said that it does not take
        self._sent_without: frozenset[str] = frozenset()  # those known when the batches under way were submitted
        self._watch = TruncationWatch()

    async def run(self) -> dict[str, CallFailed]:
        missing = {call.key for _, call in self._missing()}
        self._tell_of_others(missing)
        while missing:
            under_way = [each for each in submissions(self._teacher.ledger.path) if each.keys & missing]
            for submission in under_way or await self._submit():
                await self._collect(submission)
            missing = {call.key for _, call in self._missing()}
        left_out: dict[str, CallFailed] = {}
        for listed, calls in self._teacher.pending(self._lists):
            failed = [self._failed[call.key] for call in calls if call.key in self._failed]
            # A refused call first: a list that will not be whole need not be asked anew.
            left_out[listed.query_id] = min(failed, key=lambda each: not each.refused)
        return left_out

    def _missing(self, left_out: bool = False) -> Iterator[tuple[CandidateList, Call]]:
        """The calls to make next, each once; those of lists that are left out only if that is asked for."""
        seen: set[str] = set()
        for listed, calls in self._teacher.pending(self._lists):
            if left_out or not any(call.key in self._failed for call in calls):
                for call in calls:
                    if call.key not in seen:
                        seen.add(call.key)
                        yield listed, call

    def _sent(self, listed: CandidateList, call: Call) -> Call:
        """What is submitted for a call: with a shorter prompt, or without what the endpoint does not take."""
        short = self._teacher.asker.shorter(listed, call) if call.key in self._shorter else None
        return adapted(short or call, self._sent_without)

    def _tell_of_others(self, missing: set[str]) -> None:
        for each in submissions(self._teacher.ledger.path):
            if each.paid_by != self._teacher.ledger.paid_by or each.keys & missing:
                continue
            if left := self._unanswered(each.keys):
                say(
                    f"note: batch {each.batch or each.file}, submitted from here earlier, holds {len(left):,} calls "
                    "that are not needed now (other settings?); what they cost is not counted. "
                    f"Its record: {each.path}"
                )
            else:  # stopped just when it had been collected
                each.collected(left)

    def _unanswered(self, keys: Iterable[str]) -> frozenset[str]:
        return frozenset(key for key in keys if not self._teacher.ledger.answered(key))

    async def _submit(self) -> list[Submission]:
        self._sent_without = frozenset(self._not_taken)
        ledger = self._teacher.ledger
        with temporary_files("writing a batch"), TemporaryDirectory(prefix="rankstill-batch-") as folder:
            submitted = []
            for file, keys in self._write(Path(folder)):
                uploaded = await self._api.upload(file)
                record = _records(ledger.path) / f"{uuid.uuid4().hex}.json"
                submission = Submission(record, uploaded, frozenset(keys), ledger.paid_by)
                submission.save()  # before it is started: a kill in between must not lose it
                batch = await self._api.start(uploaded)
                submission.started(batch)
                submitted.append(submission)
                say(
                    f"batch {batch} submitted, its calls: {len(keys):,}. It may take a day; if you stop this command, "
                    "run it again later and it goes on from there."
                )
            return submitted

    def _write(self, folder: Path) -> list[tuple[Path, list[str]]]:
        """The calls to make next as batch files, each with its calls' keys; only if the budget has room for all."""
        budget = self._teacher.budget
        parts: list[tuple[Path, list[str]]] = []
        size = 0
        with ExitStack() as reserved:
            for listed, call in self._missing():
                sent = self._sent(listed, call)
                reservation = budget.reserve(sent)
                if reservation is None:
                    raise BudgetReached(self._no_room(fitting=sum(len(keys) for _, keys in parts)))
                reserved.callback(budget.release, reservation)
                line = batch_line(call.key, sent)
                if not parts or len(parts[-1][1]) == MOST_REQUESTS or size + len(line) > MOST_BYTES:
                    parts.append((folder / f"calls-{len(parts) + 1}.jsonl", []))
                    size = 0
                file, keys = parts[-1]
                with file.open("ab") as out:
                    out.write(line)
                keys.append(call.key)
                size += len(line)
        return parts

    def _no_room(self, fitting: int) -> str:
        budget = self._teacher.budget
        calls = sum(1 for _ in self._missing())
        limits = [name for name in ("max_cost", "max_tokens", "max_calls") if getattr(budget, name) is not None]
        names = " and ".join(f"teacher.{name}" for name in limits)
        return (
            f"{names}: of the {calls:,} calls of the next batch only {fitting:,} are sure to fit, each counted at its "
            f"worst, so none was submitted. Raise {names}, lower teacher.queries, or set teacher.batch to false, "
            "and run the same command again: what is done is kept."
        )

    async def _collect(self, submission: Submission) -> None:
        batch_id = submission.batch or await self._api.find(submission.file)
        if batch_id is None:  # stopped just before it was started
            submission.collected(left=frozenset())
            return
        if submission.batch is None:
            submission.started(batch_id)
        try:
            batch = await self._api.wait(batch_id, len(submission.keys))
            results = await self._api.results(batch)
        except BatchRefused as error:
            raise TeacherError(
                f"{error} If batch {batch_id} is gone, move {submission.path} away and run "
                "the same command again to submit its calls again."
            ) from error

        calls = len(submission.keys)
        looked_at: set[str] = set()
        cut: list[str] = []
        answered = 0
        refused: Failure | None = None
        for listed, call in self._missing(left_out=True):
            if call.key not in submission.keys:
                continue
            looked_at.add(call.key)
            if call.key not in results and batch.status != "completed":
                continue  # not a failure of this call
            outcome = self._api.outcome(results.get(call.key), call)
            if isinstance(outcome, Answer):
                sent = self._sent(listed, call)
                self._teacher.ledger.put(call, outcome, sent=sent)
                cut += self._watch.saw(call.key, sent, outcome)
                answered += 1
            elif self._fail(listed, call, outcome):
                refused = outcome
        self._teacher.budget.spent = self._teacher.ledger.own()
        # Calls of lists that this run does not have: another one, which shares the ledger, will look for them.
        submission.collected(left=self._unanswered(submission.keys & results.keys() - looked_at))
        if cut:
            self._teacher.ledger.withdraw(cut, CUT)
            raise self._watch.error()
        if batch.status != "completed":
            raise TeacherError(
                f"batch {batch.id} {self._api.reason(batch)}. {answered:,} of its {calls:,} calls were answered and "
                "are kept; run the same command again to submit the others."
            )
        if refused is not None and not self._teacher.budget.spent.calls:  # never an answer: it is not this call alone
            raise self._api.refused(refused)

    def _fail(self, listed: CandidateList, call: Call, failure: Failure) -> bool:
        """Note a failure, and what follows from it; whether it may be one of all calls, that no other try heals."""
        self._teacher.ledger.fail(call, failure.what, 0.0)
        self._failures[call.key] += 1
        why = f"{failure.what}. {failure.advice}"
        if failure.then == "stop":
            self._failed[call.key] = CallFailed(why, "stop")
            return True
        if failure.parameter is not None and failure.parameter not in self._sent_without:
            if failure.parameter not in self._not_taken:
                self._not_taken.add(failure.parameter)
                say(f"note: the batch API's calls: {failure.what}; {INSTEAD[failure.parameter]}")
        elif (
            failure.then in ("shorten", "unclear")
            and call.key not in self._shorter
            and self._teacher.asker.shorter(listed, call) is not None
        ):
            self._shorter.add(call.key)
        elif failure.then in REFUSED:
            self._failed[call.key] = CallFailed(why, failure.then)
            return failure.then != "skip"
        elif self._failures[call.key] >= self._teacher.config.tries:
            self._failed[call.key] = CallFailed(
                f"a call was given up after {self._failures[call.key]} batches, the last time: {failure.what}. Run the "
                "same command again to submit it again."
            )
        return False
