"""A finished chain with nothing but unjudged queries to measure by, and what its tests import, from here and beside."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import rankstill
from rankstill.config import Config
from rankstill.outcome import Outcome

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "teacher")]


@pytest.fixture(scope="session")
def unlabelled(toy_dataset_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy dataset as a user without labels has it: no judgements, and the list of the queries that may teach.

    The other eight teach nothing.
    """
    folder = shutil.copytree(toy_dataset_folder, tmp_path_factory.mktemp("unlabelled") / "toy")
    train = [line.split("\t")[0] for line in (folder / "qrels" / "train.tsv").read_text().splitlines()[1:]]
    shutil.rmtree(folder / "qrels")
    (folder / "splits").mkdir()
    (folder / "splits" / "train.txt").write_text("".join(f"{each}\n" for each in train))
    return folder


@pytest.fixture(scope="session")
def finished(toy_config: Callable[..., Config], unlabelled: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """A chain without judgements, run to its end. Read-only: copy its workspace to change it."""
    config = toy_config({"ranker.cross_encoder": False}, source=unlabelled)
    return rankstill.distill(config, tmp_path_factory.mktemp("finished") / "w")


@pytest.fixture
def workspace(finished: Outcome, tmp_path: Path) -> Path:
    """The finished workspace, to be changed."""
    return shutil.copytree(finished.workspace, tmp_path / "w")


@pytest.fixture
def asking(tmp_path: Path) -> Callable[..., Config]:
    """The workspace's config with a judge: `asking(workspace, url, {changes})`."""

    def make(workspace: Path, url: str, changes: Mapping[str, Any] | None = None) -> Config:
        from rankstill.config import read_config

        ours = {
            "judge.model": "fake-judge",
            "judge.endpoint": url,
            "teacher.ledger": str(tmp_path / "ledger.sqlite"),
            "teacher.prices": {"fake-judge": {"input": 1.0, "output": 2.0}},
        }
        return read_config(workspace / "config.yaml", {**ours, **(changes or {})})

    return make
