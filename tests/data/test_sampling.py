import json

import pytest

from rankstill.config import DatasetConfig
from rankstill.data import Corpus, Dataset, Query, bundled, load_dataset, sample
from rankstill.errors import DataError


@pytest.fixture(scope="module")
def scifact() -> Dataset:
    return load_dataset(DatasetConfig(source="scifact"))


@pytest.fixture(scope="module")
def candidates() -> dict[str, list[str]]:
    lines = (bundled("scifact") / "rankings.jsonl").read_text().splitlines()
    return {ranking["query_id"]: ranking["candidates"] for ranking in map(json.loads, lines)}


def test_a_sample_has_the_asked_size_and_all_that_its_queries_need(
    scifact: Dataset, candidates: dict[str, list[str]]
) -> None:
    part = sample(scifact, corpus_size=800, train=40, test=30, seed=1, keep=candidates)
    assert (len(part.corpus), len(part.train), len(part.test)) == (800, 40, 30)
    assert set(part.queries) == {*part.train, *part.test}
    assert all(passage_id in part.corpus for query_id in part.train for passage_id in candidates[query_id])
    assert part.qrels == {query_id: scifact.qrels[query_id] for query_id in part.queries}
    assert all(passage_id in part.corpus for grades in part.qrels.values() for passage_id in grades)
    assert set(part.train) <= set(scifact.train)
    assert set(part.test) <= set(scifact.test)


def test_a_sampled_passage_keeps_its_own_text_and_the_corpus_its_order(scifact: Dataset) -> None:
    part = sample(scifact, corpus_size=200, train=5, test=5, seed=3)
    positions = [scifact.corpus.position(passage_id) for passage_id in part.corpus.ids]
    assert positions == sorted(positions)
    assert part.corpus.texts() == scifact.corpus.texts(positions)


def test_the_same_seed_gives_the_same_sample_and_another_seed_another(scifact: Dataset) -> None:
    one, again, other = (sample(scifact, corpus_size=100, train=5, test=5, seed=seed) for seed in (1, 1, 2))
    assert one.fingerprint() == again.fingerprint()
    assert one.fingerprint() != other.fingerprint()


def test_a_sample_says_that_its_figures_are_a_samples(scifact: Dataset) -> None:
    part = sample(scifact, corpus_size=100, train=5, test=4, seed=7)
    assert part.name == "scifact (sample)"
    assert part.notes[-1] == (
        "scifact: a sample of 100 of 5,183 passages, 5 training and 4 test queries (seed 7); its figures are those "
        "of a sample."
    )


def small() -> Dataset:
    ids = [f"p{i}" for i in range(10)]
    queries = {query_id: Query(query_id, query_id) for query_id in ("a", "b", "c", "x", "unused")}
    qrels = {"a": {"p0": 1}, "b": {"p1": 1}, "c": {"p2": 1, "p3": 0}, "unused": {"p9": 1}}
    return Dataset("small", Corpus(ids, ids, ids), queries, ("a", "b"), ("c",), qrels, extra=("x",), leaking=("a", "b"))


def test_asking_for_more_than_there_is_gives_all() -> None:
    part = sample(small(), corpus_size=50, train=9, test=9, seed=0)
    assert (len(part.corpus), part.train, part.test) == (10, ("a", "b"), ("c",))


def test_extra_queries_stay_and_leaking_ones_are_those_that_were_drawn() -> None:
    part = sample(small(), corpus_size=4, train=1, test=1, seed=0)
    assert part.extra == ("x",)
    assert set(part.queries) == {*part.train, "c", "x"}
    assert part.leaking == part.train


def test_a_sample_too_small_for_its_queries_is_refused() -> None:
    with pytest.raises(DataError, match=r"a sample of 3 passages cannot hold the 4 that its queries need"):
        sample(small(), corpus_size=3, train=2, test=1, seed=0)


def test_passages_to_keep_that_do_not_exist_are_named() -> None:
    with pytest.raises(DataError, match=r"1 passages to keep are not in the corpus, first p99"):
        sample(small(), corpus_size=10, train=2, test=1, seed=0, keep={"a": ["p99"]})
