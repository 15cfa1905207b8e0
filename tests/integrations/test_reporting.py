"""Training curves arrive at TensorBoard, MLflow and Weights & Biases, the same figures as in the workspace."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from integrations_page import need, small_config

import rankstill
from rankstill.config import make_config
from rankstill.errors import RankstillError
from rankstill.reporting import Reports

TRAININGS = {"ranker": "ranker-losses.json", "retriever": "retriever-losses.json"}
LONGER = {"ranker.epochs": 4, "retriever.epochs": 3, "retriever.training_length": 32}
"""Long enough for a curve of some points."""


@pytest.fixture(scope="module")
def reported(toy_dataset_folder: Path, tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chain's workspace, which reported to all that is installed; they keep what they were sent beside it."""
    base = tmp_path_factory.mktemp("reported")
    there = [name for name in ("tensorboard", "mlflow", "wandb") if find_spec(name)]
    small = small_config(toy_dataset_folder, tiny_model_folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)
        patch.setenv("MLFLOW_TRACKING_URI", f"file://{base}/runs")
        patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # which needs no database
        patch.setenv("WANDB_MODE", "offline")
        patch.setenv("WANDB_DIR", str(base))
        patch.setenv("WANDB_SILENT", "true")
        rankstill.distill(make_config(small, {**LONGER, "report_to": there}), base / "w", until="retriever")
    return base / "w"


def losses(workspace: Path, training: str) -> list[tuple[int, float]]:
    curve = json.loads((workspace / TRAININGS[training]).read_text())
    return [(int(entry["step"]), pytest.approx(entry["loss"], rel=1e-5)) for entry in curve]


@pytest.mark.slow
@pytest.mark.parametrize("training", TRAININGS)
def test_tensorboard(reported: Path, training: str) -> None:
    need("tensorboard", install="tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (folder,) = (reported / "tensorboard").glob(f"{training}-*")
    events = EventAccumulator(str(folder)).Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == losses(reported, training)
    assert losses(reported, training)


@pytest.mark.slow
def test_mlflow_has_a_run_for_each_training(reported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("mlflow", install="mlflow")
    import mlflow

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    client = mlflow.MlflowClient(f"file://{reported.parent}/runs")
    runs = {run.info.run_name: run for run in client.search_runs(["0"])}
    assert set(runs) == {f"w-{training}" for training in TRAININGS}
    for training in TRAININGS:
        run = runs[f"w-{training}"]
        # transformers sends them asynchronously: two may arrive the other way round.
        sent = sorted(client.get_metric_history(run.info.run_id, "loss"), key=lambda metric: metric.step)
        assert [(metric.step, metric.value) for metric in sent] == losses(reported, training)
        assert run.info.status == "FINISHED"


@pytest.mark.slow
def test_weights_and_biases_has_a_run_for_each_training(reported: Path) -> None:
    need("wandb", install="wandb")
    written = [path.read_bytes() for path in reported.parent.glob("wandb/offline-run-*/*.wandb")]
    assert len(written) == len(TRAININGS)
    for training in TRAININGS:
        (own,) = [run for run in written if f"w-{training}".encode() in run]
        assert b"train/loss" in own


def test_what_is_not_installed_is_named_before_anything_is_done(
    toy_dataset_folder: Path, tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rankstill.reporting.find_spec", lambda name: None)
    config = make_config(small_config(toy_dataset_folder, tiny_model_folder), {"report_to": ["mlflow"]})
    with pytest.raises(RankstillError, match=r"report_to: mlflow is not installed\. pip install mlflow"):
        rankstill.distill(config, tmp_path / "w")


@pytest.mark.parametrize("value", ["mlflw", ["all"]])
def test_other_names_are_refused(toy_dataset_folder: Path, tiny_model_folder: Path, value: Any) -> None:
    with pytest.raises(RankstillError, match="report_to"):
        make_config(small_config(toy_dataset_folder, tiny_model_folder), {"report_to": value})


def test_a_curve_goes_nowhere_by_default(tmp_path: Path) -> None:
    assert Reports().arguments("ranker")["report_to"] == "none"
