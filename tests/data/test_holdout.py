"""Training queries held out to choose settings on: no leak to those that teach, and enough of them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankstill.config import DatasetConfig
from rankstill.data import Corpus, Dataset, Qrels, Query, hold_out, load_dataset, shared_gold
from rankstill.errors import DataError

PASSAGES = [f"p{number}" for number in range(12)]


def dataset_of(qrels: Qrels, texts: dict[str, str] | None = None) -> Dataset:
    queries = {query_id: Query(query_id, (texts or {}).get(query_id, f"text of {query_id}")) for query_id in qrels}
    return Dataset("d", Corpus(PASSAGES, [""] * 12, PASSAGES), queries, tuple(qrels), (), qrels)


def test_a_third_of_scifacts_claims_measures_and_shares_no_gold_passage_with_the_rest() -> None:
    whole = load_dataset(DatasetConfig(source="scifact"))
    parted = hold_out(whole)
    assert (len(parted.train), len(parted.test)) == (358, 179)
    assert {*parted.train, *parted.test} == set(whole.train)  # the test claims are not looked at
    assert not shared_gold(parted).test
    assert hold_out(whole).test == parted.test
    assert hold_out(whole, seed=1).test != parted.test


@given(
    st.lists(st.dictionaries(st.sampled_from(PASSAGES), st.integers(0, 2), max_size=2), min_size=3, max_size=30),
    st.integers(0, 5),
)
def test_no_query_that_teaches_shares_gold_with_one_that_measures(grades: list[dict[str, int]], seed: int) -> None:
    dataset = dataset_of({f"q{number}": each for number, each in enumerate(grades)})
    judged = sum(any(grade > 0 for grade in each.values()) for each in grades)
    try:
        parted = hold_out(dataset, seed)
    except DataError as error:
        hanging = int(re.findall(r"and (\d+) of them are linked", str(error))[0])
        assert judged < 3 or hanging > judged // 3
        return
    assert not shared_gold(parted).test
    assert {*parted.train, *parted.test} == set(dataset.train)
    assert judged // 6 <= len(parted.test) <= judged // 2
    assert all(max(dataset.qrels[query_id].values()) > 0 for query_id in parted.test)


def test_a_giant_group_teaches_and_what_is_small_is_held_out() -> None:
    chained = {f"chained{n}": {f"p{n % 12}": 1, f"p{(n + 1) % 12}": 1} for n in range(24)}
    alone = {f"alone{n}": {f"own{n}": 1} for n in range(12)}
    for seed in range(5):
        assert set(hold_out(dataset_of({**chained, **alone}), seed).test) == set(alone)


def test_a_query_that_repeats_one_that_measures_does_not_teach() -> None:
    qrels = {f"q{number}": {f"p{number}": 1} for number in range(6)}
    (first, *_) = hold_out(dataset_of(qrels)).test
    other = next(query_id for query_id in qrels if query_id not in hold_out(dataset_of(qrels)).test)
    parted = hold_out(dataset_of(qrels, {first: "What is it?", other: "what is  it?"}))
    assert other not in {*parted.train, *parted.test}


@pytest.mark.parametrize(
    ("grades", "said"),
    [
        ([{}, {}, {}], "there are 0, and 0 of them"),
        ([{"p0": 1}, {"p0": 1}, {"p0": 1}, {"p0": 1}], "there are 4, and 4 of them"),
        ([{"p0": 1}, {"p1": 1}], "there are 2, and 1 of them"),
    ],
)
def test_it_says_when_too_few_can_be_held_out(grades: list[dict[str, int]], said: str) -> None:
    with pytest.raises(DataError, match=f"^d: a third of the judged .*{said} are linked .*Add judgements"):
        hold_out(dataset_of({f"q{number}": each for number, each in enumerate(grades)}))
