"""Prompts: what is asked, as chat messages, and the form of the answer."""

from __future__ import annotations

import string
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from rankstill.teacher.calls import Kind, Labels
from rankstill.teacher.defusing import count_tokens, cut, defuse
from rankstill.teacher.template import PromptError, Template, TemplatePassage, load_template, render, variables

__all__ = [
    "PromptError",
    "Template",
    "as_shown",
    "count_tokens",
    "cut",
    "defuse",
    "identifiers",
    "load_template",
    "prompt_budget",
    "render_ask",
    "render_query_request",
    "response_schema",
]

_ROOM = 0.8
"""Share of the context that the estimated tokens may fill: tokenizers differ, and the estimate is of none of them."""


@lru_cache(maxsize=1024)
def as_shown(passage: str, tokens: int) -> str:
    """A passage as a prompt shows it. It is remembered: quoting, asking and reading render the same prompt again.

    Args:
        tokens: budget, as `count_tokens` estimates; the rest is cut away.
    """
    return cut(defuse(passage), tokens)


def render_ask(
    template: Template,
    query: str,
    passages: Sequence[str],
    labels: Labels,
    passage_tokens: int,
    *,
    structured: bool = False,
) -> tuple[dict[str, str], ...]:
    """The messages that ask an LLM to rank passages, or to name the best of them.

    Args:
        passages: in the order shown.
        passage_tokens: budget of each passage, as `count_tokens` estimates; the rest is cut away.
        structured: ask for JSON, in the form of `response_schema`.

    Raises:
        PromptError: the template does not rank or never asks for JSON, or there are more passages than letters.
    """
    if structured and "structured" not in variables(template):
        raise PromptError(
            f"prompt template {template.name}: never asks for JSON, though the answers are to be structured. Let it "
            "ask for JSON under {% if structured %}, or ask for plain answers."
        )
    shown = [
        TemplatePassage(f"[{identifier}]", as_shown(text, passage_tokens))
        for identifier, text in zip(identifiers(len(passages), labels), passages, strict=True)
    ]
    return render(template, {"query": defuse(query), "passages": shown, "structured": structured})


def render_query_request(
    template: Template, passage: str, examples: Sequence[str], passage_tokens: int
) -> tuple[dict[str, str], ...]:
    """The messages that ask an LLM to write a search query that a passage answers.

    Args:
        examples: queries of real users, whose language and style the LLM is to follow; may be empty.

    Raises:
        PromptError: the template does not ask for a query.
    """
    return render(
        template,
        {"passage": as_shown(passage, passage_tokens), "examples": [defuse(example) for example in examples]},
    )


def response_schema(kind: Kind, shown: int, labels: Labels) -> dict[str, Any]:
    """The `response_format` of a request for JSON: {"ranking": ["3", "1", ...]} listwise, else {"best": "3"}.

    It keeps to what the strict modes of all providers take: identifiers are an enumeration of strings, and the list has
    no set length. So an answer may still repeat or leave out identifiers, to be mended like one in plain text.

    Raises:
        PromptError: there are more passages than letters.
    """
    value: dict[str, Any] = {"type": "string", "enum": list(identifiers(shown, labels))}
    name = "best"
    if kind == "listwise":
        name, value = "ranking", {"type": "array", "items": value}
    schema = {"type": "object", "properties": {name: value}, "required": [name], "additionalProperties": False}
    return {"type": "json_schema", "json_schema": {"name": name, "strict": True, "schema": schema}}


def prompt_budget(context: int, answer_tokens: int) -> int:
    """Tokens that a prompt may take, as `count_tokens` estimates, so that prompt and answer fit the LLM's context.

    Args:
        context: tokens of prompt and answer together.
        answer_tokens: kept free for the answer.
    """
    return max(0, int(_ROOM * (context - answer_tokens)))


def identifiers(count: int, labels: Labels) -> tuple[str, ...]:
    """What names the first, the second, ... passage shown; the prompt sets it in square brackets.

    Raises:
        PromptError: there are more passages than letters.
    """
    if labels == "numbers":
        return tuple(str(number) for number in range(1, count + 1))
    if count > len(string.ascii_uppercase):
        raise PromptError(f"{count} passages are more than 26 letters can name. Use numbers, or a smaller window.")
    return tuple(string.ascii_uppercase[:count])
