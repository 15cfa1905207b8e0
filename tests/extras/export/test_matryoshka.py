"""The table of shorter vectors, and the passages that a measure is decided by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rankstill.compute.principal_axes import principal_axes
from rankstill.extras.export.matryoshka import shortened, truncation_table
from rankstill.extras.export.measuring import sample_passages

if TYPE_CHECKING:
    from rankstill.data import Dataset


def unit(vectors: np.ndarray) -> np.ndarray:
    return shortened(vectors, vectors.shape[1])


def random_units(rows: int, dimensions: int, seed: int) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=(rows, dimensions)).astype(np.float32))


def test_turned_vectors_keep_their_cosines_and_carry_most_in_front() -> None:
    spread = np.array([1, 3, 0.5, 2], dtype=np.float32)  # not in order
    vectors = unit(np.random.default_rng(0).normal(size=(500, 4)).astype(np.float32) * spread)
    axes = principal_axes(vectors)
    turned = vectors @ axes.T
    np.testing.assert_allclose(axes @ axes.T, np.eye(4), atol=1e-5)
    np.testing.assert_allclose(turned @ turned.T, vectors @ vectors.T, atol=1e-5)
    lengths = np.square(turned).sum(axis=0)
    assert (np.diff(lengths) < 0).all()
    assert lengths[0] > np.square(vectors).sum(axis=0).max()  # more than any of the old ones, the longest included


def test_where_the_end_of_a_vector_decides_turning_saves_what_cutting_loses(toy_dataset: Dataset) -> None:
    """Passages differ in their last dimensions alone."""
    count = len(toy_dataset.corpus)
    own = random_units(count, 8, seed=1)
    passages = unit(np.concatenate([np.full((count, 8), 0.1, dtype=np.float32), own], axis=1))
    asked = np.stack(
        [passages[toy_dataset.corpus.position(next(iter(toy_dataset.qrels[query])))] for query in toy_dataset.test]
    )
    table = truncation_table(toy_dataset, passages, asked, principal_axes(passages), dimensions=(4096, 9, 8))
    assert [system.name for system in table.systems] == [
        "16 dimensions (64 MB), whole",
        "9 dimensions (36 MB), cut off",
        "9 dimensions (36 MB), rotated, then cut",
        "8 dimensions (32 MB), cut off",
        "8 dimensions (32 MB), rotated, then cut",
    ]
    whole, _, nine, cut, turned = (system.values["nDCG@10"] for system in table.systems)
    assert whole == nine == 1.0
    assert cut < 0.4 < turned
    assert table.baseline == table.systems[0].name


def test_the_sample_holds_what_decides_a_measure(toy_dataset: Dataset) -> None:
    passages = random_units(len(toy_dataset.corpus), 8, 0)
    asked = random_units(len(toy_dataset.test), 8, 1)
    gold = {toy_dataset.corpus.position(each) for query in toy_dataset.test for each in toy_dataset.qrels[query]}
    best = set((asked @ passages.T).argmax(axis=1).tolist())
    assert set(sample_passages(toy_dataset, passages, asked, 1, seed=0)) == gold  # at least these
    assert set(sample_passages(toy_dataset, passages, asked, len(gold | best), seed=0)) == gold | best
    assert len(sample_passages(toy_dataset, passages, asked, 10**6, seed=0)) == len(toy_dataset.corpus)
