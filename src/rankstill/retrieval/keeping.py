"""An index in a folder of its own: made once, whoever of several processes asks for it first."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path


def make_once(folder: Path, kept: Callable[[], bool], make: Callable[[Path], None]) -> None:
    """Make what a folder is to hold, unless it holds it. Of several processes one makes it, and the others wait.

    Args:
        folder: for it alone; what else lies there is replaced.
        make: writes it into another folder, which is renamed when it is whole.
    """
    if kept():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    place = folder.with_name(f".{folder.name}.lock")
    with place.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until the file is closed, or the process killed
        if kept():
            return
        unfinished = folder.with_name(f"unfinished-{folder.name}")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        make(unfinished)
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.replace(folder)
        place.unlink(missing_ok=True)  # whoever waits, or comes later and makes another lock, finds the folder kept
