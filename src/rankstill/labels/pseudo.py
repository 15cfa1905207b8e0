"""Pseudo-queries: sentences of the corpus, asked as if they were queries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from rankstill.candidates import Sentence
from rankstill.candidates.dense import Embeddings, sentences
from rankstill.datasets import Corpus

_SENTENCES_TO_LEARN_FROM = 10_000


@dataclass(frozen=True)
class PseudoQuery:
    """A sentence as a query.

    Args:
        id: the passage's id and the sentence's number in it.
        text: the sentence.
        made_from: where it stands.
        likeness: to the user's queries: the probability that it is one, or 1 where that was not asked.
    """

    id: str
    text: str
    made_from: Sentence
    likeness: float = 1.0


def pseudo_queries(
    corpus: Corpus, count: int, seed: int, resemblance: NDArray[np.float64] | None = None
) -> list[PseudoQuery]:
    """Draw titles and sentences from the corpus: every passage gives one before any gives a second.

    Args:
        corpus: the passages.
        count: how many; fewer if the corpus has no more sentences.
        seed: of the draw.
        resemblance: log-odds of each sentence to be drawn before another of its passage, passages in order; None: all
            alike. [sentences]
    """
    random = np.random.default_rng(seed)
    left: dict[int, list[int]] = {}
    starts: list[int] = []
    first = 0
    for position in range(len(corpus)):
        many = len(sentences(corpus.titles[position], corpus.bodies[position]))
        # Sorting by log-odds plus Gumbel noise draws without replacement in proportion to the odds.
        keys = random.gumbel(size=many) + (resemblance[first : first + many] if resemblance is not None else 0.0)
        left[position] = [int(number) for number in np.argsort(keys)]
        starts.append(first)
        first += many
    drawn: list[PseudoQuery] = []
    while left and len(drawn) < count:
        for position in random.permutation(list(left))[: count - len(drawn)]:
            number = left[position].pop()
            text = sentences(corpus.titles[position], corpus.bodies[position])[number]
            likeness = 1.0 if resemblance is None else float(expit(resemblance[starts[position] + number]))
            made_from = Sentence(int(position), number)
            drawn.append(PseudoQuery(f"{corpus.ids[position]}#{number}", text, made_from, likeness))
            if not left[position]:
                del left[position]
    return drawn


def query_resemblance(sentence_vectors: Embeddings, query_vectors: Embeddings, seed: int) -> NDArray[np.float64]:
    """How much each sentence looks like one of the user's queries: log-odds of a logistic regression on the vectors.

    A pseudo-query teaches best when it is asked as users ask.

    Args:
        sentence_vectors: of the corpus's sentences. [sentences, dimensions]
        query_vectors: of the queries that may teach. [queries, dimensions]
        seed: of the draw of sentences to tell the queries from.

    Returns:
        Log-odds, balanced: 0 is as much like a query as like a sentence. [sentences]
    """
    from sklearn.linear_model import LogisticRegression

    random = np.random.default_rng(seed)
    rows = random.permutation(len(sentence_vectors))[:_SENTENCES_TO_LEARN_FROM]
    examples = np.concatenate([query_vectors, sentence_vectors[np.sort(rows)]])
    is_query = np.arange(len(examples)) < len(query_vectors)
    model = LogisticRegression(C=10.0, max_iter=300, class_weight="balanced").fit(examples, is_query)
    log_odds: NDArray[np.float64] = model.decision_function(sentence_vectors)
    return log_odds
