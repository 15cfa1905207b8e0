"""Full and closed disks, told as errors of the user's."""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rankstill.errors import RankstillError, WorkspaceError

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DISK_CLOSED = (errno.EROFS, errno.EACCES, errno.EPERM)
_NUMPY_CUT_SHORT = re.compile(r"\d+ requested and \d+ written")


def _disk_trouble(error: Exception) -> str | None:
    """What is wrong with the disk, in the system's words; None if the error is about something else.

    Only Python's own errors carry a number: safetensors quotes the system's message, and NumPy counts what it wrote.
    """
    number = getattr(error, "errno", None)
    if number in (*_DISK_FULL, *_DISK_CLOSED):
        return os.strerror(number)
    if _NUMPY_CUT_SHORT.fullmatch(str(error)):
        return os.strerror(errno.ENOSPC)
    return next((told for told in map(os.strerror, _DISK_FULL) if told in str(error)), None)


@contextmanager
def disk_errors(folder: Path, when: str) -> Iterator[None]:
    """What a full or closed disk stops, told as an error of the user's.

    Args:
        when: it is, for the message: "writing the report".

    Raises:
        WorkspaceError: the disk is full or cannot be written.
    """

    def told(error: Exception, trouble: str | None) -> str | None:
        where = getattr(error, "filename", None) or folder
        return trouble and (
            f"{where}: {trouble} {when}. Make room or choose another folder, then run the same command again: "
            "finished steps are kept."
        )

    with _told_as(told):
        yield


@contextmanager
def temporary_files(when: str) -> Iterator[None]:
    """What a full or closed folder of temporary files stops, told as an error of the user's.

    Args:
        when: it is, for the message: "loading the dataset".

    Raises:
        WorkspaceError: that folder is full, cannot be written, or there is none.
    """

    def told(error: Exception, trouble: str | None) -> str | None:
        if trouble is None and "No usable temporary directory" not in str(error):
            return None
        where = tempfile.tempdir or os.environ.get("TMPDIR", "TMPDIR")
        return (
            f"{where}: {trouble or 'no temporary file can be written'} {when}. Make room there, or set TMPDIR to a "
            "folder with more room."
        )

    with _told_as(told):
        yield


@contextmanager
def _told_as(told: Callable[[Exception, str | None], str | None]) -> Iterator[None]:
    """Errors as `WorkspaceError`s with this message; those without one, and our own, as they are."""
    try:
        yield
    except RankstillError:
        raise
    except Exception as error:
        message = told(error, _disk_trouble(error))
        if not message:
            raise
        raise WorkspaceError(message) from error
