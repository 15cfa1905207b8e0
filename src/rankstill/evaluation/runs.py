"""Runs and qrels as TREC files, so that any outside tool (trec_eval, ir_measures, ranx) reads what we measured."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from rankstill.data.dataset import Qrels
from rankstill.errors import DataError
from rankstill.workspace import write_atomically

Run = dict[str, dict[str, float]]
"""What a system found: query id -> passage id -> score, higher is better. Ranks follow from scores (`rank_order`)."""


def rank_order(scores: Mapping[str, float]) -> list[str]:
    """One query's passages, best first, in exactly the order in which trec_eval ranks them.

    trec_eval keeps scores in single precision and breaks ties by passage id, last id first (form_res_rels.c), so two
    scores that differ only beyond the seventh digit are a tie to it.

    Args:
        scores: passage id -> score of one query; no NaN.

    Returns:
        The passage ids, best first.
    """
    with np.errstate(over="ignore"):  # scores beyond single precision become infinite, as they do in trec_eval
        single = np.array(list(scores.values()), dtype=np.float64).astype(np.float32).tolist()
    ranked = sorted(zip(single, scores, strict=True), key=lambda pair: (pair[0], pair[1]), reverse=True)
    return [passage_id for _, passage_id in ranked]


def descending(passage_ids: Iterable[str]) -> dict[str, float]:
    """One query's part of a run, from an order alone: passage id -> score.

    Args:
        passage_ids: best first.
    """
    return {passage_id: -float(rank) for rank, passage_id in enumerate(passage_ids)}


def break_ties(passage_ids: Iterable[str], scores: Iterable[float]) -> dict[str, float]:
    """One query's part of a run whose order holds wherever it is read, ties and all.

    A run has no order but that of its scores, and trec_eval breaks ties by the passages' ids (`rank_order`), which say
    nothing of relevance. So a score that is not below the one before becomes the next lower number in single precision.

    Args:
        passage_ids: best first, ties in corpus order.

    Returns:
        passage id -> score, falling in single precision from each passage to the next.
    """
    found: dict[str, float] = {}
    before = np.float32(np.nan)
    for passage_id, score in zip(passage_ids, scores, strict=True):
        single = np.float32(score)
        found[passage_id] = float(score)
        if single >= before:
            single = np.nextafter(before, np.float32(-np.inf))
            found[passage_id] = float(single)
        before = single
    return found


def write_run(run: Run, path: Path, tag: str) -> None:
    """Write a run in TREC format: `query Q0 passage rank score tag`, ranks from 1, each query's passages best first.

    Scores are written so that reading them gives the same floats. The file appears whole or not at all. A query
    without passages has no line, so it is absent when read back; measures count it as 0 either way.

    Args:
        path: the file to write; missing folders are made, an existing file is replaced.
        tag: the system's name, the last column.

    Raises:
        DataError: an id or the tag is empty or contains white space, or a score is not a number.
    """
    _check_word(tag, "tag")
    _write_lines(path, _run_lines(run, tag))


def _run_lines(run: Run, tag: str) -> Iterator[str]:
    for query_id, scores in run.items():
        _check_word(query_id, "query id")
        for passage_id, score in scores.items():
            _check_word(passage_id, "passage id")
            check_score(score, query_id, passage_id)
        for rank, passage_id in enumerate(rank_order(scores), start=1):
            yield f"{query_id} Q0 {passage_id} {rank} {float(scores[passage_id])!r} {tag}\n"


def read_run(path: Path) -> Run:
    """Read a run in TREC format. The rank column is ignored, as trec_eval ignores it: scores decide.

    Args:
        path: a UTF-8 file of six columns separated by white space; blank lines are skipped.

    Returns:
        The run, queries and passages in the file's order.

    Raises:
        DataError: the file is missing or not UTF-8, a line has not six columns, a score is not a number, or a passage
            appears twice for a query; the message names file and line.
    """
    run: Run = {}
    seen: dict[tuple[str, str], int] = {}
    for number, line in _numbered_lines(path):
        columns = line.split()
        if not columns:
            continue
        where = f"{path}, line {number}"
        if len(columns) != 6:
            raise DataError(
                f"{where}: {len(columns)} columns where a TREC run has 6 (query Q0 passage rank score tag). Fix the "
                "line; ids must not contain white space."
            )
        query_id, _, passage_id, _, text, _ = columns
        first = seen.setdefault((query_id, passage_id), number)
        if first != number:
            raise DataError(
                f'{where}: passage "{passage_id}" appears twice for query "{query_id}" (first on line {first}). '
                "Keep one of the two lines."
            )
        run.setdefault(query_id, {})[passage_id] = _parse_score(text, where)
    return run


def write_qrels(qrels: Qrels, path: Path) -> None:
    """Write judgements in TREC format: `query 0 passage grade`. The file appears whole or not at all.

    Args:
        path: the file to write; missing folders are made, an existing file is replaced.

    Raises:
        DataError: an id is empty or contains white space.
    """
    _write_lines(path, _qrels_lines(qrels))


def _qrels_lines(qrels: Qrels) -> Iterator[str]:
    for query_id, grades in qrels.items():
        _check_word(query_id, "query id")
        for passage_id, grade in grades.items():
            _check_word(passage_id, "passage id")
            yield f"{query_id} 0 {passage_id} {int(grade)}\n"


def check_score(score: float, query_id: str, passage_id: str) -> None:
    """Raise DataError if a score is NaN, which has no place in an order."""
    if math.isnan(score):
        raise DataError(
            f'run: the score of passage "{passage_id}" for query "{query_id}" is not a number (NaN). '
            "Look for overflow in the model that scored it (half precision, or diverged training)."
        )


def _check_word(word: str, what: str) -> None:
    if word.split() != [word]:
        problem = "contains white space" if word.strip() else "is empty"
        raise DataError(
            f"{what} {word!r} {problem}, and TREC files separate columns by white space. "
            'Give it a name without, for example with "_" in its place.'
        )
    try:
        word.encode()
    except UnicodeEncodeError:
        raise DataError(
            f"{what} {word!r} is not valid Unicode, so no file can hold it. Give it another name."
        ) from None


def _parse_score(text: str, where: str) -> float:
    try:
        score = float(text)
    except ValueError:
        score = math.nan
    if math.isnan(score):
        raise DataError(f'{where}: the score "{text}" is not a number. Fix the line or leave it out.')
    return score


def _numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open(encoding="utf-8") as file:
            yield from enumerate(file, start=1)
    except FileNotFoundError:
        raise DataError(f"{path}: no such run file. Check the path.") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a UTF-8 file ({error.reason}). Re-encode it as UTF-8.") from None


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, "".join(lines))
