"""The reader's prompt: a question, with the passages that fit its context and with choices, if any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rankstill.teacher.prompts import count_tokens, cut, defuse, identifiers
from rankstill.teacher.template import PromptError, Template, TemplatePassage, render

_TEMPLATE = "reader-v1"


@dataclass(frozen=True)
class Prompt:
    """What a reader is asked."""

    messages: tuple[dict[str, str], ...]
    passages: int


@cache
def reader_template() -> Template:
    """The reader's prompt template."""
    path = Path(__file__).parent / "templates" / f"{_TEMPLATE}.jinja"
    return Template(_TEMPLATE, _TEMPLATE, path.read_text(encoding="utf-8"))


def render_question(
    question: str, passages: Sequence[str], choices: Sequence[str], passage_tokens: int, budget: int
) -> Prompt:
    """The messages that ask a reader a question, with as many of the passages as fit.

    Passages are data, and so are question and choices: none can pass for a part of the prompt (`defuse`). Where the
    budget is too small for all of them, passages are dropped from the tail.

    Args:
        passages: best first; none for a closed book.
        choices: to be answered by letter; none for an open question.
        passage_tokens: budget of each passage, as `count_tokens` estimates; the rest is cut away.
        budget: of the whole prompt, likewise.

    Raises:
        PromptError: the question alone does not fit, or there are more choices than letters.
    """
    texts = [cut(defuse(text), passage_tokens) for text in passages]
    values = {
        "question": defuse(question),
        "choices": _shown([defuse(choice) for choice in choices], identifiers(len(choices), "letters")),
    }
    for kept in range(len(texts), -1, -1):
        shown = _shown(texts[:kept], identifiers(kept, "numbers"))
        messages = render(reader_template(), {**values, "passages": shown})
        taken = sum(count_tokens(message["content"]) for message in messages)
        if taken <= budget:
            return Prompt(messages, kept)
    raise PromptError(
        f"question {question[:60]!r}: takes about {taken} tokens, and the reader's context leaves {budget} for a "
        "prompt. Raise the reader's context, or lower its answer_tokens."
    )


def _shown(texts: Sequence[str], names: Sequence[str]) -> list[TemplatePassage]:
    return [TemplatePassage(f"[{name}]", text) for name, text in zip(names, texts, strict=True)]
