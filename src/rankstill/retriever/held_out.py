"""Whether the head is worth having, by the LLM's rankings, which did not teach it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from rankstill.labels.table import LabelledQuery
from rankstill.ranker.plackett_luce import plackett_luce_nll
from rankstill.ranker.prior import fit_prior
from rankstill.retriever.head import Encoded, Head


@dataclass(frozen=True)
class HeldOut:
    """How likely rankings are under cosines, by the Plackett-Luce model, each with its own best temperature.

    Args:
        lists: how many rankings.
        before: their negative log-likelihood by the encoder's vectors, in nats a list.
        after: by those of the head.
    """

    lists: int
    before: float
    after: float

    @property
    def better(self) -> bool:
        """Whether the head's vectors make them likelier."""
        return self.after < self.before


def held_out(
    head: Head,
    labels: Sequence[LabelledQuery],
    queries: Encoded,
    passages: Encoded,
    judging: Collection[str] = (),
) -> HeldOut | None:
    """Measure a trained head by queries that the LLM ranked; None where all of these taught it, or there are none.

    Args:
        head: trained.
        labels: all, in the order of `queries`.
        queries: the labelled queries.
        passages: the corpus.
        judging: ids of those that did not teach it, where others that the LLM ranked did.
    """
    lists_alone = all(query.source == "teacher" for query in labels)
    ranked = [
        row
        for row, query in enumerate(labels)
        if query.source == "teacher" and len(query.positions) > 1 and (query.id in judging or not lists_alone)
    ]
    if not ranked:
        return None
    before, after = [], []
    with torch.inference_mode():
        for row in ranked:
            listed, asked = passages[labels[row].positions], queries[np.array([row])]
            before.append(listed.vectors @ asked.vectors[0])
            moved, _ = head.passages(listed)
            after.append((moved @ head.queries(asked)[0]).float().cpu().numpy())
    known = [len(each) for each in before]
    return HeldOut(len(ranked), plackett_luce_loss(before, known), plackett_luce_loss(after, known))


def plackett_luce_loss(cosines: Sequence[NDArray[np.float32]], known: Sequence[int]) -> float:
    """Negative log-likelihood in nats a list, by the Plackett-Luce model, at the temperature that suits them best.

    Args:
        cosines: of the passages in the LLM's order, best first. Each [passages]
        known: how many leading passages of each list the LLM placed.
    """
    columns = [each[:, None] for each in cosines]
    scale = fit_prior(("dense",), columns, known, least=0.0)
    scores = [torch.from_numpy(scale.scores(each)) for each in columns]
    padded = torch.nn.utils.rnn.pad_sequence(scores, batch_first=True, padding_value=float("-inf"))
    return float(plackett_luce_nll(padded, torch.tensor(known)).mean())
