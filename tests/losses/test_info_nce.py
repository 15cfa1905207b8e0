"""InfoNCE, and the training that runs it as KL divergence."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rankstill.labels.rows import one_hot
from rankstill.losses.info_nce import info_nce
from rankstill.losses.kl import UNLABELLED, kl_to_ranker

COSINES = torch.tensor([[0.9, 0.5, 0.1]], dtype=torch.float64)
TAU = 0.4 / math.log(2)  # so that COSINES give the shares 4/7, 2/7 and 1/7


def test_info_nce_worked_by_hand() -> None:
    first = torch.tensor([[True, False, False]])
    assert info_nce(COSINES, first, TAU).item() == pytest.approx(math.log(7 / 4), abs=1e-12)
    two = torch.tensor([[True, False, True]])
    assert info_nce(COSINES, two, TAU).item() == pytest.approx((math.log(7 / 4) + math.log(7)) / 2, abs=1e-12)


@given(st.lists(st.floats(-1, 1), min_size=4, max_size=4), st.integers(1, 3), st.floats(0.05, 2))
def test_training_on_one_hot_labels_is_info_nce(similarities: list[float], positives: int, temperature: float) -> None:
    cosines = torch.tensor([similarities], dtype=torch.float64)
    labels = torch.from_numpy(one_hot(positives, 3))[None]
    labels = torch.cat([labels, torch.full((1, 1), UNLABELLED, dtype=torch.float64)], dim=1)  # an in-batch negative
    expected = info_nce(cosines, labels == 0, 0.1).item() - math.log(positives)
    assert kl_to_ranker(cosines, labels, temperature, 0.1).item() == pytest.approx(expected, abs=1e-9)
