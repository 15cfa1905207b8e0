import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from rankstill.config import DatasetConfig
from rankstill.data import load_dataset
from rankstill.data.dataset import Dataset
from rankstill.errors import DataError


def context(passage_id: object, text: str = "text", title: str = "Title") -> dict[str, object]:
    return {"title": title, "text": text, "passage_id": passage_id}


def entry(question: str, positive: list[Any], negative: list[Any] | None = None, **more: object) -> dict[str, Any]:
    return {
        "question": question,
        "answers": ["yes"],
        "positive_ctxs": positive,
        "negative_ctxs": negative or [],
        "hard_negative_ctxs": [],
        **more,
    }


TRAIN = [entry("who", [context("1")], [context("2", "two")]), entry("what", [context("2", "two")])]
TEST = [entry("where", [context("3", "three")], hard_negative_ctxs=[context(4, "four")])]


def load(
    tmp_path: Path, train: object, test: object | None = None, name: str = "train.json", **more: object
) -> Dataset:
    data = json.dumps(train).encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    settings: dict[str, object] = {"source": str(tmp_path / name), **more}
    if test is not None:
        (tmp_path / "test.json").write_text(json.dumps(test))
        settings["test_source"] = str(tmp_path / "test.json")
    return load_dataset(DatasetConfig.model_validate(settings))


def ids_by_text(dataset: Dataset) -> dict[str, str]:
    return {query.text: query.id for query in dataset.queries.values()}


def test_the_corpus_is_the_union_of_contexts_and_positives_are_the_judgements(tmp_path: Path) -> None:
    dataset = load(tmp_path, TRAIN, TEST)
    ids = ids_by_text(dataset)
    assert sorted(dataset.corpus.ids) == ["1", "2", "3", "4"]
    assert dataset.corpus.text(dataset.corpus.position("2")) == "Title two"
    assert (dataset.train, dataset.test) == ((ids["who"], ids["what"]), (ids["where"],))
    assert dataset.qrels == {ids["who"]: {"1": 1}, ids["what"]: {"2": 1}, ids["where"]: {"3": 1}}
    assert dataset.queries[ids["who"]].answers == ("yes",)
    assert (dataset.name, dataset.notes) == ("train", ())


def test_flagembeddings_files_are_read(tmp_path: Path) -> None:
    dataset = load(tmp_path, [{"query": "who", "pos": ["one"], "neg": ["two", "three"], "pos_scores": [1.0]}])
    assert sorted(dataset.corpus.bodies) == ["one", "three", "two"]
    [(query_id, grades)] = dataset.qrels.items()
    assert dataset.queries[query_id].text == "who"
    assert [dataset.corpus.text(dataset.corpus.position(each)) for each in grades] == ["one"]


def test_fids_files_are_read_and_judge_no_passage(tmp_path: Path) -> None:
    contexts = [{"id": "7", "title": "T", "text": "one", "score": "1.5"}, {"id": "8", "title": "T", "text": "two"}]
    fid = [{"id": "0", "question": "who", "target": "me", "answers": ["me", "I"], "ctxs": contexts}]
    fid.append({"id": "1", "question": "what", "target": "it", "ctxs": contexts})
    dataset = load(tmp_path, fid)
    assert (dataset.corpus.ids, dataset.qrels) == (["7", "8"], {})
    assert [query.answers for query in dataset.queries.values()] == [("me", "I"), ("it",)]


def test_tevatrons_files_are_read(tmp_path: Path) -> None:
    passages = {
        key: [{"docid": str(n), "title": "T", "text": str(n)}]
        for n, key in enumerate(["positive_passages", "negative_passages"])
    }
    dataset = load(tmp_path, [{"query_id": "9", "query": "who", **passages}])
    assert dataset.corpus.ids == ["0", "1"]
    assert list(dataset.qrels.values()) == [{"0": 1}]


def test_a_file_without_passages_names_the_keys_that_are_wanted(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r'no entry has passages \(the first has "question", "positive"\)\. Expected'
    ) as caught:
        load(tmp_path, [{"question": "who", "positive": "one"}])
    assert all(f'"{key}"' in str(caught.value) for key in ("positive_ctxs", "ctxs", "pos", "neg", "positive_passages"))


def test_several_entries_that_cannot_be_used_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load(tmp_path, [entry("who", [{}]), entry("what", [context("1")]), {"pos": ["x"]}])
    assert ["entry 1: " in str(caught.value), "entry 3: " in str(caught.value)] == [True, True]
    both = [entry("who", [context("1", "a"), context("1", "b"), context("2", "a"), context("2", "b")])]
    with pytest.raises(DataError, match=r"(?s)passage_id 1 stands.*passage_id 2 stands"):
        load(tmp_path, both)


def test_question_ids_survive_reordering_and_added_entries(tmp_path: Path) -> None:
    before = ids_by_text(load(tmp_path, TRAIN))
    after = ids_by_text(load(tmp_path, [entry("new", []), *reversed(TRAIN)]))
    assert before == {text: after[text] for text in before}


def test_json_lines_and_packed_files_give_the_same_dataset(tmp_path: Path) -> None:
    plain = load(tmp_path, TRAIN).fingerprint()
    assert load(tmp_path, TRAIN, name="train.json.gz").fingerprint() == plain
    lines = tmp_path / "train.jsonl"
    lines.write_text("".join(json.dumps(record) + "\n" for record in TRAIN))
    assert load_dataset(DatasetConfig(source=str(lines))).fingerprint() == plain


def test_a_context_without_an_id_is_named_by_its_content(tmp_path: Path) -> None:
    nameless = {"title": "Title", "text": "same"}
    dataset = load(tmp_path, [entry("who", [nameless]), entry("what", [{**nameless, "passage_id": ""}])])
    assert len(dataset.corpus) == 1
    assert [list(grades) for grades in dataset.qrels.values()] == [dataset.corpus.ids] * 2


def test_one_passage_id_for_two_texts_names_both_entries(tmp_path: Path) -> None:
    message = r"test\.json, entry 1: passage_id 1 stands for another passage .* \(first in .*train\.json, on entry 1\)"
    conflict = [entry("where", [context("1", "changed")])]
    with pytest.raises(DataError, match=message):
        load(tmp_path, TRAIN, conflict)
    dataset = load(tmp_path, TRAIN, conflict, merge_duplicates=True)
    assert dataset.corpus.bodies[dataset.corpus.position("1")] == "text"
    assert any("1 passages repeat an id and only the first of each was kept: 1 (entry 3)" in n for n in dataset.notes)


def test_two_texts_for_one_id_inside_one_entry_are_seen(tmp_path: Path) -> None:
    both = [entry("who", [context("1", "a"), context("1", "b")])]
    with pytest.raises(DataError, match=r"entry 1: passage_id 1 stands for another passage .*\(first on entry 1\)"):
        load(tmp_path, both)
    assert load(tmp_path, both, merge_duplicates=True).corpus.bodies == ["a"]


def test_a_question_asked_twice_keeps_the_positives_of_both(tmp_path: Path) -> None:
    dataset = load(tmp_path, [*TRAIN, entry("who", [context("2", "two")])])
    assert dataset.qrels[ids_by_text(dataset)["who"]] == {"1": 1, "2": 1}
    assert any("1 queries repeat an id" in note for note in dataset.notes)


def test_a_test_question_that_is_in_the_training_file_does_not_teach(tmp_path: Path) -> None:
    again = [entry("who", [context("9", "nine")]), *TEST]
    dropped = load(tmp_path, TRAIN, again)
    assert [dropped.queries[query_id].text for query_id in dropped.train] == ["what"]
    kept = load(tmp_path, TRAIN, again, leaks="keep")
    assert kept.leaking == (ids_by_text(kept)["who"],)


def test_without_a_second_file_nothing_measures_and_a_note_says_so(tmp_path: Path) -> None:
    dataset = load(tmp_path, TRAIN)
    assert dataset.test == ()
    assert dataset.notes == (
        f"{tmp_path / 'train.json'}: no test_source is named; there are no judgements to measure by.",
    )


def test_test_questions_without_positives_do_not_measure(tmp_path: Path) -> None:
    dataset = load(tmp_path, TRAIN, [*TEST, entry("when", [])])
    assert dataset.test == (ids_by_text(dataset)["where"],)
    assert any("1 test queries have no relevant passage in the corpus" in note for note in dataset.notes)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"question": "who"}, "expected a list of questions, not an object"),
        (["who"], "entry 1: expected a question with its contexts, not a string"),
        ([{"q": "who", "positive_ctxs": [context("1")]}], 'entry 1: no field "question"'),
        ([entry("who", [{"passage_id": "1"}])], 'entry 1: no field "text"'),
        ([entry("who", [], negative=["words"])], 'entry 1: "negative_ctxs" must be a list of'),
        ([entry("who", [context("1 2")])], "entry 1: .* has white space in it"),
        ([entry("who", [])], "no passage in it has text"),
        ([entry("who", [context("1")], answers="yes")], 'entry 1: "answers" must be a list of strings'),
    ],
)
def test_entries_that_cannot_be_used_are_named(tmp_path: Path, data: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(tmp_path, data)


def test_a_missing_second_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.json: cannot be read \(No such file"):
        load(tmp_path, TRAIN, test_source=str(tmp_path / "nowhere.json"))
