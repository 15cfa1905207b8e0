"""Folders of models, put where all machines reach them, and got from there."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from rankstill.engine.parts import PartFolder


def put_folder(folder: Path, place: PartFolder) -> str:
    """Copy a folder's files to a place, unless all of it is there; returns its address, for `get_folder`.

    Args:
        folder: on this machine.
        place: for it alone: named after what the folder holds.
    """
    files, target = _place(place.url)
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

    Args:
        address: as `put_folder` gave it, a folder's path, or a model's name on the hub.
    """
    if "://" not in address:
        return address
    files, source = _place(address)
    here = Path(tempfile.mkdtemp(prefix="rankstill-model-"))
    for path in files.find(source):
        target = here / str(path).removeprefix(source).lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        files.get_file(path, str(target))
    return str(here)


def _place(url: str) -> tuple[Any, str]:
    import fsspec

    files, path = fsspec.core.url_to_fs(url)
    return files, str(path).rstrip("/")
