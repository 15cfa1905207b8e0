"""InfoNCE, which training runs as KL divergence to one-hot labels."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from rankstill.labels.rows import one_hot
from rankstill.losses.kl import UNLABELLED, kl_to_ranker

COSINES = torch.tensor([[0.9, 0.5, 0.1]], dtype=torch.float64)
TAU = 0.4 / math.log(2)  # so that COSINES give the shares 4/7, 2/7 and 1/7


def test_info_nce_worked_by_hand() -> None:
    """-log softmax(cosines / tau_s) of the relevant passage (DPR: Karpukhin et al. 2020, eq. 2)."""
    labels = torch.from_numpy(one_hot(1, 3))[None]
    assert kl_to_ranker(COSINES, labels, 1.0, TAU).item() == pytest.approx(math.log(7 / 4), abs=1e-12)


@given(st.lists(st.floats(-1, 1), min_size=4, max_size=4), st.integers(1, 3), st.floats(0.05, 2))
def test_training_on_one_hot_labels_is_info_nce(similarities: list[float], positives: int, temperature: float) -> None:
    """With several relevant passages, its mean over them (Khosla et al. 2020, eq. 2), less the labels' entropy."""
    cosines = torch.tensor([similarities], dtype=torch.float64)
    labels = torch.from_numpy(one_hot(positives, 3))[None]
    labels = torch.cat([labels, torch.full((1, 1), UNLABELLED, dtype=torch.float64)], dim=1)  # an in-batch negative
    expected = cross_entropy(cosines / 0.1, (labels == 0).double() / positives).item() - math.log(positives)
    assert kl_to_ranker(cosines, labels, temperature, 0.1).item() == pytest.approx(expected, abs=1e-9)
