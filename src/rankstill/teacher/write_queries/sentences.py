"""Sentences of the corpus: what a teacher can be asked about where no query is judged."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from rankstill.data import Corpus

_SENTENCE_END = re.compile(r"(?<=[.!?。！？])\s+(?=[^a-z\s])|(?<=[。！？])")
_SHORTEST = 5
"""Words. Shorter pieces are headings and broken abbreviations; they match everything."""


@dataclass(frozen=True)
class Sentence:
    """A sentence as a query.

    Args:
        id: the passage's id and the sentence's number in it.
    """

    id: str
    text: str
    passage: int


def sentences(title: str, body: str) -> list[str]:
    """A passage's title (if any) and its sentences of five words or more; the whole body if none is that long."""
    pieces = [piece for piece in _SENTENCE_END.split(body) if len(piece.split()) >= _SHORTEST]
    return ([title] if title else []) + (pieces or [body])


def draw_sentences(corpus: Corpus, count: int, seed: int) -> list[Sentence]:
    """One title or sentence each of passages drawn at random; of those that say the same, only the first is drawn.

    Args:
        count: how many; fewer if the corpus has fewer passages.
    """
    random = np.random.default_rng(seed)
    distinct = np.arange(len(corpus)) if corpus.repeats is None else np.flatnonzero(~corpus.repeats)
    drawn = []
    for position in random.permutation(distinct)[:count].tolist():
        pieces = sentences(corpus.titles[position], corpus.bodies[position])
        number = int(random.integers(len(pieces)))
        drawn.append(Sentence(f"{corpus.ids[position]}#{number}", pieces[number], position))
    return drawn
