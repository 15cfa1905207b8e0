from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from loopback import Process, Served, ask

from rankstill.errors import RankstillError, WorkspaceError
from rankstill.extras.serve.batching import Limits
from rankstill.extras.serve.reading import open_workspace
from rankstill.extras.serve.server import run_server
from rankstill.workspace import Workspace


def test_asked_to_stop_it_finishes_what_is_in_flight(built: Path) -> None:
    texts = [f"the {'magma ' * 100}{number}" for number in range(256)]
    with Process(built) as process, ThreadPoolExecutor(1) as pool:
        ask(process.port, "/embed", {"input": "warm"})
        in_flight = pool.submit(ask, process.port, "/embed", {"input": texts})
        while not ask(process.port, "/health").body["waiting"]:
            assert not in_flight.done(), "make the request longer"
        process.terminate()
        answer = in_flight.result(timeout=60)
        assert answer.status == 200
        assert len(answer.body["data"]) == 256
        assert process.end() == 0
        with pytest.raises(ConnectionRefusedError):
            ask(process.port, "/health")


def test_a_full_queue_says_when_to_come_back(built: Path) -> None:
    with Served(built, limits=Limits(waiting=2)) as served:
        answer = served.ask("/embed", {"input": ["a", "b", "c"]})
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert served.ask("/embed", {"input": ["a", "b"]}).status == 200


def test_a_port_that_is_taken_is_said_before_anything_is_loaded(built: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(RankstillError, match="cannot listen there"):
            run_server(built, port=taken.getsockname()[1])


def test_a_folder_that_is_no_workspace_is_not_made_one(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match=r"no workspace of a run is there\. .* rankstill run CONFIG\.yaml -w"):
        open_workspace(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_an_unfinished_workspace_names_the_step_that_is_missing(built_copy: Path) -> None:
    manifest = json.loads((built_copy / "manifest.json").read_text())
    del manifest["steps"]["reranker"]
    (built_copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(
        WorkspaceError, match=r'step "refit the ranker" is not finished.* rankstill run \S+config\.yaml -w'
    ):
        open_workspace(built_copy)


def test_vectors_of_another_corpus_are_not_served(built_copy: Path, toy_dataset_folder: Path, tmp_path: Path) -> None:
    import shutil

    changed = shutil.copytree(toy_dataset_folder, tmp_path / "changed")
    lines = (changed / "corpus.jsonl").read_text().splitlines()
    (changed / "corpus.jsonl").write_text("\n".join(lines[::-1]) + "\n")
    config = (built_copy / "config.yaml").read_text().replace(str(toy_dataset_folder), str(changed))
    (built_copy / "config.yaml").write_text(config)
    with pytest.raises(WorkspaceError, match="the dataset or the config has changed since the run"):
        open_workspace(built_copy)


def test_a_workspace_in_use_is_served(built_copy: Path) -> None:
    with Workspace(built_copy):
        assert open_workspace(built_copy).changed_since() is False
