"""REPLUG LSR: KL divergence from the retriever's distribution to that of a language model.

Its labels are what a white-box language model says of each passage: `labels/white_box_scores.py`.
"""

from __future__ import annotations

import torch
from torch import Tensor


def replug_kl(cosines: Tensor, labels: Tensor, teacher_temperature: float, student_temperature: float) -> Tensor:
    """REPLUG LSR: KL(P_R || Q_LM) (Shi et al. 2023, section 4): the retriever's distribution comes first.

    Mode-seeking, where PDist's KL(Q || P_R) covers: a retriever that bets on one of two good passages loses little.

    Args:
        cosines: of queries and passages. [queries, passages]
        labels: scores of `replug-lsr`, -inf where nothing was read: P_R is over the read passages alone.
            [queries, passages]
        teacher_temperature: divides them: beta, or 1 where they were divided by it before (`TEMPERATURE_OF` there).
        student_temperature: gamma; cosines are divided by it.

    Returns:
        One divergence a query, in nats. [queries]
    """
    absent = ~torch.isfinite(labels) | ~torch.isfinite(cosines)
    # Masked by a number, not by -inf, whose logarithms would turn the gradient into NaN.
    retriever, language_model = (
        torch.log_softmax(each.masked_fill(absent, torch.finfo(each.dtype).min / 4), dim=1)
        for each in (cosines / student_temperature, labels / teacher_temperature)
    )
    terms = retriever.exp() * (retriever - language_model)
    return terms.masked_fill(absent, 0.0).sum(dim=1)
