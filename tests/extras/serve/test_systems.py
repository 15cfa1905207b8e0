from __future__ import annotations

import csv
import json
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from loopback import Served

from rankstill.evaluation import systems as measured
from rankstill.evaluation.runs import rank_order, read_run, write_run
from rankstill.evaluation.systems import run_name
from rankstill.extras.serve.reading import ServedWorkspace
from rankstill.extras.serve.service import MeasuredRuns
from rankstill.extras.serve.systems import SYSTEMS, ServedSystem, SystemName
from rankstill.multi_vector import TwoStage
from rankstill.retrieval.late_interaction import encode_queries
from rankstill.workspace import Workspace

QUERY = "how does magma of the volcano change"


@pytest.mark.parametrize("system", SYSTEMS)
def test_what_a_system_finds_is_the_evaluations_run(server: Served, system: SystemName) -> None:
    run = read_run(server.folder / "runs" / f"{run_name(SYSTEMS[system].row)}.trec")
    texts = {query: server.opened.dataset.queries[query].text for query in run}
    with ThreadPoolExecutor(len(texts)) as pool:  # so that several queries share a batch
        found = dict(zip(texts, pool.map(lambda text: _list(server, text, system), texts.values()), strict=True))
    for query, passages in found.items():
        assert [passage["id"] for passage in passages] == rank_order(run[query])
        scores = [passage["score"] for passage in passages]
        np.testing.assert_allclose(scores, [run[query][passage["id"]] for passage in passages], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("system", ["multi-vector", "multi-vector-hybrid"])
def test_a_large_corpus_is_searched_in_two_stages(
    built_copy: Path, system: SystemName, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, asked = TwoStage.candidates, []
    monkeypatch.setattr("rankstill.extras.serve.systems._EXACT", 10)
    monkeypatch.setattr(TwoStage, "candidates", lambda *given: asked.append(1) or real(*given))
    with Served(built_copy) as served:
        assert _list(served, QUERY, system)
    assert asked == [1]


def test_in_two_stages_candidates_of_either_get_their_exact_maxsim(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured, "_DEPTH", 4)  # the first stage finds eight
    opened = server.opened
    model, index = opened.late("multi-vector")
    two_stage = replace(TwoStage.load(index.folder), depth=5)
    first_stage, weights = opened.first_stage(opened.before), opened.hybrid("hybrid-multi-vector.json")
    queries = {query: opened.dataset.queries[query].text for query in opened.dataset.test}
    alone, summed = measured.multi_vector_runs(model, index, first_stage, weights, queries, two_stage)
    tokens, ids = encode_queries(model, list(queries.values())), opened.dataset.corpus.ids
    found = first_stage.search(list(queries.values()), 8)
    for query, asked, exact, other in zip(queries, tokens, index.scores(tokens), found, strict=True):
        wanted = {ids[row] for row in (*two_stage.candidates(asked), *other.positions)}
        assert 4 <= len(wanted) < len(ids)
        assert alone[query].keys() | summed[query].keys() <= wanted
        maxsim = dict(zip(ids, exact.tolist(), strict=True))
        assert alone[query] == pytest.approx({passage: maxsim[passage] for passage in alone[query]}, rel=1e-4)
        assert rank_order(alone[query]) == sorted(wanted, key=lambda passage: -maxsim[passage])[:4]


def test_near_ties_stand_in_the_reports_order_and_another_models_lists_are_left_alone(built_copy: Path) -> None:
    path = built_copy / "runs" / f"{run_name(measured.DISTILLED)}.trec"
    run = read_run(path)
    near, other = list(run)[:2]
    scores, ranked = run[near], rank_order(run[near])
    first, second = min(pairwise(ranked), key=lambda pair: scores[pair[0]] - scores[pair[1]])
    scores[first], scores[second] = scores[second], scores[first]
    swapped = rank_order(scores)
    assert swapped != ranked
    run[other] = {passage: -score for passage, score in run[other].items()}
    write_run(run, path, "after")
    with Served(built_copy) as served:
        texts = {query: served.opened.dataset.queries[query].text for query in (near, other)}
        assert [passage["id"] for passage in _list(served, texts[near], "after")] == swapped
        assert [passage["id"] for passage in _list(served, texts[other], "after")] != rank_order(run[other])


def test_the_examples_are_the_queries_that_changed_most(built_copy: Path) -> None:
    with (built_copy / "per-query.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    values = {(row["query"], row["system"]): float(row["nDCG@10"]) for row in rows}
    queries = list(dict.fromkeys(row["query"] for row in rows))
    change = {query: abs(values[query, measured.DISTILLED] - values[query, measured.BEFORE]) for query in queries}
    with Served(built_copy) as served:
        shown = [each["id"] for each in served.ask("/about").body["examples"]]
    assert shown == sorted(queries, key=lambda query: -change[query])
    (built_copy / "per-query.csv").write_text("query,system,nDCG@10\n")
    # Nothing is judged: by what is new in the lists.
    assert sorted(MeasuredRuns(built_copy).most_changed()) == sorted(queries)


def _list(server: Served, text: str, system: SystemName) -> list[dict[str, object]]:
    (result,) = server.search(text, systems=[system], k=100)["results"]
    assert (result["system"], result["scores"]) == (system, SYSTEMS[system].scores)
    passages: list[dict[str, object]] = result["passages"]
    return passages


def test_about_lists_what_the_workspace_has_in_the_tables_order(server: Served) -> None:
    assert [system["name"] for system in server.ask("/about").body["systems"]] == list(SYSTEMS)


def test_a_chain_without_a_ranker_has_neither_it_nor_a_hybrid(built_copy: Path) -> None:
    manifest = json.loads((built_copy / "manifest.json").read_text())
    manifest["steps"]["reranker"]["outputs"] = ["vectors-after"]
    (built_copy / "manifest.json").write_text(json.dumps(manifest))
    shutil.rmtree(built_copy / "reranker")
    with Served(built_copy) as served:
        assert served.ask("/about").body["ranker"] is False
        assert served.search(QUERY)["after"]
        for system in ("ranker", "hybrid-before", "hybrid-after"):
            _refuses(served, system)
        assert served.search(QUERY, systems=["multi-vector-hybrid"])["multi-vector-hybrid"]


def left_out_by_the_config(workspace: Path) -> None:
    config = workspace / "config.yaml"
    text = config.read_text()
    assert text.count("make: true") == 1
    config.write_text(text.replace("make: true", "make: false"))


def from_an_encoder_without_token_vectors(workspace: Path) -> None:
    for folder in ("multi-vector", "multi-vector-index"):  # as `make_multi_vector` leaves them
        shutil.rmtree(workspace / folder)
        (workspace / folder).mkdir()
    for file in ("multi-vector.json", "hybrid-multi-vector.json"):
        (workspace / file).write_text("null\n")


@pytest.mark.parametrize("leave_out", [left_out_by_the_config, from_an_encoder_without_token_vectors])
def test_a_chain_without_a_multi_vector_retriever_says_so_and_offers_its_hybrids(
    leave_out: Callable[[Path], None], built_copy: Path
) -> None:
    leave_out(built_copy)
    with Served(built_copy) as served:
        offered = {each["name"] for each in served.ask("/about").body["systems"]}
        assert offered >= {"hybrid-before", "hybrid-after"}
        assert offered.isdisjoint({"multi-vector", "multi-vector-hybrid"})
        for system in ("multi-vector", "multi-vector-hybrid"):
            _refuses(served, system)
        for system in ("hybrid-before", "hybrid-after"):
            assert served.search(QUERY, systems=[system])[system]


def _refuses(served: Served, system: str) -> None:
    answer = served.ask("/search", {"query": QUERY, "systems": ["before", system]})
    assert answer.status == 404
    message = answer.body["error"]["message"]
    assert message.startswith(f"This workspace has no {system}, for its run made none. It has before, ")
    assert system not in [offered["name"] for offered in served.ask("/about").body["systems"]]


def test_an_unknown_system_is_refused_with_those_that_there_are(server: Served) -> None:
    answer = server.ask("/search", {"query": QUERY, "systems": ["before", "bm52"]})
    assert answer.status == 422
    assert answer.body["error"]["message"].startswith("systems.1: Input should be 'before', 'hybrid-before', ")


def test_token_vectors_that_a_run_replaced_are_never_read_for_those_that_were_opened(built_copy: Path) -> None:
    with Served(built_copy) as served:
        old = served.search(QUERY, systems=["before", "hybrid-before", "multi-vector", "ranker"])
        with Workspace(built_copy) as workspace:
            record = workspace.record("multi_vector")
            assert record is not None
            workspace.step("multi_vector", _other_tokens, outputs=record.outputs, settings=["another"])
        for system in ("multi-vector", "ranker"):
            answer = served.ask("/search", {"query": QUERY, "systems": [system]})
            assert (answer.status, "a run has replaced what is served" in str(answer.body)) == (500, True)
        for system in ("before", "hybrid-before"):  # these are held
            now = served.search(QUERY, systems=[system])
            assert [passage["id"] for passage in now[system]] == [passage["id"] for passage in old[system]]


def _other_tokens(making: Path) -> None:
    for folder in ("multi-vector", "multi-vector-index"):
        (making / folder).mkdir()
    for file in ("multi-vector.json", "hybrid-multi-vector.json"):
        (making / file).write_text("null\n")


def test_a_trained_multi_vector_retriever_is_served_only_with_the_retriever_of_its_run(built_copy: Path) -> None:
    names = {"multi-vector-after", "multi-vector-hybrid-after"}
    path = built_copy / "manifest.json"
    manifest = json.loads(path.read_text())
    trained = manifest["steps"].pop("multi_vector_distilled")
    path.write_text(json.dumps(manifest))
    with Served(built_copy) as served:  # while the run goes on to train it
        assert names.isdisjoint(each["name"] for each in served.ask("/about").body["systems"])
        path.write_text(json.dumps({**manifest, "steps": {**manifest["steps"], "multi_vector_distilled": trained}}))
        assert served.ask("/health").body["changed"] is False  # what is served is still there
    path.write_text(json.dumps({**manifest, "steps": {"multi_vector_distilled": trained, **manifest["steps"]}}))
    with Served(built_copy) as served:  # it is older than the distilled retriever
        assert names.isdisjoint(each["name"] for each in served.ask("/about").body["systems"])


def test_token_vectors_of_another_corpus_are_not_served(built_copy: Path) -> None:
    counts = built_copy / "multi-vector-index" / "counts"
    counts.write_bytes(counts.read_bytes()[:-4])
    with Served(built_copy) as served:
        answer = served.ask("/search", {"query": QUERY, "systems": ["multi-vector"]})
        assert (answer.status, "the token vectors are not those of" in str(answer.body)) == (500, True)


def test_searches_go_on_while_another_system_is_loaded(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, opens = threading.Event(), ServedSystem.open

    def slowly(system: ServedSystem, opened: ServedWorkspace) -> object:
        assert system.row != measured.RANKER_ON_DISTILLED or loaded.wait(
            timeout=20
        )  # else the search by the retrievers waited for this
        return opens(system, opened)

    monkeypatch.setattr(ServedSystem, "open", slowly)
    with Served(built) as served, ThreadPoolExecutor(1) as pool:
        reranked = pool.submit(served.search, QUERY, systems=["ranker"])
        assert served.search(QUERY)["after"]
        assert not reranked.done()
        loaded.set()
        assert reranked.result(timeout=60)["ranker"]
