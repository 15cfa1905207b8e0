"""White-box teachers: what a language model's own probabilities and attention say of each passage.

These methods need a model's weights or its token probabilities, which a black box does not give. Each turns what it
reads into scores; the retriever learns their softmax(scores / tau_t) by KL divergence, as it learns a ranker's. EMDR2
and REPLUG-LSR have losses of their own, with the arguments and the shape of `kl_to_ranker`.

The paper that compares them: Izacard et al. 2022, "Atlas: Few-shot Learning with Retrieval Augmented Language Models"
(arXiv 2208.03299), section 2.2. Where it leaves something open, its code (facebookresearch/atlas) is followed or the
difference named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from rankstill.config.sections import WhiteBoxMethod

if TYPE_CHECKING:
    from torch import Tensor

Method = WhiteBoxMethod
Signal = Literal["alone", "left-out", "attention"]
"""What is read from a language model about a query's passage d: log p(answer | query, d); log p(answer | query, all its
passages but d); or how much the answer attends to d among all of them."""

Scores = NDArray[np.float64]


def pdist_scores(alone: Scores) -> Scores:
    """Perplexity distillation: p(d) in proportion to p_LM(a | q, d) (Atlas, section 2.2, PDist).

    Its posterior over passages under a uniform prior. Their code takes the mean log-likelihood of the answer's tokens
    and a temperature of 0.01; here it is the sum, as in the formula, so a like temperature is 0.01 times the tokens.

    Args:
        alone: log p_LM(a | q, d). [..., passages]
    """
    return alone


def replug_scores(alone: Scores) -> Scores:
    """REPLUG LSR: Q(d) in proportion to exp(p_LM(y | d, x) / beta) (Shi et al. 2023, arXiv 2301.12652, section 4).

    Not PDist with a temperature: the likelihood itself stands in the exponent, not its logarithm. It lies in [0, 1], so
    that a passage cannot weigh more than exp(1 / beta) times another; beta is 0.1 there. Goes with `replug_kl`.

    Args:
        alone: log p_LM(a | q, d). [..., passages]
    """
    return np.exp(alone)


def loop_scores(left_out: Scores) -> Scores:
    """Leave-one-out perplexity distillation: p(d) in proportion to 1 / p_LM(a | q, D without d) (Atlas, LOOP).

    A passage counts by how much worse the answer fares without it.

    Args:
        left_out: log p_LM(a | q, D without d). [..., passages]
    """
    return -left_out


def adist_scores(attention: Scores) -> Scores:
    """Attention distillation: p(d) = softmax of the attention that d gets (Izacard and Grave 2021, arXiv 2012.04584).

    Args:
        attention: times the norm of the value (Atlas, section 2.2, ADist), averaged over layers, heads and the
            answer's tokens, summed over the passage's. Atlas's code sums, too, and divides by a constant, which belongs
            to the temperature. [..., passages]
    """
    return attention


SIGNAL_OF: Mapping[Method, Signal] = {
    "pdist": "alone",
    "replug-lsr": "alone",
    "emdr2": "alone",
    "loop": "left-out",
    "adist": "attention",
}
SCORES_OF: Mapping[Method, Callable[[Scores], Scores]] = {
    "pdist": pdist_scores,
    "replug-lsr": replug_scores,
    "emdr2": pdist_scores,  # its loss wants the log-likelihoods themselves
    "loop": loop_scores,
    "adist": adist_scores,
}
TEMPERATURE_OF: Mapping[Method, float] = {"pdist": 1.0, "replug-lsr": 0.1, "emdr2": 1.0, "loop": 1.0, "adist": 0.1}
"""What each method's scores are divided by; the retriever's `teacher_temperature` comes on top.

1 where the formula has none; REPLUG LSR's own beta. ADist's constant does not carry over from Atlas, whose attention is
that of an encoder-decoder: with 0.1 its distribution is about as sharp as PDist's (SmolLM2-135M, NQ-open).
"""


def target(scores: Scores, temperature: float) -> Scores:
    """The distribution over passages that a method teaches: softmax(scores / T).

    Args:
        temperature: T, the retriever's `teacher_temperature`.
    """
    scaled = scores / temperature
    powers: Scores = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    shares: Scores = powers / powers.sum(axis=-1, keepdims=True)
    return shares


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
    import torch

    retriever = torch.log_softmax(cosines / student_temperature, dim=1)
    return -torch.logsumexp(labels / teacher_temperature + retriever, dim=1)


def replug_kl(cosines: Tensor, labels: Tensor, teacher_temperature: float, student_temperature: float) -> Tensor:
    """REPLUG LSR: KL(P_R || Q_LM) (Shi et al. 2023, section 4): the retriever's distribution comes first.

    Mode-seeking, where PDist's KL(Q || P_R) covers: a retriever that bets on one of two good passages loses little.

    Args:
        cosines: of queries and passages. [queries, passages]
        labels: `replug_scores`, -inf where nothing was read: P_R is over the read passages alone. [queries, passages]
        teacher_temperature: divides them: beta, or 1 where they were divided by it before (`TEMPERATURE_OF`).
        student_temperature: gamma; cosines are divided by it.

    Returns:
        One divergence a query, in nats. [queries]
    """
    import torch

    absent = ~torch.isfinite(labels) | ~torch.isfinite(cosines)
    # Masked by a number, not by -inf, whose logarithms would turn the gradient into NaN.
    retriever, language_model = (
        torch.log_softmax(each.masked_fill(absent, torch.finfo(each.dtype).min / 4), dim=1)
        for each in (cosines / student_temperature, labels / teacher_temperature)
    )
    terms = retriever.exp() * (retriever - language_model)
    return terms.masked_fill(absent, 0.0).sum(dim=1)
