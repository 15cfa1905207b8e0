from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rankstill.errors import DataError
from rankstill.extras.rag.choices import ChoiceQuestion, parse_choice, read_choice_questions

CAPITAL = ChoiceQuestion("1", "capital of France", ("London", "Paris", "A Coruña", "Paris, Texas"), 1, "geography")
GOOD = {"question": "capital of France", "choices": ["London", "Paris"], "answer": 1, "subject": "geography"}


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ("[B]", 1),
        ("B", 1),
        ("B.", 1),
        ("(B)", 1),
        ("B. Paris", 1),
        ("(B) Paris", 1),
        ("B: because it is", 1),
        ("Answer: B", 1),
        ("**Answer: [B] Paris**", 1),
        ("The correct answer is B.", 1),
        ("<think>[A] or [B]?</think>[D]", 3),
        ("Paris", 1),
        ("the paris.", 1),
        ("A Coruña", 2),  # the article is no letter
        ("[E]", None),
        ("E. Rome", None),
        ("[A] or [B]", None),
        ("(A) or (B)", None),
        ("D. J. Smith", 3),
        ("Rome", None),
        ("A city in the north", None),
        ("", None),
    ],
)
def test_an_answer_names_a_choice_by_letter_or_by_its_text(said: str, number: int | None) -> None:
    assert parse_choice(said, CAPITAL) == number


def test_a_text_that_two_choices_share_names_neither() -> None:
    assert parse_choice("the same", ChoiceQuestion("1", "?", ("same", "The same"), 0)) is None


def write(path: Path, entries: Any) -> Path:
    path.write_text(json.dumps(entries), encoding="utf-8")
    return path


def test_mmlu_style_files_are_read_with_numbers_or_letters_as_answers(tmp_path: Path) -> None:
    entries = [GOOD, {**GOOD, "answer": "B", "id": "mine"}, {"question": "?", "choices": ["x", "y"], "answer": "0"}]
    lines = tmp_path / "questions.jsonl"
    lines.write_text("".join(json.dumps(entry) + "\n" for entry in entries), encoding="utf-8")
    read = read_choice_questions(write(tmp_path / "questions.json", entries))
    assert read == read_choice_questions(lines)
    assert [(each.id, each.answer, each.subject) for each in read] == [
        ("1", 1, "geography"),
        ("mine", 1, "geography"),
        ("3", 0, ""),
    ]
    assert read[0].choices == ("London", "Paris")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"question": " "}, '"question" must be a text'),
        ({"choices": "London"}, '"choices" must be a list of texts'),
        ({"choices": ["London"]}, '"choices" holds 1; a question has 2 to 26'),
        ({"answer": 2}, r'"answer" must be a number from 0 to 1, or a letter, A to B'),
        ({"answer": "C"}, '"answer" must be'),
        ({"answer": ""}, '"answer" must be'),
        ({"answer": True}, '"answer" must be'),
        ({"answer": None}, '"answer" must be'),
        ({"subject": 7}, '"subject" must be a text, not a number'),
    ],
)
def test_an_entry_that_cannot_be_used_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = write(tmp_path / "questions.json", [GOOD, {**GOOD, **change}])
    with pytest.raises(DataError, match=rf"questions\.json, entry 2: {message}"):
        read_choice_questions(path)


@pytest.mark.parametrize(
    ("entries", "message"),
    [([], "holds no questions"), ({}, "a list of questions"), ([1], "entry 1: expected a question with its choices")],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, entries: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_choice_questions(write(tmp_path / "questions.json", entries))


def test_two_questions_with_one_id_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "questions.json", [{**GOOD, "id": "2"}, GOOD])
    with pytest.raises(DataError, match="entry 2: id 2 appears twice"):
        read_choice_questions(path)


def test_several_questions_that_cannot_be_used_are_told_at_once(tmp_path: Path) -> None:
    bad = {**GOOD, "answer": 26}
    path = write(tmp_path / "questions.json", [bad, {**GOOD, "id": "x"}, bad, {**GOOD, "id": "x"}])
    with pytest.raises(DataError, match=r'(?s)entry 1: "answer".*entry 3: "answer".*entry 4: id x appears twice'):
        read_choice_questions(path)
