"""TREC files: what is written is what outside tools rank, and what is read back."""

from __future__ import annotations

from pathlib import Path

import ir_measures
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankstill.errors import DataError
from rankstill.evaluation import rank_order, read_run, write_run
from rankstill.evaluation.runs import write_qrels

IDS = st.text(alphabet="aZ09_-.é漢\U0001f600", min_size=1, max_size=4)
RUNS = st.dictionaries(IDS, st.dictionaries(IDS, st.floats(allow_nan=False), min_size=1, max_size=6), max_size=4)


@settings(deadline=None)
@given(run=RUNS)
def test_a_run_reads_back_with_the_same_floats(run, tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "x.trec"
    write_run(run, path, "tag")
    assert read_run(path) == run


def test_a_run_has_six_columns_and_ranks_from_one_best_first(tmp_path):
    path = tmp_path / "runs" / "dense.trec"
    write_run({"q1": {"a": 0.25, "b": 0.5}, "q2": {"c": -1.0}}, path, "dense")
    assert path.read_text() == "q1 Q0 b 1 0.5 dense\nq1 Q0 a 2 0.25 dense\nq2 Q0 c 1 -1.0 dense\n"


def test_ties_rank_the_last_id_first_as_trec_eval_does():
    assert rank_order({"d1": 1.0, "d10": 1.0, "d2": 1.0, "D9": 1.0, "é": 0.5}) == ["d2", "d10", "d1", "D9", "é"]


def test_scores_equal_in_single_precision_are_a_tie_as_in_trec_eval():
    assert rank_order({"a": 1.0 + 1e-9, "b": 1.0}) == ["b", "a"]
    assert rank_order({"a": 1e300, "b": 1e200}) == ["b", "a"]
    assert rank_order({"a": 1.0 + 1e-6, "b": 1.0}) == ["a", "b"]


@pytest.mark.parametrize("bad", ["two words", "tab\there", "nbsp\u00a0here", "line\nbreak", "", "half\ud800"])
def test_ids_that_a_trec_file_cannot_hold_are_named(bad, tmp_path):
    for run in ({bad: {"d": 1.0}}, {"q": {bad: 1.0}}):
        with pytest.raises(DataError) as error:
            write_run(run, tmp_path / "x.trec", "tag")
        assert repr(bad) in str(error.value)
        assert "\n" not in str(error.value)
    with pytest.raises(DataError, match="tag"):
        write_run({"q": {"d": 1.0}}, tmp_path / "x.trec", bad)
    with pytest.raises(DataError, match="passage id"):
        write_qrels({"q": {bad: 1}}, tmp_path / "x.qrels")


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "x.trec"
    write_run({"q": {"d": 1.0}}, path, "old")
    with pytest.raises(DataError, match="NaN"):
        write_run({"q": {"d": 2.0}, "r": {"d": float("nan")}}, path, "new")
    assert path.read_text() == "q Q0 d 1 1.0 old\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_someone_reads_is_replaced_not_overwritten(tmp_path):
    path = tmp_path / "x.trec"
    write_run({"q": {"d": 1.0}}, path, "old")
    with path.open() as reader:
        write_run({"q": {"d": 2.0}}, path, "new")
        assert reader.read() == "q Q0 d 1 1.0 old\n"
    assert path.read_text() == "q Q0 d 1 2.0 new\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("q Q0 d 1 0.5 t\nq Q0 e 2 0.4\n", "line 2: 5 columns"),
        ("q Q0 d 1 0.5 t\n\nq Q0 my doc 2 0.4 t\n", "line 3: 7 columns"),
        ("q Q0 d 1 high t\n", 'line 1: the score "high"'),
        ("q Q0 d 1 nan t\n", 'line 1: the score "nan"'),
        (
            "q Q0 d 1 0.5 t\nr Q0 d 1 0.5 t\nq Q0 d 2 0.4 t\n",
            'line 3: passage "d" appears twice for query "q" .*line 1',
        ),
    ],
)
def test_a_broken_line_is_named_by_file_and_number(text, message, tmp_path):
    path = tmp_path / "x.trec"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as error:
        read_run(path)
    assert str(error.value).startswith(str(path))


def test_a_run_file_that_is_missing_or_in_another_encoding_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.trec: no such run file"):
        read_run(tmp_path / "none.trec")
    (tmp_path / "latin.trec").write_bytes("q Q0 café 1 0.5 t\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"latin\.trec: not a UTF-8 file"):
        read_run(tmp_path / "latin.trec")


def test_ir_measures_reads_our_files(tmp_path: Path):
    write_run({"q": {"a": 0.1, "b": 0.2}}, tmp_path / "x.trec", "t")
    write_qrels({"q": {"a": 2, "b": 0}}, tmp_path / "x.qrels")
    qrels = list(ir_measures.read_trec_qrels(str(tmp_path / "x.qrels")))
    run = list(ir_measures.read_trec_run(str(tmp_path / "x.trec")))
    assert [(q.query_id, q.doc_id, q.relevance) for q in qrels] == [("q", "a", 2), ("q", "b", 0)]
    assert [(s.doc_id, s.score) for s in run] == [("b", 0.2), ("a", 0.1)]
