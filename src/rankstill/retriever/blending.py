"""How much of the encoder's training is kept. Rankings that did not teach it choose."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rankstill.losses.listmle import plackett_luce_nll
from rankstill.ranker.prior import fit_prior
from rankstill.retriever.student import Student, ValidationList

if TYPE_CHECKING:
    from torch import Tensor, nn

_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
_FLATTEST, _SHARPEST = 1.0, 0.01
"""The bounds of the temperature: where the rankings say nothing of the cosines, and where they agree fully."""
_RIDGE = 1e-6
"""Small: cosines of some encoders lie so close together that the scale is a hundred."""


@dataclass(frozen=True)
class Blend:
    """How much of a training is kept: the share of the new weights in the mixture.

    Args:
        shares: of the new weights that were tried, ascending.
        losses: the lists' negative log-likelihood by each of them, in nats a list. [shares]
    """

    lists: int
    shares: Sequence[float]
    losses: Sequence[float]
    temperature: float

    @property
    def share(self) -> float:
        """The share of the new weights; the smallest one where several are equally good."""
        return self.shares[int(np.argmin(self.losses))]

    @classmethod
    def load(cls, path: Path) -> Blend | None:
        """The choice that a training wrote; None where none was to be made."""
        chosen = json.loads(path.read_text(encoding="utf-8"))
        return cls(**chosen) if chosen else None

    def describe(self) -> str:
        """The choice in one sentence."""
        kept = f"{self.share:.0%} of the change that training made to the encoder is kept"
        if not self.share:
            kept = "training left the encoder as it was: 0% of its change is kept"
        tried = ", ".join(f"{loss:.2f} at {share:.0%}" for share, loss in zip(self.shares, self.losses, strict=True))
        return (
            f"{kept}. {self.lists:,} of the LLM's lists that did not teach it chose this share, by the lowest loss "
            f"(in nats: {tried}). The student's temperature was {self.temperature:.3f}"
        )


def choose_blend(
    model: nn.Module,
    student: Student,
    old: Mapping[str, Tensor],
    lists: Sequence[ValidationList],
    before: Sequence[NDArray[np.float32]],
    temperature: float,
) -> Blend:
    """Set the model's weights to the mixture of new and old weights that makes the rankings likeliest.

    Weights between those before and after fine-tuning are often better than either (Wortsman et al. 2022, arXiv
    2109.01903). The old weights are one of the choices, so a training that does harm is undone.

    Args:
        model: trained; its weights are changed.
        lists: the lists that taught neither it nor the ranker whose labels did.
        before: how similar the model found each list's passages to its query before training. Each [passages]
    """
    new = {name: weight.detach().clone() for name, weight in model.state_dict().items()}
    known = [each.known for each in lists]
    losses = [plackett_luce_fit(before, known)[0]]
    for share in _SHARES[1:]:
        mix(model, old, new, share)
        losses.append(plackett_luce_fit(student.score(model, lists), known)[0])
    chosen = Blend(len(lists), _SHARES, losses, temperature)
    mix(model, old, new, chosen.share)
    return chosen


def mix(model: nn.Module, old: Mapping[str, Tensor], new: Mapping[str, Tensor], share: float) -> None:
    """Set each weight to share * new + (1 - share) * old, which may be the model's own."""
    import torch

    with torch.no_grad():
        for name, weight in model.state_dict().items():
            if weight.is_floating_point():
                weight.copy_(torch.lerp(old[name].to(weight.device), new[name], share))


def plackett_luce_fit(cosines: Sequence[NDArray[np.float32]], known: Sequence[int]) -> tuple[float, float]:
    """The loss of rankings under the Plackett-Luce model, at the temperature that makes them likeliest.

    Args:
        cosines: of the passages in the LLM's order, best first. Each [passages]
        known: how many leading passages of each list the LLM placed.

    Returns:
        Their negative log-likelihood in nats a list, and the temperature.
    """
    import torch

    columns = [each[:, None] for each in cosines]
    scale = fit_prior(("dense",), columns, known, ridge=_RIDGE, least=0.0)
    scores = [torch.from_numpy(scale.scores(each)) for each in columns]
    padded = torch.nn.utils.rnn.pad_sequence(scores, batch_first=True, padding_value=float("-inf"))
    loss = float(plackett_luce_nll(padded, torch.tensor(known)).mean())
    return loss, 1 / min(max(scale.weights[0], 1 / _FLATTEST), 1 / _SHARPEST)
