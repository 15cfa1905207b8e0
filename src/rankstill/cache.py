"""Passages' vectors that every workspace of the same corpus may take: encoding is most of a run's time."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rankstill.progress import note

_UNFINISHED = ".unfinished-"


@dataclass(frozen=True)
class Entry:
    """What one step of some workspace made.

    Args:
        name: The step, with a digest of what it was made from.
        size: Its bytes on disk.
        used: When it was made or last taken, in seconds since 1970.
    """

    name: str
    size: int
    used: float


@dataclass(frozen=True)
class Cache:
    """A folder of steps' outputs by what they were made from. Files are hard links of a workspace's where that works.

    Args:
        limit: The most bytes of all entries. What was not used for longest is deleted first.
    """

    folder: Path
    limit: int

    def take(self, name: str, target: Path) -> bool:
        """Put an entry's files into a folder, in place of any of the same names.

        Returns:
            Whether there is such an entry; if not, nothing is changed.
        """
        held = self.folder / name
        with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=target, ignore_cleanup_errors=True) as scratch:
            try:
                os.utime(held)
                shutil.copytree(held, scratch, copy_function=_link_or_copy, dirs_exist_ok=True)
            except OSError:  # there is none; or another process makes room, and the step is made as if there were none
                return False
            for each in Path(scratch).iterdir():  # whole: what is left of a kill may be written to, a link must not
                shutil.rmtree(target / each.name, ignore_errors=True)
                each.replace(target / each.name)
        return True

    def keep(self, name: str, folder: Path, outputs: Sequence[str]) -> None:
        """Add an entry, and make room for it. A disk that does not take it is a note, and no error.

        Args:
            outputs: The names of these outputs, which are folders too.
        """
        if sum(_size(folder / output) for output in outputs) > self.limit:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            unfinished = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self.folder))
            for output in outputs:
                shutil.copytree(folder / output, unfinished / output, copy_function=_link_or_copy)
            with suppress(OSError):  # another process was faster
                unfinished.replace(self.folder / name)
            shutil.rmtree(unfinished, ignore_errors=True)
            self._make_room()
        except OSError as error:
            note(f"{self.folder}: vectors are not kept for other workspaces ({error.strerror})")

    def entries(self) -> list[Entry]:
        """What it holds, the last used first."""
        if not self.folder.is_dir():
            return []
        held = [each for each in self.folder.iterdir() if not each.name.startswith(_UNFINISHED)]
        found = [Entry(each.name, _size(each), each.stat().st_mtime) for each in held]
        return sorted(found, key=lambda entry: -entry.used)

    def clear(self) -> int:
        """Delete everything; returns how many bytes that was. What workspaces took stays theirs."""
        freed = sum(entry.size for entry in self.entries())
        shutil.rmtree(self.folder, ignore_errors=True)
        return freed

    def _make_room(self) -> None:
        total = 0
        for entry in self.entries():
            total += entry.size
            if total > self.limit:
                shutil.rmtree(self.folder / entry.name, ignore_errors=True)


def cache_of_all(limit: float) -> Cache | None:
    """The one cache of all workspaces: in $RANKSTILL_CACHE, or rankstill/ in the user's cache folder (XDG).

    Args:
        limit: The most that it may hold, in GB.

    Returns:
        None where $RANKSTILL_CACHE is set to nothing, or the limit is 0.
    """
    chosen = os.environ.get("RANKSTILL_CACHE")
    if chosen == "" or not limit:
        return None
    return Cache(Path(chosen).expanduser() if chosen else _user_folder(), int(limit * 1e9))


def _user_folder() -> Path:
    data = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(data) if Path(data).is_absolute() else Path.home() / ".cache") / "rankstill"


def _size(folder: Path) -> int:
    return sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one that has no links
        shutil.copy2(source, target)
