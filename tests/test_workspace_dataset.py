"""A workspace belongs to one dataset: another one's steps are never overwritten without a word."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rankstill.errors import WorkspaceError
from rankstill.workspace import DatasetIdentity, Workspace

OURS = DatasetIdentity("news", "/data/news", "aaaa")
ANOTHER = DatasetIdentity("laws", "/data/laws", "bbbb")


def make_step(workspace: Workspace, text: str) -> str:
    def make(folder: Path) -> None:
        (folder / "out.txt").write_text(text)

    return workspace.step("work", make, outputs=("out.txt",), settings=text)


@pytest.fixture
def held(tmp_path: Path) -> Path:
    """A workspace with one step of dataset news."""
    with Workspace(tmp_path / "w") as workspace:
        workspace.hold(OURS)
        make_step(workspace, "news")
    return tmp_path / "w"


def test_finished_steps_of_another_dataset_are_refused_in_one_line_and_stay(held: Path) -> None:
    before = (held / "manifest.json").read_bytes()
    with Workspace(held) as workspace, pytest.raises(WorkspaceError) as raised:
        workspace.hold(ANOTHER)
    said = str(raised.value)
    assert len(said.splitlines()) == 1
    for part in (str(held), "work", "news (/data/news)", "laws (/data/laws)", "-w", "--replace"):
        assert part in said
    assert (held / "out.txt").read_text() == "news"
    assert (held / "manifest.json").read_bytes() == before


def test_replacing_deletes_the_other_datasets_steps_only_when_the_first_new_step_is_made(
    held: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with Workspace(held) as workspace:
        workspace.hold(ANOTHER, replace=True)
    assert (held / "out.txt").read_text() == "news"  # what goes wrong before the first step loses nothing
    with Workspace(held) as workspace, pytest.raises(WorkspaceError):
        workspace.hold(ANOTHER)
    with Workspace(held) as workspace:
        workspace.hold(ANOTHER, replace=True)
        assert workspace.records() == {}
        make_step(workspace, "laws")
    assert "work of dataset news" in capfd.readouterr().err
    assert (held / "out.txt").read_text() == "laws"
    with Workspace(held) as workspace:
        workspace.hold(ANOTHER)  # it is theirs by now
        with pytest.raises(WorkspaceError):
            workspace.hold(OURS)


def test_outputs_that_no_new_step_makes_go_as_well(held: Path) -> None:
    with Workspace(held) as workspace:
        workspace.hold(ANOTHER, replace=True)
        workspace.step("other", lambda folder: (folder / "b").mkdir(), outputs=("b",), settings=1)
        assert list(workspace.records()) == ["other"]
    assert not (held / "out.txt").exists()


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (replace(OURS, source="/moved/news"), ""),
        (replace(OURS, name="renamed", source="/moved/renamed"), ""),
        (replace(OURS, fingerprint="cccc"), "news (/data/news) has changed"),
    ],
)
def test_the_same_dataset_moved_or_changed_in_its_place_goes_on(
    held: Path, now: DatasetIdentity, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with Workspace(held) as workspace:
        workspace.hold(now)
        assert list(workspace.records()) == ["work"]
    told = capfd.readouterr().err
    assert said in told
    assert bool(told) == bool(said)
    with Workspace(held) as workspace:  # from now on it is known by that name and content
        workspace.hold(now)
    assert capfd.readouterr().err == ""


def test_a_sample_is_another_dataset_than_the_whole(held: Path) -> None:
    with Workspace(held) as workspace, pytest.raises(WorkspaceError, match="news \\(sample\\)"):
        workspace.hold(replace(OURS, name="news (sample)", fingerprint="cccc"))


@pytest.mark.parametrize(
    "forget", [lambda manifest: manifest.pop("dataset"), lambda manifest: manifest["steps"].clear()]
)
def test_a_workspace_without_steps_or_from_before_datasets_were_recorded_is_taken(
    held: Path, forget: Callable[[dict[str, object]], object]
) -> None:
    manifest = json.loads((held / "manifest.json").read_text())
    forget(manifest)
    (held / "manifest.json").write_text(json.dumps(manifest))
    with Workspace(held) as workspace:
        workspace.hold(ANOTHER)
        make_step(workspace, "laws")
    with Workspace(held) as workspace, pytest.raises(WorkspaceError):
        workspace.hold(OURS)
