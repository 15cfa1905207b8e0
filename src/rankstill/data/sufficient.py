"""Whether a dataset has enough for a chain to begin."""

from __future__ import annotations

from rankstill.config import Config
from rankstill.data.dataset import Dataset
from rankstill.errors import DataError


def check_corpus(config: Config, dataset: Dataset) -> None:
    """Whether there is a corpus to search; DataError if it is smaller than k."""
    if dataset.corpus.distinct < config.candidates.k:
        different = " different" if dataset.corpus.repeats is not None else ""
        raise DataError(
            f"{dataset.name}: the corpus has {dataset.corpus.distinct}{different} passages, but candidates.k is "
            f"{config.candidates.k}. Lower candidates.k or use a larger corpus."
        )


def check_queries(dataset: Dataset) -> None:
    """Whether anything can be learned; DataError if no query may teach."""
    if not dataset.train:
        raise DataError(
            f"{dataset.name}: no query may teach. Check dataset.train_split, or add training queries that do not leak "
            "into the test split. If you have none, `rankstill write-queries` has an LLM write some."
        )
