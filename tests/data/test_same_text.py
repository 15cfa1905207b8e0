"""Passages that say the same under several ids count as one."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from rankstill.checks import check_dataset
from rankstill.config import Config, DatasetConfig
from rankstill.data import Corpus, find_leaks, load_dataset
from rankstill.data.same_text import folded
from rankstill.data.sufficient import check_corpus
from rankstill.errors import DataError
from rankstill.teacher import Ranking, read_rankings, write_rankings

SAME = (
    {"_id": "a", "title": "Caffè", "text": "open until eight"},
    {"_id": "b", "text": "something else"},
    {"_id": "c", "text": unicodedata.normalize("NFD", "CAFFÈ  open\nuntil\u00a0eight")},
    {"_id": "d", "text": "caffè open un\u00adtil eight\ufeff"},
    {"_id": "e", "text": "caffè open until nine"},
)
QRELS = {"train": "q1\tc\t1\n", "test": "q2\ta\t1\nq2\td\t2\nq2\tb\t0\n"}


@pytest.mark.parametrize(
    "other",
    ["The  fine\tflow", "the fine flow ", "THE FINE FLOW", "the \ufb01ne \ufb02ow", "the fi\u00adne\u200b flow"],
)
def test_case_white_space_and_ligatures_change_nothing_that_is_said(other: str) -> None:
    assert folded(other) == folded("The fine flow")


@pytest.mark.parametrize("other", ["The fine flows", "The fine. flow", "Thefine flow", ""])
def test_another_word_or_mark_says_something_else(other: str) -> None:
    assert folded(other) != folded("The fine flow")


def test_texts_of_equal_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rankstill.data.same_text.hash", lambda text: 7, raising=False)
    assert Corpus("abc", [""] * 3, ["A", "B", "a"]).same_text.tolist() == [[2, 0]]


def test_passages_that_say_the_same_are_counted_and_named(beir: Callable[..., Path]) -> None:
    dataset = load_dataset(DatasetConfig(source=str(beir(corpus=SAME, qrels=QRELS))))
    assert "beir: 2 passages say the same as another and count as one with it" in "\n".join(dataset.notes)
    assert "c (as a), d (as a)." in "\n".join(dataset.notes)
    assert "merge_same_text" in "\n".join(dataset.notes)
    assert len(dataset.corpus) == 5


@pytest.mark.parametrize("merge", [False, True])
def test_judgements_of_all_spellings_are_judgements_of_the_first(merge: bool, beir: Callable[..., Path]) -> None:
    folder = beir(corpus=SAME, qrels=QRELS)
    dataset = load_dataset(DatasetConfig(source=str(folder), leaks="keep", merge_same_text=merge))
    assert dataset.qrels == {"q1": {"a": 1}, "q2": {"a": 2, "b": 0}}
    assert any("1 judgements of passages that say the same differ; the highest counts" in n for n in dataset.notes)


@pytest.mark.parametrize("merge", [False, True])
def test_a_leak_through_the_same_text_under_another_id_is_a_leak(merge: bool, beir: Callable[..., Path]) -> None:
    config = DatasetConfig(source=str(beir(corpus=SAME, qrels=QRELS)), merge_same_text=merge)
    kept = load_dataset(config.model_copy(update={"leaks": "keep"}))
    assert (find_leaks(kept).test_sharing_gold, find_leaks(kept).train_sharing_gold) == (1, 1)
    assert load_dataset(config).train == ()
    lines = "\n".join(check_dataset(Config(dataset=config), near_duplicates=False))
    assert "leaks: 1 of 1 test queries (100%)" in lines
    assert "2 passages say the same as another" in lines


def test_a_training_query_in_another_unicode_form_repeats_the_test_query(beir: Callable[..., Path]) -> None:
    queries = ({"_id": "q1", "text": unicodedata.normalize("NFD", "Café?")}, {"_id": "q2", "text": "café?"})
    assert load_dataset(DatasetConfig(source=str(beir(queries=queries)))).train == ()


def test_merging_leaves_the_first_alone_and_the_other_ids_name_it(beir: Callable[..., Path]) -> None:
    dataset = load_dataset(DatasetConfig(source=str(beir(corpus=SAME, qrels=QRELS)), merge_same_text=True))
    assert dataset.corpus.ids == ["a", "b", "e"]
    assert [dataset.corpus.position(each) for each in "abcde"] == [0, 1, 0, 0, 2]
    assert dataset.corpus.repeats is None
    assert "2 passages say the same as another and were left out" in "\n".join(dataset.notes)


@pytest.mark.parametrize("merge", [False, True])
def test_a_ranking_names_the_first_of_the_same_at_the_best_rank_of_any(
    merge: bool, beir: Callable[..., Path], tmp_path: Path
) -> None:
    folder = beir(corpus=SAME, qrels={"train": "q1\tb\t1\nq2\tb\t1\n"})
    dataset = load_dataset(DatasetConfig(source=str(folder), merge_same_text=merge))
    given = [Ranking("q1", ("b", "a", "d", "e"), ("d", "b", "a")), Ranking("q2", ("a", "c"), ("c", "a"))]
    write_rankings(given, tmp_path / "rankings.jsonl")
    rankings, notes = read_rankings(tmp_path / "rankings.jsonl", dataset)
    assert rankings == [Ranking("q1", ("b", "a", "e"), ("a", "b"))]
    assert notes == ["rankings.jsonl: 1 rankings whose candidates all say the same left aside (q2)"]


def test_a_corpus_that_says_less_than_k_things_is_too_small(beir: Callable[..., Path]) -> None:
    config = Config.model_validate({"dataset": {"source": str(beir(corpus=SAME))}, "candidates": {"k": 4}})
    with pytest.raises(DataError, match=r"3 different passages, but candidates\.k is 4"):
        check_corpus(config, load_dataset(config.dataset))


def test_what_was_made_when_each_id_counted_for_itself_is_stale(beir: Callable[..., Path]) -> None:
    config = DatasetConfig(source=str(beir(corpus=SAME)))
    dataset = load_dataset(config)
    merged = load_dataset(config.model_copy(update={"merge_same_text": True}))
    dataset.corpus.repeats = None  # as if nothing had looked
    assert len({dataset.fingerprint(), load_dataset(config).fingerprint(), merged.fingerprint()}) == 3
