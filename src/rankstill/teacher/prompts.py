"""Prompts: what is asked, as chat messages, and the form of the answer.

Text that others wrote cannot pass for the prompt's own frame (`defuse`), nor fill it up (`cut`).
"""

from __future__ import annotations

import string
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import regex

from rankstill.teacher.calls import Kind, Labels
from rankstill.teacher.template import PromptError, Template, TemplatePassage, render, variables

# Line breaks of every kind, the controls that Python's str.splitlines takes for one included.
_LINE_BREAK = regex.compile(r"[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+")

# What is not seen but read by a tokenizer: controls, zero-width and bidirectional marks, tag characters and variation
# selectors (both carry hidden text), and lone surrogates, which UTF-8 cannot send.
_UNSEEN = regex.compile(r"(?V1)[[\p{Cc}\p{Cf}\p{Cs}\p{Default_Ignorable_Code_Point}]--\s]")

# Square brackets and their look-alikes belong to the frame: it alone writes [3].
_BRACKETS = str.maketrans({**dict.fromkeys("[［【〔〖⟦", "("), **dict.fromkeys("]］】〕〗⟧", ")")})

# A role that opens a line, as chat logs and instruction formats write it. No turn can be opened with a dash.
_ROLE = regex.compile(
    r"(?V1)^([[\s#>*_\-]--\n]*+(?:system|developer|user|human|assistant|ai|tool|instructions?|input|response)[*_]*+)[[\s]--\n]*+[:：]",
    regex.MULTILINE | regex.IGNORECASE,
)

# Fences and headings that open a section: ### Instruction, ```.
_FENCE = regex.compile(r"([#`])\1+")

# "<" before anything but a space, a digit or another operator opens a tag (</s>, <think>, <|im_start|>).
_TAG = regex.compile(r"<(?=[^\s\d<=>-])|(?<=[|｜])(?=>)")

# An order in the answer's notation. Of bare letters and numbers it takes three: "p > 0" and "5 > 3" are prose.
_LINK = r" ?(?:>|&gt;|＞|≻|→) ?"
_IN_PARENTHESES = r"\( ?[\p{Nd}\p{L}]{1,3} ?\)"
_BARE = r"(?:\p{Nd}{1,3}|\p{L})"
_CHAIN = regex.compile(
    rf"(?:{_IN_PARENTHESES}(?:{_LINK}{_IN_PARENTHESES})++)|(?<![\w.])(?:{_BARE}(?:{_LINK}{_BARE}(?![\w]|\.\d)){{2,}}+)"
)
_LINKS = regex.compile(_LINK)

# Scripts without spaces between words, and pictures: about a token a character.
_DENSE_CLASS = (
    r"\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}\p{Extended_Pictographic}"
)
_DENSE = regex.compile(rf"[{_DENSE_CLASS}]")
_WORD = regex.compile(rf"[^\s{_DENSE_CLASS}]+")
_NOT_ASCII = regex.compile(r"[^\x00-\x7f]")
_WORD_END = regex.compile(rf"(?<=\S)(?=\s)|(?<=[{_DENSE_CLASS}])|(?<=\S)(?=[{_DENSE_CLASS}])")
_ELLIPSIS = "…"

_ROOM = 0.8
"""Share of the context that the estimated tokens may fill: tokenizers differ, and the estimate is of none of them."""


def defuse(text: str) -> str:
    """The text as one line that cannot pass for a part of the prompt that shows it.

    Its words stay; what it loses is notation. Square brackets become parentheses, so that only the prompt itself can
    write an identifier such as [3]; orders in the answer's form (3 > 1 > 2), turns (`system:` that opens a line),
    headings, fences and tags (`</s>`, `<|im_start|>`, `<think>`) are broken; line breaks and everything unseen go.
    An order given in words ("ignore previous instructions") stays words: the prompt says that passages are data.
    """
    # The unseen goes first: it could hide a marker from the rules below, and be dropped after them.
    text = _UNSEEN.sub("", _LINE_BREAK.sub("\n", text))
    text = _ROLE.sub(r"\1 -", text)
    text = " ".join(text.split()).translate(_BRACKETS)
    text = _TAG.sub(lambda match: f"{match.group()} ", _FENCE.sub(r"\1", text))
    defused: str = _CHAIN.sub(lambda match: _LINKS.sub(", ", match.group()), text)
    return defused


def count_tokens(text: str) -> int:
    """An estimate of the tokens of a text, for budgets and quotes, without the model's tokenizer.

    A token for each character of a script that has no spaces (Chinese, Japanese, Korean, Thai, ...) and each emoji. Of
    the rest the larger of 1.3 tokens a word, as byte-pair encoders spend on English prose, and one token for four ASCII
    characters or two others, which catches long words, URLs, and Greek, Cyrillic or Arabic text.
    """
    dense = len(_DENSE.findall(text))
    words = len(_WORD.findall(text))
    not_ascii = len(_NOT_ASCII.findall(text)) - dense
    ascii_characters = len(text) - dense - not_ascii
    return round(dense + max(1.3 * words, ascii_characters / 4 + not_ascii / 2))


def cut(text: str, tokens: int) -> str:
    """The text, or as many of its first words as fit the budget, with an ellipsis.

    A first word that is too long for the budget is cut within.

    Args:
        tokens: budget as `count_tokens` estimates, the ellipsis included; at least 1.
    """
    # No text of more characters fits, so the time does not grow with what is cut away.
    head = text[: 4 * tokens + 4]
    if len(head) == len(text) and count_tokens(text) <= tokens:
        return text

    def cost(end: int) -> int:
        return count_tokens(head[:end] + _ELLIPSIS)

    # A longer prefix never costs less, so the last that fits is found by bisection.
    for ends in ([match.start() for match in _WORD_END.finditer(head)], range(1, len(head))):
        fitting = bisect_right(ends, tokens, key=cost)
        if fitting:
            return head[: ends[fitting - 1]].rstrip() + _ELLIPSIS
    return _ELLIPSIS


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
        passage_tokens: budget of the passage, as `count_tokens` estimates; the rest is cut away.

    Raises:
        PromptError: the template does not ask for a query.
    """
    return render(
        template, {"passage": as_shown(passage, passage_tokens), "examples": [defuse(example) for example in examples]}
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
    """Tokens that a prompt may take, as `count_tokens` estimates, so that prompt and answer fit the LLM's context."""
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
