"""The short answer in what a reader says: without reasoning, label, quotes and markup."""

from __future__ import annotations

import re

_TAG = r"(?:think|thinking|thought|reason|reasoning|reflection|scratchpad|analysis)"
# All up to the last closing tag is reasoning (many chat templates open it themselves), and so is one never closed.
_REASONING = re.compile(rf"\A.*</{_TAG}>|<{_TAG}>.*\Z", re.IGNORECASE | re.DOTALL)
_SPECIAL = re.compile(r"<\|[^<>|\n]{1,40}\|>|</?s>|</?(?:final_?)?answer>|```\w{0,20}", re.IGNORECASE)
_LABEL = re.compile(
    r"^(?:(?:the |my )?(?:final |short |correct |right )*answer(?: to (?:the|this|your) question)?(?:\s+is)?\s*[:：]"
    r"|(?:the |my )(?:final |short |correct |right )*answer(?: to (?:the|this|your) question)? is(?=\s)|A:)\s*",
    re.IGNORECASE,
)
_MARKUP = re.compile(r"\*\*|__|^[#>\s]+|^[-•*]\s+|^`+|`+$")
# The prompt's own names of passages, as readers cite them.
_CITATION = re.compile(r"^(?:\[\d{1,3}\]\s*)+|(?:\s?\[\d{1,3}\])+\.?$")
_QUOTES = ('""', "''", "“”", "‘’", "«»", "„“", "「」")
_LONGEST = 2_000
"""Characters read of a line: no short answer is longer, and what is longer is scored as wrong either way."""


def clean_answer(said: str) -> str:
    """The first line of an answer that says something, freed from what surrounds it; empty if there is none.

    "Answer: **Paris**" is "Paris". The words of the answer stay as they are: a sentence remains a sentence, and a
    refusal is an answer like any other, and wrong.
    """
    text = _SPECIAL.sub("\n", _REASONING.sub("", said))
    return next((line for line in map(_undressed, text.splitlines()) if line), "")


def _undressed(line: str) -> str:
    line = line[:_LONGEST].strip()
    while True:
        bare = _CITATION.sub("", _LABEL.sub("", _MARKUP.sub("", line).strip())).strip()
        if len(bare) > 1 and bare[0] + bare[-1] in _QUOTES:
            bare = bare[1:-1].strip()
        if bare == line:
            return line
        line = bare
