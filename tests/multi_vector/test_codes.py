"""Vectors as codes of few bits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rankstill.multi_vector.codes import Bits, Codec


def there_and_back(codec: Codec, vectors: np.ndarray) -> np.ndarray:
    codes, scales = codec.encode(vectors)
    assert codes.shape == (len(vectors), codec.size)
    return codec.decode(torch.from_numpy(codes), torch.from_numpy(scales)).numpy()


@pytest.mark.parametrize(("bits", "distortion"), [(4, 0.009497), (2, 0.1175)])
def test_the_error_is_that_of_the_quantiser(bits: Bits, distortion: float) -> None:
    """Max (1960, table 1) gives these shares of the variance for a normal distribution."""
    vectors = np.random.default_rng(0).normal(size=(500, 384)).astype(np.float32)
    error = np.square(there_and_back(Codec(bits, 384), vectors) - vectors).mean()
    assert error == pytest.approx(distortion, rel=0.05)


@given(
    vectors=arrays(np.float32, (3, 8), elements=st.floats(-1, 1, width=32)),
    bits=st.sampled_from([8, 4, 2]),
)
def test_no_number_moves_past_its_neighbours_levels(vectors: np.ndarray, bits: Bits) -> None:
    got = there_and_back(Codec(bits, 8), vectors)
    assert np.isfinite(got).all()
    for row, back in zip(vectors, got, strict=True):  # order is kept, but for ties
        order = np.argsort(row)
        assert (np.diff(back[order]) >= -1e-6).all()


def test_8_bits_move_a_number_by_half_a_step_at_most() -> None:
    vectors = np.random.default_rng(1).uniform(-0.3, 0.3, size=(50, 16)).astype(np.float32)
    step = 2 * np.abs(vectors).max(axis=1, keepdims=True) / 255
    assert (np.abs(there_and_back(Codec(8, 16), vectors) - vectors) <= step * 0.55).all()
