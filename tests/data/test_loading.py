import gzip
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from rankstill.config import DatasetConfig
from rankstill.data import Dataset, bundled, find_leaks, is_bundled, load_dataset
from rankstill.errors import DataError
from rankstill.evaluation.answers import has_answer
from rankstill.teacher import read_rankings


def test_a_source_that_is_not_there_says_what_a_source_may_be(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"nowhere: there is no such folder or file\. A source is a BEIR folder, ir_data"
    ):
        load_dataset(DatasetConfig(source=str(tmp_path / "nowhere")))


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("a,b\n")
    with pytest.raises(DataError, match=r"data\.csv: not a BEIR folder, nor a DPR-style file"):
        load_dataset(DatasetConfig(source=str(tmp_path / "data.csv")))


def test_a_test_file_beside_a_folder_is_refused_and_not_ignored(beir: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match=r"test_source test\.json goes with a DPR-style"):
        load_dataset(DatasetConfig(source=str(beir()), test_source="test.json"))


def test_the_bundled_set_has_the_published_counts() -> None:
    dataset = load_dataset(DatasetConfig(source="scifact", leaks="keep"))
    assert (dataset.name, len(dataset.corpus), len(dataset.train), len(dataset.test)) == ("scifact", 5183, 809, 300)
    assert sum(len(dataset.qrels[query_id]) for query_id in dataset.train) == 919
    assert sum(len(grades) for grades in dataset.test_qrels().values()) == 339


def test_the_bundled_rankings_fit_the_bundled_queries_and_corpus() -> None:
    dataset = load_dataset(DatasetConfig(source="scifact", leaks="keep"))
    rankings = [json.loads(line) for line in (bundled("scifact") / "rankings.jsonl").read_text().splitlines()]
    assert sorted(ranking["query_id"] for ranking in rankings) == sorted(dataset.train)
    assert all(sorted(ranking["candidates"]) == sorted(ranking["ranking"]) for ranking in rankings)
    assert all(passage_id in dataset.corpus for ranking in rankings for passage_id in ranking["candidates"])


def test_the_bundled_set_carries_its_licences_and_its_caveat() -> None:
    readme = (bundled("scifact") / "README.md").read_text()
    for needed in ("Wadden et al.", "CC BY 4.0", "ODC-By 1.0", "may have met it in pretraining", "November\n2026"):
        assert needed in readme


def test_nq_open_has_its_counts_its_answers_and_no_article_on_both_sides() -> None:
    dataset = load_dataset(DatasetConfig(source="nq-open"))
    assert (dataset.name, len(dataset.corpus), len(dataset.train), len(dataset.test)) == ("nq-open", 2587, 1000, 655)
    assert all(query.answers for query in dataset.queries.values())
    assert dataset.queries["q821"].answers == ("Australia",)
    taught, asked = (_gold_articles(dataset, members) for members in (dataset.train, dataset.test))
    assert (len(taught), len(asked)) == (913, 634)
    assert not taught & asked
    (note,) = dataset.notes
    assert "NQ-open is public" in note


def _gold_articles(dataset: Dataset, query_ids: Sequence[str]) -> set[str]:
    corpus = dataset.corpus
    return {corpus.titles[corpus.position(passage)] for query_id in query_ids for passage in dataset.qrels[query_id]}


def test_every_gold_passage_of_nq_open_holds_an_answer_to_its_question() -> None:
    dataset = load_dataset(DatasetConfig(source="nq-open"))
    corpus = dataset.corpus
    judged = {**{q: dataset.qrels[q] for q in dataset.train}, **dataset.test_qrels()}
    without = [
        query_id
        for query_id, grades in judged.items()
        if not any(has_answer(dataset.queries[query_id].answers, corpus.text(corpus.position(p))) for p in grades)
    ]
    assert without == []


def test_nq_open_carries_its_licences_and_what_it_is_not_good_for() -> None:
    readme = (bundled("nq-open") / "README.md").read_text()
    for needed in ("Kwiatkowski et al.", "CC BY-SA 3.0", "Lost in the Middle", "MIT", "Not for retrieval gains"):
        assert needed in readme


def test_only_a_bundled_name_means_the_package_and_no_way_around_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nq-open").mkdir()
    monkeypatch.chdir(tmp_path)
    assert is_bundled("nq-open")
    assert not any(map(is_bundled, ("", ".", "..", "nq-open/", "./nq-open", "scifact/qrels", str(tmp_path))))


def test_an_unknown_bundled_name_is_refused() -> None:
    there = "hotpot, nq-open, scifact, scifact-sample, stackqa"
    with pytest.raises(DataError, match=rf"nq: no such dataset comes with the package\. There are: {there}\."):
        bundled("nq")


def test_importing_the_datasets_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'transformers', 'sentence_transformers', 'datasets', 'ir_datasets', 'pyarrow', 'scipy'}"
    code = f"import sys, rankstill.data; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("name", "passages", "train", "test", "unlabelled"),
    [("stackqa", 4388, 1111, 600, 176), ("hotpot", 5938, 400, 200, 0)],
)
def test_the_corpora_with_a_frontier_llms_lists_are_whole(
    name: str, passages: int, train: int, test: int, unlabelled: int
) -> None:
    dataset = load_dataset(DatasetConfig(source=name))
    assert (len(dataset.corpus), len(dataset.train), len(dataset.test)) == (passages, train, test)
    assert len(dataset.queries) == train + test + unlabelled
    assert find_leaks(dataset).test_sharing_gold == 0
    assert any("public" in note for note in dataset.notes)
    ranked, _ = read_rankings(bundled(name) / "rankings.jsonl", dataset)
    assert len(ranked) == 320
    assert all(len(each.ranking) == 10 for each in ranked)


def test_every_hotpot_question_has_two_gold_paragraphs_and_its_answers() -> None:
    dataset = load_dataset(DatasetConfig(source="hotpot"))
    assert {len(grades) for grades in dataset.qrels.values()} == {2}
    assert all(dataset.queries[query_id].answers for query_id in (*dataset.train, *dataset.test))


def test_each_stackqa_passage_is_attributed_and_both_corpora_carry_their_licences() -> None:
    dataset = load_dataset(DatasetConfig(source="stackqa"))
    with gzip.open(bundled("stackqa") / "attribution.json.gz", "rt", encoding="utf-8") as file:
        assert set(dataset.corpus.ids) <= set(json.load(file))
    assert "CC BY-SA" in (bundled("stackqa") / "README.md").read_text()
    assert "CC BY-SA 4.0" in (bundled("hotpot") / "README.md").read_text()
