"""Sentences of the corpus, as queries that a teacher is checked with."""

from __future__ import annotations

import pytest

from rankstill.datasets import Corpus, Dataset
from rankstill.teaching.questions import draw_sentences, sentences


def test_each_sentence_stands_in_its_own_passage_and_no_passage_gives_two(toy_dataset: Dataset) -> None:
    corpus = toy_dataset.corpus
    drawn = draw_sentences(corpus, 40, seed=1)
    assert len({each.passage for each in drawn}) == len({each.id for each in drawn}) == 40
    for each in drawn:
        assert each.text in corpus.text(each.passage)
        assert each.id.startswith(corpus.ids[each.passage] + "#")
    assert draw_sentences(corpus, 40, seed=1) == drawn
    assert draw_sentences(corpus, 40, seed=2) != drawn
    assert len(draw_sentences(corpus, 1000, seed=1)) == len(corpus)


def test_of_passages_that_say_the_same_only_the_first_gives_one() -> None:
    corpus = Corpus("abc", [""] * 3, ["Lava fills the crater.", "Yeast makes dough rise.", "LAVA fills the crater."])
    assert sorted(each.passage for each in draw_sentences(corpus, 3, seed=0)) == [0, 1]


def test_title_comes_first_and_fragments_are_left_out() -> None:
    body = "Cats sleep most of the day. Fig. 3 B. They hunt at dawn and at dusk! Why do they do this?"
    assert sentences("Cats", body) == [
        "Cats",
        "Cats sleep most of the day.",
        "They hunt at dawn and at dusk!",
        "Why do they do this?",
    ]


def test_an_abbreviation_before_a_small_letter_does_not_end_a_sentence() -> None:
    assert sentences("", "It acts on cells, e.g. on those of the skin. It does nothing else at all.") == [
        "It acts on cells, e.g. on those of the skin.",
        "It does nothing else at all.",
    ]


@pytest.mark.parametrize("body", ["Too short.", "Short. Also short.", ""])
def test_a_body_without_a_long_sentence_is_kept_whole(body: str) -> None:
    assert sentences("", body) == [body]
