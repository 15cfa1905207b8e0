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
    """Max (1960, table 1) gives these shares D of the variance for a normal distribution. Scaled so that the inner
    product with the vector itself is right, what is returned is 1 / (1 - D) times as long, and off by D / (1 - D)."""
    vectors = np.random.default_rng(0).normal(size=(500, 384)).astype(np.float32)
    error = np.square(there_and_back(Codec(bits, 384), vectors) - vectors).mean()
    assert error == pytest.approx(distortion / (1 - distortion), rel=0.05)


@pytest.mark.parametrize("bits", [8, 4, 2])
def test_rounding_changes_no_vector_s_product_with_itself(bits: Bits) -> None:
    """Nor, on average, its product with any other: a passage is not less alike for being rounded."""
    draw = np.random.default_rng(2)
    vectors = draw.laplace(size=(200, 64)).astype(np.float32)
    near = vectors + draw.normal(size=vectors.shape).astype(np.float32)
    back = there_and_back(Codec(bits, 64), vectors)
    np.testing.assert_allclose((back * vectors).sum(axis=1), (vectors**2).sum(axis=1), rtol=1e-3)
    assert (back * near).sum() == pytest.approx((vectors * near).sum(), rel=5e-3)


@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_levels_times_scales_are_the_vectors_in_either_precision(bits: Bits, kind: torch.dtype) -> None:
    codec = Codec(bits, 16)
    codes, scales = map(torch.from_numpy, codec.encode(np.random.default_rng(3).normal(size=(9, 16)).astype("f4")))
    levels = codec.levels(codes, kind)
    assert levels.dtype == kind
    off = 0 if kind == torch.float32 or bits == 8 else 2**-8
    torch.testing.assert_close(levels.float() * scales.float()[:, None], codec.decode(codes, scales), rtol=off, atol=0)


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


def test_8_bits_move_a_number_by_a_step_at_most() -> None:
    vectors = np.random.default_rng(1).uniform(-0.3, 0.3, size=(50, 16)).astype(np.float32)
    step = 2 * np.abs(vectors).max(axis=1, keepdims=True) / 255
    assert (np.abs(there_and_back(Codec(8, 16), vectors) - vectors) <= step).all()
