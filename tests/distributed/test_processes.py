"""Two processes train as one whose batch is as large as both of theirs; one of them owns the workspace."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from rankstill.config import CandidatesConfig, Config, RankerConfig, RetrieverConfig
from rankstill.data import Dataset
from rankstill.errors import DataError
from rankstill.labels import LabelledQuery, UnlabelledQuery, label
from rankstill.pipeline import distill
from rankstill.ranker import RankedList, Ranker, train_ranker
from rankstill.ranker.prior import Prior
from rankstill.retrieval import FEATURES, FirstStage
from rankstill.retrieval.bm25 import cached_index, write_index
from rankstill.retriever import TrainingData, train_retriever

RATE = 1e-3
SCRIPT = Path(__file__).with_name("train_by_rank.py")


def start(processes: int, folder: Path, *command: str) -> list[tuple[str, str]]:
    """Run a command in one process, or by torchrun in several; what each wrote to standard output and error.

    Args:
        processes: how many.
        folder: for what they write.
        command: a script or a module (-m), and its arguments.
    """
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}", "--redirects=3"]
    logs = folder / f"logs-{time.monotonic_ns()}"
    before = [] if processes == 1 else [*launcher, f"--log-dir={logs}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        [sys.executable, *before, *command], env=environment, capture_output=True, text=True, timeout=400
    )
    said = [(path.read_text(), path.with_name("stderr.log").read_text()) for path in sorted(logs.rglob("stdout.log"))]
    assert ended.returncode == 0, (ended.stdout, ended.stderr, said)
    return said or [(ended.stdout, ended.stderr)]


def curve(folder: Path, kind: str) -> list[dict[str, float]]:
    return json.loads((folder / f"{kind}-losses.json").read_text())


def test_the_gradients_of_two_processes_are_those_of_one(tmp_path: Path) -> None:
    for processes, name in ((1, "one"), (2, "two")):
        start(processes, tmp_path, str(SCRIPT), str(tmp_path), "gradients", "0", name)
    one, two = (np.load(tmp_path / name / "gradients-weights.npy") for name in ("one", "two"))
    assert np.abs(one).max() > 0.1
    np.testing.assert_allclose(two, one, rtol=1e-5, atol=1e-7)


@pytest.fixture(scope="module")
def trained(
    toy_dataset: Dataset,
    toy_first_stage: FirstStage,
    tiny_model_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A folder with what one process trained, and what two did, each with half of its batch."""
    folder = tmp_path_factory.mktemp("trained")
    what = {
        "retriever": _for_the_retriever(toy_dataset, toy_first_stage, tiny_model_folder, folder),
        "ranker": _for_the_ranker(toy_dataset, toy_first_stage, tiny_model_folder),
    }
    what["multi-vector"] = what["retriever"]
    for kind, each in what.items():
        (folder / f"{kind}.pickle").write_bytes(pickle.dumps(each))
    start(1, folder, str(SCRIPT), str(folder), "retriever,multi-vector,ranker", "6", "one")
    start(2, folder, str(SCRIPT), str(folder), "retriever,multi-vector,ranker", "3", "two")
    return folder


def _for_the_retriever(dataset: Dataset, first_stage: FirstStage, model_folder: Path, folder: Path) -> dict[str, Any]:
    corpus, nothing = dataset.corpus, np.empty(0, dtype=np.int64)
    asked = dataset.texts_of(dataset.train)
    queries = [
        UnlabelledQuery(query_id, text, "teacher", nothing, candidates.positions)
        for query_id, text, candidates in zip(dataset.train, asked, first_stage.search(asked, 10), strict=True)
    ]
    ranker = Ranker(Prior(FEATURES, (0.0, 20.0)), None)
    labels = list(label(queries, first_stage, ranker, folder / "labels", ranked_by="ranker"))
    config = RetrieverConfig(
        model=str(model_folder),
        epochs=10,
        learning_rate=RATE,
        passages_per_query=6,
        student_temperature=0.05,
    )
    return {
        "labels": labels,
        "corpus": [list(each) for each in (corpus.ids, corpus.titles, corpus.bodies)],
        "config": config,
    }


def _for_the_ranker(dataset: Dataset, first_stage: FirstStage, model_folder: Path) -> dict[str, Any]:
    lists = ranked_lists(dataset, first_stage)
    # Lengths differ from list to list, so the processes have unlike shares of the work.
    lists[::2] = [replace(each, passages=each.passages[:5], features=each.features[:5]) for each in lists[::2]]
    lists += lists[:4]  # as many as are held out: 24 train
    config = RankerConfig(epochs=10, learning_rate=RATE, max_length=64, prior=False)
    return {"lists": lists, "config": config, "start": str(model_folder)}


def ranked_lists(dataset: Dataset, first_stage: FirstStage) -> list[RankedList]:
    asked = dataset.texts_of(dataset.train)
    return [
        RankedList(text, tuple(dataset.corpus.texts(found.positions.tolist())), found.features, 4, weight=1.0 + row % 3)
        for row, (text, found) in enumerate(zip(asked, first_stage.search(asked, 6), strict=True))
    ]


@pytest.mark.parametrize("kind", ["retriever", "multi-vector", "ranker"])
def test_two_processes_train_as_one_does_with_the_doubled_batch(trained: Path, kind: str) -> None:
    one, two = (curve(trained / name, kind) for name in ("one", "two"))
    assert len(one) == len(two) >= 3
    assert one[-1]["loss"] < 0.95 * one[0]["loss"]
    for alone, both in zip(one, two, strict=True):
        assert both == pytest.approx(alone, rel=2e-3)
    weights = [np.load(trained / name / f"{kind}-weights.npy") for name in ("one", "two")]
    # Adam moves a weight by the rate a step even where its gradient is all rounding.
    assert np.abs(weights[1] - weights[0]).mean() < RATE / 10


def test_processes_too_many_for_one_step_are_told_so(
    toy_dataset: Dataset,
    toy_first_stage: FirstStage,
    tiny_model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lists = ranked_lists(toy_dataset, toy_first_stage)
    labels = [
        LabelledQuery(str(row), each.query, "teacher", np.arange(3), np.zeros(3, dtype=np.float32))
        for row, each in enumerate(lists)
    ]
    monkeypatch.setenv("WORLD_SIZE", "5")  # with 24 lists, or the 20 that are not held out, 5 x 5 are too many
    ranker = RankerConfig(lists_per_step=5, max_length=64, prior=False)
    with pytest.raises(DataError, match=r"ranker: 20 lists .* 5 processes .* need 25 .* lower lists_per_step"):
        train_ranker(lists, ranker, str(tiny_model_folder), tmp_path, seed=0, device="cpu")
    retriever = RetrieverConfig(model=str(tiny_model_folder), epochs=1, lists_per_step=5)
    with pytest.raises(DataError, match=r"retriever: 24 lists .* 5 processes .* need 25 .* lower lists_per_step"):
        train_retriever(TrainingData(labels, toy_dataset.corpus, retriever, 0), tmp_path, "cpu")


def test_an_index_that_several_ask_for_at_once_is_made_once(
    toy_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def slowly(texts: Sequence[str], folder: Path, *settings: Any) -> None:
        made.append(folder)
        time.sleep(0.3)
        write_index(texts, folder, *settings)

    monkeypatch.setattr("rankstill.retrieval.bm25.write_index", slowly)
    with ThreadPoolExecutor(3) as pool:  # a lock of the operating system's keeps threads apart as it does processes
        asking = [
            pool.submit(cached_index, toy_dataset.corpus, CandidatesConfig(), tmp_path / "bm25") for _ in range(3)
        ]
        scores = [each.result().scores("how does the magma change") for each in asking]
    assert len(made) == 1
    assert (scores[0] > 0).any()
    np.testing.assert_array_equal(scores[1:], [scores[0]] * 2)


def test_of_two_processes_one_owns_the_workspace_and_both_train(
    toy_dataset_folder: Path, tiny_model_folder: Path, tmp_path: Path
) -> None:
    config = {
        "dataset": {"source": str(toy_dataset_folder)},
        "candidates": {"k": 5, "n": 5},
        "ranker": {"model": str(tiny_model_folder), "epochs": 1, "max_length": 64, "lists_per_step": 1},
        "retriever": {"model": str(tiny_model_folder), "epochs": 1, "lists_per_step": 1},
        "device": "cpu",
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(config))
    command = ["-m", "rankstill", "run", str(tmp_path / "mine.yaml"), "-w", str(tmp_path / "workspace")]
    (shown, said), (by_follower, said_by_follower) = start(2, tmp_path, *command)
    assert "retriever: done" in said
    assert "nDCG@10" in shown
    assert (by_follower, "retriever" in said_by_follower) == ("", False)
    manifest = (tmp_path / "workspace" / "manifest.json").read_text()
    for step in ("ranker", "retriever"):
        assert f"{step}: trained by 2 processes: batches of 2 x 1 lists" in manifest
        assert curve(tmp_path / "workspace", step)
    ((_, said), _) = start(2, tmp_path, *command)
    assert "retriever: already done" in said
    # One process alone can go on with it, and trains the ranker as they did.
    distill(Config.model_validate(config), tmp_path / "workspace")
    assert (tmp_path / "workspace" / "manifest.json").read_text() == manifest
    config["ranker"]["lists_per_step"] = 2
    distill(Config.model_validate(config), tmp_path / "alone", until="ranker")
    both, alone = (curve(tmp_path / name, "ranker") for name in ("workspace", "alone"))
    assert [each["step"] for each in both] == [each["step"] for each in alone]
    np.testing.assert_allclose([each["loss"] for each in both], [each["loss"] for each in alone], rtol=0.02)
