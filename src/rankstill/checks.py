"""Check a dataset before any money is spent on it."""

from __future__ import annotations

from rankstill.config import Config
from rankstill.data import drop_leaks, drop_or_mark_leaks, find_leaks, load_with_leaks
from rankstill.retrieval import encode


def check_dataset(config: Config, *, near_duplicates: bool) -> list[str]:
    """Sizes, what loading changed, and the leak of the training split into the test split, a line each.

    The notes are those of a run with this config.

    Args:
        near_duplicates: also compare the queries' vectors, which loads the retriever.

    Raises:
        DataError: the dataset cannot be used.
    """
    whole = load_with_leaks(config.dataset)
    train_vectors = test_vectors = None
    if near_duplicates and whole.train and whole.test:
        from rankstill.retriever import load_retriever  # loads torch

        model = load_retriever(config.retriever, config.device)
        train_vectors, test_vectors = (
            encode(model, whole.texts_of(ids), "query", "encoding queries", 128) for ids in (whole.train, whole.test)
        )
    lines = [
        f"{whole.name}: {len(whole.corpus):,} passages, {len(whole.train):,} training, {len(whole.test):,} test and "
        f"{len(whole.extra):,} unlabelled queries"
        + (f"; {len(whole.unjudged):,} for `rankstill judge`" if whole.unjudged else ""),
        *(f"note: {note}" for note in drop_or_mark_leaks(whole, config.dataset.leaks).notes),
        f"leaks: {find_leaks(whole, train_vectors, test_vectors).describe()}",
    ]
    clean = len(drop_leaks(whole).train)
    if clean == len(whole.train):
        return lines
    if config.dataset.leaks == "drop":
        lines.append(f"leak-free: {clean:,} training queries. A run uses these alone.")
    else:
        lines.append(
            f"leak-free: {clean:,} training queries. A run uses all {len(whole.train):,} and is labelled as leaking. "
            "Set dataset.leaks to drop to use the leak-free ones alone."
        )
    return lines
