"""Search is exact: the fast look in low precision loses nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rankstill.retrieval import nearest_passages, search


def unit(rows: int, dimensions: int, seed: int) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).normal(size=(rows, dimensions)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("fast", [True, False])
@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(1, 400), st.integers(1, 8), st.integers(2, 64))
def test_it_finds_what_looking_at_everything_in_double_precision_finds(
    fast: bool, seed: int, k: int, passages: int, queries: int, dimensions: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "fast_precision", lambda device: fast)
        patch.setattr(search, "_PASSAGES_A_BLOCK", 64)
        patch.setattr(search, "_QUERIES_A_BLOCK", 3)
        patch.setattr(search, "_PASSAGES_A_GROUP", 5)
        asked, corpus = unit(queries, dimensions, seed), unit(passages, dimensions, seed + 1)
        positions, cosines = nearest_passages(asked, corpus, k)
    true = asked.astype(np.float64) @ corpus.astype(np.float64).T
    k = min(k, passages)
    assert positions.shape == cosines.shape == (queries, k)
    np.testing.assert_allclose(cosines, -np.sort(-true, axis=1)[:, :k], atol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(true, positions, axis=1), cosines, atol=1e-6)
    assert all(len(set(row)) == k for row in positions.tolist())


def test_near_ties_that_low_precision_cannot_tell_are_put_in_their_true_order() -> None:
    angles = np.linspace(0.3, 0.3005, 500)[np.random.default_rng(0).permutation(500)]
    corpus = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    asked = np.array([[1.0, 0.0]], dtype=np.float32)
    (positions,), _ = nearest_passages(asked, corpus, 10)
    assert positions.tolist() == np.argsort(-(corpus.astype(np.float64) @ asked[0]), kind="stable")[:10].tolist()


@given(st.integers(0, 10**6), st.floats(0.001, 0.5))
def test_the_fast_look_loses_nothing_in_a_crowd_of_passages_that_are_all_alike(seed: int, spread: float) -> None:
    asked = unit(4, 384, seed)
    crowd = asked[np.arange(400) % 4] + spread * unit(400, 384, seed + 1)
    corpus = (crowd / np.linalg.norm(crowd, axis=1, keepdims=True)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "fast_precision", lambda device: True)
        patch.setattr(search, "_PASSAGES_A_BLOCK", 128)
        _, cosines = nearest_passages(asked, corpus, 20)
    true = asked.astype(np.float64) @ corpus.astype(np.float64).T
    np.testing.assert_allclose(cosines, -np.sort(-true, axis=1)[:, :20], atol=1e-6)


def rounded_apart(length: float) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """A query, its nearest passage, and another, all of entries next to a midpoint between two bfloat16 numbers.

    Rounding moves each by 2^-8 of it, in the direction that makes the nearest passage's product smaller and the
    other's larger.
    """
    step = np.where(np.arange(254) % 2 == 0, 1, -1)
    entries = (1 + 2.0**-8 + 2.0**-20 * step) / 16
    last = np.sqrt(1 - entries @ entries)  # makes unit vectors of them, and the nearest passage nearest
    query = length * np.append(entries, last)
    nearest, other = np.append(-step * entries, last), np.append(step * entries, 0)
    return query.astype(np.float32), nearest.astype(np.float32), other.astype(np.float32)


@pytest.mark.parametrize("length", [1, 64])
@pytest.mark.parametrize("place", [0, 15, 16, 59])  # in the first block of passages, and in others
def test_the_nearest_passage_is_found_where_rounding_puts_it_last_by_as_much_as_it_can(
    length: float, place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "fast_precision", lambda device: True)
    monkeypatch.setattr(search, "_PASSAGES_A_BLOCK", 16)
    asked, nearest, other = rounded_apart(length)
    corpus = np.tile(other, (60, 1))
    corpus[place] = nearest
    rough = torch.from_numpy(corpus).bfloat16().double() @ torch.from_numpy(asked).bfloat16().double()
    assert rough.argmin() == place
    assert rough.max() - rough.min() > 0.99 * 4 * 2.0**-8 * length
    assert (corpus.astype(np.float64) @ asked.astype(np.float64)).argmax() == place
    assert nearest_passages(asked[None], corpus, 1)[0].tolist() == [[place]]


def test_how_a_gpu_sums_products_is_set_back() -> None:
    settings = torch.backends.cuda.matmul
    reduced, split = (f"allow_bf16_reduced_precision_reduction{end}" for end in ("", "_split_k"))
    two_settings = hasattr(settings, split)  # as newer versions of torch have
    for allowed in [(False, False), (False, True), (True, True)] if two_settings else [False, True]:
        setattr(settings, reduced, allowed)
        before = getattr(settings, reduced), getattr(settings, split, None)
        with search._summed_in_float32("cuda:0"):
            assert getattr(settings, reduced) is False
        assert (getattr(settings, reduced), getattr(settings, split, None)) == before


def test_equal_passages_come_in_the_order_of_the_corpus() -> None:
    corpus = np.repeat(unit(3, 8, 0), 50, axis=0)
    (positions,), _ = nearest_passages(corpus[:1], corpus, 7)
    assert positions.tolist() == list(range(7))


def test_a_mapped_file_is_searched_as_what_it_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "_PASSAGES_A_BLOCK", 100)
    corpus, asked = unit(1050, 16, 1), unit(5, 16, 2)
    np.save(tmp_path / "vectors.npy", corpus)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    for source in (mapped, mapped[:]):
        np.testing.assert_array_equal(search.read_rows(source, 1000, 2000), corpus[1000:])
        assert nearest_passages(asked, source, 9)[0].tolist() == nearest_passages(asked, corpus, 9)[0].tolist()


@pytest.mark.parametrize("k", [1, 20, 200])
def test_what_is_left_out_is_not_found_and_the_rest_is_exact(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(4)
    corpus = random.normal(size=(300, 16)).astype(np.float32)
    corpus /= np.linalg.norm(corpus, axis=1, keepdims=True)
    left_out = random.random(300) < 0.6
    left_out[:70] = True  # the first blocks hold fewer than k passages, or none
    monkeypatch.setattr("rankstill.retrieval.search._PASSAGES_A_BLOCK", 32)
    positions, cosines = nearest_passages(corpus[:9], corpus, k, "cpu", left_out)
    kept = np.flatnonzero(~left_out)
    wanted, same = nearest_passages(corpus[:9], corpus[kept], k)
    assert positions.tolist() == kept[wanted].tolist()
    np.testing.assert_allclose(cosines, same, atol=1e-6)
    assert positions.shape == (9, min(k, len(kept)))


def test_passages_are_changed_block_by_block_before_they_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    corpus, asked = unit(300, 16, 1), unit(9, 8, 2)

    def cut(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        assert len(vectors) <= 32
        return vectors[:, :8] / np.linalg.norm(vectors[:, :8], axis=1, keepdims=True)

    monkeypatch.setattr("rankstill.retrieval.search._PASSAGES_A_BLOCK", 32)
    positions, _ = nearest_passages(asked, corpus, 20, change=cut)
    shorter = np.concatenate([cut(corpus[start : start + 32]) for start in range(0, 300, 32)])
    assert positions.tolist() == nearest_passages(asked, shorter, 20)[0].tolist()
