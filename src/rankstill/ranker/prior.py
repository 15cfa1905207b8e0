"""The ranker's prior: a weighted sum of the first stage's scores of a query and a passage.

A cross-encoder that starts from scratch and sees only a few hundred lists is a poor ranker. The prior is a strong one
with three weights. The cross-encoder then only learns what the first stage gets wrong.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rankstill.losses.listmle import plackett_luce_nll, weighted_mean

Features = NDArray[np.float32]
"""First-stage scores of passages, one column a feature. [passages, features]"""


@dataclass(frozen=True)
class Prior:
    """A linear score of first-stage features, in units of log-odds as the Plackett-Luce model reads them.

    Args:
        features: the features' names, in column order.
    """

    features: tuple[str, ...]
    weights: tuple[float, ...]

    def scores(self, features: Features) -> NDArray[np.float32]:
        """The prior's score of each passage. [..., features] -> [...]"""
        return (features @ np.asarray(self.weights, dtype=np.float32)).astype(np.float32)

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Prior:
        """Read what `save` wrote."""
        read = json.loads(path.read_text(encoding="utf-8"))
        return cls(features=tuple(read["features"]), weights=tuple(read["weights"]))


def fit_prior(
    features: Sequence[str],
    lists: Sequence[Features],
    known: Sequence[int],
    weights: Sequence[float] | None = None,
    ridge: float = 1e-3,
    least: float | None = None,
) -> Prior:
    """Fit the weights that make the teacher's rankings likeliest (ListMLE, which is convex in the weights).

    Args:
        features: names of the columns.
        lists: features of each list's passages, rows in the teacher's order, best first. Each [passages, features]
        known: how many leading rows of each list the teacher itself gave.
        weights: of the lists; None for equal ones.
        ridge: penalty on the squared weights, so that a feature that is constant gets weight 0.
        least: no weight goes below it; None: any may.

    Returns:
        The fitted prior; the scale of its scores fits the teacher's certainty.
    """
    import torch
    from scipy.optimize import minimize

    longest = max(len(rows) for rows in lists)
    padded = np.zeros((len(lists), longest, len(features)))
    padding = np.zeros((len(lists), longest))
    for row, passages in enumerate(lists):
        padded[row, : len(passages)] = passages
        padding[row, len(passages) :] = -np.inf
    of_lists = torch.ones(len(lists)) if weights is None else torch.as_tensor(weights, dtype=torch.float32)
    x, pad, leading = torch.from_numpy(padded), torch.from_numpy(padding), torch.as_tensor(known)

    def loss_and_gradient(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        w = torch.tensor(point, requires_grad=True)
        loss = weighted_mean(plackett_luce_nll(x @ w + pad, leading), of_lists) + ridge * w.square().sum()
        (gradient,) = torch.autograd.grad(loss, w)
        return float(loss.detach()), gradient.numpy()

    bounds = [(least, None)] * len(features)
    found = minimize(loss_and_gradient, np.zeros(len(features)), jac=True, method="L-BFGS-B", bounds=bounds)
    return Prior(features=tuple(features), weights=tuple(float(weight) for weight in found.x))
