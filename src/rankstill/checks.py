"""What a user should know of a dataset before anything is spent on it."""

from __future__ import annotations

from rankstill.config import Config
from rankstill.datasets import find_leaks, load_dataset


def check_dataset(config: Config, *, near_duplicates: bool) -> list[str]:
    """Sizes, what loading changed, and the leak of the training split into the test split, a line each.

    Args:
        config: names the dataset.
        near_duplicates: also compare the queries' vectors, which loads the retriever.

    Raises:
        DataError: the dataset cannot be used.
    """
    kept = load_dataset(config.dataset.model_copy(update={"leaks": "keep"}))
    train_vectors = test_vectors = None
    if near_duplicates and kept.train and kept.test:
        from rankstill.candidates import encode
        from rankstill.retriever import load_retriever

        model = load_retriever(config.retriever, config.device)
        train_vectors, test_vectors = (
            encode(model, kept.texts_of(ids), "query", "encoding queries", 128) for ids in (kept.train, kept.test)
        )
    clean = load_dataset(config.dataset.model_copy(update={"leaks": "drop"}))
    lines = [
        f"{kept.name}: {len(kept.corpus):,} passages, {len(kept.train):,} training, {len(kept.test):,} test and "
        f"{len(kept.extra):,} unlabelled queries",
        *(f"note: {note}" for note in kept.notes),
        f"leaks: {find_leaks(kept, train_vectors, test_vectors).describe()}",
    ]
    if len(clean.train) < len(kept.train):
        lines.append(
            f"leak-free: {len(clean.train):,} training queries. A run uses these unless dataset.leaks is keep, and a "
            "run on all of them is labelled as leaking."
        )
    return lines
