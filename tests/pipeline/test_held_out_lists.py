"""Held-out lists: nothing learns from them, everything is measured on them, and no chain is better by chance alone."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import rankstill
from rankstill.config import Config, read_config
from rankstill.evaluation.chain_agreement import agreement_untrained, read_agreement
from rankstill.evaluation.systems import BEFORE, FREE
from rankstill.extras.proof import prove
from rankstill.labels import read_labels
from rankstill.outcome import Outcome
from rankstill.pipeline import open_chain
from toy import passages, teach

MakeConfig = Callable[..., Config]
TESTED = 12
"""Judged test queries beside the sixty that may teach."""


def own_words(passage: dict[str, str]) -> list[str]:
    """The two words that no other passage is about."""
    words = passage["text"].split()
    return [words[4], words[7]]


@pytest.fixture
def sixty(tmp_path: Path) -> Path:
    """A question about each toy passage, which may teach, and a few others that measure; no ranking yet."""
    folder = tmp_path / "sixty"
    (folder / "qrels").mkdir(parents=True)
    # In few words: to a tiny model, long questions that differ in one of them are duplicates.
    asked = [{"_id": f"q-{each['_id']}", "text": " ".join(own_words(each))} for each in passages()]
    tested = [{"_id": f"t-{each['_id']}", "text": f"{each['title']} each year"} for each in passages()[:TESTED]]
    for name, records in (("corpus", passages()), ("queries", [*asked, *tested])):
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in records))
    rows = [f"{each['_id']}\t{each['_id'].removeprefix('t-')}\t1\n" for each in tested]
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(rows))
    return folder


def write_lists(folder: Path, lists: list[dict[str, Any]]) -> None:
    (folder / "rankings.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in lists))


def read_lists(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "rankings.jsonl").read_text().splitlines()]


def good_lists() -> list[dict[str, Any]]:
    draw = random.Random(3)
    return [teach(f"q-{each['_id']}", draw) for each in passages()]


def random_lists(seed: int) -> list[dict[str, Any]]:
    draw, ids = random.Random(seed), [each["_id"] for each in passages()]
    lists = []
    for each in ids:
        shown = draw.sample(ids, 5)
        lists.append({"query_id": f"q-{each}", "candidates": shown, "ranking": draw.sample(shown, 5)})
    return lists


def held_out(workspace: Path) -> set[str]:
    return set(json.loads((workspace / "held-out-lists.json").read_text())["queries"])


def run(make: MakeConfig, source: Path, workspace: Path, changes: dict[str, Any]) -> Outcome:
    config = make({"dataset.train_split": None, "retriever.blend": None, **changes}, source=source)
    return rankstill.distill(config, workspace)


def artefacts(workspace: Path) -> dict[str, bytes]:
    """Everything that a chain makes, but what shows the agreement, names folders or says when it was made."""
    shown = {"rankings.jsonl", "agreement.json", "report.html", "README.md", "manifest.json", "config.yaml", ".lock"}
    made = (path for path in workspace.rglob("*") if path.is_file() and path.name not in shown)
    return {str(path.relative_to(workspace)): path.read_bytes() for path in made}


@pytest.mark.parametrize(
    "changes",
    [
        {},  # prior, cross-encoder, hybrids, the multi-vector retriever's choice, labels, encoder and its blend
        {"labels.ranked_by": "first-choice"},
        {"labels.ranked_by": "llm"},
    ],
    ids=["the chain", "the first choice", "the LLM's order alone"],
)
def test_the_order_of_a_held_out_list_reaches_nothing_but_the_agreement(
    sixty: Path, toy_config: MakeConfig, tmp_path: Path, changes: dict[str, Any]
) -> None:
    write_lists(sixty, good_lists())
    run(toy_config, sixty, tmp_path / "as-said", changes)
    held = held_out(tmp_path / "as-said")
    assert len(held) == 20
    reverse = [
        {**each, "ranking": each["ranking"][::-1]} if each["query_id"] in held else each for each in good_lists()
    ]
    write_lists(sixty, reverse)
    run(toy_config, sixty, tmp_path / "reversed", changes)
    said, other = artefacts(tmp_path / "as-said"), artefacts(tmp_path / "reversed")
    assert said.keys() == other.keys()
    assert [name for name in said if said[name] != other[name]] == []
    assert read_agreement(tmp_path / "as-said") != read_agreement(tmp_path / "reversed")


def test_the_free_hybrids_agreement_is_known_before_anything_is_trained(
    sixty: Path, toy_config: MakeConfig, tmp_path: Path
) -> None:
    write_lists(sixty, good_lists())
    config = toy_config({"dataset.train_split": None, "retriever.blend": None}, source=sixty)
    with open_chain(config, tmp_path / "w") as chain:
        chain.run("hybrid")
        early = agreement_untrained(chain.components).table
    rankstill.distill(config, tmp_path / "w")
    whole = read_agreement(tmp_path / "w").table
    assert early is not None
    assert whole is not None
    assert {each.name for each in early.systems} == {BEFORE, *FREE}
    for each in early.systems:
        assert each.values == whole.system(each.name).values


def test_the_order_of_any_other_list_does_reach_what_learns(
    sixty: Path, toy_config: MakeConfig, tmp_path: Path
) -> None:
    write_lists(sixty, good_lists())
    run(toy_config, sixty, tmp_path / "as-said", {"ranker.cross_encoder": False})
    held = held_out(tmp_path / "as-said")
    reverse = [
        each if each["query_id"] in held else {**each, "ranking": each["ranking"][::-1]} for each in good_lists()
    ]
    write_lists(sixty, reverse)
    run(toy_config, sixty, tmp_path / "reversed", {"ranker.cross_encoder": False})
    said, other = artefacts(tmp_path / "as-said"), artefacts(tmp_path / "reversed")
    differ = {name for name in said if said[name] != other.get(name)}
    assert {"labels.parquet", "hybrid.json", "ranker/prior.json", "multi-vector.json"} <= differ


def test_without_the_test_queries_judgements_everything_is_made_and_found_alike(
    sixty: Path, toy_config: MakeConfig, tmp_path: Path
) -> None:
    write_lists(sixty, good_lists())
    judged = run(toy_config, sixty, tmp_path / "judged", {})
    hidden = shutil.copytree(sixty, tmp_path / "hidden")
    shutil.rmtree(hidden / "qrels")
    lines = (hidden / "queries.jsonl").read_text().splitlines(keepends=True)
    (hidden / "queries.jsonl").write_text("".join(lines[: len(passages())]))
    (tmp_path / "asked.jsonl").write_text("".join(lines[len(passages()) :]))
    unjudged = run(toy_config, hidden, tmp_path / "unjudged", {"dataset.test_queries": str(tmp_path / "asked.jsonl")})
    steps = json.loads((judged.workspace / "manifest.json").read_text())["steps"]
    made = [each for name, step in steps.items() if name not in ("agreement", "evaluation") for each in step["outputs"]]
    said, other = (
        {name: content for name, content in artefacts(each.workspace).items() if name.split("/")[0] in made}
        for each in (judged, unjudged)
    )
    differ = {name for name in said.keys() | other.keys() if said.get(name) != other.get(name)}
    assert differ == {"runs/qrels.trec"}  # by what the runs are measured
    assert {"runs/distilled-retriever.trec", "labels.parquet", "candidates.parquet"} <= said.keys()
    assert judged.agreement is not None
    assert unjudged.agreement is not None
    assert judged.agreement.table == unjudged.agreement.table
    assert (judged.table is None, unjudged.table is None) == (False, True)


def test_held_out_queries_are_not_labelled_and_measured_everywhere_under_their_own_name(
    sixty: Path, toy_config: MakeConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from rankstill.cli.showing import show

    write_lists(sixty, good_lists())
    found = run(toy_config, sixty, tmp_path / "w", {})
    proven = prove(read_config(tmp_path / "w" / "config.yaml"), tmp_path / "w")
    held = held_out(found.workspace)
    labelled = {query.id for query in read_labels(found.workspace / "labels.parquet")}
    assert labelled.isdisjoint(held)
    assert {f"q-{each['_id']}" for each in passages()} - held <= labelled
    assert found.agreement is not None
    assert found.agreement.table is not None
    assert found.table is not None
    systems = [[each.name for each in table.systems] for table in (found.agreement.table, found.table)]
    assert systems[0] == systems[1]
    assert found.agreement.table.n == 20
    # The ranker learned from lists that put the answer first; a tiny model with random weights knows nothing of it.
    comparisons = found.agreement.table.system("ranker").comparisons
    assert comparisons is not None
    assert comparisons["nDCG@5"].low > 0
    name = "Agreement with the LLM on 20 lists that taught nothing"
    show(found)
    report = (found.workspace / "report.html").read_text()
    for place in (capsys.readouterr().out, proven, (found.retriever / "README.md").read_text(), report):
        assert name in " ".join(place.split())
        assert "they do not cover other passages" in " ".join(place.split())
    assert '<th scope="row">lists that taught</th><td>40,' in report
    assert any(note.startswith("20 of the LLM's 60 lists teach nothing") for note in found.notes)


def test_with_few_lists_none_is_held_out_and_the_run_says_so(
    sixty: Path, toy_config: MakeConfig, tmp_path: Path
) -> None:
    write_lists(sixty, good_lists()[:39])
    small = {"ranker.cross_encoder": False, "multi_vector.make": False}
    found = run(toy_config, sixty, tmp_path / "w", small)
    assert found.agreement is not None
    assert found.agreement.table is None
    assert any("39 are too few, it takes 40" in note for note in found.notes)
    assert "39 are too few" in (found.retriever / "README.md").read_text()
    assert held_out(found.workspace) == set()


SEEDS = [*range(3), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 20))]
QUICK = {"ranker.cross_encoder": False, "multi_vector.make": False, "evaluation.resamples": 1000}
NOT_BETTER = re.compile("the distilled retriever is (not shown to be better|worse|not better)", re.IGNORECASE)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_chain_on_random_lists_does_not_agree_better_with_the_llm(
    sixty: Path, toy_config: MakeConfig, tmp_path: Path, seed: int
) -> None:
    write_lists(sixty, random_lists(seed))
    unjudged = {"dataset.test_split": None, "dataset.hold_out": 0}
    found = run(toy_config, sixty, tmp_path / "w", {**QUICK, **unjudged, "seed": seed})
    assert found.table is None
    said = found.verdict()
    assert said.kind in ("open", "worse")
    assert NOT_BETTER.search(said.sentence)
    assert said.sentence.startswith("By agreement with the LLM on 20 lists that taught nothing, ")
    assert "Too few lists: 40 taught" in said.cause
    for place in ("retriever/README.md", "report.html"):
        assert said.finding in (found.workspace / place).read_text()


@pytest.mark.parametrize("seed", SEEDS)
def test_random_lists_alone_teach_nothing_that_judged_queries_call_better(
    sixty: Path, toy_config: MakeConfig, tmp_path: Path, seed: int
) -> None:
    write_lists(sixty, random_lists(seed))
    found = run(toy_config, sixty, tmp_path / "w", {**QUICK, "seed": seed})
    said = found.verdict()
    assert said.kind in ("open", "worse")
    assert NOT_BETTER.search(said.sentence)
    assert NOT_BETTER.search(said.agreement)
    assert f"**{said.sentence}**" in (found.retriever / "README.md").read_text()


def test_the_bench_of_a_study_loses_no_list(sixty: Path, toy_config: MakeConfig, tmp_path: Path) -> None:
    from rankstill.extras.studies import STUDIES, run_study

    write_lists(sixty, good_lists())
    for share, lists in ((None, 60), (0.5, 30)):
        changes = {"dataset.train_split": None, "ranker.cross_encoder": False, "multi_vector.make": False}
        config = toy_config({**changes, **({} if share is None else {"evaluation.holdout": share})}, source=sixty)
        folder = tmp_path / f"study-{lists}"
        run_study(STUDIES["baselines"], config, folder, 1, ["hybrid"])
        assert json.loads((folder / "work" / "hybrid.json").read_text())["lists"] == lists


@pytest.fixture
def random_run(sixty: Path, toy_config: MakeConfig, tmp_path: Path) -> Outcome:
    """A finished chain that is not better."""
    write_lists(sixty, random_lists(0))
    return run(toy_config, sixty, tmp_path / "w", QUICK)


def test_push_and_export_refuse_what_is_not_better_in_one_line(
    random_run: Outcome, command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    workspace = random_run.workspace
    for words in (("push", "me/it", workspace), ("export", "-w", workspace), ("export-vectors", "-w", workspace)):
        refused = command(*words).one_error()
        assert refused.startswith(random_run.verdict().sentence)
        assert refused.endswith("--even-if-worse.")
    assert not (workspace / "export").exists()
    assert "HF_TOKEN" in command("push", "me/it", workspace, "--even-if-worse").one_error()  # as far as it gets
    assert command("export-vectors", "-w", workspace, "--even-if-worse").code == 0
    assert (workspace / "export" / "vectors.parquet").exists()
    assert command("export", "-w", workspace, "--matryoshka").code == 0  # which only measures


def test_what_was_measured_nowhere_is_not_refused(
    random_run: Outcome, command: Callable[..., Any], tmp_path: Path
) -> None:
    copied = shutil.copytree(random_run.workspace, tmp_path / "unmeasured")
    manifest = json.loads((copied / "manifest.json").read_text())
    del manifest["steps"]["evaluation"], manifest["steps"]["agreement"]
    (copied / "manifest.json").write_text(json.dumps(manifest))
    assert command("export-vectors", "-w", copied).code == 0
