"""A workspace keeps finished steps through changes, crashes, kills and full disks."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankstill.errors import WorkspaceError
from rankstill.workspace import FORMAT, StepRecord, Workspace, write_atomically

Make = Callable[[Path], Sequence[str] | None]


def writing(text: str, calls: list[str] | None = None) -> Make:
    """A step's work: put `text` into out.txt, and note the call."""

    def make(folder: Path) -> None:
        if calls is not None:
            calls.append(text)
        (folder / "out.txt").write_text(text)

    return make


def run_step(workspace: Workspace, make: Make, settings: Any = 1, inputs: Sequence[str] = ()) -> str:
    return workspace.step("work", make, outputs=("out.txt",), settings=settings, inputs=inputs)


def recorded(workspace: Workspace, step: str) -> StepRecord:
    record = workspace.record(step)
    assert record is not None
    return record


def manifest_of(folder: Path) -> Any:
    return json.loads((folder / "manifest.json").read_text())


def message(raised: pytest.ExceptionInfo[WorkspaceError]) -> str:
    """What the user reads; it must be one line."""
    text = str(raised.value)
    assert len(text.splitlines()) == 1
    return text


def test_a_finished_step_is_not_repeated_even_by_a_later_process(tmp_path: Path) -> None:
    calls: list[str] = []
    fingerprints = set()
    for _ in range(3):
        with Workspace(tmp_path / "w") as workspace:
            fingerprints |= {run_step(workspace, writing("a", calls)) for _ in range(2)}
    assert calls == ["a"]
    assert len(fingerprints) == 1


@pytest.mark.parametrize("changed", [{"settings": 2}, {"inputs": ["another"]}])
def test_changed_settings_or_inputs_repeat_a_step(tmp_path: Path, changed: dict[str, Any]) -> None:
    calls: list[str] = []
    with Workspace(tmp_path / "w") as workspace:
        before = run_step(workspace, writing("a", calls))
        after = run_step(workspace, writing("b", calls), **changed)
        assert workspace.path("out.txt").read_text() == "b"
    assert calls == ["a", "b"]
    assert before != after


def test_outputs_deleted_by_hand_are_made_again(tmp_path: Path) -> None:
    calls: list[str] = []
    with Workspace(tmp_path / "w") as workspace:
        run_step(workspace, writing("a", calls))
        workspace.path("out.txt").unlink()
        run_step(workspace, writing("a", calls))
        assert workspace.path("out.txt").read_text() == "a"
    assert calls == ["a", "a"]


def test_what_a_step_found_and_cost_is_recorded(tmp_path: Path) -> None:
    def make(folder: Path) -> list[str]:
        (folder / "out.txt").write_text("a")
        time.sleep(0.3)
        return ["3 queries were left out"]

    with Workspace(tmp_path / "w") as workspace:
        run_step(workspace, make)
    with Workspace(tmp_path / "w") as workspace:
        record = recorded(workspace, "work")
    assert record.notes == ("3 queries were left out",)
    assert record.outputs == ("out.txt",)
    assert record.versions["numpy"] == np.__version__
    assert 0.3 <= record.seconds < 60
    assert record.peak_memory_mb > 5  # MiB, not bytes or pages: a Python process holds more than five
    assert record.peak_memory_mb < 100_000


def test_a_crash_leaves_the_earlier_output_and_manifest_as_they_were(tmp_path: Path) -> None:
    def crash(folder: Path) -> None:
        (folder / "out.txt").write_text("half")
        raise ZeroDivisionError

    with Workspace(tmp_path / "w") as workspace:
        run_step(workspace, writing("a"))
        before = (tmp_path / "w" / "manifest.json").read_bytes()
        with pytest.raises(ZeroDivisionError):
            run_step(workspace, crash, settings=2)
        assert workspace.path("out.txt").read_text() == "a"
        assert (tmp_path / "w" / "manifest.json").read_bytes() == before
    with Workspace(tmp_path / "w") as workspace:
        calls: list[str] = []
        run_step(workspace, writing("a", calls))
        assert calls == []


def test_a_commit_that_stops_half_way_claims_nothing(tmp_path: Path) -> None:
    def make(folder: Path, names: Sequence[str], text: str) -> None:
        for name in names:
            (folder / name).write_text(text)

    def run(workspace: Workspace, names: Sequence[str], text: str) -> None:
        workspace.step("work", lambda folder: make(folder, names, text), outputs=("a", "b"), settings=text)

    with Workspace(tmp_path / "w") as workspace:
        run(workspace, ("a", "b"), "old")
        with pytest.raises(FileNotFoundError):  # after "a" was replaced
            run(workspace, ("a",), "new")
    for text in ("new", "old"):
        copy = shutil.copytree(tmp_path / "w", tmp_path / text)
        with Workspace(copy) as workspace:
            assert workspace.record("work") is None
            run(workspace, ("a", "b"), text)
            assert [workspace.path(name).read_text() for name in ("a", "b")] == [text, text]


def test_a_step_that_crashed_goes_on_from_what_it_had_written(tmp_path: Path) -> None:
    found: list[bool] = []

    def make(folder: Path) -> None:
        found.append((folder / "part").exists())
        (folder / "part").touch()
        if len(found) == 1:
            raise ZeroDivisionError
        (folder / "out.txt").touch()

    with Workspace(tmp_path / "w") as workspace, suppress(ZeroDivisionError):
        run_step(workspace, make)
    with Workspace(tmp_path / "w") as workspace:
        run_step(workspace, make)
    assert found == [False, True]


def test_what_an_attempt_with_other_settings_wrote_is_not_gone_on_from(tmp_path: Path) -> None:
    def crash(folder: Path) -> None:
        (folder / "part").touch()
        raise ZeroDivisionError

    def make(folder: Path) -> None:
        assert not (folder / "part").exists()
        (folder / "out.txt").touch()

    with Workspace(tmp_path / "w") as workspace:
        with suppress(ZeroDivisionError):
            run_step(workspace, crash)
        run_step(workspace, make, settings=2)
        assert list((tmp_path / "w" / ".making").iterdir()) == []


def test_a_kill_between_record_and_tidying_leaves_nothing_behind_for_good(tmp_path: Path) -> None:
    with Workspace(tmp_path / "w") as workspace:
        fingerprint = run_step(workspace, writing("a"))
        leftover = tmp_path / "w" / ".making" / f"work-{fingerprint}"
        leftover.mkdir(parents=True)
        run_step(workspace, writing("a"))
        assert not leftover.exists()


def test_a_step_replaces_folders_and_whatever_else_lies_in_the_place_of_its_outputs(tmp_path: Path) -> None:
    def make_folder(folder: Path) -> None:
        (folder / "out").mkdir()
        (folder / "out" / "new").touch()

    with Workspace(tmp_path / "w") as workspace:
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / "kept").touch()
        for number, in_the_way in enumerate(("file", "folder", "link")):
            if in_the_way == "file":
                workspace.path("out").touch()
            elif in_the_way == "link":
                shutil.rmtree(workspace.path("out"))
                workspace.path("out").symlink_to(elsewhere)
            workspace.step("work", make_folder, outputs=("out",), settings=number)
            assert [each.name for each in workspace.path("out").iterdir()] == ["new"]
        assert (elsewhere / "kept").exists()


def test_the_manifest_is_whole_at_every_moment(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    texts = [json.dumps({"steps": [number] * 20_000}) for number in range(2)]
    write_atomically(path, texts[0])
    seen: set[str] = set()
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            seen.add(path.read_text())

    watcher = threading.Thread(target=watch)
    watcher.start()
    for number in range(200):
        write_atomically(path, texts[number % 2])
    stop.set()
    watcher.join()
    assert seen <= set(texts)
    assert seen


def test_a_workspace_of_another_format_is_refused_and_left_alone(tmp_path: Path) -> None:
    with Workspace(tmp_path / "w") as workspace:
        run_step(workspace, writing("a"))
    manifest = {**manifest_of(tmp_path / "w"), "format": FORMAT + 1}
    (tmp_path / "w" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(WorkspaceError) as raised:
        Workspace(tmp_path / "w")
    told = message(raised)
    assert f"format {FORMAT + 1}, but this version of rankstill writes format {FORMAT}" in told
    assert "Name another workspace" in told
    assert manifest_of(tmp_path / "w") == manifest
    assert (tmp_path / "w" / "out.txt").read_text() == "a"


BROKEN = {
    "cut short": b'{"format": 3, "steps": {"wo',
    "empty": b"",
    "not UTF-8": b'{"format": "\xe9"}',
    "a list": b"[1, 2]",
    "no steps": b'{"format": 3}',
    "steps as a list": b'{"format": 3, "steps": ["work"]}',
    "a step that is a number": b'{"format": 3, "steps": {"work": 5}}',
    "a step without its fields": b'{"format": 3, "steps": {"work": {"outputs": []}}}',
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_manifest_is_refused_and_moving_it_away_starts_anew(tmp_path: Path, content: bytes) -> None:
    with Workspace(tmp_path / "w") as workspace:
        run_step(workspace, writing("a"))
    manifest = tmp_path / "w" / "manifest.json"
    manifest.write_bytes(content)
    with pytest.raises(WorkspaceError) as raised:
        Workspace(tmp_path / "w")
    assert f"{manifest}: not readable as a workspace's manifest" in message(raised)
    assert "Move it away" in message(raised)
    assert manifest.read_bytes() == content
    manifest.rename(tmp_path / "aside.json")  # as the message says
    with Workspace(tmp_path / "w") as workspace:
        assert workspace.records() == {}


def test_a_file_in_the_place_of_the_workspace_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w").write_text("mine")
    with pytest.raises(WorkspaceError) as raised:
        Workspace(tmp_path / "w")
    assert f"{tmp_path / 'w'}: a file, not a folder" in message(raised)
    assert (tmp_path / "w").read_text() == "mine"


def test_a_file_in_the_place_of_a_parent_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WorkspaceError) as raised:
        Workspace(tmp_path / "file" / "w")
    assert "Not a directory" in message(raised)


def test_a_folder_with_files_of_the_users_own_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("mine")
    with pytest.raises(WorkspaceError) as raised:
        Workspace(tmp_path)
    assert "holds files, but is no workspace" in message(raised)
    assert [each.name for each in tmp_path.iterdir()] == ["config.yaml"]


def test_a_workspace_copied_without_its_hidden_files_is_still_one(tmp_path: Path) -> None:
    with Workspace(tmp_path / "w") as workspace:
        run_step(workspace, writing("a"))
    (tmp_path / "copy").mkdir()
    for name in ("manifest.json", "out.txt"):
        shutil.copy(tmp_path / "w" / name, tmp_path / "copy" / name)
    calls: list[str] = []
    with Workspace(tmp_path / "copy") as workspace:
        run_step(workspace, writing("a", calls))
    assert calls == []


_HOLD = """
import sys
from rankstill.workspace import Workspace
workspace = Workspace(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held_by_another_process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_workspace_in_use_by_another_process_is_refused_until_that_is_killed(tmp_path: Path) -> None:
    with held_by_another_process(tmp_path / "w") as process:
        with pytest.raises(WorkspaceError) as raised:
            Workspace(tmp_path / "w")
        assert f"{tmp_path / 'w'}: another rankstill process is using this workspace" in message(raised)
        process.kill()
        process.wait()
        Workspace(tmp_path / "w").close()


Move = tuple[str, int, int]
"""run, crash in the first or second step, or lose one's output; with the settings of both steps."""


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["run", "crash first", "crash second", "lose first", "lose second"]),
            st.integers(0, 1),
            st.integers(0, 1),
        ),
        max_size=6,
    ),
    st.integers(0, 1),
    st.integers(0, 1),
)
def test_whatever_happened_before_a_finished_chain_holds_what_a_fresh_one_would(
    moves: list[Move], first: int, second: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for move in (*moves, ("run", first, second)):
            with Workspace(folder) as workspace, suppress(ZeroDivisionError):
                _make_move(workspace, move)
        assert (Path(folder) / "first").read_text() == f"{first}"
        assert (Path(folder) / "second").read_text() == f"{first} then {second}"
        calls: list[str] = []
        with Workspace(folder) as workspace:
            _make_move(workspace, ("run", first, second), calls)
        assert calls == []


def _make_move(workspace: Workspace, move: Move, calls: list[str] | None = None) -> None:
    what, first, second = move
    if what.startswith("lose"):
        workspace.path(what.removeprefix("lose ")).unlink(missing_ok=True)
        return

    def make(name: str, text: Callable[[], str]) -> Make:
        def work(folder: Path) -> None:
            if calls is not None:
                calls.append(name)
            (folder / name).write_text(text())
            if what == f"crash {name}":
                raise ZeroDivisionError

        return work

    made = workspace.step("first", make("first", lambda: f"{first}"), outputs=("first",), settings=first)
    workspace.step(
        "second",
        make("second", lambda: f"{workspace.path('first').read_text()} then {second}"),
        outputs=("second",),
        settings=second,
        inputs=[made],
    )
