"""Reading text files so that damage is found where it is: the file, the line, the byte."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from rankstill.data.faults import Faults
from rankstill.errors import DataError

_GZIP_MAGIC = b"\x1f\x8b"


def find_file(folder: Path, name: str) -> Path | None:
    """This file of the folder, plain or with .gz; None when it holds neither."""
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file, plain or gzip, numbered from 1 and with their ends; blank lines are passed over.

    The file is UTF-8, or UTF-16 as Windows writes it. Only a line feed ends a line: JSON may hold the other line ends
    of Unicode unescaped.

    Raises:
        DataError: the file cannot be read, is a truncated gzip file, or has lines in another encoding.
    """
    faults = Faults()
    for number, line in faults.each(enumerate(_raw_lines(path), start=1), partial(_decode, path)):
        if line.strip():
            yield number, line
    faults.stop()


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The JSON objects of a JSON Lines file, with their line numbers from 1.

    Lines that are broken are told of at the end of the file, when the others have been given.

    Raises:
        DataError: as `read_lines`, or lines are not JSON objects.
    """
    faults = Faults()
    yield from faults.each(read_lines(path), partial(_object_in, path))
    faults.stop()


def _object_in(path: Path, line: str, number: int) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        problem = f"{error.msg}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
        raise DataError(
            f"{path}, line {number}: broken JSON ({problem}). Each line must be one JSON object; fix or remove it."
        ) from error
    if not isinstance(record, dict):
        raise DataError(f"{path}, line {number}: expected a JSON object here, not {kind_of(record)}.")
    return record


def read_json(path: Path) -> Any:
    """The value that a JSON file, plain or gzip, holds.

    Raises:
        DataError: the file cannot be read, is a truncated gzip file, has another encoding or is not JSON.
    """
    faults = Faults()
    text = "".join(line for _, line in faults.each(enumerate(_raw_lines(path), start=1), partial(_decode, path)))
    faults.stop()
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
        wanted: what an entry is, for messages: "a question with its contexts".

    Raises:
        DataError: as `read_json` or `read_jsonl`, or it holds anything else.
    """
    if ".jsonl" in path.suffixes:
        yield from (record for _, record in read_jsonl(path))
        return
    entries = read_json(path)
    if not isinstance(entries, list):
        raise DataError(f"{path}: expected a list of questions, not {kind_of(entries)}.")
    faults = Faults()
    for number, entry in enumerate(entries, start=1):
        if isinstance(entry, dict):
            yield entry
        else:
            faults.add(number, f"{path}, entry {number}: expected {wanted}, not {kind_of(entry)}.")
    faults.stop()


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
        with gzip.open(path, "rb") if zipped else path.open("rb") as file:
            wide = _wide_encoding(file.peek(4)[:4])
            for line in io.TextIOWrapper(file, wide, newline="\n") if wide else file:
                done += 1
                yield line.encode() if isinstance(line, str) else line
    except UnicodeError as error:
        raise DataError(
            f"{path}: it begins as UTF-16 and is damaged after line {done} ({error}). Save it as UTF-8."
        ) from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"{path}: the gzip file is cut short or damaged after line {done}, perhaps by an interrupted download. "
            "Download it again."
        ) from error
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror or error}). Check the path and its permissions."
        ) from error


def _wide_encoding(start: bytes) -> str | None:
    """Which encoding of two or four bytes a character these first bytes show, if one."""
    if start in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE):
        return "utf-32"
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if start[:2] in (b"{\0", b"[\0"):  # JSON without a mark; elsewhere a zero byte may stand for itself
        return "utf-16-le"
    if start[:2] in (b"\0{", b"\0["):
        return "utf-16-be"
    return None


def _decode(path: Path, line: bytes, number: int) -> str:
    if number == 1:
        line = line.removeprefix(codecs.BOM_UTF8)
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}, line {number}: byte {error.start + 1} of the line (0x{line[error.start]:02x}) is not UTF-8. "
            f"Convert the file, for example: iconv -f latin1 -t utf-8 {path.name}"
        ) from error
