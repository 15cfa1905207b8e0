"""White-box teachers: what a language model's own probabilities and attention say of each passage.

These methods need a model's weights or its token probabilities, which a black box does not give. Each turns what it
reads into scores; the retriever learns their softmax(scores / tau_t) by KL divergence, as it learns a ranker's. EMDR2
and REPLUG-LSR have losses of their own (`losses/emdr2.py`, `losses/replug.py`).

The paper that compares them: Izacard et al. 2022, "Atlas: Few-shot Learning with Retrieval Augmented Language Models"
(arXiv 2208.03299), section 2.2. Where it leaves something open, its code (facebookresearch/atlas) is followed or the
difference named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rankstill.config.sections import WhiteBoxMethod

Method = WhiteBoxMethod
Signal = Literal["alone", "left-out", "attention"]
"""What is read from a language model about a query's passage d: log p(answer | query, d); log p(answer | query, all its
passages but d); or how much the answer attends to d among all of them."""

Scores = NDArray[np.float64]


SIGNAL_OF: Mapping[Method, Signal] = {
    "pdist": "alone",
    "replug-lsr": "alone",
    "emdr2": "alone",
    "loop": "left-out",
    "adist": "attention",
}
SCORES_OF: Mapping[Method, Callable[[Scores], Scores]] = {
    # Perplexity distillation: p(d) in proportion to p_LM(a | q, d) (Atlas, section 2.2, PDist), its posterior over
    # passages under a uniform prior. Their code takes the mean log-likelihood of the answer's tokens and a temperature
    # of 0.01; here it is the sum, as in the formula, so a like temperature is 0.01 times the tokens.
    "pdist": lambda alone: alone,
    # REPLUG LSR: Q(d) in proportion to exp(p_LM(y | d, x) / beta) (Shi et al. 2023, arXiv 2301.12652, section 4). Not
    # PDist with a temperature: the likelihood itself stands in the exponent, not its logarithm. It lies in [0, 1], so
    # that a passage cannot weigh more than exp(1 / beta) times another; beta is 0.1 there. Goes with `replug_kl`.
    "replug-lsr": np.exp,
    # Its loss wants the log-likelihoods themselves.
    "emdr2": lambda alone: alone,
    # Leave-one-out perplexity distillation: p(d) in proportion to 1 / p_LM(a | q, D without d) (Atlas, LOOP). A passage
    # counts by how much worse the answer fares without it.
    "loop": np.negative,
    # Attention distillation: p(d) = softmax of the attention that d gets (Izacard and Grave 2021, arXiv 2012.04584),
    # times the norm of the value (Atlas, section 2.2, ADist), averaged over layers, heads and the answer's tokens,
    # summed over the passage's. Atlas's code sums, too, and divides by a constant, which belongs to the temperature.
    "adist": lambda attention: attention,
}
"""Each method's scores, from what `SIGNAL_OF` says that it reads. [..., passages] -> [..., passages]"""
TEMPERATURE_OF: Mapping[Method, float] = {"pdist": 1.0, "replug-lsr": 0.1, "emdr2": 1.0, "loop": 1.0, "adist": 0.1}
"""What each method's scores are divided by; the retriever's `teacher_temperature` comes on top.

1 where the formula has none; REPLUG LSR's own beta. ADist's constant does not carry over from Atlas, whose attention is
that of an encoder-decoder: with 0.1 its distribution is about as sharp as PDist's (SmolLM2-135M, NQ-open).
"""
