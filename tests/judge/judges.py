"""Judges whose noise is known, for the toy dataset."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from llm_server import Messages

PASSAGE = re.compile(r"^\[(\d+)\] (.*)$", re.MULTILINE)
QUERY = re.compile(r"^Search query: (.*)$", re.MULTILINE)

Grade = Callable[[str, str], int]
"""The grade of a passage for a query, by their texts."""
Respond = Callable[[Messages], str]


def true_grade(query: str, passage: str) -> int:
    """Of the toy dataset: 3 for the passage that the query asks for, 1 for one of its topic, else 0."""
    [(own, topic)] = re.findall(r"^how does (\w+) of the (\w+) change$", query)
    if passage.lower().startswith(f"the {own} of the {topic}"):
        return 3
    return 1 if f"of the {topic} " in passage.lower() else 0


def shown_in(messages: Messages) -> tuple[str, list[str]]:
    """The query of a judge's prompt, and its passages in the order shown."""
    prompt = messages[-1]["content"]
    return QUERY.findall(prompt)[0], [text for _, text in PASSAGE.findall(prompt)]


def written(grades: list[int]) -> str:
    return "\n".join(f"[{number}]: {grade}" for number, grade in enumerate(grades, 1))


def judge_by(grade: Grade) -> Respond:
    """A judge that gives this grade wherever a passage stands."""

    def respond(messages: Messages) -> str:
        query, passages = shown_in(messages)
        return written([grade(query, passage) for passage in passages])

    return respond


def with_noise(grade: Grade, share: float) -> Respond:
    """The same, but this share of the grades is drawn evenly from the four, anew for each prompt."""

    def respond(messages: Messages) -> str:
        query, passages = shown_in(messages)
        draw = random.Random(repr(messages))
        return written([draw.randrange(4) if draw.random() < share else grade(query, each) for each in passages])

    return respond


def prefers_first(grade: Grade) -> Respond:
    """The same, but the first tenth of what is shown, one passage at least, gets the highest grade."""

    def respond(messages: Messages) -> str:
        query, passages = shown_in(messages)
        return written([3 if place * 10 < len(passages) else grade(query, each) for place, each in enumerate(passages)])

    return respond
