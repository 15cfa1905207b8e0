"""A command that is given a workspace of another dataset stops, and touches nothing in it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import rankstill.data
from rankstill.config import Config, read_config, write_config
from rankstill.data import load_dataset
from rankstill.errors import WorkspaceError
from rankstill.extras.studies import STUDIES, run_study
from toy import TOY_STEPS

Command = Callable[..., Any]


@pytest.fixture
def others_config(toy_config: Callable[..., Config], toy_dataset_folder: Path, tmp_path: Path) -> Path:
    """A config on a second dataset, with a passage more than the toy's."""
    source = shutil.copytree(toy_dataset_folder, tmp_path / "second")
    with (source / "corpus.jsonl").open("a") as corpus:
        corpus.write('{"_id": "new", "text": "Nobody knows what the new passage is about."}\n')
    path = tmp_path / "second.yaml"
    path.write_text(write_config(toy_config(source=source)))
    return path


def everything(folder: Path) -> dict[Path, tuple[int, int]]:
    return {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(
    "asked",
    ["run", "candidates", "evaluate", "prove", "teach --dry-run", "check-teacher", "export", "export-vectors", "rag"],
)
def test_every_command_refuses_a_workspace_of_another_dataset_and_leaves_it_as_it_was(
    asked: str, command: Command, others_config: Path, finished_copy: Path, toy_dataset_folder: Path
) -> None:
    if asked == "rag":  # it wants answers before anything else
        queries = others_config.parent / "second" / "queries.jsonl"
        queries.write_text(queries.read_text().replace('"text"', '"answers": ["lava"], "text"'))
    before = everything(finished_copy)
    name, *options = asked.split()
    said = command(name, others_config, *options, "-w", finished_copy).one_error()
    assert everything(finished_copy) == before
    if not name.startswith("export"):  # which never makes a step, and says that the data is not that of the steps
        assert f"of another dataset, toy ({toy_dataset_folder})" in said
        assert "this is second" in said
        assert "--replace" in said


def test_replace_makes_the_workspace_the_other_datasets(
    command: Command, others_config: Path, finished_copy: Path
) -> None:
    ran = command("run", others_config, "-w", finished_copy, "--replace")
    assert ran.code == 0, ran.errors
    assert f"{', '.join(TOY_STEPS)} of dataset toy" in ran.errors
    assert "A retriever distilled on second" in (finished_copy / "retriever" / "README.md").read_text()
    assert command("run", others_config, "-w", finished_copy).code == 0  # it goes on without being told again


def test_a_mistake_beside_replace_costs_nothing(
    command: Command, others_config: Path, finished_copy: Path, tmp_path: Path
) -> None:
    steps = {path: made for path, made in everything(finished_copy).items() if path.name != "config.yaml"}
    for mistake in (["--set", "candidates.k=70", "--set", "candidates.n=70"], ["--rankings", tmp_path / "none.jsonl"]):
        command("run", others_config, "-w", finished_copy, "--replace", *mistake).one_error()
        now = everything(finished_copy)
        assert {path: now.get(path) for path in steps} == steps


def test_a_study_refuses_a_folder_of_another_datasets_study(
    toy_config: Callable[..., Config], others_config: Path, tmp_path: Path
) -> None:
    first = toy_config()
    rankstill.distill(first, tmp_path / "studies" / "work", until="candidates")
    with pytest.raises(WorkspaceError, match="another dataset, toy"):
        run_study(STUDIES["size"], read_config(others_config), tmp_path / "studies", 1)


def test_a_sample_and_the_whole_do_not_share_a_workspace(toy_config: Callable[..., Config], tmp_path: Path) -> None:
    config = toy_config()
    whole = load_dataset(config.dataset)
    rankstill.distill(config, tmp_path / "w", rankstill.data.sample(whole, 50, 20, 8, 0), until="vectors")
    with pytest.raises(WorkspaceError, match=r"toy \(sample\)"):
        rankstill.distill(config, tmp_path / "w", until="vectors")
