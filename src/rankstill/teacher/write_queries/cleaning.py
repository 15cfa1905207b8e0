"""The query in an LLM's answer: without reasoning, greeting, label, quotes and markup; or the reason why there is none.

Unlike `plain`, which reads rankings, it leaves the characters of the query as they are, in any script.
"""

from __future__ import annotations

import re

from rankstill.teacher.reading.answer import read_answer
from rankstill.teacher.reading.plain import REASONING_TAG

_LONGEST = 40
_LONGEST_CHARACTERS = 400
"""The bound for scripts without spaces between words."""
_LONGEST_READ = 5 * _LONGEST_CHARACTERS
"""The longest line in characters that may be a query, before anything is removed from it."""

# All up to the last closing tag is reasoning (many chat templates open it themselves), and so is one never closed.
REASONING = re.compile(rf"\A.*</{REASONING_TAG}>|<{REASONING_TAG}>.*\Z", re.I | re.S)
_SPECIAL = re.compile(r"<[|｜][^<>|｜\n]{1,40}[|｜]>|</?s>|\[/?INST\]|```\w{0,20}|</?(?:query|answer|output)>", re.I)
# Controls, lone surrogates (UTF-8 cannot hold them), and marks that reorder or hide text. Joiners are letters' glue.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
_LINE_END = re.compile(r"[\n\r\v\f\x85\u2028\u2029]+")
_BULLET = re.compile(r"^(?:[-*•>#]+\s+|\d{1,2}[.)]\s+)+")
_MARKUP = re.compile(r"\*\*|^[*`]+|[*`]+$")
_GREETING = re.compile(
    r"^(?:sure(?: thing)?|certainly|of course|absolutely|okay|ok|great|here you go|here it is)\s*(?:[!.,:;-]+\s*|$)",
    re.I,
)
_NOUN = (
    r"(?:search |web |suggested |possible |generated )*"
    r"(?:quer(?:y|ies)|questions?|suchanfrage|anfrage|requête|consulta|pergunta|zapytanie|запрос|查询|查詢|クエリ|검색어)"
)
# At most so long, and only of such words: a colon in a query ("sql query: how to join") must not cut it.
_LABEL = re.compile(
    rf"^(?:here(?:'s|’s| is| are)\b[^:：]{{0,80}}|(?:the |a |an |one |my )?{_NOUN}(?: \d{{1,2}})?(?: is)?"
    r"|output|answer)\s*[:：]\s*",
    re.I,
)
_QUOTES = ('""', "''", "“”", "„“", "„”", "‘’", "«»", "»«", "「」", "『』", "``")
_DATA = re.compile(r"[{\[].*[}\]]|<.*>")
_WORD = re.compile(r"\w+")


class NoQueryError(Exception):
    """Why an answer holds no usable query, in words that follow a count."""


def clean_query(answer: str) -> str:
    """The query that an LLM wrote: the first line of its answer that says something, freed from what surrounds it.

    Raises:
        NoQueryError: there is none: the answer is empty, a refusal, data in place of text, or too long.
    """
    text = _SPECIAL.sub(" ", REASONING.sub("", answer))
    query = next((line for line in map(_undressed, _LINE_END.split(text)) if line), "")
    if not _WORD.search(query):
        raise NoQueryError("empty")
    if read_answer(text, 2, "pairwise").status == "refused":
        raise NoQueryError("refused")
    if _DATA.fullmatch(query):
        raise NoQueryError("data, not text")
    if len(query.split()) > _LONGEST or len(query) > _LONGEST_CHARACTERS:
        raise NoQueryError(f"over {_LONGEST} words")
    return query


def words(text: str) -> str:
    """The words of a text alone, in one case: equal for texts that ask the same in the same words."""
    return " ".join(_WORD.findall(text.casefold()))


def _undressed(line: str) -> str:
    line = " ".join(_UNSEEN.sub(" ", line).split())
    while len(line) <= _LONGEST_READ:
        bare = _GREETING.sub("", _MARKUP.sub("", _BULLET.sub("", line)).strip())
        bare = _LABEL.sub("", bare).strip()
        if len(bare) > 1 and bare[0] + bare[-1] in _QUOTES:
            bare = bare[1:-1].strip()
        if bare == line:
            break
        line = bare
    return line
