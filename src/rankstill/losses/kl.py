"""KL divergence from the ranker's distribution over passages to the retriever's."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

UNLABELLED = float("-inf")
"""A label of this value: the ranker gave the passage no score for this query."""

Divergence = Callable[[Tensor, Tensor, float, float], Tensor]
"""A loss of each query from cosines, labels, tau_t and tau_s, as `kl_to_ranker` takes and gives them."""


def distribution(labels: Tensor, temperature: float) -> Tensor:
    """The ranker's distribution over passages: softmax(scores / tau_t) (Li et al. 2024, stage 2).

    Args:
        labels: the ranker's scores, `UNLABELLED` where it gave none. [queries, passages]
        temperature: tau_t; above 1 softens.
    """
    return torch.softmax(labels / temperature, dim=1)


def kl_to_ranker(cosines: Tensor, labels: Tensor, teacher_temperature: float, student_temperature: float) -> Tensor:
    """KL(P_ranker || P_retriever) of each query (Li et al. 2024, stage 2: L_ret).

    Args:
        cosines: of queries and passages; -inf takes a passage out of the retriever's distribution. [queries, passages]
        labels: the ranker's scores, `UNLABELLED` where it gave none. [queries, passages]
        teacher_temperature: tau_t.
        student_temperature: tau_s; cosines are divided by it.

    Returns:
        One divergence a query, in nats. [queries]
    """
    ranker = distribution(labels, teacher_temperature)
    retriever = torch.log_softmax(cosines / student_temperature, dim=1)
    # Where the ranker has no mass the term is 0 by continuity, whatever the retriever thinks.
    terms = torch.where(ranker > 0, ranker * (torch.log(ranker.clamp_min(1e-30)) - retriever), torch.zeros_like(ranker))
    return terms.sum(dim=1)
