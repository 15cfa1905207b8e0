"""The report's page: what it says of a workspace, finished or not."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rankstill.config import read_config
from rankstill.data import Dataset, load_dataset
from rankstill.errors import WorkspaceError
from rankstill.evaluation import holm
from rankstill.evaluation.slices import compare_slices
from rankstill.evaluation.systems import MEANINGS, SYSTEMS, UNTRAINED
from rankstill.report import write_report
from rankstill.report.figures import Curve, Gain, curves, gains
from rankstill.report.links import served_links
from rankstill.report.measuring import measure_workspace
from rankstill.report.reading import read_workspace
from rankstill.workspace import FORMAT

MakeWorkspace = Callable[..., Path]


def data_of(page: str) -> Any:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_the_page_says_what_was_measured_and_its_queries_add_up_to_it(toy_workspace: Path) -> None:
    path = write_report(toy_workspace)
    page = path.read_text(encoding="utf-8")
    assert path == toy_workspace / "report.html"
    table = json.loads((toy_workspace / "metrics.json").read_text())["table"]
    after = next(system for system in table["systems"] if system["name"] == "distilled retriever")
    found = after["comparisons"]["nDCG@10"]
    assert f"nDCG@10 goes from {found['before']:.3f} to {found['after']:.3f}" in page
    queries = data_of(page)["queries"]
    assert len(queries) == 8
    gained = [each["after"][0] - each["before"] for each in queries]
    assert np.mean(gained) == pytest.approx(found["difference"], abs=1e-4)
    assert gained == sorted(gained, reverse=True)


def test_systems_are_defined_before_the_table_and_their_difference_and_p_come_first_in_it(toy_workspace: Path) -> None:
    page = write_report(toy_workspace).read_text(encoding="utf-8")
    table = json.loads((toy_workspace / "metrics.json").read_text())["table"]
    defined = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page[: page.index("<table>")])
    assert [name for name, _ in defined] == [system["name"] for system in table["systems"]]
    assert all(told.endswith(".") and len(told) < 130 for _, told in defined)
    heads = re.findall(r'<th scope="col"[^>]*>(.*?)</th>', page)
    assert heads[:4] == ["system", "difference", "p", "nDCG@10"]
    assert "95 % interval excludes 0" in page
    assert "for sure" not in page
    assert page.count("two p-values") == 1


def test_every_system_has_a_meaning() -> None:
    assert set(MEANINGS) == set(SYSTEMS)


def test_each_dot_is_a_query_that_changed_and_tells_which(toy_workspace: Path, toy_dataset: Dataset) -> None:
    page = write_report(toy_workspace).read_text(encoding="utf-8")
    assert "Each dot is a test query whose nDCG@10 changed." in page
    wide = page[page.index('aria-labelledby="gains-wide-title"') : page.index('aria-labelledby="gains-narrow-title"')]
    told = re.findall(r"<circle[^>]*><title>(.)0\.500  (.*?)</title></circle>", wide)
    assert sorted(sign for sign, _ in told) == ["+"] * 4 + ["\u2212"] * 2  # two of the eight queries did not change
    assert {text for _, text in told} <= {query.text for query in toy_dataset.queries.values()}


def test_where_a_column_has_no_room_for_every_dot_the_page_says_so() -> None:
    crowded = gains("gains", "Gains", "nDCG@10", [Gain(0.5)] * 1_000)
    assert ('class="count"' in crowded.wide, crowded.wide.count("<circle") < 1_000) == (True, True)
    roomy = gains("gains", "Gains", "nDCG@10", [Gain(0.5)] * 30)
    assert ('class="count"' in roomy.wide, roomy.wide.count("<circle")) == (False, 30)


def test_a_query_shows_what_was_found_before_and_after_and_where_its_gold_passage_went(toy_workspace: Path) -> None:
    data = data_of(write_report(toy_workspace).read_text(encoding="utf-8"))
    query = data["queries"][0]
    gold = query["id"].removeprefix("q-")
    assert query["gold"][0][:3] == [gold, 3, 1]
    before, after, *_ = query["lists"]
    assert [entry[1] for entry in before] == [0, 0, 1, 0, 0]
    place, is_gold, rank_before = after[0]
    assert (data["passages"][place]["id"], is_gold, rank_before) == (gold, 1, 3)
    assert query["said"] is None


def test_every_system_but_the_first_stages_can_be_compared_query_by_query(
    workspace_of: MakeWorkspace, toy_dataset: Dataset, toy_dataset_folder: Path
) -> None:
    folder = workspace_of(toy_dataset, toy_dataset_folder, further={"distilled multi-vector": lambda number: 2})
    data = data_of(write_report(folder).read_text(encoding="utf-8"))
    assert data["systems"][0] == "distilled retriever"
    assert {*SYSTEMS} - {*data["systems"]} == {*UNTRAINED, "distilled multi-vector hybrid"}
    table = json.loads((folder / "metrics.json").read_text())["table"]
    means = {system["name"]: system["values"]["nDCG@10"] for system in table["systems"]}
    for place, system in enumerate(data["systems"]):
        assert np.mean([query["after"][place] for query in data["queries"]]) == pytest.approx(means[system], abs=1e-4)
    place = data["systems"].index("distilled multi-vector")
    query = data["queries"][0]
    before, *after = query["lists"]
    assert [entry[1:] for entry in after[place]][1] == [1, 3]  # the gold passage, third before
    assert before[2][2 + place] == query["gold"][0][2 + place] == 2


def test_a_run_with_one_new_system_has_nothing_to_choose(toy_workspace: Path) -> None:
    metrics = json.loads((toy_workspace / "metrics.json").read_text())
    one = {*UNTRAINED, "distilled retriever"}
    metrics["table"]["systems"] = [each for each in metrics["table"]["systems"] if each["name"] in one]
    (toy_workspace / "metrics.json").write_text(json.dumps(metrics))
    page = write_report(toy_workspace).read_text(encoding="utf-8")
    assert data_of(page)["systems"] == ["distilled retriever"]
    assert 'id="system"' not in page
    assert page.count("data-system=") == 1


def test_where_there_is_no_room_for_every_query_each_system_has_those_that_it_changed_most(
    workspace_of: MakeWorkspace, toy_dataset: Dataset, toy_dataset_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rankstill.report.explorer._QUERIES", 4)
    unchanged = 7  # the distilled retriever leaves every fourth query as it was
    further = {"distilled multi-vector": lambda number: 12 if number == unchanged else 3}
    folder = workspace_of(toy_dataset, toy_dataset_folder, further=further)
    page = write_report(folder).read_text(encoding="utf-8")
    assert toy_dataset.test[unchanged] in [query["id"] for query in data_of(page)["queries"]]
    assert "The page has room for 4 of 8 queries" in page


def test_the_page_holds_no_passage_of_a_query_that_had_no_room(
    toy_workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rankstill.report.explorer._BYTES", 12_000)
    data = data_of(write_report(toy_workspace).read_text(encoding="utf-8"))
    shown = {entry[0] for query in data["queries"] for entries in query["lists"] for entry in entries}
    assert 0 < len(data["queries"]) < 8
    assert shown == set(range(len(data["passages"])))


def test_the_slices_of_every_system_that_prove_compared_are_drawn(toy_workspace: Path) -> None:
    values = {"retriever before": {"a": 0.5}, "distilled retriever": {"a": 0.75}, "distilled multi-vector": {"a": 1.0}}
    found = compare_slices(values, {"side": {"left": ("a",), "none": ()}}, "nDCG@10").to_json()
    (toy_workspace / "proof.json").write_text(json.dumps({"For which queries": found}))
    page = write_report(toy_workspace).read_text(encoding="utf-8")
    assert page.count("<h3>For which queries</h3>") == 1
    assert {"slices", "slices-distilled-multi-vector"} <= {path.stem for path in (toy_workspace / "figures").glob("*")}
    for system, gain in (("distilled retriever", "+0.250"), ("distilled multi-vector", "+0.500")):
        assert f"<figcaption>For which queries the {system} is better." in page
        assert f"left, n = 1 {gain} [{gain}, {gain}]" in page
    assert "none, n" not in page


def test_an_unfinished_workspace_gets_a_page_that_says_what_is_missing(toy_workspace: Path) -> None:
    manifest = json.loads((toy_workspace / "manifest.json").read_text())
    manifest["steps"] = {"candidates": manifest["steps"]["candidates"]}
    (toy_workspace / "manifest.json").write_text(json.dumps(manifest))
    page = write_report(toy_workspace).read_text(encoding="utf-8")
    assert "The chain is not finished, so it is not yet known" in page
    assert f"<code>rankstill run {toy_workspace}/config.yaml -w {toy_workspace}</code>" in page
    assert page.count("the chain is not finished; its next step is &#34;encode the corpus&#34;. <a") == 3
    assert data_of(page) == {"queries": []}


def test_a_finished_workspace_with_nothing_to_measure_with_says_what_to_do(toy_workspace: Path) -> None:
    (toy_workspace / "metrics.json").write_text('{"table": null, "leaks": ""}')
    page = write_report(toy_workspace).read_text(encoding="utf-8")
    assert "The chain is finished. No test query is judged" in page
    assert f"<code>rankstill votes {toy_workspace} --to judged</code>" in page
    assert page.count("no test query is judged. <a") == 3
    assert "not finished" not in page


def test_a_chain_without_teacher_and_ranker_gets_its_report(toy_workspace: Path) -> None:
    manifest = json.loads((toy_workspace / "manifest.json").read_text())
    del manifest["steps"]["rankings"], manifest["steps"]["ranker"]
    (toy_workspace / "manifest.json").write_text(json.dumps(manifest))
    metrics = json.loads((toy_workspace / "metrics.json").read_text())
    systems = metrics["table"]["systems"]
    metrics["table"]["systems"] = [each for each in systems if "ranker" not in each["name"]]
    (toy_workspace / "metrics.json").write_text(json.dumps(metrics))
    page = write_report(toy_workspace).read_text(encoding="utf-8")
    for told in ("has no ranker in between", "There is no ranker in this chain", "no LLM taught"):
        assert told in page
    assert len(data_of(page)["queries"]) == 8


def test_a_workspace_of_another_format_is_refused(toy_workspace: Path) -> None:
    manifest = json.loads((toy_workspace / "manifest.json").read_text())
    (toy_workspace / "manifest.json").write_text(json.dumps({**manifest, "format": 1}))
    with pytest.raises(WorkspaceError, match="format 1, but this version"):
        write_report(toy_workspace)


def test_a_folder_that_is_no_workspace_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="no workspace with a finished step"):
        write_report(tmp_path)


def test_only_what_is_inside_the_page_may_run_or_be_loaded(toy_workspace: Path) -> None:
    page = write_report(toy_workspace).read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    allowed = policy[1].replace("&#39;", "'")
    assert "default-src 'none'" in allowed
    assert "unsafe-inline" not in allowed
    for element in ("style", "script"):
        inside = re.search(rf"<{element}>(.*?)</{element}>", page, re.DOTALL)
        assert inside
        digest = base64.b64encode(hashlib.sha256(inside[1].encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}'" in allowed
    assert not re.search(r'(?:src|href)="(?!#|data:)', page)
    assert not re.search(r'\sstyle="', page)


def test_figures_lie_beside_the_page_for_papers(toy_workspace: Path) -> None:
    write_report(toy_workspace)
    names = {path.stem for path in (toy_workspace / "figures").glob("*.svg")}
    assert names == {"systems", "difference", "chain", "gains"}
    for path in (toy_workspace / "figures").glob("*.svg"):
        root = ElementTree.parse(path).getroot()
        assert root.find("{http://www.w3.org/2000/svg}title") is not None
        assert "var(" not in path.read_text()
    if find_spec("resvg_py"):
        assert (toy_workspace / "figures" / "gains.png").read_bytes().startswith(b"\x89PNG")


def test_another_dataset_than_the_measured_one_is_noticed_and_not_shown(
    toy_workspace: Path, toy_dataset: Dataset
) -> None:
    test = toy_dataset.test
    swapped = {**toy_dataset.qrels, test[0]: toy_dataset.qrels[test[1]]}
    changed = Dataset("toy", toy_dataset.corpus, toy_dataset.queries, toy_dataset.train, test, swapped)
    page = write_report(toy_workspace, changed).read_text(encoding="utf-8")
    assert "not the dataset that" in page
    assert data_of(page) == {"queries": []}
    assert "nDCG@10 goes from" in page  # the table is the workspace's own


def test_a_workspace_made_on_a_sample_is_said_to_be_one(toy_workspace: Path) -> None:
    (toy_workspace / "vectors").mkdir()
    np.save(toy_workspace / "vectors" / "passages.npy", np.zeros((7, 2), dtype=np.float32))
    page = write_report(toy_workspace).read_text(encoding="utf-8")
    assert "This workspace searched 7 passages" in page


def test_a_proof_of_an_earlier_evaluation_is_left_aside(toy_workspace: Path) -> None:
    ends = {"n": 3, "before": 0.9, "after": 0.4, "difference": -0.5, "low": -0.6, "high": -0.4}
    comparison = {**ends, "p_value": 0.01, "wins": 0, "losses": 3, "ties": 0}
    link = {"source": "teacher", "target": "ranker", "comparison": comparison, "tau": 0.3, "kl": 0.1}
    group = {"name": "held-out queries", "proof": True, "n": 3, "ndcg": {}, "links": [link]}
    attribution = {"conclusion": "teacher -> ranker loses most", "groups": [group], "notes": []}
    proof = toy_workspace / "proof.json"
    proof.write_text(json.dumps({"Which link lost most": attribution}))
    assert "teacher → ranker loses most" in write_report(toy_workspace).read_text(encoding="utf-8")
    os.utime(proof, (1, 1))
    page = write_report(toy_workspace).read_text(encoding="utf-8")
    assert "proof.json is older than the last evaluation" in page
    assert "teacher → ranker" not in page
    assert "ranker → distilled retriever" in page  # as the runs show it


@pytest.mark.parametrize("rank", [3, 12])
def test_systems_that_are_alike_or_find_nothing_have_a_page_too(
    workspace_of: MakeWorkspace, toy_dataset: Dataset, toy_dataset_folder: Path, rank: int
) -> None:
    folder = workspace_of(toy_dataset, toy_dataset_folder, gold_ranks=(rank, rank))
    page = write_report(folder).read_text(encoding="utf-8")
    assert f"not better: nDCG@10 stays at {0.5 if rank == 3 else 0:.3f}" in page
    assert "e-09<" not in page  # an axis of round numbers


def test_p_values_of_links_are_corrected_for_all_of_them(toy_workspace: Path) -> None:
    config, table = read_config(toy_workspace / "config.yaml"), read_workspace(toy_workspace).table
    assert table is not None
    measured = measure_workspace(read_workspace(toy_workspace), table, load_dataset(config.dataset))
    links = served_links(measured, 0, 200)
    assert links is not None
    assert links.adjusted_p == holm([row.comparison.p_value for row in links.rows])
    assert "loses most" in links.conclusion or links.conclusion.startswith("No link loses")
    page = write_report(toy_workspace).read_text(encoding="utf-8")
    first, *_ = links.adjusted_p
    assert f'<td class="number">{first:.4f}</td>' in page[page.index("The links of the chain") :]
    assert "Holm-corrected for the links of this table" in page


def test_the_teachers_health_and_spend_are_told_as_far_as_they_are_known(toy_workspace: Path) -> None:
    recorded = write_report(toy_workspace).read_text(encoding="utf-8")
    assert "nothing here: the rankings were recorded elsewhere" in recorded
    assert "5, of 4 passages" in recorded
    health = {
        "model": "some-llm",
        "lists": 5,
        "left_out": {"q9": "unreadable"},
        "statuses": {"exact": 9, "repaired": 1},
        "cut": 1,
        "agreement": 0.62,
        "bias": {"by_position": [-0.5, 0.5], "slope": 0.25, "lists": 5},
        "spend": {"calls": 10, "failures": 2, "tokens_in": 5000, "tokens_out": 300, "cost": 0.0123},
    }
    (toy_workspace / "teacher.json").write_text(json.dumps(health))
    config = (toy_workspace / "config.yaml").read_text()
    asked = config.replace("kind: recorded", "kind: api").replace("  model: null\n", "  model: some-llm\n", 1)
    (toy_workspace / "config.yaml").write_text(asked.replace("endpoint: null", "endpoint: https://llm.example/v1", 1))
    manifest = json.loads((toy_workspace / "manifest.json").read_text())
    manifest["steps"]["rankings"]["outputs"].append("teacher.json")
    (toy_workspace / "manifest.json").write_text(json.dumps(manifest))
    page = re.sub("</?bdi[^>]*>", "", write_report(toy_workspace).read_text(encoding="utf-8"))
    for told in ("some-llm", "9 exact", "tau 0.62", "0.25 over 5 lists", "0.0123 USD", "2 tries failed", "unreadable"):
        assert told in page
    assert "llm.example" not in page  # where an LLM is reached is nobody else's matter


def test_a_config_that_was_changed_after_the_chain_is_noticed(toy_workspace: Path) -> None:
    config = (toy_workspace / "config.yaml").read_text()
    asked = config.replace("kind: recorded", "kind: api").replace("  model: null\n", "  model: some-llm\n", 1)
    (toy_workspace / "config.yaml").write_text(asked)
    assert "config.yaml was changed after the chain ran" in write_report(toy_workspace).read_text(encoding="utf-8")


def test_a_moved_dataset_costs_the_queries_and_not_the_report(toy_workspace: Path, tmp_path: Path) -> None:
    config = (toy_workspace / "config.yaml").read_text()
    (toy_workspace / "config.yaml").write_text(re.sub(r"source: .*", f"source: {tmp_path / 'gone'}", config, count=1))
    page = write_report(toy_workspace).read_text(encoding="utf-8")
    assert "there is no such folder or file" in page
    assert "nDCG@10 goes from" in page


@pytest.mark.parametrize("kind", ["wide", "narrow"])
def test_the_names_of_curves_that_end_near_zero_lie_on_no_tick_and_on_no_other_name(kind: str) -> None:
    ends = {"loss": 0.4, "kl": 0.012, "anchor": 0.00651, "margin": 0.0}
    figure = curves("c", "Training", [Curve(name, [(0, 1.0), (300, end)]) for name, end in ends.items()])
    drawn = ElementTree.fromstring(getattr(figure, kind))
    texts = {each.text or "": float(each.get("y", "0")) for each in drawn.iter("text")}
    names = sorted(y for label, y in texts.items() if label.split()[0] in ends)
    assert len(names) == 4
    assert texts["300"] - names[-1] >= 15
    assert min(np.diff(names)) >= 15


def test_commands_in_notes_are_set_as_code_and_not_in_backticks(toy_workspace: Path) -> None:
    page = write_report(toy_workspace).read_text(encoding="utf-8")
    assert "is measured by <code>rankstill prove</code>" in page


def test_a_rewritten_report_keeps_the_caveat_of_a_dataset_that_comes_with_the_package(
    workspace_of: MakeWorkspace, toy_dataset: Dataset
) -> None:
    workspace = workspace_of(toy_dataset, Path("scifact"))
    (workspace / "manifest.json").write_text(json.dumps({"format": FORMAT, "steps": {}}))
    page = write_report(workspace).read_text(encoding="utf-8")
    assert "SciFact is public: any LLM may have seen it in pretraining" in page


def test_nothing_that_the_page_tells_to_install_is_looked_for_on_an_index_that_lacks_it(toy_workspace: Path) -> None:
    page = write_report(toy_workspace).read_text(encoding="utf-8")
    assert re.findall(r"pip install (\S+)", page) == ["."]
    assert "in a clone of Rankstill 0.1.0" in page
