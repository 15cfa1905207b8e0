import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from rankstill.config import DatasetConfig
from rankstill.data import load_dataset
from rankstill.errors import DataError

PASSAGES = ({"_id": "p1", "text": "first"}, {"_id": "p2", "text": "second"}, {"_id": "p3", "text": "third"})
QUERIES = ({"_id": "q1", "text": "what is first"}, {"_id": "q2", "text": "what is second"})


def config(folder: Path, **more: object) -> DatasetConfig:
    return DatasetConfig.model_validate({"source": str(folder), **more})


def test_a_beir_folder_loads_with_its_splits(beir: Callable[..., Path]) -> None:
    dataset = load_dataset(config(beir()))
    assert (dataset.name, dataset.train, dataset.test, dataset.notes) == ("beir", ("q1",), ("q2",), ())
    assert dataset.corpus.texts() == ["One first", "second", "third"]
    assert dataset.qrels == {"q1": {"p1": 1}, "q2": {"p2": 1}}


def test_packed_files_load_to_the_same_dataset(beir: Callable[..., Path]) -> None:
    folder = beir()
    before = load_dataset(config(folder)).fingerprint()
    for path in [folder / "corpus.jsonl", folder / "queries.jsonl", *(folder / "qrels").iterdir()]:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert load_dataset(config(folder)).fingerprint() == before


@pytest.mark.parametrize(
    "qrels",
    [
        "query-id\tcorpus-id\tscore\nq2\tp2\t1\nq2\tp3\t0\n",
        "q2\tp2\t1\nq2\tp3\t0\n",
        "q2 0 p2 1\nq2 0 p3 0\n",
        "q2\tQ0\tp2\t1\r\nq2\tQ0\tp3\t0\r\n",
        "\ufeffqid\tpid\tlabel\nq2\tp2\t1\n\nq2\tp3\t0",
    ],
)
def test_qrels_are_read_with_and_without_a_header_and_in_trecs_columns(beir: Callable[..., Path], qrels: str) -> None:
    dataset = load_dataset(config(beir(qrels={"test": qrels}), train_split=None))
    assert dataset.qrels == {"q2": {"p2": 1, "p3": 0}}


@pytest.mark.parametrize(
    ("name", "qrels"),
    [
        ("test.csv", "query-id,corpus-id,score\nq2,p2,1\nq2,p3,0\n"),
        ("test.csv", '"q2", "p2", 1\r\n"q2", "p3", 0\r\n'),
        ("test.csv", ",query_id,doc_id,relevance\n0,q2,p2,1\n1,q2,p3,0\n"),
        ("test.csv", "Query ID;Doc ID;Relevance score\nq2;p2;1\nq2;p3;0\n"),
        ("test.csv", "q2\tp2\t1\nq2\tp3\t0\n"),
        ("test.tsv", "q2,p2,1\nq2,p3,0\n"),
    ],
)
def test_qrels_are_read_with_commas_between(beir: Callable[..., Path], name: str, qrels: str) -> None:
    folder = beir(qrels={})
    (folder / "qrels" / name).write_text(qrels)
    assert load_dataset(config(folder, train_split=None)).qrels == {"q2": {"p2": 1, "p3": 0}}


@pytest.mark.parametrize(
    "qrels",
    [
        "query_id\tdoc_id\trelevance_score\nq2\tp2\t1\nq2\tp3\t0\n",
        "Anfrage\tDokument\tUrteil\nq2\tp2\t1\nq2\tp3\t0\n",
        "topic iteration docno judgment\nq2 0 p2 1\nq2 0 p3 0\n",
        "score\tcorpus-id\tquery-id\n1\tp2\tq2\n0\tp3\tq2\n",
        "# pooled in May\nquery-id\tcorpus-id\tscore\n#q9 is gone\nq2\tp2\t1\n# and\nq2\tp3\t0\n",
    ],
)
def test_a_heading_in_other_words_and_comments_are_passed_over(beir: Callable[..., Path], qrels: str) -> None:
    dataset = load_dataset(config(beir(qrels={"test": qrels}), train_split=None))
    assert dataset.qrels == {"q2": {"p2": 1, "p3": 0}}
    assert not any("test.tsv" in note for note in dataset.notes)


def test_a_query_whose_id_begins_with_a_hash_is_no_comment(beir: Callable[..., Path]) -> None:
    folder = beir(queries=[*QUERIES, {"_id": "#3", "text": "third"}], qrels={"test": "#3\tp2\t1\n"})
    assert load_dataset(config(folder, train_split=None)).test == ("#3",)


@pytest.mark.parametrize("qrels", ["", "query-id\tcorpus-id\tscore\n", "q9\tp2\t1\n"])
def test_an_empty_test_split_says_that_nothing_can_be_measured(beir: Callable[..., Path], qrels: str) -> None:
    dataset = load_dataset(config(beir(qrels={"train": "q1\tp1\t1\n", "test": qrels})))
    assert any(note.endswith("there are no judgements to measure by.") for note in dataset.notes)


def test_a_list_may_hold_comments_and_ids_in_the_other_form_of_unicode(beir: Callable[..., Path]) -> None:
    folder = beir(queries=[*QUERIES, {"_id": "caf\u00e9", "text": "more"}])
    (folder / "splits").mkdir()
    (folder / "splits" / "train.txt").write_text("# drawn in May\ncafe\u0301\n")
    dataset = load_dataset(config(folder))
    assert dataset.train == ("caf\u00e9",)
    assert not any("unknown queries" in note for note in dataset.notes)


def test_lines_with_other_numbers_of_columns_are_told_at_once(beir: Callable[..., Path]) -> None:
    folder = beir(qrels={"test": "q2\tp2\t1\nq2\nq2\tp2\tx\nq2\tp2\n"})
    with pytest.raises(DataError) as caught:
        load_dataset(config(folder))
    assert [f"line {number}: " in told for number, told in zip((2, 3, 4), str(caught.value).splitlines(), strict=True)]


def test_a_bad_grade_on_the_first_line_is_not_taken_for_a_header(beir: Callable[..., Path]) -> None:
    folder = beir(qrels={"test": "q2\tp2\tyes\n"})
    with pytest.raises(DataError, match=r"test\.tsv, line 1: the grade 'yes' is not a whole number"):
        load_dataset(config(folder))


@pytest.mark.parametrize(
    ("qrels", "message"), [("q2 p2\n", "line 1: 2 columns"), ("q2 p2 1\nq2 p3\n", "line 2: 2 columns but")]
)
def test_qrels_with_a_wrong_number_of_columns_are_refused(beir: Callable[..., Path], qrels: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_dataset(config(beir(qrels={"test": qrels})))


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl"])
def test_a_missing_file_says_what_was_looked_for(beir: Callable[..., Path], name: str) -> None:
    folder = beir()
    (folder / name).unlink()
    with pytest.raises(DataError, match=rf"beir: neither {name} nor {name}\.gz is there"):
        load_dataset(config(folder))


def test_two_forms_of_one_file_are_named(beir: Callable[..., Path]) -> None:
    folder = beir()
    (folder / "corpus.jsonl.gz").write_bytes(gzip.compress(b'{"_id": "p1", "text": "first"}\n'))
    dataset = load_dataset(config(folder))
    assert len(dataset.corpus) == 3
    assert dataset.notes == (f"{folder}: corpus.jsonl and corpus.jsonl.gz are both there; corpus.jsonl was read.",)


def test_two_files_of_one_split_are_named(beir: Callable[..., Path]) -> None:
    folder = beir()
    (folder / "qrels" / "test.csv").write_text("q2,p3,1\n")
    dataset = load_dataset(config(folder))
    assert dataset.test_qrels() == {"q2": {"p2": 1}}
    assert dataset.notes == (f"{folder / 'qrels'}: test.tsv and test.csv are there; test.tsv was read.",)


def test_an_absent_training_split_is_said_and_leaves_all_but_the_test_queries(beir: Callable[..., Path]) -> None:
    folder = beir()
    dataset = load_dataset(config(folder, train_split="dev"))
    assert dataset.train == ("q1",)
    assert dataset.notes[0] == (
        f"{folder}: no qrels for the training split 'dev' (there are: test, train); every query that is not a test "
        "query may teach."
    )


@pytest.mark.parametrize(
    ("split", "said"), [("dev", "no qrels for 'dev' (there are: test, train)"), (None, "no test split is named (there")]
)
def test_without_a_test_split_nothing_measures_and_a_note_says_so(
    beir: Callable[..., Path], split: str | None, said: str
) -> None:
    dataset = load_dataset(config(beir(), test_split=split))
    assert (dataset.train, dataset.test) == (("q1",), ())
    assert any(said in note and note.endswith("there are no judgements to measure by.") for note in dataset.notes)


def test_without_any_judgements_every_query_teaches(beir: Callable[..., Path]) -> None:
    dataset = load_dataset(config(beir(qrels={})))
    assert (dataset.train, dataset.test, dataset.qrels) == (("q1", "q2"), (), {})
    assert len(dataset.notes) == 2


def test_a_list_names_training_queries_that_have_no_judgements(beir: Callable[..., Path]) -> None:
    folder = beir(queries=[*QUERIES, {"_id": "q3", "text": "more"}, {"_id": "q4", "text": "unused"}])
    (folder / "splits").mkdir()
    (folder / "splits" / "train.txt").write_text("q3\nq1\nq9\n")
    dataset = load_dataset(config(folder))
    assert dataset.train == ("q1", "q3")
    assert dataset.qrels == {"q1": {"p1": 1}, "q2": {"p2": 1}}
    assert f"{folder / 'splits' / 'train.txt'}: 1 unknown queries were left out: q9 (line 3)." in dataset.notes


def test_merge_duplicates_reaches_corpus_and_queries(beir: Callable[..., Path]) -> None:
    folder = beir(corpus=[*PASSAGES, PASSAGES[0]], queries=[*QUERIES, QUERIES[0]])
    with pytest.raises(DataError, match=r"corpus\.jsonl, line 4: \"_id\" p1 appears twice \(first on line 1\)"):
        load_dataset(config(folder))
    dataset = load_dataset(config(folder, merge_duplicates=True))
    assert (len(dataset.corpus), len(dataset.queries), len(dataset.notes)) == (3, 2, 2)
