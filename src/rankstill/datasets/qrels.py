"""Qrels as text: columns in BEIR's order or TREC's, or named by a heading; white space or commas between."""

from __future__ import annotations

import csv
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rankstill.datasets.faults import Faults
from rankstill.datasets.fields import JUDGEMENT_NAMES, composed, is_grade, named
from rankstill.datasets.reading import read_lines
from rankstill.errors import DataError


@dataclass(frozen=True)
class _Layout:
    """How the lines of a qrels file are laid out.

    Args:
        separator: between columns; None for white space.
        columns: where each of BEIR's fields stands.
    """

    separator: str | None
    width: int
    columns: Mapping[str, int]
    has_heading: bool


def read_qrels(
    path: Path, queries: Container[str] = (), corpus: Container[str] = ()
) -> Iterator[tuple[int, Mapping[str, str]]]:
    """The judgements of a qrels file, numbered by line.

    A first line that names its columns is passed over, and so are lines that begin with # and are no judgement.

    Args:
        queries: the ids of the queries that exist; no heading and no comment begins with one.
        corpus: the ids of the passages that exist; likewise.

    Raises:
        DataError: the file cannot be read, or lines have another number of columns than the first.
    """
    layout: _Layout | None = None
    faults = Faults()
    for number, line in faults.each(read_lines(path), lambda line, _: line):
        if is_comment(line, queries):
            continue
        if layout is None:
            layout = _layout_of(line, path, number, queries, corpus)
            if layout.has_heading:
                continue
        cells = _cells(line, layout.separator)
        if len(cells) == layout.width:
            yield number, {field: cells[column] for field, column in layout.columns.items()}
        else:
            faults.add(
                number, f"{path}, line {number}: {len(cells)} columns where the first line has {layout.width}. Mend it."
            )
    faults.stop()


def is_comment(line: str, queries: Container[str]) -> bool:
    """Whether a line begins with # and not with the id of a query."""
    return line.startswith("#") and composed(line.split()[0]) not in queries


def _layout_of(line: str, path: Path, number: int, queries: Container[str], corpus: Container[str]) -> _Layout:
    is_csv = path.name.removesuffix(".gz").endswith(".csv")
    separator = next((mark for mark in ",;" if _separates(mark, line, is_csv)), None)
    cells = _cells(line, separator)
    by_name = named(cells, JUDGEMENT_NAMES)
    if len(by_name) == len(JUDGEMENT_NAMES):
        return _Layout(separator, len(cells), {field: cells.index(name) for field, name in by_name.items()}, True)
    if len(cells) not in (3, 4):
        raise DataError(
            f"{path}, line {number}: {len(cells)} columns. Wanted are 3 (query, passage, grade) or TREC's 4 "
            "(query, 0, passage, grade), with white space or commas between, or a heading: query-id, corpus-id, score."
        )
    query, passage, grade = cells[0], cells[-2], cells[-1]
    # Whatever its language: a heading has no grade, and its words are no ids.
    is_judgement = is_grade(grade) or composed(query) in queries or composed(passage) in corpus
    width = len(cells)
    return _Layout(separator, width, {"query-id": 0, "corpus-id": width - 2, "score": width - 1}, not is_judgement)


def _separates(mark: str, line: str, is_csv: bool) -> bool:
    cells = _cells(line, mark)
    return len(cells) > 2 and (is_csv or not ("\t" in line or any(cell.split()[1:] for cell in cells)))


def _cells(line: str, separator: str | None) -> list[str]:
    if separator is None:
        return line.split()
    return [
        cell.strip() for cell in next(csv.reader([line.rstrip("\r\n")], delimiter=separator, skipinitialspace=True))
    ]
