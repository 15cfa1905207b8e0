"""Exact search in blocks, and the table of shorter vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankstill.compute.principal_axes import principal_axes
from rankstill.extras.export import search
from rankstill.extras.export.matryoshka import truncation_table
from rankstill.extras.export.measuring import sample_passages
from rankstill.extras.export.search import unit, vectors_run

if TYPE_CHECKING:
    from rankstill.data import Dataset


def random_units(rows: int, dimensions: int, seed: int) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=(rows, dimensions)).astype(np.float32))


@given(passages=st.integers(1, 300), block=st.integers(1, 120), seed=st.integers(0, 99))
def test_blocks_find_what_a_search_at_once_finds(passages: int, block: int, seed: int) -> None:
    corpus, asked = random_units(passages, 4, seed), random_units(3, 4, seed + 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "_PASSAGES_AT_ONCE", block)
        run = vectors_run([str(row) for row in range(passages)], corpus, ["a", "b", "c"], asked)
    for query, scores in zip("abc", asked @ corpus.T, strict=True):
        best = np.argsort(-scores, kind="stable")[: search.DEPTH]
        assert list(run[query]) == [str(row) for row in best]
        np.testing.assert_allclose(list(run[query].values()), scores[best], rtol=1e-5, atol=1e-6)


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
