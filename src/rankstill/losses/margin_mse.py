"""Margin-MSE: the retriever learns by how much one passage beats another, not a distribution.

The loss of GPL, which trains on queries that an LLM wrote for passages, labelled by a cross-encoder. It runs on the
ranker's labels as they are, but no KL divergence equals it, so training needs this loss in the place of `kl_to_ranker`.
"""

from __future__ import annotations

import torch
from torch import Tensor


def margin_mse(cosines: Tensor, labels: Tensor, teacher_temperature: float, student_temperature: float) -> Tensor:
    """The mean of ((s+ - s-) - (t+ - t-))^2 over a query's negatives (Hofstätter et al. 2020, arXiv 2010.02666).

    As in GPL (Wang et al. 2022, arXiv 2112.07577) t is a cross-encoder's score. The positive is the query's best
    labelled passage; GPL's is the one that its query was written for. GPL's s is a dot product of vectors of any
    length; a cosine lies in [-1, 1], so it is divided by a temperature, which must leave room for the margins: with
    0.05, s lies in [-20, 20].

    Args:
        cosines: of queries and passages. [queries, passages]
        labels: the ranker's scores, -inf where it gave none; such passages are no negatives. [queries, passages]
        teacher_temperature: divides the ranker's scores; 1 in both papers.
        student_temperature: cosines are divided by it.

    Returns:
        One loss a query; 0 where fewer than two passages are labelled. [queries]
    """
    best = labels.argmax(dim=1, keepdim=True)
    negatives = (torch.isfinite(labels) & torch.isfinite(cosines)).scatter(1, best, False)
    # Zeroed before they are subtracted, for inf minus inf would poison the gradient.
    student = cosines.masked_fill(~torch.isfinite(cosines), 0.0) / student_temperature
    teacher = labels.masked_fill(~torch.isfinite(labels), 0.0) / teacher_temperature
    off = (student.gather(1, best) - student) - (teacher.gather(1, best) - teacher)
    return (off.square() * negatives).sum(dim=1) / negatives.sum(dim=1).clamp_min(1)
