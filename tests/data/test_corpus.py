"""A corpus behaves as lists of its texts would, without holding them in memory."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankstill.data import Corpus
from rankstill.data.corpus import CorpusWriter

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS), unique_by=lambda record: record[0]))
def test_it_gives_back_what_it_was_given(records: list[tuple[str, str, str]]) -> None:
    ids, titles, bodies = ([record[field] for record in records] for field in range(3))
    corpus = Corpus(ids, titles, bodies)
    assert (corpus.ids, corpus.titles, corpus.bodies) == (ids, titles, bodies)
    assert [corpus.position(passage_id) for passage_id in ids] == list(range(len(ids)))
    assert all(passage_id in corpus for passage_id in ids)
    whole = [f"{title} {body}" if title else body for title, body in zip(titles, bodies, strict=True)]
    assert corpus.texts() == whole
    assert corpus.texts()[::-1] == whole[::-1]
    assert corpus.texts(range(len(ids))) == whole


def test_positions_and_slices_work_across_chunks() -> None:
    ids = [f"p{number}" for number in range(20_000)]
    corpus = Corpus(ids, [""] * len(ids), ids)
    assert [corpus.bodies[row] for row in (0, 8191, 8192, -1)] == ["p0", "p8191", "p8192", "p19999"]
    assert corpus.ids[8190:8194] == ids[8190:8194]
    assert corpus.select([9000, 3]).ids == ["p9000", "p3"]
    with pytest.raises(IndexError):
        corpus.ids[20_000]
    with pytest.raises(KeyError):
        corpus.position("p20000")


def test_ids_of_equal_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rankstill.data.same_text.hash", lambda text: 7, raising=False)
    corpus = Corpus(["a", "b", "c"], [""] * 3, ["A", "B", "C"])
    assert [corpus.position(each) for each in "abc"] == [0, 1, 2]
    assert "d" not in corpus


def test_repeated_ids_are_found_with_their_first_place() -> None:
    writer = CorpusWriter()
    for passage_id in ("a", "b", "a", "c", "b", "a"):
        writer.add(passage_id, "", "text")
    assert Corpus.written(writer).repeated().tolist() == [[2, 0], [4, 1], [5, 0]]
    with pytest.raises(ValueError, match="unique"):
        Corpus(["a", "a"], ["", ""], ["", ""])


def test_no_file_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    corpus = Corpus(["a"], [""], ["text"])
    assert list(tmp_path.iterdir()) == []
    assert corpus.text(0) == "text"
    stopped = CorpusWriter()
    stopped.add("a", "", "text")
    del stopped
    assert list(tmp_path.iterdir()) == []


_MEASURE = """
import sys
from rankstill.compute.memory import peak_memory
from rankstill.data.corpus import Corpus
count = int(sys.argv[1])
corpus = Corpus((f"p{n}" for n in range(count)), ("" for _ in range(count)), (f"{n} " * 300 for n in range(count)))
assert corpus.position(f"p{count - 1}") == count - 1
print(peak_memory())
"""


def test_memory_does_not_grow_with_the_text() -> None:
    def peak(count: int) -> float:
        told = subprocess.run([sys.executable, "-c", _MEASURE, str(count)], capture_output=True, text=True, check=True)
        return float(told.stdout)

    assert peak(150_000) - peak(15_000) < 40  # MiB; the texts more are 279
