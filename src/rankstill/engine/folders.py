"""Folders of models, put where all machines reach them, and got from there; and a worker's own folders."""

from __future__ import annotations

import atexit
import fcntl
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from rankstill.engine.shards import ShardFolder, reached

_LOCK = "lock"


def put_folder(folder: Path, place: ShardFolder) -> str:
    """Copy a folder's files to a place, unless all of it is there; returns its address, for `get_folder`."""
    files, target = reached(place.url)
    done = f"{target}.whole"
    if not files.exists(done):
        for path in sorted(each for each in folder.rglob("*") if each.is_file()):
            there = f"{target}/{path.relative_to(folder).as_posix()}"
            files.makedirs(there.rpartition("/")[0], exist_ok=True)
            files.put_file(str(path), there)
        files.pipe_file(done, b"")
    return place.url


def get_folder(address: str) -> str:
    """A folder of this machine with the files at an address; the address itself if it names no other place.

    What is copied goes when this process ends.

    Args:
        address: as `put_folder` gave it, a folder's path, or a model's name on the hub.
    """
    if "://" not in address:
        return address
    files, source = reached(address)
    here = ScratchFolder("model").path
    for path in files.find(source):
        target = here / str(path).removeprefix(source).lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        files.get_file(path, str(target))
    return str(here)


class ScratchFolder:
    """A folder for this process alone. It goes when the process ends; if that is killed, when another wants one too."""

    def __init__(self, name: str) -> None:
        for left in Path(tempfile.gettempdir()).glob(f"rankstill-{name}-*"):
            _remove_if_left(left)
        self._folder = Path(tempfile.mkdtemp(prefix=f"rankstill-{name}-"))
        self.path = self._folder / name
        self.path.mkdir()
        # Locked before it has its name, or another process could take it for one that a kill left behind.
        unlocked = self._folder / "unlocked"
        self._lock = unlocked.open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        unlocked.rename(self._folder / _LOCK)
        atexit.register(self.remove)

    def remove(self) -> None:
        """Remove it now; once more does nothing."""
        atexit.unregister(self.remove)
        shutil.rmtree(self._folder, ignore_errors=True)
        self._lock.close()


def _remove_if_left(folder: Path) -> None:
    """Remove a folder whose process is gone: its lock is free. A process's number would not tell, in a container."""
    with suppress(OSError), (folder / _LOCK).open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
