"""Multiple choice: questions from MMLU-style JSON, and the choice that a reader's answer names."""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rankstill.data.faults import Faults
from rankstill.data.reading import kind_of, read_entries
from rankstill.errors import DataError
from rankstill.extras.rag.scores import clean_answer, normalise
from rankstill.teacher.reading.answer import read_answer

# "B. Paris", "(B) Paris": a letter that the answer begins with, and names no other. A bare "A " may be the article.
_LEADING = re.compile(r"[(\[]?([A-Z])[)\].:](?=\s|$)(?!.*[(\[][A-Z][)\]])")


@dataclass(frozen=True)
class ChoiceQuestion:
    """A question with choices, one of which is right.

    Args:
        choices: 2 to 26 of them.
        answer: the number of the right one, from 0.
        subject: that accuracy is reported by; may be empty.
    """

    id: str
    text: str
    choices: tuple[str, ...]
    answer: int
    subject: str = ""


def read_choice_questions(path: Path) -> tuple[ChoiceQuestion, ...]:
    """Read questions in the form of MMLU (Hendrycks et al. 2021, https://arxiv.org/abs/2009.03300).

    Args:
        path: .json (a list) or .jsonl, plain or .gz: {"question", "choices", "answer", "subject"}, the answer as a
            number from 0 or as a letter. "id" and "subject" may be left out; the id is then the entry's number.

    Raises:
        DataError: the file is damaged, holds no questions, or one of them cannot be used.
    """
    questions: dict[str, ChoiceQuestion] = {}
    faults = Faults()
    entries = enumerate(read_entries(path, "a question with its choices"), start=1)
    for number, question in faults.each(entries, partial(_question, path)):
        if question.id in questions:
            faults.add(
                number, f"{path}, entry {number}: id {question.id} appears twice. Give each question its own id."
            )
        questions[question.id] = question
    faults.stop()
    if not questions:
        raise DataError(f"{path}: holds no questions.")
    return tuple(questions.values())


def parse_choice(said: str, question: ChoiceQuestion) -> int | None:
    """The number of the choice that an answer names: by its letter, else by its text alone; None if by neither."""
    count = len(question.choices)
    order = read_answer(said, count, "setwise", "letters").order
    if order:
        return order[0]
    line = clean_answer(said)
    letter = _LEADING.match(line)
    if letter and (number := string.ascii_uppercase.index(letter[1])) < count:
        return number
    texts = [normalise(choice) for choice in question.choices]
    own = normalise(line)
    return texts.index(own) if own and texts.count(own) == 1 else None


def _question(path: Path, entry: dict[str, Any], number: int) -> ChoiceQuestion:
    where = f"{path}, entry {number}"
    text, choices, subject = entry.get("question"), entry.get("choices"), entry.get("subject") or ""
    if not isinstance(text, str) or not text.strip():
        raise DataError(f'{where}: "question" must be a text.')
    if not isinstance(choices, list) or not all(isinstance(each, str) and each.strip() for each in choices):
        raise DataError(f'{where}: "choices" must be a list of texts.')
    if not 2 <= len(choices) <= len(string.ascii_uppercase):
        raise DataError(f'{where}: "choices" holds {len(choices)}; a question has 2 to 26.')
    answer = _answer(entry.get("answer"), len(choices))
    if answer is None:
        last = string.ascii_uppercase[len(choices) - 1]
        raise DataError(f'{where}: "answer" must be a number from 0 to {len(choices) - 1}, or a letter, A to {last}.')
    if not isinstance(subject, str):
        raise DataError(f'{where}: "subject" must be a text, not {kind_of(subject)}.')
    return ChoiceQuestion(str(entry.get("id", number)), text, tuple(choices), answer, subject)


def _answer(value: object, count: int) -> int | None:
    if isinstance(value, str):
        letter = value.strip().upper()
        if letter.isdecimal():
            value = int(letter)
        else:
            value = string.ascii_uppercase.index(letter) if letter in [*string.ascii_uppercase] else None
    return value if type(value) is int and 0 <= value < count else None
