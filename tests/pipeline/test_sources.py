"""The chain on the data that users bring: judged or not, leaking, partly ranked, DPR-style, with further queries."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytrec_eval

import rankstill
from rankstill.config import Config
from rankstill.data import Dataset, load_dataset
from rankstill.data.fields import digest_id
from rankstill.errors import DataError
from rankstill.evaluation import EvaluationTable
from rankstill.labels import read_labels
from rankstill.pipeline import Chain
from rankstill.workspace import Workspace

MakeConfig = Callable[..., Config]


def read_rankings_file(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "rankings.jsonl").read_text().splitlines()]


def write_rankings_file(path: Path, records: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def test_without_judgements_the_chain_runs_and_says_that_nothing_was_measured(
    toy_config: MakeConfig, toy_copy: Path, tmp_path: Path
) -> None:
    shutil.rmtree(toy_copy / "qrels")
    outcome = rankstill.distill(toy_config(source=toy_copy), tmp_path / "w")
    assert outcome.table is None
    assert any("could not be measured" in note for note in outcome.notes)
    assert "8 training queries have no ranking" in " ".join(outcome.notes)
    card = (outcome.retriever / "README.md").read_text()
    assert "Not measured" in card
    assert "could not be measured" in card
    assert json.loads((outcome.workspace / "metrics.json").read_text())["table"] is None
    assert (outcome.workspace / "per-query.csv").read_text() == "query,system\n"
    assert len((outcome.workspace / "pairs.csv").read_text().splitlines()) == 1
    assert list(outcome.retriever.rglob("model.safetensors"))


def _let_two_queries_leak(folder: Path, dataset: Dataset) -> None:
    with (folder / "qrels" / "train.tsv").open("a") as qrels:
        for taught, tested in zip(dataset.train[:2], dataset.test[:2], strict=True):
            qrels.write(f"{taught}\t{next(iter(dataset.qrels[tested]))}\t1\n")


def test_leaks_that_are_kept_are_said_wherever_the_result_is_shown(
    toy_config: MakeConfig, toy_copy: Path, toy_dataset: Dataset, tmp_path: Path
) -> None:
    _let_two_queries_leak(toy_copy, toy_dataset)
    outcome = rankstill.distill(toy_config({"dataset.leaks": "keep"}, toy_copy), tmp_path / "w")
    said = "toy: LEAKING: 2 of 24 training queries share a gold passage"
    assert any(said in note for note in outcome.notes)
    assert said in (outcome.retriever / "README.md").read_text()
    assert "(2 of 24)" in json.loads((outcome.workspace / "metrics.json").read_text())["leaks"]
    assert len(read_rankings_file(outcome.workspace)) == 24


def test_leaking_queries_are_dropped_by_default_and_neither_teach_nor_are_labelled(
    toy_config: MakeConfig, toy_copy: Path, toy_dataset: Dataset, tmp_path: Path
) -> None:
    _let_two_queries_leak(toy_copy, toy_dataset)
    with Workspace(tmp_path / "w") as workspace:
        config = toy_config(source=toy_copy)
        outcome = Chain(config, workspace, load_dataset(config.dataset)).run("labels")
    assert not any("LEAKING" in note for note in outcome.notes)
    assert "2 of 24 training queries leak into the test split and were dropped" in " ".join(outcome.notes)
    labelled = {query.id for query in read_labels(tmp_path / "w" / "labels.parquet")}
    assert labelled.isdisjoint(toy_dataset.train[:2])
    assert labelled.issuperset(toy_dataset.train[2:])


def test_a_partial_ranking_teaches(toy_config: MakeConfig, toy_copy: Path, tmp_path: Path) -> None:
    partial = [{**each, "ranking": each["ranking"][:2]} for each in read_rankings_file(toy_copy)]
    write_rankings_file(toy_copy / "rankings.jsonl", partial)
    outcome = rankstill.distill(toy_config(source=toy_copy), tmp_path / "w")
    assert outcome.table is not None
    assert all(len(each["ranking"]) == 2 for each in read_rankings_file(outcome.workspace))
    taught = [each for each in read_labels(outcome.workspace / "labels.parquet") if each.source == "teacher"]
    assert all(len(each.positions) > 2 for each in taught)  # the rest of its passages is labelled by the ranker


def test_unlabelled_queries_from_a_file_are_labelled(toy_config: MakeConfig, tmp_path: Path) -> None:
    asked = ["where does the tide go", "why is the crust brown"]
    (tmp_path / "extra.txt").write_text("\n".join(asked) + "\n")
    config = toy_config({"dataset.extra_queries": str(tmp_path / "extra.txt")})
    with Workspace(tmp_path / "w") as workspace:
        Chain(config, workspace, load_dataset(config.dataset)).run("retriever")
    extra = [query for query in read_labels(tmp_path / "w" / "labels.parquet") if query.source == "unranked"]
    assert [query.text for query in extra] == asked
    assert all(len(query.positions) == config.candidates.n for query in extra)


def _write_dpr(folder: Path, dataset: Dataset, *, judged: bool) -> tuple[Path, Path]:
    """The toy dataset as two DPR-style files with answers: the gold passage's, or, of one judged query, none's."""
    corpus = dataset.corpus

    def entry(query_id: str, positive: bool) -> dict[str, Any]:
        answer = next(iter(dataset.qrels[query_id]))
        contexts = [
            {"passage_id": each, "title": corpus.titles[row], "text": corpus.bodies[row]}
            for row, each in enumerate(corpus.ids)
            if not positive or each == answer
        ]
        stated = corpus.bodies[corpus.position(answer)].partition(".")[0]
        answers = ["nowhere"] if judged and query_id == dataset.test[0] else [stated]
        key = "positive_ctxs" if positive else "negative_ctxs"
        return {"question": dataset.queries[query_id].text, "answers": answers, key: contexts}

    folder.mkdir()
    for split, ids, positive in (("train", dataset.train, False), ("test", dataset.test, judged)):
        (folder / f"{split}.json").write_text(json.dumps([entry(each, positive) for each in ids]))
    return folder / "train.json", folder / "test.json"


@pytest.mark.parametrize("judged", [False, True])
def test_a_dpr_file_with_answers_is_measured_by_positives_or_else_by_answers(
    toy_config: MakeConfig, toy_dataset: Dataset, toy_dataset_folder: Path, tmp_path: Path, judged: bool
) -> None:
    train, test = _write_dpr(tmp_path / "dpr", toy_dataset, judged=judged)
    rankings = [
        {**each, "query_id": digest_id("q", toy_dataset.queries[each["query_id"]].text)}
        for each in read_rankings_file(toy_dataset_folder)
    ]
    write_rankings_file(tmp_path / "dpr" / "rankings.jsonl", rankings)
    outcome = rankstill.distill(toy_config({"dataset.test_source": str(test)}, train), tmp_path / "w")
    assert outcome.table is not None
    assert outcome.table.n == 8
    assert outcome.table.system("BM25").values["Hit@1"] == 1.0  # the one passage that holds the answer
    with (outcome.workspace / "runs" / "qrels.trec").open() as file:
        qrels = pytrec_eval.parse_qrel(file)
    assert len(qrels) == 8
    assert {sum(grades.values()) for grades in qrels.values()} == {1}
    assert any(0 in grades.values() for grades in qrels.values()) != judged  # what was found and holds no answer
    by_answers = json.loads((outcome.workspace / "metrics.json").read_text()).get("by_answers")
    assert bool(by_answers) == judged
    if judged:
        found = EvaluationTable.from_json(by_answers)
        assert (found.n, found.measures) == (8, ("Hit@1", "Hit@5", "Hit@10", "Hit@20"))
        assert outcome.table.system("BM25").values["Hit@20"] == 1.0
        assert found.system("BM25").values == dict.fromkeys(found.measures, 7 / 8)  # one answer is nowhere
        assert any(note.startswith("by accepted answers") and "Hit@20" in note for note in outcome.notes)
    assert ("holds an accepted answer" in " ".join(outcome.notes)) != judged


@pytest.mark.parametrize("regex", [True, False])
def test_answers_may_be_regular_expressions_in_the_figures_and_on_the_page(
    toy_config: MakeConfig, toy_dataset: Dataset, toy_copy: Path, tmp_path: Path, regex: bool
) -> None:
    queries = {query.id: {"_id": query.id, "text": query.text} for query in toy_dataset.queries.values()}
    for query_id in toy_dataset.test:
        own = next(iter(toy_dataset.qrels[query_id]))
        word = toy_dataset.corpus.titles[toy_dataset.corpus.position(own)].split()[1]
        queries[query_id]["answers"] = [rf"needs the {word[:-1]}\w and"]
    (toy_copy / "queries.jsonl").write_text("".join(json.dumps(each) + "\n" for each in queries.values()))
    shutil.rmtree(toy_copy / "qrels")
    (toy_copy / "splits").mkdir()
    (toy_copy / "splits" / "train.txt").write_text("\n".join(toy_dataset.train) + "\n")
    outcome = rankstill.distill(toy_config({"evaluation.regex_answers": regex}, toy_copy), tmp_path / "w")
    assert outcome.table is not None
    assert outcome.table.system("BM25").values["Hit@1"] == (1.0 if regex else 0.0)
    assert "comes out differently" not in (outcome.workspace / "report.html").read_text(encoding="utf-8")


def test_a_dpr_file_without_a_second_one_says_that_nothing_was_measured(
    toy_config: MakeConfig, toy_dataset: Dataset, toy_dataset_folder: Path, tmp_path: Path
) -> None:
    train, _ = _write_dpr(tmp_path / "dpr", toy_dataset, judged=False)
    rankings = read_rankings_file(toy_dataset_folder)
    for each in rankings:
        each["query_id"] = digest_id("q", toy_dataset.queries[each["query_id"]].text)
    write_rankings_file(tmp_path / "own.jsonl", rankings)
    config = toy_config({"teacher.rankings": str(tmp_path / "own.jsonl")}, train)
    outcome = rankstill.distill(config, tmp_path / "w")
    assert outcome.table is None
    assert "could not be measured" in " ".join(outcome.notes)


def test_the_packages_own_dataset_brings_its_rankings_whatever_lies_in_the_current_folder(
    toy_config: MakeConfig, toy_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scifact").mkdir()
    monkeypatch.chdir(tmp_path)
    with Workspace(tmp_path / "w") as workspace:
        chain = Chain(toy_config(source=Path("scifact")), workspace, toy_dataset)
        with pytest.raises(DataError, match=r"bundled/scifact/rankings\.jsonl: no ranking belongs to a query"):
            chain.rankings()
