import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankstill.data.dataset import Corpus, Query
from rankstill.data.fields import RecordSource, check_id
from rankstill.data.records import (
    RawDataset,
    assemble,
    gather_passages,
    gather_qrels,
    gather_queries,
    tally,
)
from rankstill.errors import DataError

PLACE = RecordSource("corpus.jsonl")
CORPUS = Corpus(["p1", "p2"], ["", ""], ["one", "two"])


def passage(passage_id: object, text: object = "words", **more: object) -> dict[str, object]:
    return {"_id": passage_id, "text": text, **more}


def numbered(*records: dict[str, object]) -> list[tuple[int, dict[str, object]]]:
    return list(enumerate(records, start=1))


def test_a_repeated_passage_id_names_both_lines() -> None:
    rows = [(4, passage("p7")), (17, passage("p7", "other"))]
    message = (
        r'^corpus\.jsonl, line 17: "_id" p7 appears twice \(first on line 4\)\. Give each passage its own id, or set'
    )
    with pytest.raises(DataError, match=message):
        gather_passages(rows, PLACE)


def test_a_repeated_query_id_names_both_lines() -> None:
    with pytest.raises(DataError, match=r'line 2: "_id" q appears twice \(first on line 1\)\. Give each query its own'):
        gather_queries(numbered(passage("q"), passage("q")), PLACE)


def test_merged_duplicates_keep_the_first_and_are_counted() -> None:
    corpus, notes = gather_passages(numbered(passage("p1", "a"), passage("p1", "b"), passage("p1", "c")), PLACE, True)
    assert (corpus.ids, corpus.bodies) == (["p1"], ["a"])
    assert notes == (
        "corpus.jsonl: 2 passages repeat an id and only the first of each was kept: p1 (line 2), p1 (line 3).",
    )
    queries, notes = gather_queries(numbered(passage("q1", "a"), passage("q1", "b")), PLACE, True)
    assert queries == {"q1": Query("q1", "a")}
    assert notes == ("corpus.jsonl: 1 queries repeat an id and only the first of each was kept: q1 (line 2).",)


@pytest.mark.parametrize("bad", ["", "  ", "\t"])
def test_an_empty_id_is_refused(bad: str) -> None:
    with pytest.raises(DataError, match=r'corpus\.jsonl, line 1: "_id" is empty'):
        gather_passages(numbered(passage(bad)), PLACE)


@pytest.mark.parametrize("bad", ["a b", "a\tb", " a", "a\n", "a\u00a0b"])
def test_an_id_that_would_break_a_qrels_column_is_refused(bad: str) -> None:
    with pytest.raises(DataError, match="has white space in it"):
        check_id(bad, "id", "here")


@pytest.mark.parametrize("bad", [None, 1.5, True, ["p1"], {"a": 1}])
def test_an_id_that_is_no_text_is_refused(bad: object) -> None:
    with pytest.raises(DataError, match=r'line 1: "_id" must be a string, not'):
        gather_passages(numbered(passage(bad)), PLACE)


def test_a_whole_number_is_taken_as_its_digits() -> None:
    corpus, _ = gather_passages(numbered(passage(17)), PLACE)
    assert corpus.ids == ["17"]


def test_empty_passages_are_left_out_and_named() -> None:
    rows = numbered(passage("p1", ""), passage("p2", " \n"), passage("p3"), passage("p4", None), passage("p5", ""))
    corpus, notes = gather_passages(rows, PLACE)
    assert corpus.ids == ["p3"]
    assert notes == ("corpus.jsonl: 4 empty passages were left out: p1 (line 1), p2 (line 2), p4 (line 4), ...",)


def test_a_passage_with_a_title_alone_is_not_empty() -> None:
    corpus, notes = gather_passages(numbered(passage("p1", "", title="Title")), PLACE)
    assert (corpus.texts(), notes) == (["Title "], ())


def test_empty_queries_are_left_out_and_named() -> None:
    queries, notes = gather_queries(numbered(passage("q1", " "), passage("q2")), PLACE)
    assert list(queries) == ["q2"]
    assert notes == ("corpus.jsonl: 1 empty queries were left out: q1 (line 1).",)


def test_a_missing_field_is_named_with_what_there_is() -> None:
    with pytest.raises(DataError, match=r'line 1: no field "text" \(found "_id", "words"\)'):
        gather_passages(numbered({"_id": "p1", "words": "words"}), PLACE)
    with pytest.raises(DataError, match=r'line 1: no field "_id" \(found "key", "text"\)'):
        gather_queries(numbered({"key": "p1", "text": "words"}), PLACE)


@pytest.mark.parametrize("name", ["id", "docid", "doc_id", "pid", "Passage-ID", "docno"])
def test_other_names_of_a_passages_id_are_taken_and_said(name: str) -> None:
    corpus, notes = gather_passages(numbered({name: 7, "text": "words"}), PLACE)
    assert corpus.ids == ["7"]
    assert notes == (f'corpus.jsonl: "{name}" was read as "_id".',)


@pytest.mark.parametrize("name", ["id", "qid", "query_id", "query-id"])
def test_other_names_of_a_querys_id_and_text_are_taken_and_said(name: str) -> None:
    queries, notes = gather_queries(numbered({name: "q1", "query": "words"}), PLACE)
    assert queries == {"q1": Query("q1", "words")}
    assert notes == (f'corpus.jsonl: "{name}" was read as "_id", "query" was read as "text".',)


def test_other_names_of_a_judgements_fields_are_taken_and_said() -> None:
    rows = numbered({"qid": "q1", "docid": "p1", "relevance": 2})
    qrels, notes = gather_qrels(rows, RecordSource("qrels"), {"q1"}, CORPUS)
    assert qrels == {"q1": {"p1": 2}}
    assert notes == (
        'qrels: "qid" was read as "query-id", "docid" was read as "corpus-id", "relevance" was read as "score".',
    )


def test_of_several_ids_beirs_own_counts_and_then_the_surest() -> None:
    corpus, notes = gather_passages(numbered({"id": 1, "_id": "p1", "text": "words"}), PLACE)
    assert (corpus.ids, notes) == (["p1"], ())
    corpus, _ = gather_passages(numbered({"id": 1, "docid": "p1", "text": "words"}), PLACE)
    assert corpus.ids == ["p1"]


def test_ten_mistakes_are_told_at_once_in_the_order_of_their_lines_and_the_rest_counted() -> None:
    wrong = [(number, passage(bad)) for number, bad in enumerate(["a b", None, *(["same"] * 12)], start=3)]
    with pytest.raises(DataError) as caught:
        gather_passages([(1, passage("p1")), *wrong, (20, passage("p1"))], PLACE)
    *told, rest = str(caught.value).splitlines()
    assert [line.partition(":")[0] for line in told] == [
        f"corpus.jsonl, line {number}" for number in (3, 4, 6, 7, 8, 9, 10, 11, 12, 13)
    ]
    assert rest == "... and 4 more."


def test_two_mistakes_in_queries_or_judgements_take_one_run() -> None:
    with pytest.raises(
        DataError, match=r'(?s)line 1: "_id" is empty.*line 3: "_id" q appears twice \(first on line 2\)'
    ):
        gather_queries(numbered(passage(""), passage("q"), passage("q")), PLACE)
    rows = numbered(judgement("q1", "p1", "x"), judgement("q1", "p1"), judgement("q1", "p2", "y"))
    with pytest.raises(DataError, match=r"(?s)line 1: the grade 'x'.*line 3: the grade 'y'"):
        gather_qrels(rows, RecordSource("qrels"), {"q1"}, CORPUS)


def test_an_id_in_two_forms_of_unicode_is_one_id() -> None:
    decomposed, composed = "cafe\u0301", "caf\u00e9"
    corpus, notes = gather_passages(numbered(passage(decomposed), passage("p2")), PLACE)
    assert corpus.ids == [composed, "p2"]
    assert notes == (f"corpus.jsonl: 1 ids are now in Unicode's composed form (NFC): {composed} (line 1).",)
    queries, _ = gather_queries(numbered(passage(decomposed)), PLACE)
    for written in (decomposed, composed):
        qrels, _ = gather_qrels(numbered(judgement(written, written)), RecordSource("qrels"), queries, corpus)
        assert qrels == {composed: {composed: 1}}
    with pytest.raises(DataError, match="appears twice"):
        gather_passages(numbered(passage(decomposed), passage(composed)), PLACE)


def test_a_text_of_another_kind_is_refused() -> None:
    with pytest.raises(DataError, match=r'line 1: "text" must be a string, not a list'):
        gather_passages(numbered(passage("p1", ["words"])), PLACE)


def test_half_a_surrogate_pair_is_refused_before_it_breaks_a_later_step() -> None:
    with pytest.raises(DataError, match=r'line 1: "text" holds half a surrogate pair \(\\ud83d\)'):
        gather_passages(numbered(passage("p1", "a \ud83d b")), PLACE)


@pytest.mark.parametrize("rows", [[], [(1, {"_id": "p1", "text": ""})]])
def test_a_corpus_without_text_is_an_error(rows: list[tuple[int, dict[str, object]]]) -> None:
    with pytest.raises(DataError, match=r"corpus\.jsonl: no passage in it has text"):
        gather_passages(rows, PLACE)


def test_answers_are_read_from_the_record_or_its_metadata() -> None:
    rows = numbered(
        passage("q1", answers=["a", "b"]), passage("q2", metadata={"answers": ["c"]}), passage("q3", metadata={})
    )
    queries, _ = gather_queries(rows, PLACE)
    assert [query.answers for query in queries.values()] == [("a", "b"), ("c",), ()]


@pytest.mark.parametrize("bad", ["Paris", [1], {"a": "b"}])
def test_answers_that_are_no_list_of_strings_are_refused(bad: object) -> None:
    with pytest.raises(DataError, match='line 1: "answers" must be a list of strings'):
        gather_queries(numbered(passage("q1", answers=bad)), PLACE)


def judgement(query_id: object, passage_id: object, score: object = 1) -> dict[str, object]:
    return {"query-id": query_id, "corpus-id": passage_id, "score": score}


def test_judgements_of_unknown_ids_are_left_out_counted_and_the_first_three_named() -> None:
    rows = numbered(
        *(judgement(f"x{i}", "p1") for i in range(5)),
        judgement("q1", "p9"),
        judgement("q1", "p1"),
        judgement("q2", "p8"),
    )
    qrels, notes = gather_qrels(rows, RecordSource("qrels/test.tsv"), {"q1", "q2"}, CORPUS)
    assert qrels == {"q1": {"p1": 1}, "q2": {}}
    assert notes == (
        "qrels/test.tsv: 5 judgements of unknown queries were left out: x0 (line 1), x1 (line 2), x2 (line 3), ...",
        "qrels/test.tsv: 2 judgements of unknown passages were left out: p9 (line 6), p8 (line 8).",
    )


@pytest.mark.parametrize("bad", ["relevant", "0.5", "", "1e3", True, None, "nan", 1.5])
def test_a_bad_grade_is_named_by_line(bad: object) -> None:
    with pytest.raises(DataError, match=r"qrels, line 1: the grade .* is not a whole number"):
        gather_qrels(numbered(judgement("q1", "p1", bad)), RecordSource("qrels"), {"q1"}, CORPUS)


@pytest.mark.parametrize(("written", "grade"), [("2", 2), ("-1", -1), ("1.0", 1), (1.0, 1), (3, 3), ("+1", 1)])
def test_whole_grades_are_read_however_they_are_written(written: object, grade: int) -> None:
    qrels, _ = gather_qrels(numbered(judgement("q1", "p1", written)), RecordSource("qrels"), {"q1"}, CORPUS)
    assert qrels == {"q1": {"p1": grade}}


@pytest.mark.parametrize("grades", [(1, 0, 2, 2), (2, 1, 0), (0, 2)])
def test_of_different_grades_for_one_pair_the_highest_counts_and_they_are_counted(grades: tuple[int, ...]) -> None:
    rows = numbered(*(judgement("q1", "p1", grade) for grade in grades))
    qrels, notes = gather_qrels(rows, RecordSource("qrels"), {"q1"}, CORPUS)
    assert qrels == {"q1": {"p1": 2}}
    assert len(notes) == 1
    assert "judgements differ from an earlier one of the pair; the highest counts: q1 and p1 (line 2)" in notes[0]


QUERIES = {query_id: Query(query_id, query_id) for query_id in ("q1", "q2", "q3", "q4")}


def test_without_a_training_split_all_but_the_test_queries_teach() -> None:
    dataset = assemble(RawDataset("d", CORPUS, QUERIES, None, {"q2": {"p1": 1}, "q4": {"p1": 0}}))
    assert (dataset.train, dataset.test) == (("q1", "q3"), ("q2",))


def test_test_queries_without_a_relevant_passage_do_not_measure_and_are_named() -> None:
    dataset = assemble(RawDataset("d", CORPUS, QUERIES, {"q1": {}}, {"q2": {"p1": 1}, "q3": {}, "q4": {"p1": 0}}))
    assert dataset.test == ("q2",)
    assert "d: 2 test queries have no relevant passage in the corpus and do not measure: q3, q4." in dataset.notes


@pytest.mark.parametrize("test", [{}, {"q2": {}}, {"q2": {"p1": 0}}])
def test_a_test_split_that_judges_nothing_relevant_says_that_nothing_can_be_measured(
    test: dict[str, dict[str, int]],
) -> None:
    dataset = assemble(RawDataset("d", CORPUS, QUERIES, {"q1": {}}, test))
    assert "d: no test query is judged; there are no judgements to measure by." in dataset.notes


def test_a_test_split_with_answers_alone_can_be_measured() -> None:
    queries = {"q1": QUERIES["q1"], "q2": Query("q2", "q2", ("yes",))}
    dataset = assemble(RawDataset("d", CORPUS, queries, {"q1": {}}, {"q2": {}}))
    assert not any("no judgements to measure by" in note for note in dataset.notes)


def test_queries_of_neither_split_are_named() -> None:
    dataset = assemble(RawDataset("d", CORPUS, QUERIES, {"q1": {"p1": 1}}, {"q2": {"p2": 1}}))
    assert dataset.notes == (
        "d: 2 queries are in neither split and are not used "
        "(in a BEIR folder, splits/train.txt says which may teach): q3, q4.",
    )


def test_a_query_of_both_splits_is_measured_by_its_test_judgements_alone() -> None:
    dataset = assemble(RawDataset("d", CORPUS, QUERIES, {"q1": {"p1": 1}, "q2": {"p1": 1}}, {"q2": {"p2": 1}}))
    assert dataset.test_qrels() == {"q2": {"p2": 1}}
    assert "d: 1 queries are in both splits and keep their test judgements alone: q2." in dataset.notes


def test_a_dataset_that_cannot_teach_says_so() -> None:
    dataset = assemble(RawDataset("d", CORPUS, {"q1": QUERIES["q1"]}, None, {"q1": {"p1": 1}}))
    assert (dataset.train, dataset.notes) == ((), ("d: no query may teach.",))


@given(st.lists(st.text(min_size=1), max_size=8))
def test_a_tally_counts_all_and_names_at_most_three(names: list[str]) -> None:
    found = tally(names)
    assert found.count == len(names)
    assert found.examples == names[:3]
    assert len(found.note("{n} things")) == min(len(names), 1)
