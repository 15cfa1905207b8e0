from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rankstill.config import DatasetConfig
from rankstill.data import (
    Corpus,
    Dataset,
    LeakReport,
    Qrels,
    Query,
    bundled,
    drop_leaks,
    find_leaks,
    load_dataset,
    mark_leaks,
    near_duplicates,
    shared_gold,
)

PASSAGES = ["p1", "p2", "p3"]
qrels_of = st.dictionaries(st.sampled_from(PASSAGES), st.integers(-1, 2), max_size=3)


def dataset_of(train: dict[str, dict[str, int]], test: dict[str, dict[str, int]]) -> Dataset:
    qrels: Qrels = {**train, **test}
    queries = {query_id: Query(query_id, f"text of {query_id}") for query_id in qrels}
    return Dataset("d", Corpus(PASSAGES, [""] * 3, PASSAGES), queries, tuple(train), tuple(test), qrels)


def disjoint_ids() -> list[str]:
    lines = (bundled("scifact") / "qrels" / "train-disjoint.tsv").read_text().splitlines()[1:]
    return sorted({line.split("\t")[0] for line in lines})


def test_scifact_without_its_leak_is_exactly_the_537_disjoint_claims() -> None:
    dataset = load_dataset(DatasetConfig(source="scifact"))
    assert len(dataset.train) == 537
    assert sorted(dataset.train) == disjoint_ids()
    assert (len(dataset.test), dataset.leaking) == (300, ())
    caveat, note = dataset.notes
    assert "SciFact is public" in caveat
    assert "272 of 809 training queries leak" in note
    assert "196 of 300 test queries" in note


def test_scifact_with_its_leak_names_the_leaking_claims() -> None:
    dataset = load_dataset(DatasetConfig(source="scifact", leaks="keep"))
    assert len(dataset.train) == 809
    assert sorted(set(dataset.train) - set(dataset.leaking)) == disjoint_ids()
    assert any("LEAKING: 272 of 809" in note for note in dataset.notes)


def test_scifacts_report_says_the_published_share() -> None:
    report = find_leaks(load_dataset(DatasetConfig(source="scifact", leaks="keep")))
    assert report == LeakReport(809, 300, 272, 196)
    assert report.describe() == (
        "196 of 300 test queries (65%) have a gold passage that is gold for a training query (272 of 809)."
    )


def test_only_passages_that_are_relevant_on_both_sides_count() -> None:
    dataset = dataset_of({"a": {"p1": 1, "p2": 1}, "b": {"p3": 0}}, {"c": {"p2": 1}, "d": {"p3": 1}, "e": {"p1": 0}})
    shared = shared_gold(dataset)
    assert (shared.train, shared.test) == (("a",), ("c",))


@given(st.lists(qrels_of, max_size=5), st.lists(qrels_of, max_size=5))
def test_what_is_left_shares_nothing_and_nothing_else_is_dropped(
    train: list[dict[str, int]], test: list[dict[str, int]]
) -> None:
    dataset = dataset_of({f"a{i}": g for i, g in enumerate(train)}, {f"b{i}": g for i, g in enumerate(test)})
    left = drop_leaks(dataset)
    test_gold = {p for grades in test for p, grade in grades.items() if grade > 0}

    def touches(query_id: str) -> bool:
        return any(grade > 0 and p in test_gold for p, grade in dataset.qrels[query_id].items())

    assert left.train == tuple(query_id for query_id in dataset.train if not touches(query_id))
    assert (left.test, shared_gold(left).train) == (dataset.test, ())
    assert set(mark_leaks(dataset).leaking) == set(dataset.train) - set(left.train)


def test_a_training_query_that_says_what_a_test_query_says_is_dropped(beir: Callable[..., Path]) -> None:
    queries = [{"_id": "q1", "text": "What is\tSecond"}, {"_id": "q2", "text": "what is second"}]
    folder = beir(queries=queries)
    dataset = load_dataset(DatasetConfig(source=str(folder)))
    assert dataset.train == ()
    assert any("every training query leaks" in note for note in dataset.notes)
    assert load_dataset(DatasetConfig(source=str(folder), leaks="keep")).leaking == ("q1",)


def test_training_queries_that_nobody_judged_are_said_to_be_unchecked(beir: Callable[..., Path]) -> None:
    dataset = load_dataset(DatasetConfig(source=str(beir(qrels={"test": "q2\tp2\t1\n"}))))
    assert dataset.notes[-1].startswith("beir: 1 of 1 training queries have no judgements")


def test_near_duplicates_are_found_by_direction_and_name_the_nearest() -> None:
    train = np.array([[1.0, 0.0], [0.0, 5.0], [0.1, 1.0]])
    test = np.array([[0.0, 2.0], [1.0, 1.0], [-1.0, 0.0], [0.0, 0.0]], dtype=np.float32)
    assert near_duplicates(train, test).tolist() == [1, -1, -1, -1]
    assert near_duplicates(train, test, threshold=0.7).tolist() == [1, 2, -1, -1]


vectors = hnp.arrays(np.float64, st.tuples(st.integers(0, 6), st.just(3)), elements=st.floats(-1, 1, width=16))


@given(vectors, vectors, st.floats(-0.5, 0.95))
def test_near_duplicates_agree_with_one_pair_at_a_time(train: np.ndarray, test: np.ndarray, threshold: float) -> None:
    nearest = near_duplicates(train, test, threshold)
    assert nearest.shape == (len(test),)

    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
        return float(a @ b) / lengths if lengths else 0.0

    for row, found in enumerate(nearest):
        cosines = [cosine(test[row], other) for other in train]
        if found >= 0:
            assert cosines[found] >= threshold - 1e-9
            assert cosines[found] >= max(cosines) - 1e-9
        else:
            assert all(value < threshold + 1e-9 for value in cosines)


def test_more_test_queries_than_one_block_are_all_compared() -> None:
    test = np.tile(np.eye(3), (700, 1))
    assert near_duplicates(np.eye(3), test).tolist() == [0, 1, 2] * 700


def test_embeddings_of_two_models_are_refused() -> None:
    with pytest.raises(ValueError, match=r"not \(2, 3\), \(2, 4\)"):
        near_duplicates(np.ones((2, 3)), np.ones((2, 4)))


def test_the_report_with_embeddings_gives_both_shares_in_one_sentence() -> None:
    dataset = dataset_of({"a": {"p1": 1}, "b": {"p2": 1}}, {"c": {"p1": 1}, "d": {"p3": 1}})
    report = find_leaks(dataset, np.eye(2), np.array([[0.5, 0.5], [0.0, 1.0]]))
    assert report.share_test_sharing_gold == 0.5
    assert report.share_test_with_near_duplicate == 0.5
    assert report.describe() == (
        "1 of 2 test queries (50%) have a gold passage that is gold for a training query (1 of 2), and 1 (50.0%) have "
        "a training query that says nearly the same (cosine of at least 0.9)."
    )


def test_a_report_without_embeddings_does_not_claim_to_have_looked() -> None:
    report = find_leaks(dataset_of({"a": {"p1": 1}}, {"c": {"p2": 1}}))
    assert (report.test_with_near_duplicate, report.share_test_with_near_duplicate) == (None, None)
    assert "nearly the same" not in report.describe()


def test_a_dataset_without_test_queries_is_reported_and_not_divided_by() -> None:
    report = find_leaks(dataset_of({"a": {"p1": 1}}, {}))
    assert (report.share_test_sharing_gold, report.describe()) == (
        0.0,
        "There are no judged test queries, so no leak can be found.",
    )


def test_leaks_are_dropped_for_a_split_that_is_only_named(beir: Callable[..., Path]) -> None:
    folder = beir(qrels={"dev": "q1\tp2\t1\n", "eval": "q2\tp2\t1\n"})
    dataset = load_dataset(DatasetConfig(source=str(folder), train_split="dev", test_split="eval"))
    assert (dataset.train, dataset.test) == ((), ("q2",))
