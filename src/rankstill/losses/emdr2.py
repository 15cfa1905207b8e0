"""EMDR2: the retriever raises the likelihood that a language model gives to the answer, whichever passage it is from.

Its labels are what a white-box language model says of each passage: `labels/white_box_scores.py`.
"""

from __future__ import annotations

import torch
from torch import Tensor


def emdr2_nll(cosines: Tensor, labels: Tensor, teacher_temperature: float, student_temperature: float) -> Tensor:
    """EMDR2: -log sum_d p_LM(a | q, d) p_R(d | q), the answer's marginal likelihood.

    The second term of Sachan et al. 2021's objective (arXiv 2106.05346, section 2.3), which trains their retriever and
    lets no gradient into the reader; here, as in Atlas, section 2.2, the language model is fixed anyway. The sum is
    over passages of the whole answer's likelihood, where Atlas's code sums for each token. Its gradient is that of
    KL(posterior || P_R) with the posterior p_LM p_R / sum p_LM p_R held fixed, hence "EM".

    p_R is normalised over all passages that have a cosine. So with `retriever.in_batch` those of the step's other
    queries are in its normaliser, and in no term of the sum; without, it is over the read passages, as in the paper
    over the top K.

    Args:
        cosines: of queries and passages; -inf takes a passage out of the retriever's distribution. [queries, passages]
        labels: log p_LM(a | q, d), -inf where it was not read. [queries, passages]
        teacher_temperature: divides the log-likelihoods; 1 is EMDR2.
        student_temperature: tau_s; cosines are divided by it.

    Returns:
        One loss a query, in nats. [queries]
    """
    retriever = torch.log_softmax(cosines / student_temperature, dim=1)
    return -torch.logsumexp(labels / teacher_temperature + retriever, dim=1)
