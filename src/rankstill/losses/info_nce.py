"""InfoNCE: one relevant passage against the others.

Training runs it as KL divergence to one-hot labels (`labels/gold.py`), which is the same loss: a test compares them.
"""

from __future__ import annotations

import torch
from torch import Tensor


def info_nce(cosines: Tensor, positives: Tensor, student_temperature: float) -> Tensor:
    """InfoNCE: -log softmax(cosines / tau_s) of the relevant passage (DPR: Karpukhin et al. 2020, eq. 2).

    With several relevant passages, the mean over them (Khosla et al. 2020, eq. 2: L_out). Equals the KL divergence to
    an even distribution over them, plus that distribution's entropy.

    Args:
        cosines: of queries and passages. [queries, passages]
        positives: which passages are relevant, at least one a query; all others are negatives. [queries, passages]
        student_temperature: tau_s.

    Returns:
        One loss a query, in nats. [queries]
    """
    losses = -torch.log_softmax(cosines / student_temperature, dim=1)
    return losses.masked_fill(~positives, 0.0).sum(dim=1) / positives.sum(dim=1)
