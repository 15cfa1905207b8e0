"""Slices: every query where it belongs, and figures that are the paired test's own."""

from __future__ import annotations

import json
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankstill.data import Corpus, Dataset, Query
from rankstill.evaluation import compare
from rankstill.evaluation.slices import compare_slices, slice_queries, slice_runs, terciles

TEXTS = {
    "a": "glaciers melting",
    "b": "the glaciers sing songs",
    "c": "volcano",
    "taught": "what is a glacier",
}
CORPUS = Corpus(["ice", "fire", "other"], ["Glacier", "", ""], ["it melts", "lava flows", "nothing"])


@pytest.fixture
def dataset() -> Dataset:
    return Dataset(
        name="hand-made",
        corpus=CORPUS,
        queries={query_id: Query(query_id, text) for query_id, text in TEXTS.items()},
        train=("taught",),
        test=("a", "b", "c"),
        qrels={"a": {"ice": 1}, "b": {"ice": 2, "fire": 0}, "c": {"fire": 1, "other": 1}, "taught": {"ice": 1}},
    )


def test_a_query_is_seen_if_one_of_its_gold_passages_taught(dataset: Dataset) -> None:
    groups = slice_queries(dataset, dataset.test, ["taught"], "english")
    assert groups["gold passage"] == {"seen as gold in training": ("a", "b"), "not seen": ("c",)}
    untaught = slice_queries(dataset, dataset.test, [], "english")
    assert untaught["gold passage"] == {"seen as gold in training": (), "not seen": ("a", "b", "c")}


def test_overlap_is_the_share_of_stemmed_terms_in_the_gold_passage_that_has_most(dataset: Dataset) -> None:
    # a: glacier and melt, both in "Glacier it melts". b: of glacier, sing and song the first. c: in neither passage.
    groups = slice_queries(dataset, dataset.test, [], "english")
    assert groups["lexical overlap"] == {
        "low: 0% to 0% of the terms": ("c",),
        "middle: 33% to 33% of the terms": ("b",),
        "high: 100% to 100% of the terms": ("a",),
    }


def test_a_query_without_a_gold_passage_is_in_the_slices_by_length_alone(dataset: Dataset) -> None:
    dataset.qrels["c"] = {"fire": 0}
    groups = slice_queries(dataset, dataset.test, ["taught"], None)
    named = {by: sorted(each for ids in parts.values() for each in ids) for by, parts in groups.items()}
    assert named == {"gold passage": ["a", "b"], "query length": ["a", "b", "c"], "lexical overlap": ["a", "b"]}


def test_length_is_in_words(dataset: Dataset) -> None:
    lengths = slice_queries(dataset, dataset.test, [], "english")["query length"]
    assert lengths == {"low: 1 to 1 words": ("c",), "middle: 2 to 2 words": ("a",), "high: 4 to 4 words": ("b",)}


@given(st.dictionaries(st.text(max_size=3), st.integers(0, 8).map(float), max_size=40))
def test_terciles_part_every_query_once_in_order_and_never_equal_values(values: dict[str, float]) -> None:
    parts = list(terciles(values, "{} to {}").values())
    assert sorted(each for ids in parts for each in ids) == sorted(values)
    assert all(parts)
    for low, high in pairwise(parts):
        assert max(values[each] for each in low) < min(values[each] for each in high)


def test_terciles_of_distinct_values_are_thirds() -> None:
    values = {str(number): float(number) for number in range(9)}
    assert [len(ids) for ids in terciles(values, "{} to {}").values()] == [3, 3, 3]
    assert list(terciles(values, "{:.0f} to {:.0f}")) == ["low: 0 to 2", "middle: 3 to 5", "high: 6 to 8"]


VALUES = {
    "old": {"a": 0.0, "b": 0.5, "c": 1.0},
    "new": {"a": 1.0, "b": 0.5, "c": 0.5},
    "another": {"a": 0.0, "b": 0.0, "c": 1.0},
}
GROUPS = {"side": {"left": ("a", "b"), "right": ("c",), "none": ()}}


def test_every_figure_is_the_paired_comparison_of_the_slices_own_queries() -> None:
    found = compare_slices(VALUES, GROUPS, "nDCG@10", seed=3)
    by_name = {part.name: part for part in found.slices}
    assert list(by_name) == ["all queries", "left", "right", "none"]
    assert list(by_name["left"].comparisons) == ["new", "another"]
    assert by_name["all queries"].comparisons["new"] == compare([0.0, 0.5, 1.0], [1.0, 0.5, 0.5], seed=3)
    assert by_name["left"].comparisons["new"] == compare([0.0, 0.5], [1.0, 0.5], seed=3)
    assert by_name["left"].comparisons["another"] == compare([0.0, 0.5], [0.0, 0.0], seed=3)
    assert by_name["right"].comparisons["new"].difference == -0.5
    assert by_name["none"].comparisons == {}


def test_the_table_has_a_column_a_system_shows_empty_slices_and_says_that_slices_prove_nothing() -> None:
    text = compare_slices(VALUES, GROUPS, "nDCG@10").to_markdown()
    assert "| nDCG@10 by | queries | n | old | new | another |" in text
    assert "| side | none | 0 |  |  |  |" in text
    new, another = r"\+0\.500 \[\+0\.000, \+1\.000\], 1 / 0", r"-0\.250 \[-0\.500, \+0\.000\], 0 / 1"
    assert re.search(rf"\| side \| left \| 2 \| 0\.250 \| {new} \| {another} \|", text)
    assert "its difference to old" in text
    assert "not corrected for the number of slices" in text
    assert {line.count("|") for line in text.splitlines() if line.startswith("|")} == {7}


def test_json_keeps_the_values_of_every_query() -> None:
    data = json.loads(json.dumps(compare_slices(VALUES, GROUPS, "nDCG@10").to_json()))
    assert data["queries"]["c"] == {"old": 1.0, "new": 0.5, "another": 1.0}
    assert data["slices"][1]["queries"] == ["a", "b"]


def test_runs_are_sliced_by_the_datasets_test_queries(dataset: Dataset) -> None:
    runs = {
        "old": {"a": {"ice": 1.0}, "c": {"ice": 1.0}},
        "new": {"a": {"ice": 1.0}, "b": {"ice": 1.0}, "c": {"fire": 1.0}},
    }
    found = slice_runs(runs, dataset, ["taught"], language="english", measure="Success@1", seed=1)
    assert found.measure == "Hit@1"
    assert found.values["old"] == {"a": 1.0, "b": 0.0, "c": 0.0}
    assert {part.name: part.comparisons["new"].difference for part in found.slices if part.by == "gold passage"} == {
        "seen as gold in training": 0.5,
        "not seen": 1.0,
    }
