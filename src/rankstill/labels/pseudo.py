"""Pseudo-queries: sentences of the corpus, asked as if they were queries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rankstill.candidates.dense import sentences
from rankstill.datasets import Corpus


@dataclass(frozen=True)
class PseudoQuery:
    """A sentence as a query.

    Args:
        id: the passage's id and the sentence's number in it.
        text: the sentence.
        made_from: position of the passage it stands in, which must not be its own answer.
    """

    id: str
    text: str
    made_from: int


def pseudo_queries(corpus: Corpus, count: int, seed: int) -> list[PseudoQuery]:
    """Draw titles and sentences from the corpus: every passage gives one before any gives a second.

    Args:
        corpus: the passages.
        count: how many; fewer if the corpus has no more sentences.
        seed: of the draw.
    """
    random = np.random.default_rng(seed)
    left = {
        position: list(random.permutation(len(sentences(corpus.titles[position], corpus.bodies[position]))))
        for position in range(len(corpus))
    }
    drawn: list[PseudoQuery] = []
    while left and len(drawn) < count:
        for position in random.permutation(list(left)):
            if len(drawn) == count:
                break
            number = int(left[position].pop())
            text = sentences(corpus.titles[position], corpus.bodies[position])[number]
            drawn.append(PseudoQuery(f"{corpus.ids[position]}#{number}", text, int(position)))
            if not left[position]:
                del left[position]
    return drawn
