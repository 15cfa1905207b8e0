"""White-box methods run through the chain: no ranking, no ranker, the same training and evaluation."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import rankstill
from rankstill.config import Config, write_config
from rankstill.errors import DataError, ModelError
from rankstill.labels import read_labels
from rankstill.labels.local_lm import LocalLM
from rankstill.labels.white_box import read_signal
from rankstill.models import load_bi_encoder
from rankstill.pipeline import Chain
from rankstill.workspace import Workspace

MakeConfig = Callable[..., Config]

# Reads slowly, in parts of four queries.
_DRIVER = """
import sys, time
from rankstill.labels import white_box
from rankstill.config import read_config
from rankstill.pipeline import distill

white_box._QUERIES_A_SHARD = 4
read = white_box.read_signal

def read_slowly(*arguments):
    time.sleep(0.1)
    return read(*arguments)

white_box.read_signal = read_slowly
distill(read_config(sys.argv[1]), sys.argv[2], until="labels")
"""


def weights(folder: Path) -> torch.Tensor:
    model = load_bi_encoder(str(folder), "cpu")
    return torch.cat([weight.flatten() for weight in model.state_dict().values() if weight.is_floating_point()])


@pytest.mark.parametrize("method", ["pdist", "replug-lsr", "emdr2", "loop", "adist"])
def test_every_method_moves_the_retriever_by_its_own_labels_without_any_ranking(
    method: str, white_box_config: MakeConfig, tiny_model_folder: Path, tmp_path: Path
) -> None:
    outcome = rankstill.distill(white_box_config(method), tmp_path / "w", until="retriever")
    labels = read_labels(tmp_path / "w" / "labels.parquet")
    assert len(labels) == 24
    assert {len(query.positions) for query in labels} == {3}
    assert all(np.isfinite(query.scores).all() for query in labels)
    assert not torch.allclose(weights(outcome.retriever), weights(tiny_model_folder), atol=1e-4)
    assert outcome.reranker is None
    manifest = json.loads((tmp_path / "w" / "manifest.json").read_text())
    assert list(manifest["steps"]) == ["vectors", "candidates", "labels", "retriever"]


def test_the_losses_of_the_methods_that_have_their_own_are_in_the_training_curve(
    white_box_config: MakeConfig, tmp_path: Path
) -> None:
    config = white_box_config("emdr2", {"retriever.epochs": 3})
    rankstill.distill(config, tmp_path / "w", until="retriever")
    curve = json.loads((tmp_path / "w" / "retriever-losses.json").read_text())
    assert "emdr2_nll" in curve[0]
    assert "kl" not in curve[0]


def test_the_whole_chain_measures_every_system_but_the_ranker(white_box_config: MakeConfig, tmp_path: Path) -> None:
    outcome = rankstill.distill(white_box_config("pdist", {"white_box.queries": 8}), tmp_path / "w")
    assert outcome.table is not None
    assert [system.name for system in outcome.table.systems] == [
        "BM25",
        "retriever before",
        "first stage",
        "distilled retriever",
    ]
    assert len(read_labels(tmp_path / "w" / "labels.parquet")) == 8
    assert not (tmp_path / "w" / "reranker").exists()
    curve = json.loads((tmp_path / "w" / "retriever-losses.json").read_text())
    assert curve[-1]["kl"] < curve[0]["kl"]
    assert (outcome.retriever / "README.md").is_file()


def test_labels_are_made_anew_for_another_method_k_or_model_and_else_not(
    white_box_config: MakeConfig, lm_with_learned_positions: LocalLM, tmp_path: Path
) -> None:
    def fingerprint(method: str, changes: dict[str, object] | None = None) -> str:
        config = white_box_config(method, {"white_box.queries": 4, **(changes or {})})
        with Workspace(tmp_path / "w") as workspace:
            chain = Chain(config, workspace, rankstill.load_dataset(config.dataset))
            return chain.labels()

    other = {"white_box.model": lm_with_learned_positions.name}
    first = fingerprint("pdist")
    found = [
        first,
        fingerprint("emdr2"),
        fingerprint("pdist", {"white_box.passages": 2}),
        fingerprint("pdist", {"white_box.passage_tokens": 20}),
        fingerprint("pdist", other),
    ]
    assert len(set(found)) == len(found)
    signals = tmp_path / "w" / "signals"
    assert len(list(signals.iterdir())) == 4  # pdist and emdr2 read the same
    read = {path: path.stat().st_mtime_ns for path in signals.rglob("*.parquet")}
    assert fingerprint("pdist") == first
    assert {path: path.stat().st_mtime_ns for path in signals.rglob("*.parquet")} == read


def test_killed_while_reading_resumes_without_reading_a_query_twice(
    white_box_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, folder = white_box_config("loop"), tmp_path / "w"
    (tmp_path / "config.yaml").write_text(write_config(config))

    def kept() -> list[Path]:
        return sorted((folder / "signals").rglob("*.parquet"))

    command = [sys.executable, "-c", _DRIVER, str(tmp_path / "config.yaml"), str(folder)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and len(kept()) < 2:
            time.sleep(0.01)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    first = {query.text for path in kept() for query in read_labels(path)}
    assert 8 <= len(first) < 24

    second: list[str] = []

    def read_and_note(lm: LocalLM, question: str, *others: Any) -> NDArray[np.float64]:
        second.append(question)
        return read_signal(lm, question, *others)

    monkeypatch.setattr("rankstill.labels.white_box.read_signal", read_and_note)
    monkeypatch.setattr("rankstill.labels.white_box._QUERIES_A_SHARD", 4)
    rankstill.distill(config, folder, until="labels")
    assert first.isdisjoint(second)
    labelled = {query.text for query in read_labels(folder / "labels.parquet")}
    assert sorted([*first, *second]) == sorted(labelled)
    assert len(labelled) == 24


@pytest.mark.parametrize(
    ("changes", "told", "error"),
    [
        ({"white_box.model": "nothing-like-it"}, "nothing-like-it", ModelError),
        ({"white_box.model": "./no/such/folder"}, "no such folder", ModelError),
    ],
)
def test_a_model_that_is_not_there_is_said_before_anything_is_encoded(
    changes: dict[str, object], told: str, error: type[Exception], white_box_config: MakeConfig, tmp_path: Path
) -> None:
    with pytest.raises(error, match=told):
        rankstill.distill(white_box_config("pdist", changes), tmp_path / "w")
    assert not (tmp_path / "w" / "vectors").exists()


def test_queries_without_answers_are_said_before_anything_is_encoded(
    white_box_config: MakeConfig, toy_dataset_folder: Path, tmp_path: Path
) -> None:
    config = white_box_config("pdist", {"dataset.source": str(toy_dataset_folder)})
    with pytest.raises(DataError, match="no training query has accepted answers"):
        rankstill.distill(config, tmp_path / "w")
    assert not (tmp_path / "w" / "vectors").exists()
