"""A workspace is named the same way to every command: as the argument, or by -w."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rankstill.config import Config, read_config, write_config
from rankstill.data import Dataset
from rankstill.extras.serve.votes import Votes
from rankstill.teacher.ledger import Ledger

Command = Callable[..., Any]


@pytest.mark.parametrize("way", [[], ["-w"], ["--workspace"]])
@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("report", "Wrote {w}/report.html"),
        ("run", "Workspace: {w}"),
        ("evaluate", "Workspace: {w}"),
        ("candidates", "candidates: already done"),
        ("export-vectors --even-if-worse", "passages written to {w}/export/vectors.parquet"),
        ("votes --to {w}-judged", "1 judged queries"),
        ("check", "60 passages, 24 training, 8 test"),
    ],
)
def test_a_command_finds_the_workspace_that_it_is_given_either_way(
    command: Command, finished_copy: Path, toy_dataset: Dataset, asked: str, told: str, way: list[str]
) -> None:
    Votes(finished_copy, toy_dataset, "").mark("magma", "volcano-0", 1)
    name, *options = asked.format(w=finished_copy).split()
    ran = command(name, *options, *way, finished_copy)
    assert ran.code == 0, ran.errors
    assert told.format(w=finished_copy) in ran.output + ran.errors
    assert "already done" in ran.errors or name in ("report", "votes", "export-vectors", "check")


def test_a_config_may_stand_where_a_workspace_is_named(command: Command, finished_copy: Path) -> None:
    ran = command("report", finished_copy / "config.yaml", "-w", finished_copy)
    assert f"Wrote {finished_copy}/report.html" in ran.errors


def test_the_ledger_of_a_config_or_a_workspace_is_shown(command: Command, finished_copy: Path, tmp_path: Path) -> None:
    kept = tmp_path / "own.sqlite"
    Ledger(kept).close()
    config = read_config(finished_copy / "config.yaml", {"teacher.ledger": str(kept)})
    (finished_copy / "config.yaml").write_text(write_config(config))
    for way in ([finished_copy], ["-w", finished_copy], [finished_copy / "config.yaml"], [kept]):
        assert str(kept) in command("ledger", *way).output.replace("\n", "")


def test_comparing_takes_workspaces_either_way_but_not_both(
    command: Command, finished_copy: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(finished_copy, tmp_path / "other")
    for named in ([finished_copy, other], ["-w", finished_copy, "-w", other]):
        assert command("compare", *named, "--to", tmp_path / "page.html").code == 0
    message = command("compare", finished_copy, "-w", other).one_error()
    assert message.startswith("workspaces are named both as arguments and by -w")


@pytest.mark.parametrize("name", ["report", "serve", "votes --to x", "push owner/name"])
def test_two_workspaces_where_one_is_wanted_are_refused(command: Command, tmp_path: Path, name: str) -> None:
    message = command(*name.split(), tmp_path / "a", "-w", tmp_path / "b").one_error()
    assert message == f"two workspaces are named: {tmp_path / 'a'}, and {tmp_path / 'b'} by -w. Name one."


@pytest.mark.parametrize("name", ["serve", "push owner/name"])
@pytest.mark.parametrize("way", [[], ["-w"]])
def test_a_workspace_that_is_not_there_is_named_either_way(
    command: Command, tmp_path: Path, name: str, way: list[str]
) -> None:
    assert str(tmp_path / "none") in command(*name.split(), *way, tmp_path / "none").one_error()


def test_a_workspaces_config_runs_in_another_workspace(command: Command, finished_copy: Path, tmp_path: Path) -> None:
    assert command("candidates", finished_copy, "-w", tmp_path / "again").code == 0
    assert read_config(tmp_path / "again" / "config.yaml") == read_config(finished_copy / "config.yaml")


def test_a_config_or_a_source_stands_over_the_workspaces_own_config(
    command: Command, finished_copy: Path, toy_config: Callable[..., Config], tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").write_text(write_config(toy_config({"seed": 5})))
    assert command("candidates", tmp_path / "mine.yaml", "-w", finished_copy).code == 0
    assert read_config(finished_copy / "config.yaml").seed == 5


@pytest.mark.parametrize("name", ["run", "check"])
def test_a_dataset_in_place_of_a_workspace_says_where_it_goes(
    command: Command, toy_dataset_folder: Path, name: str
) -> None:
    message = command(name, toy_dataset_folder).one_error()
    assert message.startswith(f"{toy_dataset_folder}: a folder without config.yaml, so no workspace of a run")
    assert "--source" in message


def test_the_command_that_votes_are_measured_with_leaves_the_workspace_alone(
    command: Command, finished_copy: Path, toy_dataset: Dataset, tmp_path: Path
) -> None:
    Votes(finished_copy, toy_dataset, "").mark("magma", "volcano-0", 1)
    said = command("votes", finished_copy, "--to", tmp_path / "my votes").errors
    words = shlex.split(said.strip().partition("judged queries: ")[2])
    assert words[:2] == ["rankstill", "run"]
    assert Path(words[words.index("-w") + 1]) == tmp_path / "my votes-workspace"
    assert Path(words[words.index("--source") + 1]) == tmp_path / "my votes"
