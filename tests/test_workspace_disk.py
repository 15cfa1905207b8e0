"""A disk that is full, limited or closed to the user ends in one line, and finished steps are kept."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from rankstill.errors import DataError, WorkspaceError
from rankstill.workspace import Workspace


def run_work(workspace: Workspace, text: str, calls: list[str] | None = None) -> None:
    """A step that puts `text` into out.txt and notes the call."""

    def make(folder: Path) -> None:
        if calls is not None:
            calls.append(text)
        (folder / "out.txt").write_text(text)

    workspace.step("work", make, outputs=("out.txt",), settings=text)


def steps_of(folder: Path) -> list[str]:
    return list(json.loads((folder / "manifest.json").read_text())["steps"])


def message(raised: pytest.ExceptionInfo[WorkspaceError]) -> str:
    """What the user reads; it must be one line."""
    text = str(raised.value)
    assert len(text.splitlines()) == 1
    return text


def test_a_manifest_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    with Workspace(tmp_path / "w") as workspace:
        run_work(workspace, "a")
        before = (tmp_path / "w" / "manifest.json").read_bytes()
        (tmp_path / "w" / "manifest.json.tmp").symlink_to("/dev/full")  # every write ends in ENOSPC
        with pytest.raises(WorkspaceError) as raised:
            run_work(workspace, "b")
        assert 'No space left on device in step "work"' in message(raised)
        assert (tmp_path / "w" / "manifest.json").read_bytes() == before
        assert workspace.path("out.txt").read_text() == "a"


@contextmanager
def without_root() -> Iterator[None]:
    """As a user whom rights bind; root may write anywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def readable_folder() -> Iterator[Path]:
    """A folder outside of pytest's own, which only its owner may enter."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def test_a_folder_without_the_right_to_write_is_refused(readable_folder: Path) -> None:
    readable_folder.chmod(0o555)
    for name in ("", "new"):
        with without_root(), pytest.raises(WorkspaceError) as raised:
            Workspace(readable_folder / name)
        assert "Permission denied" in message(raised)
    assert list(readable_folder.iterdir()) == []


def test_losing_the_right_to_write_while_at_work_is_one_line_and_keeps_finished_steps(readable_folder: Path) -> None:
    with Workspace(readable_folder) as workspace:
        run_work(workspace, "a")
        readable_folder.chmod(0o555)
        with without_root(), pytest.raises(WorkspaceError) as raised:
            run_work(workspace, "b")
        assert 'Permission denied in step "work"' in message(raised)
        with without_root(), pytest.raises(WorkspaceError) as raised:
            workspace.write("config.yaml", "seed: 1")
        assert "Permission denied writing config.yaml" in message(raised)
        assert steps_of(readable_folder) == ["work"]
        assert workspace.path("out.txt").read_text() == "a"


_TOO_MUCH = 2_000_000
"""Bytes: more than the small disk and the file limit below take."""


def _write_text(path: Path) -> None:
    path.write_text("x" * _TOO_MUCH)


def _write_numpy(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros(_TOO_MUCH // 8))


def _write_parquet(path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"a": np.random.default_rng(0).random(_TOO_MUCH // 8)}), path)


def _write_safetensors(path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(_TOO_MUCH // 8)}, path)


WRITERS = [_write_text, _write_numpy, _write_parquet, _write_safetensors]


@contextmanager
def small_disk(folder: Path) -> Iterator[Callable[[], object]]:
    """A real disk of one MiB; yields what makes room on it."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "tmpfs", str(folder), "-o"]
    if subprocess.run([*mount, "size=1m"], capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk")
    try:
        yield lambda: subprocess.run([*mount, "remount,size=16m"], check=True)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def small_files() -> Iterator[Callable[[], object]]:
    """No file may grow over one MiB, as by `ulimit -f`; yields what takes the limit away."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024 * 1024, limits[1]))
    try:
        yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@dataclass(frozen=True)
class Ending:
    """How a workspace fared whose disk filled up in its second step.

    Args:
        message: of the error.
        kept: steps that were finished then.
        rest: whether anything of the unfinished step lay among the outputs.
        calls: how often the first step worked, after the same command was run again with room.
        size: of the second step's output in the end, in bytes.
    """

    message: str
    kept: list[str]
    rest: bool
    calls: int
    size: int


def fill_the_disk_and_make_room(folder: Path, write: Callable[[Path], None], make_room: Callable[[], object]) -> Ending:
    calls: list[str] = []

    def run_both() -> None:
        with Workspace(folder) as workspace:
            run_work(workspace, "a", calls)
            workspace.step("big", lambda making: write(making / "big"), outputs=("big",), settings=1)

    with pytest.raises(WorkspaceError) as raised:
        run_both()
    kept, rest = steps_of(folder), (folder / "big").exists()
    make_room()
    run_both()
    return Ending(message(raised), kept, rest, len(calls), (folder / "big").stat().st_size)


@pytest.mark.parametrize("write", WRITERS)
def test_a_full_disk_is_one_line_and_keeps_finished_steps(tmp_path: Path, write: Callable[[Path], None]) -> None:
    with small_disk(tmp_path / "disk") as make_room:
        ended = fill_the_disk_and_make_room(tmp_path / "disk" / "w", write, make_room)
    assert 'No space left on device in step "big". Make room or choose another folder' in ended.message
    assert (ended.kept, ended.rest, ended.calls) == (["work"], False, 1)
    assert ended.size >= _TOO_MUCH


@pytest.mark.parametrize("write", WRITERS)
def test_a_file_over_the_systems_limit_is_one_line_and_keeps_finished_steps(
    tmp_path: Path, write: Callable[[Path], None]
) -> None:
    with small_files() as make_room:
        ended = fill_the_disk_and_make_room(tmp_path / "w", write, make_room)
    told = "No space left on device" if write is _write_numpy else "File too large"  # NumPy does not say which
    assert f'{told} in step "big". Make room or choose another folder' in ended.message
    assert (ended.kept, ended.rest, ended.calls) == (["work"], False, 1)
    assert ended.size >= _TOO_MUCH


def test_other_errors_of_a_step_are_not_taken_for_the_disks(tmp_path: Path) -> None:
    def miss(folder: Path) -> None:
        (folder / "not there").read_text()

    def mistake(folder: Path) -> None:
        raise DataError("model cache: No space left on device")

    with Workspace(tmp_path / "w") as workspace:
        with pytest.raises(FileNotFoundError):
            workspace.step("work", miss, outputs=("out.txt",), settings=1)
        with pytest.raises(DataError):
            workspace.step("work", mistake, outputs=("out.txt",), settings=1)
