"""Asking through a provider's batch API: slower, often at half the price, and safe to stop at any moment.

The loop is that of asking live: collect the calls that the lists need next, have them answered, look again. A batch is
remembered on disk before it is started, and forgotten when its answers are in the ledger.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from openai.types import Batch

from rankstill.disk import temporary_files
from rankstill.progress import say
from rankstill.teacher.asking import CandidateList
from rankstill.teacher.budget import BudgetReached, Reservation
from rankstill.teacher.calls import Answer, Call
from rankstill.teacher.client.batch_api import BatchAPI, BatchRefused, batch_line
from rankstill.teacher.client.chat import run
from rankstill.teacher.client.failures import Failure, TeacherError
from rankstill.teacher.client.transport import INSTEAD, adapted
from rankstill.teacher.ledger import LedgerError
from rankstill.teacher.truncation import CUT, TruncationWatch
from rankstill.workspace import write_atomically

if TYPE_CHECKING:
    from rankstill.teacher.black_box import BlackBox

MOST_REQUESTS, MOST_BYTES = 50_000, 200_000_000
"""In one batch file, as OpenAI limits it."""

LeftOut = tuple[dict[str, str], dict[str, str]]


@dataclass(frozen=True)
class Submission:
    """Calls that were handed to a provider as one batch and are not collected yet.

    Args:
        file: the provider's id of the uploaded calls.
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
                    f"{path}: damaged; it names a batch under way. Move it away to submit its calls again."
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
                "paid twice: make room, or check its folder's permissions, and run the same command again."
            ) from error


def ask_in_batches(teacher: BlackBox[Any], lists: Sequence[CandidateList]) -> LeftOut:
    """Have the calls that every list needs answered in batches, until the ledger holds the answers.

    Killed at any moment, it goes on with the batches under way: no call is submitted twice. A round of calls is
    submitted whole or not at all: its worst case must fit the budget, at the full price of a live call.

    Returns:
        Of the lists whose prompts are refused, and of those whose calls failed and may be answered another time: query
        id and why.

    Raises:
        BudgetReached: the next round of calls could pass a limit; nothing of it was submitted.
        TeacherError: the endpoint cannot be asked, or a batch failed, expired or was cancelled. What was answered is
            kept.
        LedgerError: the ledger, or a record beside it, cannot be used.
    """

    async def ask_all() -> LeftOut:
        async with BatchAPI(teacher.config) as api:
            return await _Rounds(teacher, lists, api).run()

    return run(ask_all())


class _Rounds:
    """Batch after batch. Prompts are made anew whenever they are needed, for all of them at once may be gigabytes."""

    def __init__(self, teacher: BlackBox[Any], lists: Sequence[CandidateList], api: BatchAPI) -> None:
        self._teacher = teacher
        self._lists = lists
        self._api = api
        self._submissions = Submissions(teacher.ledger.path)
        self._failures: Counter[str] = Counter()
        self._refused: dict[str, str] = {}  # calls by key, and why they are not submitted again
        self._given_up: dict[str, str] = {}  # likewise
        self._shorter: set[str] = set()  # calls whose prompts are cut shorter
        self._not_taken: set[str] = set()  # parameters that the endpoint has said that it does not take
        self._sent_without: frozenset[str] = frozenset()  # those known when the batches under way were submitted
        self._watch = TruncationWatch()

    async def run(self) -> LeftOut:
        missing = {call.key for _, call in self._missing()}
        self._tell_of_others(missing)
        while missing:
            under_way = [each for each in self._submissions if each.keys & missing]
            for submission in under_way or await self._submit():
                await self._collect(submission)
            missing = {call.key for _, call in self._missing()}
        refused: dict[str, str] = {}
        given_up: dict[str, str] = {}
        for listed, calls in self._teacher.pending(self._lists):
            # Refused first: a list that will not be whole need not be asked anew.
            for of_lists, of_calls in ((refused, self._refused), (given_up, self._given_up)):
                why = next((of_calls[call.key] for call in calls if call.key in of_calls), None)
                if why is not None:
                    of_lists[listed.query_id] = why
                    break
        return refused, given_up

    def _missing(self) -> Iterator[tuple[CandidateList, Call]]:
        """The calls to make next, each once, without those of lists that are left out."""
        return self._each_once(left_out=False)

    def _each_once(self, left_out: bool) -> Iterator[tuple[CandidateList, Call]]:
        seen: set[str] = set()
        for listed, calls in self._teacher.pending(self._lists):
            if left_out or not any(call.key in self._refused or call.key in self._given_up for call in calls):
                for call in calls:
                    if call.key not in seen:
                        seen.add(call.key)
                        yield listed, call

    def _sent(self, listed: CandidateList, call: Call) -> Call:
        """What is submitted for a call: with a shorter prompt, or without what the endpoint does not take."""
        short = self._teacher.asker.shorter(listed, call) if call.key in self._shorter else None
        return adapted(short or call, self._sent_without)

    def _tell_of_others(self, missing: set[str]) -> None:
        for each in self._submissions:
            if each.paid_by != self._teacher.ledger.paid_by or each.keys & missing:
                continue
            if left := self._unanswered(each.keys):
                say(
                    f"note: batch {each.batch or each.file}, submitted from here earlier, holds {len(left):,} calls "
                    "that are not needed now (other settings?); what they cost is not counted. "
                    f"Its record: {self._submissions.path(each)}"
                )
            else:  # stopped just when it had been collected
                self._submissions.collected(each, left=left)

    def _unanswered(self, keys: Iterable[str]) -> frozenset[str]:
        return frozenset(key for key in keys if not self._teacher.ledger.answered(key))

    async def _submit(self) -> list[Submission]:
        self._sent_without = frozenset(self._not_taken)
        with temporary_files("writing a batch"), TemporaryDirectory(prefix="rankstill-batch-") as folder:
            submitted = []
            for file, keys in self._write(Path(folder)):
                uploaded = await self._api.upload(file)
                submission = self._submissions.add(uploaded, frozenset(keys), self._teacher.ledger.paid_by)
                batch = await self._api.start(uploaded)
                submitted.append(self._submissions.started(submission, batch))
                say(
                    f"batch {batch} submitted, its calls: {len(keys):,}. It may take a day; if you stop this command, "
                    "run it again later and it goes on from there."
                )
            return submitted

    def _write(self, folder: Path) -> list[tuple[Path, list[str]]]:
        """The calls to make next as batch files, each with its calls' keys; only if the budget has room for all."""
        budget = self._teacher.budget
        parts: list[tuple[Path, list[str]]] = []
        reservations: list[Reservation] = []
        size = 0
        try:
            for listed, call in self._missing():
                sent = self._sent(listed, call)
                reservation = budget.reserve(sent)
                if reservation is None:
                    raise BudgetReached(self._no_room(len(reservations)))
                reservations.append(reservation)
                line = batch_line(call.key, sent)
                if not parts or len(parts[-1][1]) == MOST_REQUESTS or size + len(line) > MOST_BYTES:
                    parts.append((folder / f"calls-{len(parts) + 1}.jsonl", []))
                    size = 0
                file, keys = parts[-1]
                with file.open("ab") as out:
                    out.write(line)
                keys.append(call.key)
                size += len(line)
        finally:
            for reservation in reservations:
                budget.release(reservation)
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
        if submission.batch is None:  # stopped just when it was being started
            found = await self._api.find(submission.file)
            if found is None:
                self._submissions.collected(submission, left=frozenset())
                return
            submission = self._submissions.started(submission, found)
        assert submission.batch is not None
        try:
            batch = await self._api.wait(submission.batch, len(submission.keys))
            results = await self._api.results(batch)
        except BatchRefused as error:
            raise TeacherError(
                f"{error} If batch {submission.batch} is gone, move {self._submissions.path(submission)} away and run "
                "the same command again to submit its calls again."
            ) from error

        looked_at: set[str] = set()
        cut: list[str] = []
        answered = 0
        refused: Failure | None = None
        for listed, call in self._each_once(left_out=True):
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
        self._submissions.collected(submission, left=self._unanswered(submission.keys & results.keys() - looked_at))
        if cut:
            self._teacher.ledger.withdraw(cut, CUT)
            raise self._watch.error()
        if batch.status != "completed":
            raise TeacherError(self._ended(batch, answered, len(submission.keys)))
        if refused is not None and not self._teacher.budget.spent.calls:  # never an answer: it is not this call alone
            raise self._api.refused(refused)

    def _fail(self, listed: CandidateList, call: Call, failure: Failure) -> bool:
        """Note a failure, and what follows from it; whether it may be one of all calls, that no other try heals."""
        self._teacher.ledger.fail(call, failure.what, 0.0)
        self._failures[call.key] += 1
        why = f"{failure.what}. {failure.advice}"
        if failure.then == "stop":
            self._given_up[call.key] = why
            return True
        if failure.parameter is not None and failure.parameter not in self._sent_without:
            self._do_without(failure.parameter, failure.what)
        elif failure.then in ("shorten", "unclear") and self._can_be_shorter(listed, call):
            self._shorter.add(call.key)
        elif failure.then in ("skip", "shorten", "unclear", "adapt"):
            self._refused[call.key] = why
            return failure.then != "skip"
        elif self._failures[call.key] >= self._teacher.config.tries:
            self._given_up[call.key] = (
                f"a call was given up after {self._failures[call.key]} batches, the last time: {failure.what}. Run the "
                "same command again to submit it again."
            )
        return False

    def _do_without(self, parameter: str, what: str) -> None:
        if parameter not in self._not_taken:
            self._not_taken.add(parameter)
            say(f"note: the batch API's calls: {what}; {INSTEAD[parameter]}")

    def _can_be_shorter(self, listed: CandidateList, call: Call) -> bool:
        return call.key not in self._shorter and self._teacher.asker.shorter(listed, call) is not None

    def _ended(self, batch: Batch, answered: int, calls: int) -> str:
        return (
            f"batch {batch.id} {self._api.reason(batch)}. {answered:,} of its {calls:,} calls were answered and are "
            "kept; run the same command again to submit the others."
        )
