"""Scores of a short answer against the accepted ones: exact match, token F1, and whether it contains one."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence

from rankstill.evaluation.answers import has_answer

MEASURES = ("EM", "F1", "Contained")

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise(text: str) -> str:
    """SQuAD's normal form (Rajpurkar et al. 2016, https://arxiv.org/abs/1606.05250, evaluate-v1.1.py).

    Lower case; ASCII punctuation taken out, so that "U.S." is "us" and "twenty-one" is "twentyone"; the articles a, an
    and the taken out; one space between words. Accents and other punctuation stay.
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


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
    """1 if an accepted answer stands in the answer, as DPR matches it (`has_answer`), else 0.

    It forgives a reader that answers in a sentence, and rewards one that names several things: read it beside F1.
    """
    return float(has_answer(accepted, answer))


def score(answer: str, accepted: Sequence[str]) -> dict[str, float]:
    """All of `MEASURES` for one answer; an empty one scores 0.

    (In SQuAD's normal form nothing equals "A" or "The The"; a reader that says nothing shall not win by it.)
    """
    if not answer.strip():
        return dict.fromkeys(MEASURES, 0.0)
    values = (exact_match(answer, accepted), token_f1(answer, accepted), contained(answer, accepted))
    return dict(zip(MEASURES, values, strict=True))


def _f1(own: list[str], other: list[str]) -> float:
    shared = (Counter(own) & Counter(other)).total()
    if not shared:
        return 0.0
    precision, recall = shared / len(own), shared / len(other)
    return 2 * precision * recall / (precision + recall)
