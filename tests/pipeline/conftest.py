"""A chain of seconds: a toy dataset, a tiny model, small settings."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import rankstill
from rankstill.cli import main
from rankstill.config import Config
from rankstill.outcome import Outcome


@pytest.fixture(scope="session")
def finished(toy_config: Callable[..., Config], tmp_path_factory: pytest.TempPathFactory) -> Outcome:
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
class TeacherSummary:
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
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., TeacherSummary]:
    """Runs the command line: `command("run", config, "-w", folder)`."""

    def run(*arguments: object) -> TeacherSummary:
        monkeypatch.setattr("sys.argv", ["rankstill", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        printed = capfd.readouterr()
        return TeacherSummary(int(left.value.code or 0), printed.out, printed.err)

    return run
