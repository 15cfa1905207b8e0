"""A chain of seconds: a toy dataset, a tiny model, small settings."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import rankstill
from rankstill.cli import main
from rankstill.config import Config, make_config
from rankstill.pipeline import Outcome

MakeConfig = Callable[..., Config]
"""`toy_config(changes by dotted path, source=another dataset folder)`"""


@pytest.fixture(scope="session")
def toy_config(toy_dataset_folder: Path, tiny_model_folder: Path) -> MakeConfig:
    """A chain of seconds: `toy_config({"seed": 1})`, or on another dataset `toy_config(source=folder)`."""

    def make(changes: dict[str, Any] | None = None, source: Path = toy_dataset_folder) -> Config:
        small = {
            "candidates.k": 5,
            "candidates.n": 6,
            "ranker.max_length": 32,
            "labels.depth": 8,
            "labels.pseudo_queries": 30,
            "retriever.model": str(tiny_model_folder),
            "retriever.training_length": 32,
            "retriever.epochs": 1,
            "retriever.learning_rate": 1e-3,
            "head.width": 64,
            "head.token_dimensions": 16,
            "head.steps": 30,
            "evaluation.resamples": 200,
            "device": "cpu",
        }
        return make_config({"dataset": {"source": str(source)}}, {**small, **(changes or {})})

    return make


@pytest.fixture(scope="session")
def finished(toy_config: MakeConfig, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """One chain run to its end. Read-only: copy its workspace to change it."""
    return rankstill.distill(toy_config(), tmp_path_factory.mktemp("finished") / "w")


@pytest.fixture
def toy_copy(toy_dataset_folder: Path, tmp_path: Path) -> Path:
    """The toy dataset, to be changed."""
    return shutil.copytree(toy_dataset_folder, tmp_path / "toy")


@pytest.fixture
def finished_copy(finished: Outcome, tmp_path: Path) -> Path:
    """The finished workspace, to be changed."""
    return shutil.copytree(finished.workspace, tmp_path / "w")


@dataclass(frozen=True)
class Said:
    """How a command ended and what it printed."""

    code: int
    output: str
    errors: str

    def one_error(self) -> str:
        """The message of a user's mistake: exit code 2, one line at the end, no traceback."""
        lines = self.errors.splitlines()
        assert self.code == 2, self.errors
        assert [line for line in lines if line.startswith("error: ")] == lines[-1:]
        assert "Traceback" not in self.errors
        return lines[-1].removeprefix("error: ")


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Runs the command line: `command("run", config, "-w", folder)`."""

    def run(*arguments: object) -> Said:
        monkeypatch.setattr("sys.argv", ["rankstill", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        printed = capfd.readouterr()
        return Said(int(left.value.code or 0), printed.out, printed.err)

    return run
