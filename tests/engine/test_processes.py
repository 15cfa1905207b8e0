"""Two processes train as one whose batch is as large as both of theirs; one of them owns the workspace."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from rankstill.candidates import FEATURES, FirstStage
from rankstill.config import RankerConfig, RetrieverConfig
from rankstill.datasets import Dataset
from rankstill.labels import Unlabelled, label, pseudo_queries
from rankstill.ranker import Prior, RankedList, Ranker

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


def assert_trained_alike(folder: Path, kind: str, rate: float) -> None:
    one, two = curve(folder / "one", kind), curve(folder / "two", kind)
    assert len(one) == len(two) >= 3
    assert one[-1]["loss"] < 0.95 * one[0]["loss"]
    for alone, both in zip(one, two, strict=True):
        assert both == pytest.approx(alone, rel=2e-3)
    weights = [np.load(folder / name / "weights.npy") for name in ("one", "two")]
    # Adam moves a weight by the rate a step even where its gradient is all rounding.
    assert np.abs(weights[1] - weights[0]).mean() < rate / 10


def test_the_gradients_of_two_processes_are_those_of_one(tmp_path: Path) -> None:
    for processes, name in ((1, "one"), (2, "two")):
        start(processes, tmp_path, str(SCRIPT), str(tmp_path), "gradients", "0", name)
    one, two = (np.load(tmp_path / name / "weights.npy") for name in ("one", "two"))
    assert np.abs(one).max() > 0.1
    np.testing.assert_allclose(two, one, rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_two_processes_train_the_retriever_as_one_does_with_the_doubled_batch(
    toy_dataset: Dataset, toy_first_stage: FirstStage, tiny_model_folder: Path, tmp_path: Path
) -> None:
    corpus, nothing = toy_dataset.corpus, np.empty(0, dtype=np.int64)
    asked = toy_dataset.texts_of(toy_dataset.train)
    queries = [
        Unlabelled(query_id, text, "teacher", nothing, candidates.positions)
        for query_id, text, candidates in zip(toy_dataset.train, asked, toy_first_stage.search(asked, 10), strict=True)
    ]
    queries += [
        Unlabelled(each.id, each.text, "pseudo", nothing, made_from=each.made_from)
        for each in pseudo_queries(corpus, 40, seed=0)
    ]
    ranker = Ranker(Prior(FEATURES, (0.0, 20.0, 0.0)), None)
    labels = label(queries, toy_first_stage, ranker, tmp_path / "labels", depth=10, ranked_by="ranker")
    config = RetrieverConfig(
        model=str(tiny_model_folder),
        epochs=10,
        learning_rate=1e-3,
        passages_per_query=6,
        riders_per_step=7,
        student_temperature=0.05,
    )
    columns = [list(each) for each in (corpus.ids, corpus.titles, corpus.bodies)]
    what = {"labels": labels, "corpus": columns, "config": config}
    (tmp_path / "retriever.pickle").write_bytes(pickle.dumps(what))
    start(1, tmp_path, str(SCRIPT), str(tmp_path), "retriever", "6", "one")
    start(2, tmp_path, str(SCRIPT), str(tmp_path), "retriever", "3", "two")
    assert_trained_alike(tmp_path, "retriever", config.learning_rate)


@pytest.mark.slow
def test_two_processes_train_the_ranker_as_one_does_with_the_doubled_batch(
    toy_dataset: Dataset, toy_first_stage: FirstStage, tiny_model_folder: Path, tmp_path: Path
) -> None:
    corpus = toy_dataset.corpus
    asked = toy_dataset.texts_of(toy_dataset.train)
    lists = [
        RankedList(text, tuple(corpus.texts(found.positions.tolist())), found.features, 4, weight=1.0 + row % 3)
        for row, (text, found) in enumerate(zip(asked, toy_first_stage.search(asked, 6), strict=True))
    ]
    # Lengths differ from list to list, so the processes have unlike shares of the work.
    lists[::2] = [replace(each, passages=each.passages[:5], features=each.features[:5]) for each in lists[::2]]
    config = RankerConfig(epochs=10, learning_rate=1e-3, max_length=64, prior=False)
    what = {"lists": lists, "config": config, "start": str(tiny_model_folder)}
    (tmp_path / "ranker.pickle").write_bytes(pickle.dumps(what))
    start(1, tmp_path, str(SCRIPT), str(tmp_path), "ranker", "6", "one")
    start(2, tmp_path, str(SCRIPT), str(tmp_path), "ranker", "3", "two")
    assert_trained_alike(tmp_path, "ranker", config.learning_rate)


@pytest.mark.slow
def test_of_two_processes_one_owns_the_workspace_and_both_train(
    toy_dataset_folder: Path, tiny_model_folder: Path, tmp_path: Path
) -> None:
    config = {
        "dataset": {"source": str(toy_dataset_folder)},
        "candidates": {"k": 5, "n": 5},
        "ranker": {"epochs": 1, "max_length": 64},
        "labels": {"pseudo_queries": 20, "depth": 8},
        "retriever": {"model": str(tiny_model_folder), "epochs": 1, "lists_per_step": 1},
        "head": {"steps": 5, "width": 16, "token_dimensions": 8},
        "device": "cpu",
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(config))
    command = ["-m", "rankstill", "run", str(tmp_path / "mine.yaml"), "-w", str(tmp_path / "workspace")]
    (shown, said), (by_follower, said_by_follower) = start(2, tmp_path, *command)
    assert "retriever: done" in said
    assert "nDCG@10" in shown
    assert (by_follower, "retriever" in said_by_follower) == ("", False)
    assert curve(tmp_path / "workspace", "retriever")
    ((_, said), _) = start(2, tmp_path, *command)
    assert "retriever: already done" in said
    start(1, tmp_path, *command)  # one process alone can go on with it
