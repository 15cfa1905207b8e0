"""The first stage of a chain: the corpus's vectors, each query's candidates, and the weights of its scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rankstill.progress import note
from rankstill.retrieval.dense import encode_passages
from rankstill.retrieval.first_stage import write_candidates
from rankstill.retrieval.hybrid import fit_hybrid

if TYPE_CHECKING:
    from rankstill.components import Components


def make_vectors(components: Components, folder: Path) -> None:
    """Encode the corpus by the retriever as it was, here or on the cluster."""
    if components.cluster is not None:
        components.cluster.encode_corpus(folder / "vectors")
        return
    encode_passages(components.model_before, components.dataset.corpus, folder / "vectors")


def make_candidates(components: Components, folder: Path) -> Sequence[str]:
    """Find candidates of every query that may teach or be labelled.

    Args:
        components: the components of a chain that has vectors.
    """
    dataset, config = components.dataset, components.config.candidates
    asked = [*dataset.train, *dataset.extra]
    found = (components.cluster or components.before).search(dataset.texts_of(asked), max(config.k, config.n))
    write_candidates(dict(zip(asked, found, strict=True)), dataset.corpus, folder / "candidates.parquet")
    if components.index is None:
        return []
    measured = components.index[1].describe()
    note(measured)
    return [measured]


def make_hybrids(components: Components, folder: Path) -> None:
    """Fit the hybrids of BM25 and the old retriever, without late interaction and with it.

    Args:
        components: the components of a chain that has rankings and, unless it makes none, a multi-vector retriever.
        folder: for `hybrid.json` and `hybrid-multi-vector.json`.
    """
    lists = components.lists.with_scores(components.with_late(components.before))
    fit_hybrid(lists, components.config.candidates).save(folder / "hybrid.json")
    if components.has_multi_vector:
        fit_hybrid(lists, components.config.candidates, late=True).save(folder / "hybrid-multi-vector.json")
