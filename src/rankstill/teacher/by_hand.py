"""Asking by hand: the exact prompts in a file, and the answers from a file, whoever gave them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankstill.data.faults import Faults
from rankstill.data.reading import kind_of, read_jsonl
from rankstill.errors import DataError
from rankstill.teacher.asking import CandidateList
from rankstill.teacher.calls import Answer
from rankstill.workspace import write_atomically

if TYPE_CHECKING:
    from rankstill.teacher.black_box import BlackBox

NOBODY = "by hand"
"""The account of answers that were not paid for."""


def export_prompts(teacher: BlackBox[Any], lists: Iterable[CandidateList], path: Path) -> int:
    """Write the prompts that the lists need answered next, one JSON object a line.

    A line is {"key", "query_id", "attempt", "messages"}. With "answer" added it is what `import_answers` reads. Some
    lists need several rounds of this: a sliding window is asked about when the one before it is answered.

    Args:
        path: the path of the file; replaced whole, and not written when nothing is missing.

    Returns:
        How many prompts it holds: 0 when every list is settled.

    Raises:
        DataError: the file cannot be written.
    """
    lines: dict[str, str] = {}
    for listed, calls in teacher.pending(lists):
        for call in calls:
            prompt = {
                "key": call.key,
                "query_id": listed.query_id,
                "attempt": call.attempt,
                "messages": call.messages,
            }
            lines.setdefault(call.key, json.dumps(prompt, ensure_ascii=False) + "\n")
    if lines:
        try:
            write_atomically(path, "".join(lines.values()))
        except OSError as error:
            raise DataError(
                f"{path}: cannot be written ({error.strerror or error}). Check the path and its permissions."
            ) from error
    return len(lines)


def import_answers(teacher: BlackBox[Any], lists: Iterable[CandidateList], path: Path) -> tuple[int, list[str]]:
    """Take answers to prompts that were exported into the ledger, as calls that cost nothing.

    An answer is read as an LLM's would be: one that cannot be read is asked for again by the next export.

    Args:
        path: the path of the answers: {"key", "answer", ...} a line; what else the line holds is not looked at.

    Returns:
        How many answers were taken, and notes: lines that were left aside, counted and named.

    Raises:
        DataError: a line is broken or answers a prompt a second time. No answer is taken then.
    """
    answers, empty = _read(path)
    taken = set()
    for _, calls in teacher.pending(lists):
        for call in calls:
            if call.key in answers and call.key not in taken:
                answer = Answer(answers[call.key][1], tokens_in=0, tokens_out=0, seconds=0.0)
                teacher.ledger.put(call, answer, paid_by=NOBODY)
                taken.add(call.key)
    unknown = [number for key, (number, _) in answers.items() if key not in taken]
    aside = {
        "answer no prompt that is open now: answered already, or exported with other settings or data": unknown,
        "have no answer yet": empty,
    }
    return len(taken), [f"{path.name}: {_lines(numbers)} {why}" for why, numbers in aside.items() if numbers]


def _read(path: Path) -> tuple[dict[str, tuple[int, str]], list[int]]:
    """For each key its line's number and the answer, and the numbers of the lines without an answer."""
    answers: dict[str, tuple[int, str]] = {}
    empty: list[int] = []
    faults = Faults()
    for number, (key, answer) in faults.each(read_jsonl(path), partial(_parse, path)):
        if not answer.strip():
            empty.append(number)
        elif key in answers:
            faults.add(
                number,
                f"{path}, line {number}: answers the same prompt as line {answers[key][0]}. Keep one answer to each "
                "prompt.",
            )
        else:
            answers[key] = (number, answer)
    faults.stop()
    return answers, empty


def _parse(path: Path, record: Mapping[str, Any], number: int) -> tuple[str, str]:
    where = f"{path}, line {number}"
    key, answer = record.get("key"), record.get("answer")
    if not isinstance(key, str):
        raise DataError(f'{where}: needs "key", the string of the prompt that it answers.')
    if answer is not None and not isinstance(answer, str):
        raise DataError(
            f'{where}: "answer" must be a string, the answer\'s whole text, not {kind_of(answer)}. '
            "Quote it if it is JSON itself."
        )
    return key, answer or ""


def _lines(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:3])) + (", ..." if len(numbers) > 3 else "")
    return f"{len(numbers):,} {'line' if len(numbers) == 1 else 'lines'} ({shown})"
