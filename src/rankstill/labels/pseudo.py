"""Pseudo-queries: sentences of the corpus, asked as if they were queries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from rankstill.candidates import Sentence
from rankstill.candidates.dense import Embeddings, sentences
from rankstill.datasets import Corpus

_SENTENCES_TO_LEARN_FROM = 10_000
_PASSAGES_A_STRETCH = 8192


@dataclass(frozen=True, slots=True)
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

    A passage that says what an earlier one says gives none: it would not hide its own sentence (`made_from`) in that.

    Args:
        corpus: the passages.
        count: how many; fewer if the corpus has no more sentences.
        seed: of the draw.
        resemblance: log-odds of each sentence to be drawn before another of its passage, passages in order; None: all
            alike. [sentences]
    """
    many = _sentences_of_each(corpus)
    random = np.random.default_rng(seed)
    # Every sentence has noise of its own. It is not kept, for a corpus has many: it is drawn once more below.
    for _ in _noise(random, many):
        pass
    drawn = _draw_passages(random, many if corpus.repeats is None else np.where(corpus.repeats, 0, many), count)
    numbers = _draw_numbers(np.random.default_rng(seed), many, drawn, resemblance)
    starts = np.cumsum(many) - many
    queries = []
    for position, number in zip(drawn.tolist(), numbers.tolist(), strict=True):
        text = sentences(corpus.titles[position], corpus.bodies[position])[number]
        likeness = 1.0 if resemblance is None else float(expit(resemblance[starts[position] + number]))
        queries.append(PseudoQuery(f"{corpus.ids[position]}#{number}", text, Sentence(position, number), likeness))
    return queries


def _sentences_of_each(corpus: Corpus) -> NDArray[np.int64]:
    """How many sentences each passage has, its title among them. [passages]"""
    counted = (len(sentences(*each)) for each in zip(corpus.titles, corpus.bodies, strict=True))
    return np.fromiter(counted, dtype=np.int64, count=len(corpus))


def _noise(random: np.random.Generator, many: NDArray[np.int64]) -> Iterator[tuple[int, list[NDArray[np.float64]]]]:
    """Gumbel noise of every sentence, by stretches of passages: the first one's position, and each one's noise."""
    for start in range(0, len(many), _PASSAGES_A_STRETCH):
        here = many[start : start + _PASSAGES_A_STRETCH]
        yield start, np.split(random.gumbel(size=here.sum()), np.cumsum(here)[:-1])


def _draw_passages(random: np.random.Generator, many: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Positions of passages, each once a round as long as it has sentences, in an order of the round's own. [count]"""
    rounds = [np.empty(0, dtype=np.int64)]
    while count > 0 and len(left := np.flatnonzero(many >= len(rounds))):
        rounds.append(random.permutation(left)[:count])
        count -= len(rounds[-1])
    return np.concatenate(rounds)


def _draw_numbers(
    random: np.random.Generator,
    many: NDArray[np.int64],
    drawn: NDArray[np.int64],
    resemblance: NDArray[np.float64] | None,
) -> NDArray[np.int64]:
    """Which sentence of its passage each draw takes, no sentence twice. [draws]

    Sorting by log-odds plus Gumbel noise draws without replacement in proportion to the odds.

    Args:
        random: as it was before any noise was drawn.
        many: sentences of each passage. [passages]
        drawn: positions of the passages that give one, in the order in which they do. [draws]
        resemblance: log-odds, as for `pseudo_queries`. [sentences]
    """
    numbers = np.empty(len(drawn), dtype=np.int64)
    by_passage = np.argsort(drawn, kind="stable")
    first = 0
    for start, noise in _noise(random, many):
        ends = np.searchsorted(drawn, np.arange(start, start + len(noise) + 1), sorter=by_passage).tolist()
        for own, place, end in zip(noise, ends, ends[1:], strict=False):
            if end > place:
                keys = own + (resemblance[first : first + len(own)] if resemblance is not None else 0.0)
                numbers[by_passage[place:end]] = np.argsort(keys)[::-1][: end - place]
            first += len(own)
    return numbers


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
