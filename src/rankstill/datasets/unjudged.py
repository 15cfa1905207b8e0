"""Queries that measure without a judgement: they teach nothing, and wait for an LLM to judge what is found for them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rankstill.datasets.dataset import Dataset
from rankstill.datasets.extra import add_extra_queries
from rankstill.errors import DataError

if TYPE_CHECKING:
    from rankstill.config import DatasetConfig

_MOST, _SHARE, _LEAST = 100, 5, 50
"""Queries kept back unless the config says how many: up to 100, a fifth of the training queries at most, and none
where there are fewer than 50, for a test of fewer than ten proves nothing."""


def keep_unjudged(dataset: Dataset, config: DatasetConfig) -> Dataset:
    """The dataset with the queries that are to be judged, where no judgement and no accepted answer measures anything.

    These are, in this order: those of `test_queries`; those that no split names, so that they teach nothing anyway; as
    many of the training queries as `hold_out` says, in an order that is always the same.

    Args:
        config: names further queries, or says how many to hold out.

    Raises:
        DataError: the file of test queries cannot be used, or there are judgements that measure beside it.
    """
    taught = {*dataset.train, *dataset.extra}
    others = tuple(query_id for query_id in dataset.queries if query_id not in taught and query_id not in dataset.qrels)
    if config.test_queries:
        if dataset.test:
            raise DataError(
                f"dataset.test_queries: the {len(dataset.test):,} judged queries of the test split measure already. "
                "Leave one of the two out; dataset.test_split: null leaves out the split."
            )
        added = add_extra_queries(dataset, Path(config.test_queries).expanduser())
        new = added.extra[len(dataset.extra) :]
        return replace(added, extra=dataset.extra, unjudged=new, unjudged_beside=True)
    measures = dataset.test or any(dataset.queries[query_id].answers for query_id in others)
    if config.hold_out and (measures or others):
        raise DataError(
            f"dataset.hold_out: {dataset.name} has queries that measure and do not teach, so none is held out. Leave "
            "it out."
        )
    if measures:
        return dataset
    if others:
        note = (
            f"{dataset.name}: no test query is judged; `rankstill judge` has an LLM judge what is found for the "
            f"{len(others):,} queries that no split names."
        )
        return replace(dataset, unjudged=others, notes=(*dataset.notes, note))
    count = config.hold_out
    if count is None:
        count = min(_MOST, len(dataset.train) // _SHARE) if len(dataset.train) >= _LEAST else 0
    if not count:
        return dataset
    if count >= len(dataset.train):
        raise DataError(
            f"dataset.hold_out: {count:,} of {len(dataset.train):,} training queries leave none to teach. Lower it."
        )
    order = np.random.default_rng(0).permutation(len(dataset.train))
    held = {dataset.train[row] for row in order[:count]}
    note = (
        f"{dataset.name}: no test query is judged; {count:,} of {len(dataset.train):,} training queries were held out: "
        "they teach nothing, and `rankstill judge` has an LLM judge what is found for them (dataset.hold_out)."
    )
    return replace(
        dataset,
        train=tuple(query_id for query_id in dataset.train if query_id not in held),
        unjudged=tuple(query_id for query_id in dataset.train if query_id in held),
        notes=(*dataset.notes, note),
    )
