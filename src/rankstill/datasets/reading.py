"""Reading text files so that damage is found where it is: the file, the line, the byte."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rankstill.errors import DataError

_GZIP_MAGIC = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def find_file(folder: Path, *names: str) -> Path | None:
    """The first of these files, plain or with .gz, that the folder holds; None when it holds none."""
    for name in names:
        for path in (folder / name, folder / f"{name}.gz"):
            if path.is_file():
                return path
    return None


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 file, plain or gzip, numbered from 1 and with their ends; blank lines are passed over.

    Only a line feed ends a line: JSON may hold the other line ends of Unicode unescaped.

    Raises:
        DataError: the file cannot be read, is a truncated gzip file, or is not UTF-8.
    """
    for number, line in enumerate(_raw_lines(path), start=1):
        if number == 1:
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if line.strip():
            yield number, _decode(line, path, number)


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The JSON objects of a JSON Lines file, with their line numbers from 1.

    Raises:
        DataError: as `read_lines`, or a line is not a JSON object.
    """
    for number, line in read_lines(path):
        try:
            record = json.loads(line)
        except ValueError as error:
            problem = f"{error.msg}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
            raise DataError(
                f"{path}, line {number}: broken JSON ({problem}). Each line must be one JSON object; mend or remove it."
            ) from error
        if not isinstance(record, dict):
            raise DataError(f"{path}, line {number}: a JSON object is wanted here, not {kind_of(record)}.")
        yield number, record


def read_json(path: Path) -> Any:
    """The value that a JSON file, plain or gzip, holds.

    Raises:
        DataError: the file cannot be read, is a truncated gzip file, is not UTF-8 or not JSON.
    """
    text = "".join(
        _decode(line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line, path, number)
        for number, line in enumerate(_raw_lines(path), start=1)
    )
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}, line {error.lineno}: broken JSON ({error.msg}, column {error.colno}). "
            "If the file holds one JSON object a line, name it .jsonl."
        ) from error


def read_entries(path: Path, wanted: str) -> Iterator[dict[str, Any]]:
    """The JSON objects of a file, plain or gzip: a list of them, or one a line where the name says .jsonl.

    Args:
        path: of the file.
        wanted: what an entry is, for messages: "a question with its contexts".

    Raises:
        DataError: as `read_json` or `read_jsonl`, or it holds anything else.
    """
    if ".jsonl" in path.suffixes:
        yield from (record for _, record in read_jsonl(path))
        return
    entries = read_json(path)
    if not isinstance(entries, list):
        raise DataError(f"{path}: a list of questions is wanted, not {kind_of(entries)}.")
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, dict):
            raise DataError(f"{path}, entry {number}: {wanted} is wanted, not {kind_of(entry)}.")
        yield entry


def kind_of(value: object) -> str:
    """What a JSON value is, in words for a message."""
    if value is None:
        return "null"
    names = {bool: "true or false", int: "a number", float: "a number", str: "a string", list: "a list"}
    return names.get(type(value), "an object")


def _raw_lines(path: Path) -> Iterator[bytes]:
    done = 0
    try:
        with path.open("rb") as peek:
            # By its first bytes, not its name: a downloaded .gz is often unpacked on the way, or the reverse.
            zipped = peek.read(2) == _GZIP_MAGIC
        with gzip.open(path, "rb") if zipped else path.open("rb") as lines:
            for line in lines:
                done += 1
                yield line
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"{path}: the gzip file is cut short or damaged after line {done}, as by an interrupted download. "
            "Fetch it again."
        ) from error
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror or error}). Check the path and its rights."
        ) from error


def _decode(line: bytes, path: Path, number: int) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}, line {number}: byte {error.start + 1} of the line (0x{line[error.start]:02x}) is not UTF-8. "
            f"Convert the file, for example: iconv -f latin1 -t utf-8 {path.name}"
        ) from error
