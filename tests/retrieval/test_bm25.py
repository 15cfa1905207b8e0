"""BM25: the index of a corpus and the statistics that score any passage agree, and agree with the formula."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankstill.errors import DataError
from rankstill.retrieval.bm25 import Analyzer, BM25Index, BM25Statistics

CORPUS = [
    "The running dog chased the other dogs",
    "A cat sleeps; the cat dreams of running",
    "Nothing here",
    "dog dog dog dog dog dog dog dog dog dog dog",
]


def lucene_bm25(query: str, corpus: list[str], k1: float, b: float) -> list[float]:
    """BM25 written out from Lucene's formula (Kamphuis et al. 2020, table 1), with plain terms."""
    terms = [re.findall(r"\w\w+", passage.lower()) for passage in corpus]
    mean_length = sum(len(words) for words in terms) / len(terms)
    scores = []
    for words in terms:
        score = 0.0
        for term in re.findall(r"\w\w+", query.lower()):
            holding = sum(term in other for other in terms)
            frequency = words.count(term)
            idf = math.log(1 + (len(corpus) - holding + 0.5) / (holding + 0.5))
            score += idf * frequency / (frequency + k1 * (1 - b + b * len(words) / mean_length))
        scores.append(score)
    return scores


@pytest.mark.parametrize("query", ["dog", "the running cat", "dog dog cat", "unheard of", ""])
@pytest.mark.parametrize(("k1", "b"), [(1.2, 0.75), (0.9, 0.4), (2.0, 0.0)])
def test_index_and_statistics_give_lucenes_bm25(query: str, k1: float, b: float) -> None:
    index = BM25Index(CORPUS, None, k1, b)
    expected = lucene_bm25(query, CORPUS, k1, b)
    np.testing.assert_allclose(index.scores(query), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(index.statistics.scores(query, CORPUS), expected, rtol=1e-5, atol=1e-6)


WORDS = st.sampled_from(["run", "running", "cats", "the", "of", "ümlaut", "naïve", "42", "x", "don't"])
TEXTS = st.lists(WORDS, max_size=12).map(" ".join)


@given(st.lists(TEXTS, min_size=1, max_size=8), TEXTS, st.sampled_from([None, "english", "german"]))
def test_statistics_score_the_corpus_as_the_index_does(corpus: list[str], query: str, language: str | None) -> None:
    index = BM25Index(corpus, language, 1.2, 0.75)
    np.testing.assert_allclose(index.statistics.scores(query, corpus), index.scores(query), rtol=1e-5, atol=1e-6)


def test_statistics_score_a_passage_that_is_not_in_the_corpus() -> None:
    statistics = BM25Index(CORPUS, None, 1.2, 0.75).statistics
    idf = math.log(1 + (4 - 1 + 0.5) / 1.5)  # "cat" stands in one passage of four
    length = 3 / statistics.mean_length
    expected = idf * 1 / (1 + 1.2 * (0.25 + 0.75 * length))
    assert statistics.scores("cat", ["a new cat arrives"]) == pytest.approx([expected])


def test_statistics_survive_saving_exactly(tmp_path: Path) -> None:
    statistics = BM25Index([*CORPUS, "Größe ändert sich"], "german", 0.9, 0.4).statistics
    statistics.save(tmp_path / "bm25.json")
    assert BM25Statistics.load(tmp_path / "bm25.json") == statistics


def test_english_terms_are_stemmed_in_order_without_stop_words() -> None:
    assert Analyzer("english")(["The dogs and a DOG were running", ""]) == [["dog", "dog", "were", "run"], []]


def test_without_a_language_words_stay_as_they_are() -> None:
    assert Analyzer(None)(["The dogs were running x"]) == [["the", "dogs", "were", "running"]]


def test_a_language_without_stop_words_is_still_stemmed() -> None:
    assert Analyzer("finnish")(["talossa"]) == [["talo"]]


def test_unknown_language_is_named_together_with_what_there_is() -> None:
    with pytest.raises(DataError, match=r'no stemmer for "klingon".*english') as caught:
        Analyzer("klingon")
    assert "\n" not in str(caught.value)
