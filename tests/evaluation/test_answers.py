"""Answer matching as DPR does it: hand-worked cases, and an independent tokeniser."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankstill.data.dataset import Corpus, Query
from rankstill.errors import DataError
from rankstill.evaluation import answer_qrels, merge_qrels, per_query
from rankstill.evaluation.answers import has_answer


@pytest.mark.parametrize(
    ("answer", "text", "expected"),
    [
        ("Paris", "The capital is PARIS.", True),
        ("Beyonce\u0301", "a song by Beyonc\u00e9 Knowles", True),  # decomposed against composed
        ("Beyonce", "a song by Beyoncé", False),  # accents count
        ("São Paulo", "in SÃO PAULO, Brazil", True),
        ("U.S.", "the U.S. Army", True),
        ("U.S.", "the U. S. Army", True),  # tokens are what counts, not the space between them
        ("U.S.", "the US Army", False),
        ("US", "the U.S. Army", False),
        ("US", "the bus stop", False),
        ("art", "the party started", False),
        ("party", "art", False),
        ("1,000", "over 1,000 people", True),
        ("1,000", "over 1000 people", False),
        ("1,000", "over 11,000 people", False),
        ("1,000", "over 1,0000 people", False),
        ("1000", "over 1,000 people", False),
        ("14", "on 14 December", True),
        ("14", "in 1914", False),
        ("3.5", "about 3.5%", True),
        ("5%", "about 3.5 % of it", True),
        ("the soothsayer", "said the\n soothsayer", True),  # any white space separates
        ("New York", "New Jersey and York", False),
        ("rock 'n' roll", "Rock 'n' Roll!", True),
        ("rock 'n' roll", "Rock ’n’ Roll!", False),
        ("it's", "it's", True),
        ("it", "it's", True),
        ("Jean-Luc", "jean - luc", True),
        ("東京", "東京 is a city", True),
        ("東京", "東京都", False),  # no spaces: one token
        ("", "anything", False),
        (" \u200b\n", "anything \u200b", False),
        ("long answer", "long", False),
        ("answer", "", False),
    ],
)
def test_hand_worked_matches(answer, text, expected):
    assert has_answer([answer], text) is expected


def test_any_one_answer_suffices_and_none_is_no_match():
    assert has_answer(["a seer", "the soothsayer"], "It was the soothsayer.")
    assert not has_answer(["a seer", "a haruspex"], "It was the soothsayer.")
    assert not has_answer([], "It was the soothsayer.")


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        (r"jan(uary)?\.? \d{1,2}", "born on January 12", True),
        (r"jan(uary)?\.? \d{1,2}", "born in January", False),
        (r"long island|new york", "in NEW YORK", True),
        (r"art", "the party", True),  # a regular expression says itself where words end
        (r"\bart\b", "the party", False),
        (r"^second line$", "first line\nSecond line\nthird", True),
        ("Beyonce\u0301", "Beyonc\u00e9", True),
        (r"U\.S\.", "the US", False),
    ],
)
def test_hand_worked_regular_expressions(pattern, text, expected):
    corpus = Corpus(["p"], [""], [text])
    judged = answer_qrels({"q": {"p": 1.0}}, [Query("q", "x", (pattern,))], corpus, regex=True)
    assert judged == {"q": {"p": int(expected)}}


def tokens_by_category(text: str) -> list[str]:
    """DPR's tokens, worked out from Unicode categories character by character."""
    tokens: list[str] = []
    inside = False
    for character in unicodedata.normalize("NFD", text):
        kind = unicodedata.category(character)[0]
        if kind in "LNM" and inside:
            tokens[-1] += character
        elif kind not in "ZC":
            tokens.append(character)
        inside = kind in "LNM"
    return [token.lower() for token in tokens]


TEXTS = st.text(alphabet="aAbÉé\u0301Σσ1² .,'-$\n\u00a0\u200b漢", max_size=14)


@settings(deadline=None)
@given(answer=TEXTS, text=TEXTS)
def test_a_match_is_a_run_of_whole_tokens(answer, text):
    wanted, tokens = tokens_by_category(answer), tokens_by_category(text)
    starts = range(len(tokens) - len(wanted) + 1)
    expected = bool(wanted) and any(tokens[start : start + len(wanted)] == wanted for start in starts)
    assert has_answer([answer], text) is expected


CORPUS = Corpus(
    ["p1", "p2", "p3", "p4"],
    ["Australia", "", "Rome", ""],
    ["A continent in the south.", "The British ruled Australia.", "Beware, said the soothsayer.", "Nothing here."],
)
QUERIES = [
    Query("q1", "which continent", ("Australia",)),
    Query("q2", "who said beware", ("a seer", "the soothsayer")),
    Query("q3", "no answers known"),
    Query("q4", "not in the run", ("x",)),
]
RUN = {"q1": {"p1": 0.9, "p2": 0.8, "p4": 0.7}, "q2": {"p4": 0.9, "p1": 0.8, "p3": 0.7}, "q3": {"p1": 1.0}}


def test_passages_are_judged_by_their_body_within_the_depth():
    assert answer_qrels(RUN, QUERIES, CORPUS) == {
        "q1": {"p1": 0, "p2": 1, "p4": 0},  # p1 has the answer in its title alone
        "q2": {"p4": 0, "p1": 0, "p3": 1},
        "q4": {},
    }
    assert answer_qrels(RUN, QUERIES, CORPUS, depth=2)["q2"] == {"p4": 0, "p1": 0}


def hits(run, queries, k, regex=False):
    return per_query(run, answer_qrels(run, queries, CORPUS, depth=k, regex=regex), [f"Hit@{k}"])[f"Hit@{k}"]


def test_hits_count_answered_queries_whatever_is_judged_below():
    assert hits(RUN, QUERIES, 1) == {"q1": 0.0, "q2": 0.0, "q4": 0.0}
    assert hits(RUN, QUERIES, 2) == {"q1": 1.0, "q2": 0.0, "q4": 0.0}
    assert hits(RUN, QUERIES, 3) == {"q1": 1.0, "q2": 1.0, "q4": 0.0}
    measures = per_query(RUN, answer_qrels(RUN, QUERIES, CORPUS), ["Hit@1", "Hit@2", "Hit@3"])
    for k in (1, 2, 3):
        assert measures[f"Hit@{k}"] == hits(RUN, QUERIES, k)


def test_ties_are_cut_at_k_as_trec_eval_would_rank_them():
    run = {"q1": {"p1": 1.0, "p2": 1.0}}
    assert hits(run, QUERIES[:1], 1) == {"q1": 1.0}  # p2 before p1


def test_runs_share_one_set_of_judgements_when_merged():
    other = {"q1": {"p3": 1.0}, "q2": {"p3": 1.0}}
    merged = merge_qrels([answer_qrels(run, QUERIES, CORPUS) for run in (RUN, other)])
    assert merged["q1"] == {"p1": 0, "p2": 1, "p4": 0, "p3": 0}
    for run in (RUN, other):
        assert per_query(run, merged, ["Hit@2"])["Hit@2"] == hits(run, QUERIES, 2)


def test_regular_expressions_judge_a_run_too():
    queries = [Query("q2", "who", (r"sooth\w+",))]
    assert hits(RUN, queries, 3, regex=True) == {"q2": 1.0}
    assert hits(RUN, queries, 3) == {"q2": 0.0}


def test_a_broken_regular_expression_is_named_with_its_query():
    with pytest.raises(DataError, match=r'query "q9": answer "\(open" is not a regular expression'):
        answer_qrels(RUN, [Query("q9", "x", ("fine", "(open"))], CORPUS, regex=True)


def test_a_passage_from_another_corpus_and_queries_without_answers_are_refused():
    with pytest.raises(DataError, match='passage "p9" of query "q1" is not in the corpus'):
        answer_qrels({"q1": {"p9": 1.0}}, QUERIES, CORPUS)
    with pytest.raises(DataError, match="none has answers"):
        answer_qrels(RUN, [QUERIES[2]], CORPUS)
