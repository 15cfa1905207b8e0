"""A white-box teacher in the place of ranker and LLM: labels from a language model's likelihoods or attention."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rankstill.data import Dataset
from rankstill.errors import DataError
from rankstill.labels.local_lm import LocalLM
from rankstill.labels.rows import labelled_query
from rankstill.labels.table import LabelledQuery, read_labels, write_labels
from rankstill.labels.white_box_scores import SCORES_OF, SIGNAL_OF, TEMPERATURE_OF, Method, Signal
from rankstill.progress import progress
from rankstill.workspace import digest

_QUERIES_A_SHARD = 8
"""Queries a file: at most as many are read again after a kill."""


def read_signal(
    lm: LocalLM, question: str, answer: str, passages: Sequence[str], signal: Signal
) -> NDArray[np.float64]:
    """What a language model says of each passage; see `Signal`. [passages]

    Args:
        lm: the language model.
        question: the query.
        answer: an accepted answer.
        passages: the query's candidates, best first.
        signal: what to read. "left-out" reads a prompt of all others for each passage: the dearest by far.

    Raises:
        ModelError: a prompt does not fit the model's context, or its attention cannot be read.
    """
    if signal == "attention":
        return lm.attention(question, answer, passages)
    if signal == "alone":
        return lm.log_likelihoods(question, answer, [[passage] for passage in passages])
    others = [[*passages[:left_out], *passages[left_out + 1 :]] for left_out in range(len(passages))]
    return lm.log_likelihoods(question, answer, others)


def queries_to_read(dataset: Dataset, count: int | None, seed: int) -> list[str]:
    """Training queries that have an accepted answer, in a fixed order: to read more later costs the new ones alone.

    Args:
        count: the first so many; None: all.

    Raises:
        DataError: no query has an accepted answer.
    """
    answered = [query_id for query_id in dataset.train if dataset.queries[query_id].answers]
    if not answered:
        raise DataError(
            f"{dataset.name}: no training query has accepted answers, and white-box methods read their likelihood. "
            "nq-open has them."
        )
    order = np.random.default_rng(seed).permutation(len(answered))
    return [answered[row] for row in order[:count]]


def label_by_lm(
    load: Callable[[], LocalLM],
    method: Method,
    query_ids: Sequence[str],
    candidates: Mapping[str, NDArray[np.int64]],
    dataset: Dataset,
    folder: Path,
    *,
    passages: int,
) -> list[LabelledQuery]:
    """Scores of each query's candidates by a white-box method. What `folder` already holds is not read again.

    The answer is the query's first accepted one. What lies in the folder is what was read, not what a method makes of
    it, so methods that read the same (PDist, REPLUG-LSR, EMDR2) share it: give them the same folder.

    Args:
        load: gives the language model; not called where nothing is left to read.
        query_ids: the query ids of queries that have an accepted answer.
        candidates: positions of each query's candidates, best first, by query id.
        folder: for what was read, a part of the queries a file; of one language model and one table of candidates.

    Returns:
        The method's scores, divided by its own temperature (`TEMPERATURE_OF`).

    Raises:
        ModelError: as `read_signal`, or the model cannot be loaded.
    """
    signal = SIGNAL_OF[method]
    parts = [query_ids[start : start + _QUERIES_A_SHARD] for start in range(0, len(query_ids), _QUERIES_A_SHARD)]
    paths = [folder / f"{signal}-{digest(part)}.parquet" for part in parts]
    missing = [(part, path) for part, path in zip(parts, paths, strict=True) if not path.exists()]
    if missing:
        lm = load()
        folder.mkdir(parents=True, exist_ok=True)
        with progress(f"reading {lm.name} ({signal})", sum(len(part) for part, _ in missing)) as advance:
            for part, path in missing:
                unfinished = path.with_suffix(".tmp")
                rows = [_read_query(lm, signal, each, candidates[each][:passages], dataset) for each in part]
                write_labels(rows, unfinished)
                unfinished.replace(path)
                advance(len(part))
    return [
        labelled_query(
            dataset.queries[row.id],
            row.positions,
            SCORES_OF[method](row.scores.astype(np.float64)) / TEMPERATURE_OF[method],
        )
        for path in paths
        for row in read_labels(path)
    ]


def _read_query(
    lm: LocalLM, signal: Signal, query_id: str, positions: NDArray[np.int64], dataset: Dataset
) -> LabelledQuery:
    query = dataset.queries[query_id]
    values = read_signal(lm, query.text, query.answers[0], dataset.corpus.texts(positions.tolist()), signal)
    return labelled_query(query, positions, values)
