"""A white-box teacher in the place of ranker and LLM: labels from a language model's likelihoods or attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rankstill.baselines.likelihood import SCORES_OF, SIGNAL_OF, Method, Signal
from rankstill.baselines.local_lm import LocalLM
from rankstill.baselines.rows import labelled_query
from rankstill.datasets import Dataset
from rankstill.errors import DataError
from rankstill.labels.table import LabelledQuery, read_labels, write_labels
from rankstill.progress import progress

_QUERIES_A_PART = 32


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


def label_by_lm(
    lm: LocalLM,
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
        lm: the language model.
        method: see `likelihood`.
        query_ids: of the queries that may teach; those without an accepted answer give no row.
        candidates: positions of each query's candidates, best first, by query id.
        dataset: gives queries, answers and passages.
        folder: for what was read, a part of the queries a file; of one language model and one set of queries.
        passages: how many candidates of each query.

    Raises:
        DataError: no query has an accepted answer.
        ModelError: as `read_signal`.
    """
    asked = [query_id for query_id in query_ids if dataset.queries[query_id].answers]
    if not asked:
        raise DataError(
            f"{dataset.name}: no training query has accepted answers, which {method} needs. nq-open has them."
        )
    signal = SIGNAL_OF[method]
    folder.mkdir(parents=True, exist_ok=True)
    read: list[LabelledQuery] = []
    with progress(f"reading the language model ({signal})", len(asked)) as advance:
        for number, start in enumerate(range(0, len(asked), _QUERIES_A_PART)):
            part = asked[start : start + _QUERIES_A_PART]
            path = folder / f"{signal}-{number:05}.parquet"
            if not path.exists():
                unfinished = path.with_suffix(".tmp")
                rows = [_read_query(lm, signal, each, candidates[each][:passages], dataset) for each in part]
                write_labels(rows, unfinished)
                unfinished.replace(path)
            read += read_labels(path)
            advance(len(part))
    return [
        labelled_query(dataset.queries[row.id], row.positions, SCORES_OF[method](row.scores.astype(np.float64)))
        for row in read
    ]


def _read_query(
    lm: LocalLM, signal: Signal, query_id: str, positions: NDArray[np.int64], dataset: Dataset
) -> LabelledQuery:
    query = dataset.queries[query_id]
    values = read_signal(lm, query.text, query.answers[0], dataset.corpus.texts(positions.tolist()), signal)
    return labelled_query(query, positions, values)
