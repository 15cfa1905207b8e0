"""BEIR folders: corpus.jsonl, queries.jsonl and qrels/<split>.tsv or .csv, each plain or .gz (Thakur et al. 2021)."""

from __future__ import annotations

import csv
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rankstill.config import DatasetConfig
from rankstill.data.corpus import Corpus
from rankstill.data.dataset import Qrels, Query
from rankstill.data.faults import Faults
from rankstill.data.fields import JUDGEMENT_NAMES, RecordSource, composed, is_grade, named
from rankstill.data.reading import find_file, read_jsonl, read_lines
from rankstill.data.records import RawDataset, gather_passages, gather_qrels, gather_queries, tally
from rankstill.errors import DataError

_QRELS_SUFFIXES = (".tsv", ".csv", ".qrels", ".txt")


def read_beir(folder: Path, config: DatasetConfig) -> RawDataset:
    """Reads a BEIR folder.

    `splits/<split>.txt`, where it exists, names the queries of the training split one a line; it is needed only where
    they are not just those that the qrels of that split name, as when nothing of them is judged.

    Args:
        folder: holds corpus.jsonl and queries.jsonl, and qrels/ if there are judgements; each may be .gz.

    Raises:
        DataError: a file is missing, damaged, or holds what cannot be used.
    """
    corpus_path = _wanted(folder, "corpus.jsonl")
    # A corpus alone is enough to have queries written for it; judgements without their queries are a mistake.
    queries_path = (
        _wanted(folder, "queries.jsonl") if (folder / "qrels").is_dir() else find_file(folder, "queries.jsonl")
    )
    merge = config.merge_duplicates
    corpus, corpus_notes = gather_passages(read_jsonl(corpus_path), RecordSource(str(corpus_path)), merge)
    queries: dict[str, Query] = {}
    query_notes: tuple[str, ...] = (f"{folder}: there are no queries.",)
    if queries_path is not None:
        queries, query_notes = gather_queries(read_jsonl(queries_path), RecordSource(str(queries_path)), merge)
    train, train_notes = _read_split(folder, config.train_split, queries, corpus)
    listed, list_notes = _read_list(folder, config.train_split, queries)
    test, test_notes = _read_split(folder, config.test_split, queries, corpus)
    if listed is not None:
        train = {query_id: (train or {}).get(query_id, {}) for query_id in listed}
    notes = [*_both_forms(folder), *corpus_notes, *query_notes, *train_notes, *list_notes, *test_notes]
    if train is None and config.train_split is not None:
        notes.append(
            f"{folder}: no qrels for the training split {config.train_split!r} ({_splits(folder)}); "
            "every query that is not a test query may teach."
        )
    if test is None:
        wanted = "no test split is named" if config.test_split is None else f"no qrels for {config.test_split!r}"
        notes.append(f"{folder}: {wanted} ({_splits(folder)}); there are no judgements to measure by.")
    return RawDataset(folder.resolve().name, corpus, queries, train, test, tuple(notes))


def _wanted(folder: Path, name: str) -> Path:
    path = find_file(folder, name)
    if path is None:
        raise DataError(
            f"{folder}: neither {name} nor {name}.gz is there. A BEIR folder holds both corpus and queries."
        )
    return path


def _both_forms(folder: Path) -> tuple[str, ...]:
    return tuple(
        f"{folder}: {name} and {name}.gz are both there; {name} was read."
        for name in ("corpus.jsonl", "queries.jsonl")
        if (folder / name).is_file() and (folder / f"{name}.gz").is_file()
    )


def _read_split(
    folder: Path, split: str | None, queries: Container[str], corpus: Corpus
) -> tuple[Qrels | None, tuple[str, ...]]:
    found = [find_file(folder / "qrels", split + suffix) for suffix in _QRELS_SUFFIXES] if split else []
    paths = [path for path in found if path is not None]
    if not paths:
        return None, ()
    names = " and ".join(path.name for path in paths)
    several = (f"{folder / 'qrels'}: {names} are there; {paths[0].name} was read.",) if len(paths) > 1 else ()
    qrels, notes = gather_qrels(read_qrels(paths[0], queries, corpus), RecordSource(str(paths[0])), queries, corpus)
    return qrels, (*several, *notes)


def _read_list(
    folder: Path, split: str | None, queries: Container[str]
) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    path = find_file(folder / "splits", f"{split}.txt") if split else None
    if path is None:
        return None, ()
    names = {composed(line.strip()): number for number, line in read_lines(path) if not is_comment(line, queries)}
    unknown = tally(f"{query_id} (line {number})" for query_id, number in names.items() if query_id not in queries)
    known = tuple(query_id for query_id in names if query_id in queries)
    return known, unknown.note(f"{path}: {{n}} unknown queries were left out")


def _splits(folder: Path) -> str:
    names = {path.name.split(".")[0] for path in (folder / "qrels").glob("*") if path.is_file()}
    return f"there are: {', '.join(sorted(names))}" if names else f"{folder / 'qrels'} has no files"


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
                number, f"{path}, line {number}: {len(cells)} columns but the first line has {layout.width}. Fix it."
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
            f"{path}, line {number}: {len(cells)} columns. Expected are 3 (query, passage, grade) or TREC's 4 (query, "
            "0, passage, grade), with white space or commas between, or a heading: query-id, corpus-id, score."
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
