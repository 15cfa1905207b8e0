"""The first stage of a chain: the corpus's vectors, and each query's candidates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rankstill.candidates.table import write_candidates
from rankstill.candidates.vectors import encode_passages
from rankstill.progress import note

if TYPE_CHECKING:
    from rankstill.parts import Parts


def make_vectors(parts: Parts, folder: Path) -> None:
    """Encode the corpus by the retriever as it was, here or on the cluster.

    Args:
        parts: of the chain.
        folder: for `vectors/`.
    """
    if parts.cluster is not None:
        parts.cluster.encode_corpus(folder / "vectors")
        return
    encode_passages(parts.model_before, parts.dataset.corpus, folder / "vectors")


def make_candidates(parts: Parts, folder: Path) -> Sequence[str]:
    """Find candidates of every query that may teach or be labelled.

    Args:
        parts: of a chain that has vectors.
        folder: for `candidates.parquet`.

    Returns:
        What a reader of the figures must know.
    """
    dataset, config = parts.dataset, parts.config.candidates
    asked = [*dataset.train, *dataset.extra]
    found = (parts.cluster or parts.before).search(dataset.texts_of(asked), max(config.k, config.n))
    write_candidates(dict(zip(asked, found, strict=True)), dataset.corpus, folder / "candidates.parquet")
    if parts.index is None:
        return []
    measured = parts.index[1].describe()
    note(measured)
    return [measured]
