"""A frozen reader LLM answers questions from passages: any teacher client, with its ledger and its budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from rankstill.data.dataset import Query
from rankstill.extras.rag.choices import ChoiceQuestion
from rankstill.extras.rag.scores import clean_answer
from rankstill.teacher.calls import Answer, Call
from rankstill.teacher.client.failures import TeacherError
from rankstill.teacher.prompts import count_tokens, cut, defuse, identifiers, prompt_budget
from rankstill.teacher.template import PromptError, Template, TemplatePassage, render

if TYPE_CHECKING:
    from rankstill.teacher.teach import Teacher


_TEMPLATE = "reader-v1"
Question: TypeAlias = Query | ChoiceQuestion
Contexts: TypeAlias = Mapping[str, Sequence[str]]
"""Question id -> texts of passages, best first; a question without an entry is asked with a closed book."""


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


@dataclass(frozen=True)
class Reply:
    """The reader's reply to a question.

    Args:
        answer: the short answer in it; empty if there is none.
        said: all of it; None where the call was given up.
        cut: whether it was cut off at the longest answer allowed.
        passages: how many the prompt showed.
        call: the call's key in the ledger.
        tokens_in: how many input tokens it took.
        tokens_out: likewise.
    """

    answer: str
    said: str | None
    cut: bool
    passages: int
    call: str
    tokens_in: int
    tokens_out: int


def answer_by_system(
    teacher: Teacher, questions: Sequence[Question], systems: Mapping[str, Contexts]
) -> dict[str, dict[str, Reply]]:
    """Ask each question once for each system that found passages for it; where two found the same, it is paid once.

    Args:
        teacher: the reader. Prompt and answer are fitted to its `context`; what it answered before is not paid again.
        systems: the passages that each found; an empty mapping for a closed book.

    Returns:
        System -> question id -> reply.

    Raises:
        RankstillError: a question does not fit the reader's context, the budget is reached, the endpoint cannot be
            asked, or calls failed and `accept_missing` is not set. What is answered is kept.
    """
    budget = prompt_budget(teacher.config.context, teacher.config.answer_tokens)
    keys = [(system, question.id) for system in systems for question in questions]
    prompts = [
        render_question(
            question.text,
            contexts.get(question.id, ()),
            question.choices if isinstance(question, ChoiceQuestion) else (),
            teacher.config.passage_tokens,
            budget,
        )
        for contexts in systems.values()
        for question in questions
    ]
    calls = [teacher.asker.call(prompt.messages) for prompt in prompts]
    answers = _in_good_order(teacher, calls, len(questions))
    missing = sum(answer is None for answer in answers)
    if missing and not teacher.config.accept_missing:
        raise TeacherError(
            f"{missing:,} of {len(calls):,} questions got no answer. Run the same command again, which asks only them, "
            "or set the reader's accept_missing: true to count them as wrong."
        )
    replies: dict[str, dict[str, Reply]] = {system: {} for system in systems}
    for (system, question_id), prompt, call, answer in zip(keys, prompts, calls, answers, strict=True):
        replies[system][question_id] = _reply(answer, prompt.passages, call.key)
    return replies


def _in_good_order(teacher: Teacher, calls: Sequence[Call], questions: int) -> list[Answer | None]:
    """The calls' answers, asked question by question and, of one question, by the alphabet.

    So prompts that begin alike follow each other, and a server that keeps what it read last, as llama.cpp's does, reads
    their common passages once. And a run that is stopped leaves questions that all systems answered.

    Args:
        calls: system by system, each with the same questions in the same order.
    """
    rows = sorted(range(len(calls)), key=lambda row: (row % questions, calls[row].messages[-1]["content"]))
    answers = dict(zip(rows, teacher.answers([calls[row] for row in rows], "reading"), strict=True))
    return [answers[row] for row in range(len(calls))]


def _reply(answer: Answer | None, passages: int, call: str) -> Reply:
    if answer is None:
        return Reply("", None, False, passages, call, 0, 0)
    return Reply(
        answer=clean_answer(answer.text),
        said=answer.text,
        cut=answer.finish == "length",
        passages=passages,
        call=call,
        tokens_in=answer.tokens_in,
        tokens_out=answer.tokens_out,
    )
