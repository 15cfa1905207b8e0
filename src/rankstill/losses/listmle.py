"""ListMLE: how likely a ranking is under the Plackett-Luce model of a ranker's scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def plackett_luce_nll(scores: Tensor, known: Tensor) -> Tensor:
    """Negative log-likelihood of an order under the Plackett-Luce model: ListMLE (Xia et al. 2008, eq. 9).

    The paper's L_rank (Li et al. 2024, stage 1), for complete lists and, as top-k ListMLE, for partial ones.

    Args:
        scores: ranker scores, columns in the teacher's order, best first; -inf pads short lists. [lists, passages]
        known: how many leading positions of each list the teacher itself gave; the rest is an unordered tail. [lists]

    Returns:
        One loss per list, in nats, so that the caller can weight lists. [lists]
    """
    import torch

    # Padding stays finite, for -inf minus -inf would poison the gradient.
    scores = scores.clamp(min=torch.finfo(scores.dtype).min / 4)
    # Computed as log-sum-exp from the tail, so that large scores cannot overflow.
    remaining = torch.logcumsumexp(scores.flip(1), dim=1).flip(1)
    given = torch.arange(scores.shape[1], device=scores.device) < known[:, None]
    return torch.where(given, remaining - scores, torch.zeros_like(scores)).sum(dim=1)


def weighted_mean(losses: Tensor, weights: Tensor) -> Tensor:
    """The weighted mean of the lists' losses; 0 if all weights are 0.

    Args:
        losses: one a list. [lists]
        weights: not below 0. [lists]
    """
    weights = weights.to(losses)
    return (losses * weights).sum() / weights.sum().clamp_min(1e-9)
