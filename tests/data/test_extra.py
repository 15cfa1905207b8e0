import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from rankstill.config import DatasetConfig
from rankstill.data import load_dataset
from rankstill.data.dataset import Dataset
from rankstill.errors import DataError


def load(folder: Path, extra: Path, **more: object) -> Dataset:
    return load_dataset(DatasetConfig.model_validate({"source": str(folder), "extra_queries": str(extra), **more}))


def test_one_query_a_line_is_read_and_repeated_ones_are_counted(beir: Callable[..., Path], tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text("why is it\r\n\n  how is it \nwhy is it\n")
    dataset = load(beir(), path)
    assert dataset.texts_of(dataset.extra) == ["why is it", "how is it"]
    assert dataset.notes == (f"{path}: 1 queries say the same as an earlier one and were left out: line 4.",)
    assert (dataset.train, dataset.test) == (("q1",), ("q2",))


def test_the_id_of_a_nameless_query_does_not_depend_on_its_line(beir: Callable[..., Path], tmp_path: Path) -> None:
    one, other, folder = tmp_path / "a.txt", tmp_path / "b.txt.gz", beir()
    one.write_text("why\nhow\n")
    other.write_bytes(gzip.compress(b"how\nwhen\nwhy\n"))
    assert set(load(folder, one).extra) < set(load(folder, other).extra)


def test_json_lines_may_bring_their_ids(beir: Callable[..., Path], tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"_id": "e1", "text": "why"}\n{"text": "how"}\n{"text": " "}\n')
    dataset = load(beir(), path)
    assert (dataset.extra[0], dataset.texts_of(dataset.extra)) == ("e1", ["why", "how"])
    assert dataset.notes == (f"{path}: 1 empty queries were left out: line 3.",)


def test_an_id_that_another_query_has_is_refused(beir: Callable[..., Path], tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"_id": "q1", "text": "why"}\n')
    with pytest.raises(DataError, match=r"log\.jsonl, line 1: \"_id\" q1 is another query's id already"):
        load(beir(), path)


def test_several_mistakes_in_the_log_are_told_at_once(beir: Callable[..., Path], tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"_id": "q1", "text": "why"}\n{"text": 3}\n{"text"\n')
    with pytest.raises(DataError, match=r"(?s)line 1: .*line 2: .*line 3: broken JSON"):
        load(beir(), path)


def test_a_log_in_utf_16_is_read(beir: Callable[..., Path], tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes("why\r\nhow\r\n".encode("utf-16"))
    dataset = load(beir(), path)
    assert dataset.texts_of(dataset.extra) == ["why", "how"]


def test_a_test_query_in_the_log_is_dropped_and_said(beir: Callable[..., Path], tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text("What is  SECOND\nwhy\n")
    folder = beir()
    dropped = load(folder, path)
    assert dropped.texts_of(dropped.extra) == ["why"]
    assert any("1 training or extra queries repeat a test query" in note for note in dropped.notes)
    assert len(load(folder, path, leaks="keep").extra) == 2


def test_a_missing_or_strange_file_is_named(beir: Callable[..., Path], tmp_path: Path) -> None:
    folder = beir()
    with pytest.raises(DataError, match=r"nowhere\.txt: there is no such file of queries"):
        load(folder, tmp_path / "nowhere.txt")
    (tmp_path / "log.csv").write_text("why\n")
    with pytest.raises(DataError, match=r"log\.csv: extra queries are \.txt"):
        load(folder, tmp_path / "log.csv")


def test_an_empty_file_is_said(beir: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("\n")
    assert load(beir(), tmp_path / "log.txt").notes == (f"{tmp_path / 'log.txt'}: it holds no query.",)
