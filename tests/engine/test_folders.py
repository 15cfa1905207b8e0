"""A worker's copies go with it, whichever way it goes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rankstill.engine import ShardFolder
from rankstill.engine.encoding import vector_table
from rankstill.engine.folders import ScratchFolder, get_folder

GET = """
import os, sys
from rankstill.engine.folders import get_folder
print(get_folder(sys.argv[1]), flush=True)
if sys.argv[2] == "killed":
    os.kill(os.getpid(), 9)
"""


@pytest.fixture
def model(tmp_path: Path) -> str:
    """The address of a folder of one file."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    return f"file://{tmp_path / 'model'}"


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this process and its children put temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def got_by_another(model: str, end: str) -> Path:
    """What another process got, once it has ended."""
    arguments = [sys.executable, "-c", GET, model, end]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return Path(subprocess.run(arguments, capture_output=True, text=True, env=environment).stdout.strip())


def test_a_copy_goes_when_its_process_ends(model: str, temporary: Path) -> None:
    assert got_by_another(model, "ended").is_relative_to(temporary)
    assert not list(temporary.iterdir())


def test_what_a_killed_process_left_goes_with_the_next_copy_and_no_other_does(model: str, temporary: Path) -> None:
    mine = Path(get_folder(model))
    (temporary / "rankstill-model-of-someone").mkdir()  # not ours, or not locked yet
    left = got_by_another(model, "killed")
    assert (left / "config.json").is_file()
    got_by_another(model, "ended")
    assert not left.exists()
    assert (mine / "config.json").is_file()
    assert (temporary / "rankstill-model-of-someone").is_dir()


def test_a_folder_can_go_before_its_process_does(temporary: Path) -> None:
    folder = ScratchFolder("first-stage")
    (folder.path / "vectors.npy").touch()
    folder.remove()
    folder.remove()
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("place", ["memory://bucket/rows", "{here}/shards"])
def test_rows_are_counted_without_reading_the_vectors(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    shards = ShardFolder(place.format(here=tmp_path))
    assert shards.rows() == 0
    draw = np.random.default_rng(0)
    shards.write_all(vector_table(draw.standard_normal((rows, 4))) for rows in (5, 2, 3))
    with monkeypatch.context() as patch:
        patch.setattr("pyarrow.parquet.read_table", None)
        assert shards.rows() == 10
    assert [len(shard) for shard in shards.tables()] == [5, 2, 3]
