import tempfile
import unicodedata
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankstill.config import DatasetConfig
from rankstill.data import Corpus, Dataset, Query, load_dataset, write_beir
from rankstill.errors import DataError

composed = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6).map(partial(unicodedata.normalize, "NFC"))
ids = composed.filter(lambda value: value.split() == [value])
words = st.text(st.characters(codec="utf-8"), max_size=20)
filled = words.filter(lambda value: bool(value.strip()))


@st.composite
def any_dataset(draw: st.DrawFn) -> Dataset:
    passage_ids = draw(st.lists(ids, min_size=1, max_size=4, unique=True))
    query_ids = draw(st.lists(ids, min_size=1, max_size=6, unique=True))
    corpus = Corpus(passage_ids, [draw(words) for _ in passage_ids], [draw(filled) for _ in passage_ids])
    # "nowhere" are queries in no split, such as those that leaked and were dropped.
    sides = {query_id: draw(st.sampled_from(["train", "test", "extra", "nowhere"])) for query_id in query_ids}
    texts = draw(st.lists(filled, min_size=len(query_ids), max_size=len(query_ids), unique=True))
    queries, qrels = {}, {}
    for query_id, text in zip(query_ids, texts, strict=True):
        # Extra queries have neither answers nor judgements, in the file that brings them.
        answers = () if sides[query_id] == "extra" else tuple(draw(st.lists(filled, max_size=2)))
        queries[query_id] = Query(query_id, text, answers)
        grades = draw(st.dictionaries(st.sampled_from(passage_ids), st.integers(-2, 3), max_size=3))
        if sides[query_id] == "test":
            grades[passage_ids[0]] = 1
        if grades and sides[query_id] in ("train", "test"):
            qrels[query_id] = grades
    train, test, extra = (tuple(q for q in query_ids if sides[q] == side) for side in ("train", "test", "extra"))
    return Dataset("any", corpus, queries, train, test, qrels, extra)


def load_back(folder: Path) -> Dataset:
    extra = folder / "extra_queries.jsonl"
    return load_dataset(
        DatasetConfig(source=str(folder), extra_queries=str(extra) if extra.exists() else None, leaks="keep")
    )


def columns(corpus: Corpus) -> tuple[list[str], list[str], list[str]]:
    return corpus.ids, corpus.titles, corpus.bodies


@given(any_dataset())
def test_what_is_written_loads_back_the_same(dataset: Dataset) -> None:
    with tempfile.TemporaryDirectory() as place:
        write_beir(dataset, Path(place) / "out")
        back = load_back(Path(place) / "out")
    assert columns(back.corpus) == columns(dataset.corpus)
    assert back.queries == dataset.queries
    assert (back.train, back.test, back.extra) == (dataset.train, dataset.test, dataset.extra)
    assert back.qrels == dataset.qrels
    assert back.fingerprint() == dataset.fingerprint()


def test_scifact_survives_the_round_trip_with_its_leak_dropped(tmp_path: Path) -> None:
    dataset = load_dataset(DatasetConfig(source="scifact"))
    write_beir(dataset, tmp_path / "out")
    back = load_back(tmp_path / "out")
    assert (back.train, back.test, columns(back.corpus)) == (dataset.train, dataset.test, columns(dataset.corpus))
    assert back.queries == dataset.queries
    written = [line for path in (tmp_path / "out" / "qrels").iterdir() for line in path.read_text().splitlines()[1:]]
    assert len(written) == 919 + 339


def small() -> Dataset:
    queries = {"q1": Query("q1", "one")}
    return Dataset("small", Corpus(["p1"], [""], ["text"]), queries, ("q1",), (), {"q1": {"p1": 1}})


def test_other_tools_find_the_plain_beir_files(tmp_path: Path) -> None:
    write_beir(small(), tmp_path / "out")
    files = {
        str(path.relative_to(tmp_path / "out")): path.read_bytes().decode() for path in (tmp_path / "out").rglob("*.*")
    }
    assert files == {
        "corpus.jsonl": '{"_id": "p1", "title": "", "text": "text"}\n',
        "queries.jsonl": '{"_id": "q1", "text": "one"}\n',
        "qrels/train.tsv": "query-id\tcorpus-id\tscore\nq1\tp1\t1\n",
    }


def test_a_folder_with_something_in_it_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(DataError, match="it already exists and is not empty"):
        write_beir(small(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    write_beir(small(), tmp_path / "out")
    assert (tmp_path / "out" / "corpus.jsonl").is_file()


def test_an_id_that_qrels_cannot_hold_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    spaced = replace(small(), corpus=Corpus(["p 1"], [""], ["text"]), qrels={})
    with pytest.raises(DataError, match="small: id 'p 1' has white space in it"):
        write_beir(spaced, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"out: cannot be written \("):
        write_beir(small(), tmp_path / "file" / "out")
