"""A reader's short answer, cleaned, and its scores against the accepted ones: exact match, token F1, contained."""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

from rankstill.evaluation.answers import has_answer
from rankstill.teacher.write_queries.cleaning import REASONING

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
MEASURES = ("EM", "F1", "Contained")

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
# How the same character is typed elsewhere. (The okina and the modifier apostrophe are letters to Unicode.)
_TYPED = str.maketrans(
    {
        **dict.fromkeys("‘’‚‛′ʹʻʼ´＇", "'"),
        **dict.fromkeys("“”„‟″«»＂", '"'),
        **dict.fromkeys("‐‑‒–—―−－", "-"),
        **dict.fromkeys(
            "\u00ad\u200b\u2060\ufeff", None
        ),  # not seen: soft hyphen, zero-width space, joiner, byte order mark
        "…": "...",
    }
)


def clean_answer(said: str) -> str:
    """The first line of an answer that says something, freed from what surrounds it; empty if there is none.

    "Answer: **Paris**" is "Paris". The words of the answer stay as they are: a sentence remains a sentence, and a
    refusal is an answer like any other, and wrong.
    """
    text = _SPECIAL.sub("\n", REASONING.sub("", said))
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


def normalise(text: str) -> str:
    """SQuAD's normal form (Rajpurkar et al. 2016, https://arxiv.org/abs/1606.05250, evaluate-v1.1.py).

    Lower case; ASCII punctuation taken out, so that "U.S." is "us" and "twenty-one" is "twentyone"; the articles a, an
    and the taken out; one space between words. Accents and other punctuation stay.

    Beyond SQuAD, which compares characters alone, it does not matter how a text was typed: composed and decomposed
    accents are equal, and typographic apostrophes, quotes and dashes count as ASCII's.
    """
    return " ".join(_ARTICLES.sub(" ", _as_typed(text).lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, accepted: Iterable[str]) -> float:
    """1 if the answer equals an accepted one in SQuAD's normal form, else 0 (Rajpurkar et al. 2016, section 6.1)."""
    own = normalise(answer)
    return float(any(own == normalise(each) for each in accepted))


def token_f1(answer: str, accepted: Iterable[str]) -> float:
    """F1 of the answer's words against an accepted one's, the best over those accepted (Rajpurkar et al. 2016, 6.1).

    Words are those of SQuAD's normal form, repeated ones counted as often as they stand in both. As in evaluate-v1.1.py
    it is 0 where no word is shared, so also where neither has any.
    """
    own = normalise(answer).split()
    return max((_f1(own, normalise(each).split()) for each in accepted), default=0.0)


def contained(answer: str, accepted: Iterable[str]) -> float:
    """1 if an accepted answer stands in the answer, as DPR matches it (`has_answer`), or equals it; else 0.

    Never below exact match: DPR looks for the article and the full stops too, so that it does not find "The Beatles" in
    "beatles". As in `normalise`, it does not matter how a text was typed.

    It forgives a reader that answers in a sentence, and rewards one that names several things: read it beside F1.
    """
    accepted = list(accepted)
    return max(exact_match(answer, accepted), float(has_answer(map(_as_typed, accepted), _as_typed(answer))))


def score(answer: str, accepted: Sequence[str]) -> dict[str, float]:
    """All of `MEASURES` for one answer; an empty one scores 0.

    (In SQuAD's normal form nothing equals "A" or "The The"; a reader that says nothing shall not win by it.)
    """
    if not answer.strip():
        return dict.fromkeys(MEASURES, 0.0)
    values = (exact_match(answer, accepted), token_f1(answer, accepted), contained(answer, accepted))
    return dict(zip(MEASURES, values, strict=True))


def _as_typed(text: str) -> str:
    """The text as it would be typed on a plain keyboard, its accents composed."""
    return unicodedata.normalize("NFC", text.translate(_TYPED))


def _f1(own: list[str], other: list[str]) -> float:
    shared = (Counter(own) & Counter(other)).total()
    if not shared:
        return 0.0
    precision, recall = shared / len(own), shared / len(other)
    return 2 * precision * recall / (precision + recall)
