"""Reading a judge's answer: a grade for every passage shown, in the form asked for, or nothing."""

from __future__ import annotations

import re

from rankstill.teacher.reading.plain import plain

HIGHEST = 3
# "[3]: 2", "- [3]: 2", "Passage [3] = 2". Nothing may follow the grade: "[3]: 2 or 3" is none.
_GRADE = re.compile(r"(?:- )?(?:(?i:passage) )?\[ ?([0-9]{1,4}) ?\] ?[:=-] ?([0-9]{1,2})\.?")
_SAYS_NOTHING = re.compile(r"[^0-9\[\]]{0,200}")
"""A line without a digit or a bracket, such as a greeting, grades nothing."""


def read_grades(text: str, shown: int) -> tuple[int, ...] | None:
    """The grades in an answer, in the order in which the passages were shown.

    Every line grades one passage, or has no digit and no bracket in it. Each passage shown has one grade, from 0 to 3,
    and no other has one. Anything else is not read: not half of an answer, and no number in prose.

    Args:
        text: the answer, as it came. Reasoning and markup are taken off.
        shown: how many passages were shown, labelled from 1.

    Returns:
        The grades, or None if the answer cannot be read. [shown]
    """
    grades: dict[int, int] = {}
    for line in filter(None, plain(text).split("\n")):
        match = _GRADE.fullmatch(line)
        if match is None:
            if _SAYS_NOTHING.fullmatch(line):
                continue
            return None
        number, grade = int(match[1]), int(match[2])
        if number in grades or grade > HIGHEST:
            return None
        grades[number] = grade
    if grades.keys() != set(range(1, shown + 1)):
        return None
    return tuple(grades[number] for number in range(1, shown + 1))
