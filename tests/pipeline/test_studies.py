"""Studies on the toy chain: variants over seeds, finished ones kept."""

from __future__ import annotations

import csv
import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rankstill.cli import app
from rankstill.config import Config, make_config, write_config
from rankstill.data import load_dataset
from rankstill.errors import DataError, RankstillError
from rankstill.evaluation import read_run
from rankstill.extras.studies import STUDIES, StudyData, run_study
from rankstill.pipeline import distill

MakeConfig = Callable[..., Config]
# The lists hold five passages: six candidates must be labelled for the toy's direct route as for the chain's.
SMALL = {"ranker.cross_encoder": False}


def test_a_study_resumes_and_writes_table_figure_and_reading(
    toy_config: MakeConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["direct-random", "chain-llm"]
    first = run_study(STUDIES["lists"], toy_config(SMALL), tmp_path, seeds=1, only=names)
    # The toy's LLM puts gold to the front itself, so these are the same runs by another name.
    twins = ["direct-gold-llm", "chain-gold-llm"]
    shown = ["direct-llm", twins[0], "direct-random", "chain-llm", twins[1]]
    # What a chain makes on the way to its retriever is shown too.
    shown += ["hybrid-llm", "hybrid-gold-llm", "ranker-llm", "ranker-gold-llm"]
    assert [row.variant.name for row in first.rows] == shown
    assert capsys.readouterr().err.count("--- study lists") == 3

    both = run_study(STUDIES["lists"], toy_config(SMALL), tmp_path, seeds=2, only=names)
    assert capsys.readouterr().err.count("--- study lists") == 3  # the second seed's alone
    assert [row.by_seed[0] for row in both.rows] == [row.by_seed[0] for row in first.rows]
    assert both.rows[0].by_seed.keys() == {0, 1}
    assert both.rows[0].ranker is None
    assert both.rows[3].ranker is not None

    rows = list(csv.DictReader((tmp_path / "lists.csv").open(encoding="utf-8")))
    assert [row["seeds"] for row in rows] == ["", *["2"] * len(shown)]
    page = (tmp_path / "lists.md").read_text(encoding="utf-8")
    assert "Against direct-llm" in page
    assert f"Last run: {date.today()}, " in page
    figure = ET.parse(tmp_path / "lists.svg").getroot()
    assert len(figure.findall("{*}circle[@r='5.5']")) == len(shown)


def test_what_needs_no_retriever_trains_none(toy_config: MakeConfig, tmp_path: Path) -> None:
    table = run_study(STUDIES["size"], toy_config(SMALL), tmp_path, seeds=1, only=["hybrid-24"])
    assert [row.variant.name for row in table.rows] == ["hybrid-24", "ranker-24"]
    assert not (tmp_path / "work" / "retriever").exists()


def test_a_table_keeps_what_an_earlier_run_measured(toy_config: MakeConfig, tmp_path: Path) -> None:
    run_study(STUDIES["lists"], toy_config(SMALL), tmp_path, seeds=1, only=["direct-random"])
    table = run_study(STUDIES["lists"], toy_config(SMALL), tmp_path, seeds=1, only=["direct-gold-alone"])
    assert {"direct-llm", "direct-random", "direct-gold-alone"} <= {row.variant.name for row in table.rows}


def test_what_two_studies_have_in_common_is_run_once(
    toy_config: MakeConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_study(STUDIES["lists"], toy_config(SMALL), tmp_path, seeds=1, only=["direct-llm"])
    capsys.readouterr()
    run_study(STUDIES["size"], toy_config(SMALL), tmp_path, seeds=1, only=["direct-24"])
    assert "--- study" not in capsys.readouterr().err
    assert len(list((tmp_path / "runs").glob("*-distilled-retriever.trec"))) == 1


def test_a_variant_trains_on_the_lists_that_its_name_says(toy_config: MakeConfig, tmp_path: Path) -> None:
    names = ["direct-llm", "direct-random", "direct-gold-alone"]
    run_study(STUDIES["lists"], toy_config(SMALL), tmp_path, seeds=1, only=names)
    runs = [read_run(path) for path in (tmp_path / "runs").glob("*-distilled-retriever.trec")]
    assert len(runs) == 3
    assert all(one != other for number, one in enumerate(runs) for other in runs[:number])


def test_the_chains_systems_are_measured_as_the_chain_measures_them_by_one_training(
    toy_config: MakeConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["bm25", "ranker", "ranker-on-distilled"]
    config = toy_config(SMALL)
    table = run_study(STUDIES["baselines"], config, tmp_path / "study", seeds=2, only=names)
    said = capsys.readouterr().err
    assert (said.count("train-retriever: done"), said.count("--- study")) == (2, 2 + 2)  # two seeds, two that need none
    chains = distill(config, tmp_path / "chain").table
    assert chains is not None
    mine = {row.variant.name: row.by_seed[0] for row in table.rows} | {"before": table.before.values["nDCG@10"]}
    assert mine == pytest.approx(
        {
            "before": chains.system("retriever before").values["nDCG@10"],
            "bm25": chains.system("BM25").values["nDCG@10"],
            "first-stage": chains.system("first stage").values["nDCG@10"],
            "chain": chains.system("distilled retriever").values["nDCG@10"],
            "ranker": chains.system("ranker").values["nDCG@10"],
            "ranker-on-distilled": chains.system("ranker on distilled").values["nDCG@10"],
        },
        abs=1e-12,
    )  # the order of the sum of 8 values
    assert len(set(mine.values())) > 3


def test_no_ranker_is_offered_where_the_configuration_trains_none(toy_config: MakeConfig, tmp_path: Path) -> None:
    config = toy_config({**SMALL, "labels.ranked_by": "llm"})
    with pytest.raises(RankstillError, match=r"no variant ranker\. Name some of: bm25, first-stage, .*, chain\.$"):
        run_study(STUDIES["baselines"], config, tmp_path, seeds=1, only=["ranker"])


def test_validation_measures_held_out_training_queries_and_keeps_its_tables_apart(
    toy_config: MakeConfig, tmp_path: Path
) -> None:
    (tmp_path / "toy.yaml").write_text(write_config(toy_config(SMALL)), encoding="utf-8")
    words = ["study", "lists", str(tmp_path / "toy.yaml"), "-w", str(tmp_path), "--seeds", "1", "--only", "direct-llm"]
    result = CliRunner().invoke(app, [*words, "--validate"])
    assert result.exit_code == 0, result.output
    dataset = load_dataset(toy_config().dataset)
    assert f"n = 8 queries of {dataset.name} (held-out training queries)" in result.output
    (run,) = (read_run(path) for path in (tmp_path / "validation" / "runs").glob("*.trec"))
    assert run.keys() < set(dataset.train)
    lists = (tmp_path / "validation" / "lists.jsonl").read_text(encoding="utf-8").splitlines()
    assert {json.loads(line)["query_id"] for line in lists} == set(dataset.train) - run.keys()
    assert (tmp_path / "validation" / "lists.md").exists()
    assert not (tmp_path / "lists.md").exists()


def test_where_no_llm_ranked_what_needs_none_is_compared(
    toy_config: MakeConfig, toy_copy: Path, tmp_path: Path
) -> None:
    (toy_copy / "rankings.jsonl").unlink()
    config = toy_config({"labels.ranked_by": "gold"}, source=toy_copy)
    table = run_study(STUDIES["baselines"], config, tmp_path / "study", seeds=1, only=["gold"])
    assert [row.variant.name for row in table.rows] == ["gold"]


def test_white_box_methods_are_left_out_where_no_training_query_has_an_answer(
    toy_config: MakeConfig, toy_copy: Path, tmp_path: Path
) -> None:
    path = toy_copy / "queries.jsonl"
    queries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    bare = [{key: value for key, value in query.items() if key != "answers"} for query in queries]
    path.write_text("".join(json.dumps(query) + "\n" for query in bare), encoding="utf-8")
    config = toy_config(SMALL, source=toy_copy)
    with pytest.raises(
        RankstillError,
        match=r"no variant pdist\. Name some of: hybrid, hybrid-distilled, maxsim, multi-vector, multi-vector-hybrid",
    ):
        run_study(STUDIES["baselines"], config, tmp_path / "study", seeds=1, only=["pdist"])


def test_it_says_what_cannot_be_studied(toy_config: MakeConfig, tmp_path: Path) -> None:
    with pytest.raises(RankstillError, match="study size: no variant chain-7"):
        run_study(STUDIES["size"], toy_config(SMALL), tmp_path, seeds=1, only=["chain-7"])
    unmeasured = toy_config({**SMALL, "dataset.test_split": None})
    with pytest.raises(DataError, match=r"needs test queries with judgements.*dataset\.test_split"):
        run_study(STUDIES["lists"], unmeasured, tmp_path, seeds=1)


BASES: tuple[dict[str, Any], ...] = (
    {},
    {"ranker.cross_encoder": False},
    {"ranker.prior": False},
    {"preset": "paper"},
)


@pytest.mark.parametrize("base", BASES, ids=str)
@pytest.mark.parametrize("answers", [True, False])
@pytest.mark.parametrize("lists", [537, 0])
def test_every_variant_of_every_study_is_another_configuration(
    toy_config: MakeConfig, base: dict[str, Any], answers: bool, lists: int
) -> None:
    config = toy_config({"labels.ranked_by": "ranker", "retriever.blend": None, **base})
    material = StudyData(lists, answers, config, has_ranker=True)
    for study in STUDIES.values():
        variants = study.variants(material)
        names = [variant.name for variant in variants]
        assert len(set(names)) == len(names)
        assert all(variant.against in (None, *names) for variant in variants)
        for variant in variants:
            changed = make_config(config.model_dump(mode="json"), variant.changes)
            assert (changed == config) == (not variant.changes)
