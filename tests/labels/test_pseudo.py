"""Pseudo-queries: sentences of the corpus, asked as if they were queries."""

from __future__ import annotations

import tracemalloc
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankstill.candidates import Sentence
from rankstill.candidates.dense import sentences
from rankstill.datasets import Corpus
from rankstill.labels import pseudo as module
from rankstill.labels import pseudo_queries, query_resemblance

LONG = "One sentence of five words. Another sentence of five words. A third one, also five."
CORPUS = Corpus(["a", "b", "c"], ["A title", "", "C"], [LONG, "Short.", LONG])
"""Passages of 4, 1 and 4 sentences."""


def test_the_same_seed_draws_the_same_and_another_seed_others() -> None:
    assert pseudo_queries(CORPUS, 6, seed=3) == pseudo_queries(CORPUS, 6, seed=3)
    assert pseudo_queries(CORPUS, 6, seed=3) != pseudo_queries(CORPUS, 6, seed=4)


def test_drawing_more_keeps_what_was_drawn_before() -> None:
    assert pseudo_queries(CORPUS, 9, seed=3)[:4] == pseudo_queries(CORPUS, 4, seed=3)


@given(st.integers(0, 12), st.integers(0, 1000))
def test_every_passage_gives_one_before_any_gives_a_second(count: int, seed: int) -> None:
    drawn = pseudo_queries(CORPUS, count, seed)
    assert len(drawn) == min(count, 9)
    assert len({each.id for each in drawn}) == len(drawn)
    given_by = Counter(each.made_from.passage for each in drawn)
    for passage, most in enumerate((4, 1, 4)):
        rounds_left = max(given_by.values(), default=0) - given_by[passage]
        assert rounds_left <= 1 or given_by[passage] == most


def one_list_a_passage(corpus: Corpus, count: int, seed: int, resemblance: np.ndarray) -> list[Sentence]:
    """The same draw as simply as it can be said, with every passage's order of sentences in memory."""
    random, first, drawn = np.random.default_rng(seed), 0, []
    left = {}
    for position in range(len(corpus)):
        many = len(sentences(corpus.titles[position], corpus.bodies[position]))
        left[position] = np.argsort(random.gumbel(size=many) + resemblance[first : first + many]).tolist()
        first += many
    while left and len(drawn) < count:
        for position in random.permutation(list(left))[: count - len(drawn)].tolist():
            drawn.append(Sentence(position, left[position].pop()))
        left = {position: order for position, order in left.items() if order}
    return drawn


@given(st.integers(0, 30), st.integers(0, 1000), st.integers(1, 4))
def test_the_draw_is_that_of_one_list_a_passage(count: int, seed: int, stretch: int) -> None:
    corpus = Corpus(
        "abcdefg", [""] * 7, [LONG, "Short.", LONG[:60], *(f"{LONG} {each}" for each in "de"), "Brief.", f"{LONG} g"]
    )
    resemblance = np.random.default_rng(seed).normal(size=16)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_PASSAGES_A_STRETCH", stretch)
        drawn = pseudo_queries(corpus, count, seed, resemblance)
    assert [each.made_from for each in drawn] == one_list_a_passage(corpus, count, seed, resemblance)


def test_a_draw_takes_few_bytes_a_passage() -> None:
    def peak(passages: int) -> int:
        corpus = Corpus(map(str, range(passages)), [""] * passages, (f"{LONG} {number}" for number in range(passages)))
        tracemalloc.start()
        pseudo_queries(corpus, 10, seed=0)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert (peak(60_000) - peak(20_000)) / 40_000 < 60


def test_all_sentences_can_be_drawn_each_once() -> None:
    drawn = pseudo_queries(CORPUS, 100, seed=0)
    for passage in range(3):
        own = [each.text for each in drawn if each.made_from.passage == passage]
        assert sorted(own) == sorted(sentences(CORPUS.titles[passage], CORPUS.bodies[passage]))


def test_the_id_names_the_passage_and_the_sentence() -> None:
    for each in pseudo_queries(CORPUS, 100, seed=0):
        passage, number = each.id.split("#")
        position = CORPUS.position(passage)
        assert each.made_from == Sentence(position, int(number))
        assert sentences(CORPUS.titles[position], CORPUS.bodies[position])[int(number)] == each.text


def test_sentences_that_resemble_queries_are_drawn_first_but_each_passage_still_gives_one() -> None:
    resemblance = np.array([0.0, 50.0, 0.0, 0.0, -50.0, 0.0, 0.0, 0.0, 50.0])
    for seed in range(20):
        drawn = pseudo_queries(CORPUS, 3, seed, resemblance)
        assert {each.id for each in drawn} == {"a#1", "b#0", "c#3"}


def test_resemblance_is_the_log_odds_of_being_drawn_before_another_sentence_of_the_passage() -> None:
    resemblance = np.log([1, 3, 1, 1, 1, 1, 1, 1, 1])
    first = [
        next(each.id for each in pseudo_queries(CORPUS, 3, seed, resemblance) if each.made_from.passage == 0)
        for seed in range(1000)
    ]
    assert first.count("a#1") / 1000 == pytest.approx(1 / 2, abs=0.05)  # odds of 3 against 1, 1 and 1


def test_sentences_near_the_queries_resemble_them() -> None:
    draw = np.random.default_rng(0)
    queries = draw.normal([1, 0, 0, 0], 0.3, size=(40, 4)).astype(np.float32)
    like = draw.normal([1, 0, 0, 0], 0.3, size=(10, 4)).astype(np.float32)
    unlike = draw.normal([0, 1, 0, 0], 0.3, size=(200, 4)).astype(np.float32)
    resemblance = query_resemblance(np.concatenate([unlike, like]), queries, seed=0)
    assert resemblance.shape == (210,)
    assert resemblance[200:].min() > np.quantile(resemblance[:200], 0.95)


def test_likeness_is_the_probability_of_being_a_query() -> None:
    resemblance = np.arange(9) - 4.0
    for each in pseudo_queries(CORPUS, 9, 0, resemblance):
        place = (0, 4, 5)[each.made_from.passage] + each.made_from.number
        assert each.likeness == pytest.approx(1 / (1 + np.exp(-resemblance[place])))
    assert {each.likeness for each in pseudo_queries(CORPUS, 9, 0)} == {1.0}


def test_a_passage_that_says_what_another_says_gives_no_pseudo_query() -> None:
    corpus = Corpus("abc", [""] * 3, [LONG, LONG.upper(), "Short."])
    drawn = pseudo_queries(corpus, 100, seed=0)
    assert {each.made_from.passage for each in drawn} == {0, 2}
    assert len(drawn) == len(sentences("", LONG)) + 1
