"""Queries that measure without a judgement: which they are, and that they teach nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rankstill.config import DatasetConfig
from rankstill.data import load_dataset
from rankstill.data.dataset import Dataset
from rankstill.errors import DataError


def folder_of(tmp_path: Path, queries: int, train: list[str] | None = None) -> Path:
    """A BEIR folder without judgements."""
    folder = tmp_path / "d"
    folder.mkdir()
    lines = [json.dumps({"_id": f"p{number}", "title": "", "text": f"passage {number}"}) for number in range(5)]
    (folder / "corpus.jsonl").write_text("\n".join(lines))
    lines = [json.dumps({"_id": f"q{number}", "text": f"question {number}"}) for number in range(queries)]
    (folder / "queries.jsonl").write_text("\n".join(lines))
    if train is not None:
        (folder / "splits").mkdir()
        (folder / "splits" / "train.txt").write_text("".join(f"{each}\n" for each in train))
    return folder


def load(folder: Path, **options: object) -> Dataset:
    return load_dataset(DatasetConfig.model_validate({"source": str(folder), **options}))


@pytest.mark.parametrize(("queries", "held"), [(49, 0), (50, 10), (400, 80), (1000, 100)])
def test_where_nothing_measures_some_training_queries_are_held_out(tmp_path: Path, queries: int, held: int) -> None:
    dataset = load(folder_of(tmp_path, queries))
    assert len(dataset.unjudged) == held
    assert len(dataset.train) == queries - held
    assert not set(dataset.train) & set(dataset.unjudged)
    assert any("were held out" in note for note in dataset.notes) == bool(held)


def test_the_draw_is_the_same_each_time_and_a_larger_one_holds_the_smaller(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, 60)
    assert load(folder, hold_out=10).unjudged == load(folder, hold_out=10).unjudged
    assert set(load(folder, hold_out=10).unjudged) < set(load(folder, hold_out=20).unjudged)
    assert load(folder, hold_out=0).unjudged == ()
    with pytest.raises(DataError, match="leave none to teach"):
        load(folder, hold_out=60)


def test_queries_that_no_split_names_are_taken_before_any_training_query(tmp_path: Path) -> None:
    dataset = load(folder_of(tmp_path, 60, train=[f"q{number}" for number in range(55)]))
    assert dataset.unjudged == tuple(f"q{number}" for number in range(55, 60))
    assert len(dataset.train) == 55


def test_test_queries_may_come_from_a_file_and_change_nothing_that_is_learned(tmp_path: Path) -> None:
    folder, path = folder_of(tmp_path, 60), tmp_path / "test.txt"
    path.write_text("what is it\nwhere is it\n")
    before, after = load(folder, hold_out=0), load(folder, test_queries=str(path))
    assert after.texts_of(after.unjudged) == ["what is it", "where is it"]
    assert after.train == before.train
    assert after.extra == ()
    assert after.fingerprint() == before.fingerprint()


def test_a_training_query_that_repeats_one_of_them_does_not_teach(tmp_path: Path) -> None:
    folder, path = folder_of(tmp_path, 60), tmp_path / "test.txt"
    path.write_text("Question 7\n")
    dataset = load(folder, test_queries=str(path))
    assert "q7" not in dataset.train
    assert len(dataset.train) == 59


def test_beside_judgements_that_measure_they_are_refused(tmp_path: Path) -> None:
    folder, path = folder_of(tmp_path, 60), tmp_path / "test.txt"
    path.write_text("what is it\n")
    (folder / "qrels").mkdir()
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\tp1\t1\n")
    assert load(folder).unjudged == ()
    with pytest.raises(DataError, match="judged queries of the test split measure already"):
        load(folder, test_queries=str(path))
    with pytest.raises(DataError, match=r"dataset\.hold_out: d has queries that measure"):
        load(folder, hold_out=5)
