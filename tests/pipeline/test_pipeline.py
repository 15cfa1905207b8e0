"""The chain as a whole, on a toy dataset with a tiny model: what it makes, and what it makes it from."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytrec_eval
import yaml

import rankstill
from rankstill.config import Config, read_config
from rankstill.data import Dataset, load_dataset
from rankstill.evaluation.runs import read_run
from rankstill.labels import read_labels
from rankstill.outcome import Outcome
from rankstill.pipeline import Chain, open_chain
from rankstill.steps import STEPS
from rankstill.workspace import Workspace
from toy import TOY_STEPS

SYSTEMS = (
    "BM25",
    "retriever before",
    "first stage",
    "hybrid before",
    "ranker",
    "distilled retriever",
    "distilled hybrid",
    "ranker on distilled",
    "multi-vector",
    "multi-vector hybrid",
)

MakeConfig = Callable[..., Config]


def weights(workspace: Path) -> list[bytes]:
    """Of every module of the retriever, as saved."""
    return [path.read_bytes() for path in sorted((workspace / "retriever").rglob("*.safetensors"))]


def _from(step: str) -> tuple[str, ...]:
    return TOY_STEPS[TOY_STEPS.index(step) :]


def made_at(workspace: Path) -> dict[str, int]:
    """When each step's first output file was written, in ns."""
    steps = json.loads((workspace / "manifest.json").read_text())["steps"]
    places = {step: workspace / record["outputs"][-1] for step, record in steps.items()}
    files = {step: min(path.rglob("*.*")) if path.is_dir() else path for step, path in places.items()}
    return {step: path.stat().st_mtime_ns for step, path in files.items()}


def made_anew(workspace: Path, before: dict[str, int]) -> tuple[str, ...]:
    """The steps whose outputs were written since, in the chain's order."""
    return tuple(step for step in TOY_STEPS if made_at(workspace)[step] != before.get(step))


def read_rankings_file(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "rankings.jsonl").read_text().splitlines()]


def write_rankings_file(path: Path, records: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def test_the_workspace_holds_every_documented_file(finished: Outcome) -> None:
    runs = {f"runs/{name.replace(' ', '-')}.trec" for name in SYSTEMS}
    files = {"config.yaml", "manifest.json", "candidates.parquet", "rankings.jsonl", "labels.parquet", "metrics.json"}
    files |= {"per-query.csv", "pairs.csv"}
    inside = {"ranker/ranker.json", "reranker/ranker.json", "retriever/modules.json", "retriever/README.md"}
    missing = {name for name in runs | files | inside if not (finished.workspace / name).is_file()}
    assert missing == set()
    assert list((finished.workspace / ".making").iterdir()) == []


def test_steps_are_the_chains_methods_in_their_order_and_all_are_recorded(finished: Outcome) -> None:
    assert tuple(name for name in vars(Chain) if name in STEPS) == STEPS
    assert tuple(json.loads((finished.workspace / "manifest.json").read_text())["steps"]) == TOY_STEPS


def test_the_config_in_the_workspace_is_the_whole_of_what_ran(finished: Outcome, toy_config: MakeConfig) -> None:
    assert read_config(finished.workspace / "config.yaml") == toy_config()


def test_the_figures_are_those_that_trec_eval_gives_for_the_runs(finished: Outcome, toy_dataset: Dataset) -> None:
    measures = {"ndcg_cut.10", "success.1,5,10", "recall.100", "recip_rank"}
    with (finished.workspace / "runs" / "qrels.trec").open() as file:
        qrels = pytrec_eval.parse_qrel(file)
    assert qrels == toy_dataset.test_qrels()
    evaluator = pytrec_eval.RelevanceEvaluator(qrels, measures)
    assert finished.table is not None
    assert tuple(system.name for system in finished.table.systems) == SYSTEMS
    for system in finished.table.systems:
        found = evaluator.evaluate(read_run(finished.workspace / "runs" / f"{system.name.replace(' ', '-')}.trec"))
        assert set(found) == set(toy_dataset.test)
        cut = [{**each, "rr_10": each["recip_rank"] * (each["recip_rank"] >= 0.1)} for each in found.values()]
        for ours, theirs in {
            "nDCG@10": "ndcg_cut_10",
            "Hit@1": "success_1",
            "Hit@5": "success_5",
            "Hit@10": "success_10",
            "Recall@100": "recall_100",
            "MRR@10": "rr_10",
        }.items():
            assert system.values[ours] == pytest.approx(np.mean([each[theirs] for each in cut]), abs=1e-9)


def test_the_table_in_metrics_json_is_the_one_returned(finished: Outcome) -> None:
    assert finished.table is not None
    written = json.loads((finished.workspace / "metrics.json").read_text())
    assert written["table"] == json.loads(json.dumps(finished.table.to_json()))


def test_every_querys_values_are_kept_and_their_means_are_the_table(finished: Outcome, toy_dataset: Dataset) -> None:
    with (finished.workspace / "per-query.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert finished.table is not None
    for system in finished.table.systems:
        own = [line for line in lines if line["system"] == system.name]
        assert sorted(line["query"] for line in own) == sorted(toy_dataset.test)
        for measure in finished.table.measures:
            assert np.mean([float(line[measure]) for line in own]) == pytest.approx(system.values[measure], abs=1e-12)


def test_any_two_systems_are_compared_by_the_main_measure(finished: Outcome) -> None:
    with (finished.workspace / "pairs.csv").open(encoding="utf-8", newline="") as file:
        pairs = {(line["system"], line["against"]): line for line in csv.DictReader(file)}
    assert list(pairs) == [(other, one) for one, other in combinations(SYSTEMS, 2)]
    assert finished.table is not None
    comparisons = finished.table.system("distilled retriever").comparisons
    assert comparisons is not None
    found, line = comparisons["nDCG@10"], pairs["distilled retriever", "retriever before"]
    assert [float(line[each]) for each in ("difference", "low", "high")] == [found.difference, found.low, found.high]
    assert [int(line[each]) for each in ("better", "worse", "equal")] == [found.wins, found.losses, found.ties]


def test_the_retriever_folder_is_a_plain_sentence_transformers_model_and_the_one_measured(
    finished: Outcome, toy_dataset: Dataset
) -> None:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(finished.retriever), device="cpu")
    vectors = model.encode_document(list(toy_dataset.corpus.texts()))
    measured = np.load(finished.workspace / "vectors-after" / "passages.npy")
    before = np.load(finished.workspace / "vectors" / "passages.npy")
    agreement = (vectors * measured).sum(axis=1)
    assert agreement.min() > 0.995  # encoded in bfloat16 where the machine has it
    assert not np.allclose(vectors[:, : before.shape[1]], before, atol=1e-2)  # not the one that training started from


def test_a_retriever_that_reads_less_is_trained_and_measured_as_it_reads(
    toy_config: MakeConfig, toy_dataset: Dataset, tmp_path: Path
) -> None:
    from sentence_transformers import SentenceTransformer

    made = rankstill.distill(toy_config({"retriever.max_length": 16}), tmp_path / "w", until="reranker")
    model = SentenceTransformer(str(made.retriever), device="cpu")
    assert model.max_seq_length == 16
    vectors = model.encode_document(list(toy_dataset.corpus.texts()))
    assert (vectors * np.load(made.workspace / "vectors-after" / "passages.npy")).sum(axis=1).min() > 0.995


@pytest.mark.parametrize(("folder", "run"), [("ranker", "ranker"), ("reranker", "ranker-on-distilled")])
def test_the_ranker_folders_load_and_rank_as_they_were_measured(
    finished: Outcome, toy_dataset: Dataset, folder: str, run: str
) -> None:
    ranker = rankstill.Ranker.load(finished.workspace / folder, "cpu")
    query_id, scores = next(iter(read_run(finished.workspace / "runs" / f"{run}.trec").items()))
    ids = list(scores)[:20]
    corpus = toy_dataset.corpus
    ranked = ranker.rank(toy_dataset.queries[query_id].text, corpus.texts(corpus.position(each) for each in ids))
    assert sorted(each.position for each in ranked) == list(range(20))
    assert [each.score for each in ranked] == sorted((each.score for each in ranked), reverse=True)
    assert ids[ranked[0].position] == ids[0]


def test_the_model_card_says_how_it_was_made_on_what_and_with_which_result(
    finished: Outcome, toy_config: MakeConfig
) -> None:
    card = (finished.retriever / "README.md").read_text()
    metadata = yaml.safe_load(card.split("---")[1])
    assert metadata["base_model"] == toy_config().retriever.model
    assert metadata["library_name"] == "sentence-transformers"
    assert "toy: 60 passages, 24 queries that could teach" in card
    assert finished.table is not None
    assert finished.table.to_markdown() in card
    assert finished.notes
    assert all(note in card for note in finished.notes)
    assert yaml.safe_load(card.split("```yaml")[1].split("```")[0])["seed"] == 0


def test_the_same_seed_gives_the_same_result_and_another_seed_another(
    finished: Outcome, toy_config: MakeConfig, tmp_path: Path
) -> None:
    again = rankstill.distill(toy_config(), tmp_path / "again")
    other = rankstill.distill(toy_config({"seed": 1}), tmp_path / "other")
    assert weights(again.workspace) == weights(finished.workspace)
    assert again.table == finished.table
    assert weights(other.workspace) != weights(finished.workspace)


def test_the_retriever_is_the_encoder_with_other_weights(finished: Outcome, tiny_model_folder: Path) -> None:
    from safetensors.numpy import load_file

    (encoder,) = finished.retriever.rglob("*.safetensors")
    before, after = load_file(tiny_model_folder / "model.safetensors"), load_file(encoder)
    assert before.keys() == after.keys()
    assert not all(np.array_equal(before[name], after[name]) for name in before)


def test_a_second_run_repeats_no_step_and_gives_the_same_outcome(
    finished: Outcome, finished_copy: Path, toy_config: MakeConfig
) -> None:
    before = made_at(finished_copy)
    again = rankstill.distill(toy_config(), finished_copy)
    assert made_anew(finished_copy, before) == ()
    assert (again.table, again.notes) == (finished.table, finished.notes)


@pytest.mark.parametrize(
    ("changes", "anew"),
    [
        ({"retriever.passage_prompt": "passage: "}, ("vectors", "candidates", *_from("hybrid"))),
        ({"candidates.n": 7}, ("candidates", *_from("hybrid"))),
        ({"ranker.learning_rate": 2e-4}, _from("ranker")),
        ({"labels.unranked": 7}, _from("labels")),
        ({"retriever.passages_per_query": 4}, _from("retriever")),
        ({"evaluation.rerank_depth": 10}, _from("runs")),
        ({"evaluation.measures": ["nDCG@10", "AP"]}, _from("evaluation")),
    ],
)
def test_a_changed_option_makes_anew_only_from_its_step_on(
    finished_copy: Path, toy_config: MakeConfig, changes: dict[str, Any], anew: tuple[str, ...]
) -> None:
    before = made_at(finished_copy)
    rankstill.distill(toy_config(changes), finished_copy)
    assert made_anew(finished_copy, before) == anew


def test_changed_rankings_make_anew_all_but_the_first_stage(
    toy_config: MakeConfig, toy_dataset_folder: Path, finished_copy: Path, tmp_path: Path
) -> None:
    write_rankings_file(tmp_path / "other.jsonl", read_rankings_file(toy_dataset_folder)[:20])
    before = made_at(finished_copy)
    rankstill.distill(toy_config({"teacher.rankings": str(tmp_path / "other.jsonl")}), finished_copy)
    assert made_anew(finished_copy, before) == _from("rankings")


def test_a_changed_dataset_makes_everything_anew(toy_config: MakeConfig, toy_copy: Path, finished_copy: Path) -> None:
    before = made_at(finished_copy)
    rankstill.distill(toy_config(source=toy_copy), finished_copy)
    assert made_anew(finished_copy, before) == ()  # the same data in another place
    with (toy_copy / "corpus.jsonl").open("a") as corpus:
        corpus.write('{"_id": "new", "text": "Nobody knows what the new passage is about."}\n')
    rankstill.distill(toy_config(source=toy_copy), finished_copy)
    assert made_anew(finished_copy, before) == TOY_STEPS


def test_other_weights_in_the_same_model_folder_make_everything_anew_that_read_them(
    toy_config: MakeConfig, tiny_model_folder: Path, tmp_path: Path
) -> None:
    from safetensors.numpy import load_file, save_file

    model = shutil.copytree(tiny_model_folder, tmp_path / "model")
    config = toy_config({"retriever.model": str(model)})
    with Workspace(tmp_path / "w") as workspace:
        Chain(config, workspace, load_dataset(config.dataset)).run("rankings")
    before = made_at(tmp_path / "w")
    changed = {name: -weight for name, weight in load_file(model / "model.safetensors").items()}
    save_file(changed, model / "model.safetensors", metadata={"format": "pt"})
    with Workspace(tmp_path / "w") as workspace:
        Chain(config, workspace, load_dataset(config.dataset)).run("rankings")
    after = made_at(tmp_path / "w")
    assert after["candidates"] != before["candidates"]
    assert after["rankings"] == before["rankings"]


def test_no_test_query_is_labelled_or_taught(finished: Outcome, toy_dataset: Dataset) -> None:
    labels = read_labels(finished.workspace / "labels.parquet")
    tested = {toy_dataset.queries[each].text for each in toy_dataset.test}
    assert {query.text for query in labels}.isdisjoint(tested)
    assert {each["query_id"] for each in read_rankings_file(finished.workspace)}.isdisjoint(toy_dataset.test)
    assert {query.source for query in labels} == {"teacher"}


def test_the_plain_chain_of_the_paper_is_a_few_options_away(toy_config: MakeConfig, tmp_path: Path) -> None:
    plain = {
        "ranker.prior": False,
        "labels.ranked_by": "ranker",
        "retriever.in_batch": False,
    }
    outcome = rankstill.distill(toy_config(plain), tmp_path / "w")
    assert outcome.table is not None
    ranker = rankstill.Ranker.load(outcome.workspace / "ranker", "cpu")
    assert ranker.prior is None
    assert ranker.cross_encoder is not None
    assert {query.source for query in read_labels(outcome.workspace / "labels.parquet")} == {"teacher"}


def test_where_the_llm_ranked_its_order_stands_in_the_labels(finished: Outcome, toy_dataset: Dataset) -> None:
    rankings = {each["query_id"]: each["ranking"] for each in read_rankings_file(finished.workspace)}
    taught = read_labels(finished.workspace / "labels.parquet")
    assert len(taught) == len(rankings) == 24
    for query in taught:
        ids = [toy_dataset.corpus.ids[position] for position in query.positions]
        assert [each for each in ids if each in rankings[query.id]] == rankings[query.id]


@pytest.mark.parametrize("there", [True, False])
def test_a_cross_encoder_starts_from_one_that_ranks_already_or_there_is_none_beside_a_prior(
    toy_config: MakeConfig, toy_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    monkeypatch.setattr("rankstill.components.hub_has", lambda name: there)
    config = toy_config({"ranker.model": None})
    with open_chain(config, tmp_path / "w", toy_dataset) as chain:
        assert chain.components.cross_encoder_start == ("cross-encoder/ms-marco-MiniLM-L12-v2" if there else None)
    if not there:
        for prior, noted in ((True, "the ranker has no cross-encoder"), (False, "started from the retriever")):
            made = toy_config({"ranker.model": None, "ranker.prior": prior})
            outcome = rankstill.distill(made, tmp_path / "w", toy_dataset, until="ranker")
            assert (rankstill.Ranker.load(tmp_path / "w" / "ranker", "cpu").cross_encoder is None) == prior
            assert any(f"{noted}: cross-encoder/ms-marco-MiniLM-L12-v2 could not be" in each for each in outcome.notes)
