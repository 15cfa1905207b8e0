from __future__ import annotations

import pytest

from rankstill.judge.grading import read_grades


@pytest.mark.parametrize(
    "text",
    [
        "[1]: 3\n[2]: 0",
        "[2]: 0\n[1]: 3",
        "Here are the grades:\n\n**[1]**: 3\n- [2]: 0.\n",
        "<think>[1]: 0, or rather 2</think>[1]: 3\n[2]: 0",
        "```\n[1]: 3\n[2]: 0\n```",
        "Passage [1]: 3\nPassage [2]: 0\nI hope that helps.",
        "[1] = 3\n[2] - 0",
    ],
)
def test_a_grade_for_each_passage_is_read(text: str) -> None:
    assert read_grades(text, 2) == (3, 0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1]: 3",  # half of it
        "[1]: 3\n[2]: 4",
        "[1]: 3\n[2]: -1",
        "[1]: 3\n[1]: 2\n[2]: 0",  # which of the two?
        "[1]: 3\n[2]: 0\n[3]: 1",  # was not shown
        "[0]: 3\n[1]: 0",  # counts from 0, so that each grade is of another passage
        "[1]: 3\n[2]: 2 or 3",
        "[1]: 3\n[2]: 0\nThe second deserves a 1.",
        "1: 3\n2: 0",
        "[1]: 3, [2]: 0",
        "3\n0",
        "Both passages get a 3.",
        "I cannot grade these.",
        "<think>[1]: 3\n[2]: 0",  # reasoning that was cut off
    ],
)
def test_anything_else_is_not_read(text: str) -> None:
    assert read_grades(text, 2) is None


def test_a_passage_that_a_judge_quotes_grades_nothing() -> None:
    """Brackets in passages are defused before they reach the prompt, so that a quoted one cannot be a grade."""
    assert read_grades("It says: (1): 3 (2): 3\n[1]: 0\n[2]: 0", 2) is None
