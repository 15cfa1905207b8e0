"""Rankings made elsewhere: what is read as an id, and what is told of a bad file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rankstill.data import Corpus, Dataset, Query
from rankstill.errors import DataError
from rankstill.teacher import Ranking, read_rankings


def dataset(passages: tuple[str, ...] = ("1", "2", "3"), queries: tuple[str, ...] = ("7", "8")) -> Dataset:
    corpus = Corpus(passages, [""] * len(passages), passages)
    return Dataset("toy", corpus, {each: Query(each, each) for each in queries}, train=queries)


def write(path: Path, *records: Mapping[str, Any]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_ids_that_are_numbers_are_read_as_in_corpora(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", {"query_id": 7, "candidates": [1, "2", 3], "ranking": [3, 1]})
    assert read_rankings(path, dataset()) == ([Ranking("7", ("1", "2", "3"), ("3", "1"))], [])


@pytest.mark.parametrize("bad", [True, 1.5, None, ["1"]])
def test_an_id_that_is_neither_text_nor_a_whole_number_is_named(tmp_path: Path, bad: object) -> None:
    path = write(tmp_path / "r.jsonl", {"query_id": "7", "candidates": ["1", "2"], "ranking": [bad]})
    with pytest.raises(DataError, match=r'r\.jsonl, line 1: "ranking" must be a string, not'):
        read_rankings(path, dataset())


def test_an_id_in_the_other_form_of_unicode_is_the_same(tmp_path: Path) -> None:
    path = write(
        tmp_path / "r.jsonl", {"query_id": "cafe\u0301", "candidates": ["e\u0301", "2"], "ranking": ["e\u0301"]}
    )
    [ranking], notes = read_rankings(path, dataset(("\u00e9", "2"), ("caf\u00e9",)))
    assert (ranking.query_id, ranking.candidates, notes) == ("caf\u00e9", ("\u00e9", "2"), [])


def test_missing_keys_are_named_with_what_there_is(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", {"qid": "7", "hits": ["1", "2"]})
    with pytest.raises(DataError, match=r'needs "query_id", "candidates" and "ranking" .*found "qid", "hits"'):
        read_rankings(path, dataset())


def test_several_bad_lines_are_told_at_once_and_the_rest_counted(tmp_path: Path) -> None:
    good = {"query_id": "7", "candidates": ["1", "2"], "ranking": ["2"]}
    unknown = {"query_id": "8", "candidates": ["1", "9"], "ranking": ["1"]}
    path = write(tmp_path / "r.jsonl", good, unknown, {**good, "ranking": []}, *[good] * 10)
    with pytest.raises(DataError) as caught:
        read_rankings(path, dataset())
    *told, rest = str(caught.value).splitlines()
    assert "line 2: query 8 has candidates that the corpus does not have (9)" in told[0]
    assert "line 3: query 7 ranks fewer than two candidates" in told[1]
    assert "line 4: query 7 is ranked twice (first on line 1)" in told[2]
    assert (len(told), rest) == (10, "... and 2 more.")
