from __future__ import annotations

import unicodedata
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankstill.extras.rag.scores import contained, exact_match, normalise, score, token_f1


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The Eiffel Tower!", "eiffel tower"),
        ("  a   cat, an owl and the dog ", "cat owl and dog"),
        ("U.S.", "us"),  # punctuation is taken out, not replaced by a space
        ("twenty-one", "twentyone"),
        ("don't", "dont"),
        ("Theatre", "theatre"),  # an article is a word of its own
        ("a.m.", "am"),  # punctuation goes before articles do
        ("the-end", "theend"),
        ("Röntgen", "röntgen"),  # accents stay
        ("“Paris”", "paris"),  # typographic quotes and apostrophes are those of ASCII
        ("don’t", "dont"),
        ("Hawaiʻi", "hawaii"),
        ("1914–1918", "19141918"),
        ("Ro\u0308ntgen", "röntgen"),  # decomposed, as macOS and some models write it
        ("Bea\u00adtles\u200b", "beatles"),
        ("¿Paris?", "¿paris"),  # of other punctuation only ASCII's is known
        ("the", ""),
    ],
)
def test_the_normal_form_is_squads(text: str, normal: str) -> None:
    # By hand, from evaluate-v1.1.py: white_space_fix(remove_articles(remove_punc(lower(s)))).
    assert normalise(text) == normal


@pytest.mark.parametrize(
    ("answer", "accepted", "exact", "f1"),
    [
        ("the Paris.", ["Paris"], 1, 1),
        ("Paris, France", ["Paris"], 0, 2 / 3),  # precision 1/2, recall 1
        ("Paris", ["city of Paris"], 0, 1 / 2),  # precision 1, recall 1/3
        ("Denver Broncos won", ["the Denver Broncos", "Broncos"], 0, 4 / 5),  # the best: precision 2/3, recall 1
        ("new new york", ["New York New York"], 0, 6 / 7),  # repeated words: 3 shared of 3 and of 4
        ("new new new", ["new"], 0, 1 / 2),  # a word is shared as often as it stands in both
        ("London", ["Paris"], 0, 0),
        ("London", [], 0, 0),
        ("Beyonce\u0301", ["Beyoncé"], 1, 1),
        ("Beyonce", ["Beyoncé"], 0, 0),  # accents count
        ("Shea’s Stadium", ["Shea's Stadium"], 1, 1),
        ("the", ["a"], 1, 0),  # evaluate-v1.1.py: equal, and no word shared
    ],
)
def test_exact_match_and_f1_agree_with_squads_evaluation_by_hand(
    answer: str, accepted: list[str], exact: float, f1: float
) -> None:
    assert exact_match(answer, accepted) == exact
    assert token_f1(answer, accepted) == pytest.approx(f1, abs=1e-12)


@pytest.mark.parametrize(
    ("answer", "accepted", "found"),
    [
        ("It was Jimmy Matthews in 1912.", ["leg spinner Jimmy Matthews", "Jimmy Matthews"], 1),
        ("a bus", ["US"], 0),  # whole tokens
        ("the year 19121", ["1912"], 0),
        ("Matthews", ["Jimmy Matthews"], 0),
        ("anything", ["..."], 0),
        ("beatles", ["The Beatles"], 1),  # equal in SQuAD's normal form
        ("It was the Beatles", ["The Beatles"], 1),
        ("US", ["U.S."], 1),
        ("It helps us", ["U.S."], 0),  # in a sentence, as DPR has it
        ("I do not know who", ["The Who"], 0),
        ("It is a Rock ’n’ Roll song", ["rock 'n' roll"], 1),
        ("It is O'Hara.", ["O’Hara"], 1),
        ("by Beyonce\u0301 Knowles", ["Beyoncé"], 1),
        ("1914–1918, I think", ["1914-1918"], 1),
        ("anything", [], 0),
    ],
)
def test_an_answer_is_contained_by_whole_tokens(answer: str, accepted: list[str], found: float) -> None:
    assert contained(answer, accepted) == found


def test_a_reader_that_says_nothing_wins_nothing() -> None:
    assert exact_match("", ["The"]) == 1  # as SQuAD's evaluation has it
    assert score("", ["The"]) == score(" ", ["Paris"]) == {"EM": 0, "F1": 0, "Contained": 0}
    assert score("the Paris", ["Paris"]) == {"EM": 1, "F1": 1, "Contained": 1}


@given(st.text(max_size=40), st.lists(st.text(max_size=40), max_size=4))
def test_scores_stay_within_bounds_and_more_accepted_answers_never_lower_them(answer: str, accepted: list[str]) -> None:
    before, after = score(answer, accepted), score(answer, [*accepted, answer])
    for measure, value in before.items():
        assert 0 <= value <= after[measure] <= 1
    if normalise(answer):
        assert (after["EM"], after["F1"]) == (1, 1)
        assert before["F1"] == 1 or before["EM"] == 0


ODD_TEXTS = st.text(alphabet="aAtheThe .'’-–“é\u0301\u00adß1İ", max_size=12)


@given(ODD_TEXTS, st.lists(ODD_TEXTS, max_size=3))
def test_an_answer_that_is_equal_is_contained_too(answer: str, accepted: list[str]) -> None:
    assert contained(answer, accepted) >= exact_match(answer, accepted)
    assert score(answer, [answer])["Contained"] >= score(answer, [answer])["EM"]


@given(ODD_TEXTS, st.lists(ODD_TEXTS, max_size=3), st.sampled_from(["NFC", "NFD"]))
def test_no_score_depends_on_how_accents_were_typed(
    answer: str, accepted: list[str], form: Literal["NFC", "NFD"]
) -> None:
    retyped = [unicodedata.normalize(form, each) for each in accepted]
    assert score(unicodedata.normalize(form, answer), accepted) == score(answer, retyped) == score(answer, accepted)
