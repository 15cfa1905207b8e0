"""Labelling: ours against CrossEncoder.predict with its defaults, the same weights."""

from __future__ import annotations

import numpy as np
import torch
from benchmarks.speed.data import MINILM, part, scifact
from benchmarks.speed.measure import Result, alternate, rates
from scipy.stats import kendalltau

from rankstill.ranker import Ranker
from rankstill.ranker.model import start_cross_encoder

PAIRS, PASSAGES_A_QUERY, ROUNDS = 1500, 10, 3


def labelling() -> list[Result]:
    """Pairs a second."""
    model = start_cross_encoder(MINILM, 512, "cpu")
    torch.manual_seed(0)
    torch.nn.init.normal_(model[-1].linear.weight)  # it starts at zero, and would rank nothing
    _, texts = part(PAIRS)
    claims = scifact().texts_of(scifact().test)
    pairs = [(claims[row // PASSAGES_A_QUERY], text) for row, text in enumerate(texts)]
    ranker = Ranker(None, model)
    ours, theirs = alternate(
        lambda: ranker.score(pairs, None), lambda: model.predict(pairs, show_progress_bar=False), ROUNDS, warm_up=False
    )
    mine, stock = ranker.score(pairs, None), model.predict(pairs, show_progress_bar=False)
    lists = [slice(start, start + PASSAGES_A_QUERY) for start in range(0, PAIRS, PASSAGES_A_QUERY)]
    tau = float(np.mean([kendalltau(mine[each], stock[each]).statistic for each in lists]))
    return [
        Result(
            "labelling",
            "CrossEncoder.predict, defaults",
            "pairs/s",
            goal=">= 4x, Kendall tau >= 0.99",
            quality=f"mean tau {tau:.4f} over {len(lists)} lists of {PASSAGES_A_QUERY}",
            **rates(PAIRS, ours, theirs),
        )
    ]
